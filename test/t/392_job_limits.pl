# Copyright (c) 2026, modal_batch contributors

# What a job may cost: unique keys, start and deadline, failures, inputs in
# flight, equal inputs, numbers of inputs; with crashes where it counts.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local,
	conf => "modal_batch.runner_idle_timeout = '200ms'\nmax_prepared_transactions = 5\n");

# A crash may come just now, and take the session with it.
sub sql
{
	my ($query) = @_;
	my ($out, $err);

	wait_until("an answer to $query", sub {
		return 1 if $node->psql('postgres', $query, stdout => \$out, stderr => \$err, on_error_stop => 1) == 0;
		die "$query: $err" if $err !~ /recovery mode|connection|starting up|shutting down/;
		return 0; });
	return $out;
}

sub error_of
{
	my ($query) = @_;
	my (undef, undef, $err) = modal_psql($node, $query);
	return $err;
}

# Quiet: these jobs are to fail.
sub ends
{
	my ($job, $state, $name) = @_;
	local $ENV{PGOPTIONS} = '-c client_min_messages=error';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return job_ends($node, $job, $state, $name);
}

# Across crashes, which take sessions with them.
sub wait_for_end
{
	my ($job) = @_;

	wait_until('its end', sub {
		sql("SELECT finished_at IS NOT NULL FROM modal_batch.jobs WHERE job = $job") eq 't' });
	return;
}

sub row { return sql("SELECT $_[1] FROM modal_batch.jobs WHERE job = $_[0]") }

sub no_runner
{
	return $node->poll_query_until('postgres',
		q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'modal_batch runner')});
}

# --- unique_key --------------------------------------------------------------

my $keyed = q{modal_spawn_map('local:builtin/echo', 'SELECT 1', start_after => '1 hour', unique_key => 'nightly')};
my $one   = spawn($node, $keyed);
is(sql("SELECT $keyed"), $one, 'a second job with a key is the first one');
is(sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT $keyed; COMMIT"), $one, '... in REPEATABLE READ');
sql("SELECT modal_cancel($one)");
job_ends($node, $one, 'cancelled', '... which ends');
my $two = spawn($node, $keyed);
isnt($two, $one, '... and then there is a new one');
like(error_of("UPDATE modal_batch.job SET state = 'failed', failed = 1 WHERE id = $one; SELECT modal_retry($one)"),
	qr/23505: another unfinished job has unique key "nightly"/, '... beside which the first cannot go on');
sql("SELECT modal_cancel($one)");
job_ends($node, $one, 'cancelled', '... but can be cancelled');
is(sql("SELECT modal_pause($two), modal_resume($two)"), 't|t', '... and the second can be paused and resumed');
sql("SELECT modal_cancel($two)");
job_ends($node, $two, 'cancelled', '... until that has ended, too');

my $a = $node->background_psql('postgres', on_error_stop => 0);
my $b = $node->background_psql('postgres', on_error_stop => 0);

# Session b asks for a job with the key, and waits for session a.
sub b_waits
{
	my ($name, $level) = @_;
	my $pid = $b->query_safe('SELECT pg_backend_pid()');

	$b->query_safe("BEGIN ISOLATION LEVEL $level; SELECT 1");
	$b->query_until(qr/asked/, "\\echo asked\nSELECT $keyed;\n\\echo got it\n");
	ok($node->poll_query_until('postgres',
			"SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid"), $name);
	return;
}

sub b_gets
{
	my $out = $b->query_until(qr/got it/, '');
	my ($job) = $out =~ /^(\d+)$/m;

	$b->query_safe('COMMIT');
	return $job;
}

for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	$a->query_safe('BEGIN');
	my $job = $a->query_safe("SELECT $keyed");
	b_waits("$level: who wants the same key waits", $level);
	$a->query_safe('COMMIT');
	is(b_gets(), $job, '... and has the job that was committed');
	sql("SELECT modal_cancel($job)");
	job_ends($node, $job, 'cancelled', '... which is cancelled');

	$a->query_safe('BEGIN');
	$job = $a->query_safe("SELECT $keyed");
	b_waits("$level: who wants the same key waits", $level);
	$a->query_safe('ROLLBACK');
	my $other = b_gets();
	isnt($other, $job, '... and makes a job when the other was rolled back');
	is(row($other, 'state'), 'pending', '... which is there');
	sql("SELECT modal_cancel($other)");
	job_ends($node, $other, 'cancelled', '... and is cancelled');
}

