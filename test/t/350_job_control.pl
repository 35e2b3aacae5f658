# Copyright (c) 2026, modal_batch contributors

# Jobs that are cancelled, paused, retried, forgotten, watched; and many at once.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local, conf => "modal_batch.runner_idle_timeout = '300ms'\n");

sub sql { return $node->safe_psql('postgres', $_[0]) }

# Inputs that take longer than the test.
sub endless
{
	my ($job) = spawn($node, q{modal_spawn_map('local:builtin/sleep', 'SELECT 600::float8, g FROM generate_series(1, 2000) g')});
	wait_until('inputs to be sent', sub { $local->inputs_put >= 2000 });
	return $job;
}

sub cancelled_remotely
{
	my ($terminate, $name) = @_;
	my $cancels = wait_until('FunctionCallCancel',
		sub { my @r = $local->requests('FunctionCallCancel'); @r ? \@r : 0 });

	is(scalar @$cancels, 1, $name);
	is($cancels->[0]{terminate} // 0, $terminate, $terminate ? '... with its containers' : '... but not its containers');
	return;
}

# --- cancel ------------------------------------------------------------------

for my $terminate (0, 1)
{
	$local->clear_log;
	my $job = endless();
	is(sql("SELECT modal_cancel($job, ${terminate}::bool)"), 't', 'a job is cancelled');
	job_ends($node, $job, 'cancelled', '... and ends so');
	cancelled_remotely($terminate, '... at the service, too');
	is(sql("SELECT count(*) FROM modal_batch.chunk"), '0', '... and its inputs are gone');
	is(sql("SELECT modal_cancel($job)"), 'f', '... and cannot be cancelled again');
}

$local->clear_log;
my $job = endless();
$node->stop('immediate');
$node->start;
sql("SELECT modal_cancel($job)");
job_ends($node, $job, 'cancelled', 'a job is cancelled after a crash');
cancelled_remotely(0, '... at the service, too');

$local->clear_log;
$job = endless();
sql("SELECT modal_pause($job)");
sql("SELECT modal_cancel($job)");
job_ends($node, $job, 'cancelled', 'a paused job is cancelled');
cancelled_remotely(0, '... at the service, too');

$local->clear_log;
$job = endless();
$local->kill9;
sql("SELECT modal_cancel($job)");
ok(job_becomes($node, $job, q{state = 'cancelling' AND last_error->>'code' LIKE '08%'}),
	'a job is cancelled while the service is away: it waits');
$node->stop('immediate');
$node->start;
$local->start;
job_ends($node, $job, 'cancelled', '... and ends when the service has confirmed it');
cancelled_remotely(0, '... at the service, too');

sql("BEGIN; SELECT modal_cancel(modal_spawn('local:builtin/echo', 1)); COMMIT");
is(sql(q{SELECT modal_wait(max(job)) FROM modal_batch.jobs}), 'cancelled', 'a job is cancelled in its own transaction');

# --- pause and resume -----------------------------------------------------------

sql(q{ALTER SERVER local OPTIONS (ADD max_in_flight '1000')});
$local->set_faults("FunctionGetOutputs delay=0.5\n");
$local->clear_log;
$job = map_into($node, 'paused', 10000);
job_becomes($node, $job, 'succeeded > 0');
is(sql("SELECT modal_pause($job)"), 't', 'a job is paused');
is(sql("SELECT modal_wait($job)"), 'paused', '... and waiting for it ends');
my $count = sql('SELECT count(*) FROM paused');
sleep 0.5;
is(sql('SELECT count(*) FROM paused'), $count, '... no results are written');
$local->set_faults("FunctionGetOutputs delay=0.1\n");
is(sql("SELECT modal_resume($job)"), 't', '... it is resumed');
job_ends($node, $job, 'completed', '... and completes');
sink_is($node, 'paused', 10000, '... with one result for each input');
inputs_are($local, 10000, '... each of which was sent once');

$job = map_into($node, 'flicker', 10000);
for (1 .. 20)
{
	sql("SELECT modal_pause($job); SELECT modal_resume($job)");
	sql("BEGIN; SELECT modal_pause($job); SELECT modal_resume($job); COMMIT");
}
job_ends($node, $job, 'completed', 'a job that is paused and resumed again and again completes');
sink_is($node, 'flicker', 10000, '... with one result for each input');
$local->set_faults('');

# --- what changes nothing locks nothing -------------------------------------------

$job = spawn($node, q{modal_spawn('local:builtin/sleep', 1)});
job_becomes($node, $job, q{state = 'running'});
is(sql("BEGIN; SELECT modal_resume($job); SELECT modal_wait($job, '60 s'); COMMIT"), "f\ncompleted",
	'a job that runs is not resumed, and can be waited for then');
$local->set_faults("FunctionCallCancel delay=1\n");
$job = endless();
sql("SELECT modal_cancel($job)");
is(sql("BEGIN; SELECT modal_pause($job); SELECT modal_resume($job); SELECT modal_wait($job, '60 s'); COMMIT"), "f\nf\ncancelled",
	'one that is to be cancelled is neither paused nor resumed, and can be waited for then');
$local->set_faults('');

# --- from within ------------------------------------------------------------------

sql(q{
	CREATE TABLE changing (job bigint, change text);
	CREATE TABLE changed (id int, result bigint);
	CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE c record;
	BEGIN
		FOR c IN DELETE FROM changing RETURNING * LOOP
			EXECUTE format('SELECT modal_%s(%s)', c.change, c.job);
		END LOOP;
		RETURN NULL;
	END $$;
	CREATE TRIGGER change AFTER INSERT ON changed FOR EACH STATEMENT EXECUTE FUNCTION change()});
for my $change ([ 'cancel', 'cancelled' ], [ 'pause', 'paused' ])
{
	my ($verb, $state) = @$change;

	$local->clear_log;
	$local->set_faults("FunctionGetOutputs delay=0.2\n");
	$job = sql(qq{
		TRUNCATE changed;
		WITH j AS (SELECT modal_spawn_map('local:builtin/square', 'SELECT g AS id, g FROM generate_series(0, 9999) g',
			key => '{id}', into_table => 'changed') AS job)
		INSERT INTO changing SELECT job, '$verb' FROM j RETURNING job});
	is(sql("SELECT modal_wait($job, '60 s')"), $state, "$verb by a trigger of the table: the job is $state");
	cmp_ok(job($node, $job, 'succeeded'), '>', 0, '... with what was written');
	is(sql('SELECT count(*) FROM changed'), job($node, $job, 'succeeded'), '... all of which is counted');
	is(sql('SELECT count(*) FROM changing'), '0', '... as is what else the trigger has done');
	$local->set_faults('');
}
is(sql("SELECT modal_resume($job)"), 't', 'paused so, it is resumed');
job_ends($node, $job, 'completed', '... and completes');
sink_is($node, 'changed', 10000, '... with one result for each input');

# --- what failed remotely ----------------------------------------------------------

$job = spawn($node, q{modal_spawn_map('local:builtin/fail',
	$$SELECT g AS id, 'no ' || g FROM generate_series(1, 50) g$$, key => '{id}')});
job_ends($node, $job, 'completed', 'a job whose inputs all fail completes');
is(job($node, $job, 'succeeded, failed'), '0|50', '... and counts them');
is( sql("SELECT count(*), min(error->>'code'), min(error->>'type'), bool_and(error->>'message' ~ ('no ' || (input->>'id') || '\\M')) FROM modal_results($job)"),
	'50|38000|ValueError|t', '... and keeps their errors');
is(sql("SELECT modal_retry($job)"), '50', '... and runs them again');
job_ends($node, $job, 'completed', '... to the same end');
is(job($node, $job, 'succeeded, failed'), '0|50', '... which is counted once');

# --- the end is told ------------------------------------------------------------------

sql('CREATE TABLE ended (job bigint, who text); GRANT ALL ON ended TO PUBLIC; CREATE ROLE bob LOGIN;
	GRANT USAGE ON FOREIGN SERVER local TO bob;
	CREATE USER MAPPING FOR bob SERVER local OPTIONS (token_id \'ak-local\', token_secret \'as-local\')');
my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN modal_batch');
$job = sql(q{SET ROLE bob; SELECT modal_spawn_map('local:builtin/echo', 'SELECT 1',
	on_complete => 'INSERT INTO ended VALUES ($1, current_user)')});
job_ends($node, $job, 'completed', 'a job with on_complete');
is(sql('SELECT * FROM ended'), "$job|bob", '... which is run once, as the owner');
like($listener->query_safe('SELECT 1'), qr/modal_batch.*\{"job": $job, "state": "completed", "inputs": 1, "succeeded": 1, "failed": 0, "stale": 0\}/, '... and NOTIFY');
$listener->quit;
$job = spawn($node, q{modal_spawn_map('local:builtin/echo', 'SELECT 1', on_complete => 'SELECT 1/0')});
job_ends($node, $job, 'completed', 'on_complete that fails does not undo the job');
is(job($node, $job, q{last_error->>'code'}), '22012', '... and is noted');
is(sql('SELECT array_agg(result ORDER BY job) FROM modal_gather('
	  . join(',', map { spawn($node, "modal_spawn('local:builtin/square', $_)") } 2 .. 4) . ')'),
	'{4,9,16}', 'modal_gather');
$job = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT g FROM generate_series(1, 2500) g')});
is( sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; SELECT count(*), min(job) = $job, sum(result::int), array_agg(ordinal ORDER BY ordinal) = array_agg(ordinal) FROM modal_gather($job); COMMIT"),
	"1\n2500|t|5211458750|t", '... of results that are younger than the transaction');

# --- rights come before locks ---------------------------------------------------------------

$job = spawn($node, q{modal_spawn('local:builtin/echo', 1)});
job_ends($node, $job, 'completed', 'a job of one role');
my $holder = $node->background_psql('postgres');
$holder->query_safe("BEGIN; SELECT FROM modal_batch.job WHERE id = $job FOR UPDATE");
like((modal_psql($node, "SET ROLE bob; SET lock_timeout = '1s'; SELECT modal_$_($job)"))[2], qr/42704: job $job does not exist/,
	"... is not waited for by another's modal_$_")
  for qw(cancel pause resume retry forget);
$holder->quit;

# --- jobs that are younger than a transaction -----------------------------------------------

my $older = $node->background_psql('postgres', on_error_stop => 0);
for my $verb (qw(cancel pause retry forget))
{
	$older->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
	$job = spawn($node, $verb =~ /retry|forget/ ? q{modal_spawn('local:builtin/fail', 1)} : q{modal_spawn('local:builtin/sleep', 600)});
	job_ends($node, $job, 'completed', 'one that has ended') if $verb =~ /retry|forget/;
	$older->query("SELECT modal_wait($job, '0 s')");
	$older->{stderr} = '';
	$older->query("SELECT modal_$verb($job)");
	like($older->{stderr}, qr/could not serialize access to job $job/, "modal_$verb says why it does not change one");
	$older->query('ROLLBACK');
	sql("SELECT modal_cancel($job)");
}
$older->quit;

# --- forgetting -------------------------------------------------------------------------

$job = spawn($node, q{modal_spawn('local:builtin/echo', 1)});
job_ends($node, $job, 'completed', 'a job of one input');
sql("SELECT modal_forget($job)");
my ($status, $out, $err) = modal_psql($node, "SELECT modal_wait($job)");
like($err, qr/42704: job $job does not exist/, '... is forgotten');
$node->poll_query_until('postgres',
	q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'modal_batch runner'});
$job = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT g FROM generate_series(1, 25000) g')});
job_ends($node, $job, 'completed', 'a job with many results');
sql(q{
	CREATE TABLE removed (name text, rows bigint, xact xid8, by text);
	CREATE FUNCTION note_removed() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.removed SELECT tg_table_name, count(*), pg_current_xact_id(),
			(SELECT backend_type FROM pg_stat_activity WHERE pid = pg_backend_pid()) FROM gone HAVING count(*) > 0;
		RETURN NULL;
	END $$;
	CREATE TRIGGER removed AFTER DELETE ON modal_batch.result REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note_removed();
	CREATE TRIGGER removed AFTER DELETE ON modal_batch.job REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note_removed()});
$node->append_conf('postgresql.conf', "modal_batch.result_retention = '0s'\n");
$node->reload;
spawn($node, q{modal_spawn('local:builtin/echo', 1)});
ok($node->poll_query_until('postgres',
		q{SELECT (SELECT count(*) FROM modal_batch.job WHERE finished_at IS NOT NULL) = 0
			AND (SELECT count(*) FROM modal_batch.result) = 0}),
	'ended jobs go with their results after modal_batch.result_retention');
cmp_ok(sql('SELECT max(rows) FROM removed'), '<=', 10000, '... a part at a time');
is(sql(q{SELECT count(DISTINCT xact) >= 3, max(xact::text::bigint) FILTER (WHERE name = 'result') <= max(xact::text::bigint) FILTER (WHERE name = 'job'),
	string_agg(DISTINCT by, ' ') FROM removed}), 't|t|modal_batch scout', '... each a transaction, the job after its results, by nobody who has jobs to run');
sql('DROP FUNCTION note_removed() CASCADE; DROP TABLE removed');
$node->append_conf('postgresql.conf', "modal_batch.result_retention = '1h'\n");
$node->reload;

# --- many at once -------------------------------------------------------------------------

sql('CREATE TABLE many (id int, result bigint)');
sql(q{SELECT count(modal_spawn_map('local:builtin/square', format('SELECT %s AS id, %s', g, g),
	key => '{id}', into_table => 'many')) FROM generate_series(0, 399) g});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM modal_batch.jobs WHERE finished_at IS NULL}),
	'400 jobs complete');
sink_is($node, 'many', 400, '... with one result for each input');

# A small job is not behind a large one, and priority counts.
$local->set_faults("FunctionGetOutputs delay=0.3\n");
my $large = map_into($node, 'large', 60000);
job_becomes($node, $large, 'succeeded > 0');
$job = spawn($node, q{modal_spawn('local:builtin/echo', 1)});
job_ends($node, $job, 'completed', 'a small job ends');
is(job($node, $large, 'state'), 'running', '... while a large one that came before it runs');
$local->set_faults('');
job_ends($node, $large, 'completed', '... which ends, too');
sink_is($node, 'large', 60000, '... with one result for each input');

# Inputs and results that do not fit into a request.
$job = spawn($node, q{modal_spawn_map('local:builtin/echo',
	$$SELECT repeat(chr(97 + g % 26), 3000000) FROM generate_series(1, 40) g$$)});
job_ends($node, $job, 'completed', 'large inputs and results');
is(sql("SELECT count(*), sum(length(result #>> '{}')), count(DISTINCT left(result #>> '{}', 1)) FROM modal_results($job)"),
	'40|120000000|26', '... arrive');

$node->stop;
done_testing();