$a->query_safe("BEGIN; SAVEPOINT s; SELECT $keyed; ROLLBACK TO s");
my $free = spawn($node, $keyed);
ok($free, 'a savepoint that is rolled back gives the key back');
is($a->query_safe("SELECT $keyed"), $free, '... also to the same transaction');
$a->query_safe('COMMIT');
sql("SELECT modal_cancel($free)");
job_ends($node, $free, 'cancelled', '... and the job is cancelled');

$a->query_safe('BEGIN');
my $prepared = $a->query_safe("SELECT $keyed");
$a->query_safe(q{PREPARE TRANSACTION 'p'});
b_waits('a prepared transaction keeps the key', 'READ COMMITTED');
sql(q{COMMIT PREPARED 'p'});
is(b_gets(), $prepared, '... until it is committed');
sql("SELECT modal_cancel($prepared)");
job_ends($node, $prepared, 'cancelled', '... and the job is cancelled');
$_->quit for $a, $b;

# --- start_after ---------------------------------------------------------------

my $later = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT 3', start_after => interval '15 s')});
is(row($later, q{state, waiting_for, start_at > now()}), 'pending|start time|t', 'a job is to start later');
no_runner();
$node->stop('immediate');
$node->start;
is(row($later, 'state'), 'pending', '... also after a crash');
no_runner();
job_ends($node, $later, 'completed', '... and starts when it is time, with no runner there meanwhile');
is(sql("SELECT started_at >= start_at FROM modal_batch.jobs WHERE job = $later"), 't', '... not before');
my $at = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT 3', start_after => now() + interval '1 hour')});
sql("SELECT modal_cancel($at)");
job_ends($node, $at, 'cancelled', 'a job that has not started is cancelled at once');

# its time comes between the runner's choice of jobs that need not wait, and of a time to look again
arm_point($node, 'runner-looked', 'sleep:1500');
my $overtaken = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT 3', start_after => interval '1 s')});
point_passed($node, 'runner-looked');
disarm_point($node, 'runner-looked');
job_ends($node, $overtaken, 'completed', 'a job whose time comes while the runner looks for others is started');

# --- deadline -------------------------------------------------------------------

my $slow = q{modal_spawn_map('local:builtin/sleep', 'SELECT 600::float8, g FROM generate_series(1, 20) g', deadline => '3 s')};
for my $crash ('', 'runner-before-stop', 'runner-after-stop')
{
	my $name = $crash eq '' ? 'a job' : "a job whose runner crashes at $crash";
	$local->clear_log;
	arm_point($node, $crash, 'crash') if $crash ne '';
	my $job = spawn($node, $slow);
	wait_for_end($job);
	is(row($job, q{state, last_error->>'code', waiting}), 'failed|57014|20', "$name stops at its deadline");
	my @cancels = wait_until('FunctionCallCancel', sub { $local->requests('FunctionCallCancel') });
	ok(scalar @cancels, '... and is cancelled at the service');
	is(sql("SELECT modal_retry($job)"), '20', '... and goes on when it is tried again');
	ok(job_becomes($node, $job, q{state = 'running' AND deadline IS NULL AND in_flight = 20}), '... without a deadline');
	sql("SELECT modal_cancel($job)");
	job_ends($node, $job, 'cancelled', '... until it is cancelled');
	is(sql("SELECT count(*) FROM modal_batch.chunk WHERE job = $job"), '0', '... and leaves nothing behind');
}
$local->kill9;
my $away = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT 1', deadline => '3 s')});
ok(job_becomes($node, $away, q{waiting_for = 'service' AND last_error->>'code' LIKE '08%'}), 'a job waits for the service');
ends($away, 'failed', '... no longer than until its deadline');
$local->start;

# --- failures ------------------------------------------------------------------------

# Every tenth input fails.
sub failing
{
	my ($more) = @_;
	return spawn($node, qq{modal_spawn_map('local:builtin/sleep',
		\$\$SELECT g AS id, CASE WHEN g % 10 = 0 THEN '"x"' ELSE to_jsonb(0.05) END, g * g FROM generate_series(1, 3000) g\$\$,
		key => '{id}', into_table => 'squares' $more)});
}
sql('CREATE TABLE squares (id int PRIMARY KEY, result bigint)');
my $numbers = 'count(*), count(*) FILTER (WHERE result = id::bigint * id)';
for my $crash ('', 'runner-before-commit', 'runner-after-commit')
{
	sql('TRUNCATE squares');
	# results come few at a time, and not all at once: there is something to cancel
	sql(q{ALTER SERVER local OPTIONS (ADD max_in_flight '100')});
	arm_point($node, $crash, 'crash') if $crash ne '';
	my $job = failing(', max_failures => 50');
	wait_for_end($job);
	point_passed($node, $crash) if $crash ne q{};
	my $name = $crash eq '' ? 'a job' : "a job whose runner crashes at $crash";
	is(row($job, q{state, last_error->>'code', failed > 50, last_error->>'detail' LIKE 'The last one: %', waiting > 0}),
		'failed|54000|t|t|t', "$name stops after some failures");
	is(sql("SELECT count(*) = failed AND (SELECT count(*) FROM squares) = succeeded FROM modal_batch.failures f JOIN modal_batch.jobs j USING (job) WHERE job = $job GROUP BY failed, succeeded"),
		't', '... which are kept');
	my $failed = row($job, 'failed');
	my $waiting = row($job, 'waiting');
	is(sql("SELECT modal_retry($job)"), $waiting, '... and goes on when it is tried again');
	ends($job, 'failed', '... until as many have failed again');
	cmp_ok(row($job, 'failed') - $failed, '>', 50, '... and no fewer');
	for (1 .. 10)
	{
		last if row($job, 'waiting') eq '0';
		sql("SELECT modal_retry($job)");
		sql("SET client_min_messages = error; SELECT modal_wait($job)");
	}
	is(row($job, 'succeeded, failed'), '2700|300', '... and all inputs have an outcome at the end');
	is(sql("SELECT $numbers FROM squares"), '2700|2700', '... each of them one');
	sql('ALTER SERVER local OPTIONS (DROP max_in_flight)');
}
my $all = spawn($node, q{modal_spawn_map('local:builtin/fail', 'SELECT g::text FROM generate_series(1, 100000) g')});
ends($all, 'failed', 'a job of which nothing succeeds stops');
is(row($all, q{failed BETWEEN 1000 AND 50000, last_error->>'message' ~ '^the first \d+ inputs have all failed$'}),
	't|t', '... early');
like(error_of("SELECT modal_wait($all)"), qr/WARNING:.*\d+ of 100000 inputs of job $all have failed/, '... and modal_wait warns');
sql('TRUNCATE squares');
my $few = failing('');
ends($few, 'completed', 'a job of which a tenth fails does not') or diag row($few, 'last_error');
sql('TRUNCATE squares');
sql(q{ALTER SERVER local OPTIONS (ADD max_failures '5')});
ends(failing(', max_failures => 1000'), 'failed', 'the limit of a server holds');
sql(q{ALTER SERVER local OPTIONS (DROP max_failures)});

# --- max_in_flight ----------------------------------------------------------------------

$local->clear_log;
my $narrow = spawn($node, q{modal_spawn_map('local:builtin/sleep', 'SELECT 600::float8, g FROM generate_series(1, 100) g', max_in_flight => 4)});
ok(job_becomes($node, $narrow, 'in_flight >= 4'), 'a job has few inputs in flight');
$node->stop('immediate');
$node->start;
ok(job_becomes($node, $narrow, q{EXISTS (SELECT FROM modal_batch.activity a WHERE a.remote_call_id = jobs.remote_call_id)}),
	'... and goes on after a crash');
my %put = map { $_ => 1 } $local->inputs_put;
is(join(',', sort keys %put), '0,1,2,3', '... with no more of them');
sql("SELECT modal_cancel($narrow)");
job_ends($node, $narrow, 'cancelled', '... until it is cancelled');

# --- distinct -----------------------------------------------------------------------------

sql('CREATE TABLE shared (id int PRIMARY KEY, result bigint)');
for my $crash ('', 'runner-before-commit', 'runner-after-commit')
{
	sql('TRUNCATE shared');
	$local->clear_log;
	arm_point($node, $crash, 'crash') if $crash ne '';
	my $job = spawn($node, q{modal_spawn_map('local:builtin/square',
		'SELECT g AS id, g % 10 FROM generate_series(1, 30000) g', key => '{id}', into_table => 'shared', "distinct" => true)});
	wait_for_end($job);
	is(row($job, 'state, inputs, succeeded, waiting'), 'completed|30000|30000|0',
		'equal inputs' . ($crash eq '' ? '' : " with a crash at $crash"));
	inputs_are($local, 10, '... are sent once', 10);
	is(sql('SELECT count(*), bool_and(result = (id % 10) * (id % 10)) FROM shared'), '30000|t',
		'... and each row has its result');
}
my $bad = spawn($node, q{modal_spawn_map('local:builtin/fail', 'SELECT g AS id, (g % 2)::text FROM generate_series(1, 900) g', key => '{id}', "distinct" => true)});
ends($bad, 'completed', 'equal inputs that fail');
is(sql("SELECT count(*), count(DISTINCT key), count(DISTINCT message) FROM modal_batch.failures WHERE job = $bad"), '900|900|2',
	'... fail for each row');
$local->clear_log;
is(sql("SELECT modal_retry($bad, code => '38000')"), '900', '... and are tried again');
ends($bad, 'completed', '... to the same end');
is(scalar(my @again = $local->inputs_put), 2, '... once');
is(row($bad, 'inputs, failed'), '900|900', '... and are counted once');

# rows of a part of an input that the table refuses, before others that it takes
sql('CREATE TABLE but_one (id int PRIMARY KEY CONSTRAINT c CHECK (id <> 7), result int)');
my $parts = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT g AS id, 3 FROM generate_series(1, 20000) g',
	key => '{id}', into_table => 'but_one', "distinct" => true)});
ends($parts, 'completed', 'one row of many with equal inputs is refused');
is(row($parts, q{succeeded, failed, last_error->>'code', last_error->>'message' LIKE '%"c"%'}), '19999|1|23514|t',
	'... and is the last error');
# of few inputs one that fails is not the first thousand, however many its rows are
my $early = spawn($node, q{modal_spawn_map('local:builtin/sleep',
	$$SELECT g AS id, CASE g % 2 WHEN 0 THEN '"x"' ELSE to_jsonb(2.0) END FROM generate_series(1, 5000) g$$, key => '{id}', "distinct" => true)});
ends($early, 'completed', 'of two inputs the first fails');
is(row($early, 'succeeded, failed'), '2500|2500', '... and that is all');

# --- how many inputs ------------------------------------------------------------------------

sql(q{CREATE ROLE bob LOGIN; GRANT USAGE ON FOREIGN SERVER local TO bob; GRANT ALL ON SCHEMA public TO bob;
	CREATE USER MAPPING FOR bob SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local');
	ALTER ROLE bob SET modal_batch.max_job_inputs = 10});
my $bob = sub {
	my ($query) = @_;
	my ($out, $err);
	$node->psql('postgres', $query, extra_params => [ '-U', 'bob', '-v', 'VERBOSITY=verbose' ], stdout => \$out, stderr => \$err);
	return "$out$err";
};
like($bob->(q{SELECT modal_spawn_map('local:builtin/echo', 'SELECT generate_series(1, 11)')}), qr/54000: a job may have no more than 10 inputs/,
	'a role has a limit');
like($bob->(q{SELECT modal_spawn_map('local:builtin/echo', 'SELECT generate_series(1, 10)')}), qr/^\d+$/, '... up to which it may go');
like($bob->('SET modal_batch.max_job_inputs = 11'), qr/42501/, '... and which it cannot lift');
like($bob->('ALTER ROLE bob SET modal_batch.max_job_inputs = 11'), qr/42501/, '... for later either');
like($bob->(q{CREATE TABLE mine (id int PRIMARY KEY, result int);
	CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/square', 'id', 'result');
	INSERT INTO mine SELECT generate_series(1, 11)}), qr/54000: a job may have no more than 10 inputs/, '... nor by a trigger');
like($bob->('INSERT INTO mine VALUES (1)'), qr/^$/, '... which may have fewer');

$node->stop;
done_testing();
