# Copyright (c) 2026, modal_batch contributors

# Jobs whose table, rights, server or disk change under them.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use OsFaults;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $os    = OsFaults->new;
my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local, env => $os->env);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub job_midway { return map_midway($node, $local, @_) }

sub go_on { $local->set_faults(''); return }

sub fails_then_completes
{
	my ($job, $sqlstate, $what, $repair, $table) = @_;

	go_on();
	job_ends($node, $job, 'failed', "$what: the job fails");
	is(job($node, $job, q{last_error->>'code'}), $sqlstate, '... with this SQLSTATE');
	sql($repair) if $repair ne '';
	sql("SELECT modal_retry($job)");
	job_ends($node, $job, 'completed', '... and completes once that is repaired');
	sink_is($node, $table, 10000, '... with one result for each input') if defined $table;
	return;
}

# outputs at a pace
sql(q{ALTER SERVER local OPTIONS (ADD max_in_flight '1000')});

# --- rows that the table refuses ---------------------------------------------

sql('CREATE TABLE refused (id int, result bigint, CONSTRAINT c CHECK (id % 100 <> 7))');
my $job = map_into($node, 'refused', 10000);
job_ends($node, $job, 'completed', '1 % of rows violate a constraint: the job completes');
is(job($node, $job, 'succeeded, failed, stale'), '9900|100|0', '... with 1 % failed');
is( sql("SELECT count(*), bool_and((input->>'id')::int % 100 = 7), min(error->>'code') FROM modal_results($job)"),
	'100|t|23514', '... each for itself');
sql('ALTER TABLE refused DROP CONSTRAINT c');
$local->clear_log;
is(sql("SELECT modal_retry($job)"), '100', '... which are retried');
job_ends($node, $job, 'completed', '... alone');
is(scalar $local->inputs_put, 100, '... and sent again');
sink_is($node, 'refused', 10000, '... until every input has its result');
is(job($node, $job, 'succeeded, failed, stale'), '10000|0|0', '... and is counted once');

# --- a table of which the planner knows nothing --------------------------------

sql(q{CREATE TABLE updated (id int PRIMARY KEY, n int, result bigint) WITH (autovacuum_enabled = off);
	INSERT INTO updated SELECT g, g FROM generate_series(1, 20000) g});
for my $known ('never analyzed', 'analyzed')
{
	my $counts = q{SELECT seq_scan, idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'updated'};
	my ($scans, $fetched) = split /\|/, sql($counts);

	$job = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT id, n FROM updated', key => '{id}',
		into_table => 'updated', mode => 'update')});
	job_ends($node, $job, 'completed', "$known: a job updates every row");
	is(job($node, $job, 'succeeded, stale'), '20000|0', '... of the table');
	ok( $node->poll_query_until('postgres', "SELECT idx_tup_fetch - $fetched >= 20000 FROM pg_stat_user_tables WHERE relname = 'updated'"),
		'... which are found by their key');
	is((split /\|/, sql($counts))[0] - $scans, 1, '... and the table is read once, for the inputs');
	sql('ANALYZE updated');
}

# --- a table that is altered, dropped -------------------------------------------

$job = job_midway('wider');
sql('ALTER TABLE wider ADD COLUMN at timestamptz DEFAULT now(), ALTER result TYPE numeric');
go_on();
job_ends($node, $job, 'completed', 'the table is altered: the job completes');
sink_is($node, 'wider', 10000, '... with one result for each input');

sql('CREATE TABLE finer (id int, result numeric(8,2))');
$local->set_faults("FunctionGetOutputs delay=0.5\n");
$job = spawn($node, q{modal_spawn_map('local:builtin/echo', 'SELECT g AS id, g + 0.5625 FROM generate_series(0, 9999) g',
	key => '{id}', into_table => 'finer')});
job_becomes($node, $job, 'succeeded > 0');
my $before = sql('BEGIN; ALTER TABLE finer ALTER result TYPE numeric(12,6); SELECT count(*) FROM finer; COMMIT');
go_on();
job_ends($node, $job, 'completed', 'the column gets another type modifier: the job completes');
is( sql('SELECT count(*) FILTER (WHERE result = id + 0.56), count(*) FILTER (WHERE result = id + 0.5625) FROM finer'),
	$before . '|' . (10000 - $before), '... with all digits from then on');

$job = job_midway('renamed');
sql('CREATE SCHEMA other; ALTER TABLE renamed RENAME TO moved; ALTER TABLE moved SET SCHEMA other');
go_on();
job_ends($node, $job, 'completed', 'the table is renamed and moved: the job completes');
sink_is($node, 'other.moved', 10000, '... with one result for each input');

$job = job_midway('narrow');
sql('ALTER TABLE narrow RENAME result TO answer');
fails_then_completes($job, '42703', 'the result column is gone',
	'ALTER TABLE narrow RENAME answer TO result', 'narrow');

$job = job_midway('dropped');
sql('DROP TABLE dropped');
go_on();
job_ends($node, $job, 'failed', 'the table is dropped: the job fails');
is(job($node, $job, q{last_error->>'code'}), '42P01', '... with this SQLSTATE');
sql("SELECT modal_cancel($job)");
job_ends($node, $job, 'cancelled', '... and can be cancelled');
sql("SELECT modal_forget($job)");
is(sql("SELECT count(*) FROM modal_batch.chunk WHERE job = $job"), '0', '... and forgotten');

# --- a full disk ---------------------------------------------------------------

mkdir $node->basedir . '/space' or die $!;
$node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '" . $node->basedir . "/space'");
sql('CREATE TABLE filled (id int, result bigint) TABLESPACE small');
$job = job_midway('filled');
$os->fill('/space/');
ok(job_becomes($node, $job, q{last_error->>'code' = '53100' AND state = 'running'}),
	'the disk is full: the job waits, and says why');
go_on();
my $other = map_into($node, 'not_filled', 100);
job_ends($node, $other, 'completed', '... others go on');
$os->fill('');
job_ends($node, $job, 'completed', '... and so does it when there is room again');
sink_is($node, 'filled', 10000, '... with one result for each input');

# --- rights, servers, mappings ---------------------------------------------------

sql(q{
	CREATE ROLE alice LOGIN;
	GRANT USAGE ON FOREIGN SERVER local TO alice;
	CREATE USER MAPPING FOR alice SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local');
	CREATE TABLE of_another (id int, result bigint, who text DEFAULT current_user);
	GRANT INSERT, SELECT ON of_another TO alice;
});
$local->set_faults("FunctionGetOutputs delay=0.5\n");
$job = sql(q{SET ROLE alice; SELECT modal_spawn_map('local:builtin/square',
	'SELECT g AS id, g FROM generate_series(0, 9999) g', key => '{id}', into_table => 'of_another')});
job_becomes($node, $job, 'succeeded > 0');
sql('REVOKE INSERT ON of_another FROM alice');
fails_then_completes($job, '42501', 'the owner loses the right to insert',
	'GRANT INSERT ON of_another TO alice', 'of_another');
is(sql('SELECT DISTINCT who FROM of_another'), 'alice', '... all of it done as the owner');

# What was paused is opened anew.
sub job_paused
{
	my ($table) = @_;
	my $job = job_midway($table);

	is(sql("SELECT modal_pause($job)"), 't', 'a job is paused');
	wait_until('the runner to see it', sub {
		sql("SELECT count(*) FROM modal_batch.activity WHERE kind = 'job'") eq '0' });
	return $job;
}

$job = job_paused('unmapped');
sql(qq{DROP USER MAPPING FOR CURRENT_USER SERVER local; SELECT modal_resume($job)});
fails_then_completes($job, '28000', 'the user mapping is dropped',
	q{CREATE USER MAPPING FOR CURRENT_USER SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local')},
	'unmapped');

$job = job_paused('no_server');
my $options = sql(q{SELECT string_agg(format('%s %L', option_name, option_value), ', ')
	FROM pg_foreign_server, pg_options_to_table(srvoptions) WHERE srvname = 'local'});
sql("DROP SERVER local CASCADE; SELECT modal_resume($job)");
fails_then_completes($job, '42704', 'the server is dropped', qq{
	CREATE SERVER local FOREIGN DATA WRAPPER modal_batch OPTIONS ($options);
	CREATE USER MAPPING FOR CURRENT_USER SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local')},
	'no_server');

sql(qq{CREATE SERVER brief FOREIGN DATA WRAPPER modal_batch OPTIONS ($options);
	CREATE USER MAPPING FOR CURRENT_USER SERVER brief OPTIONS (token_id 'ak-local', token_secret 'as-local')});
$job = spawn($node, q{modal_spawn_map('brief:builtin/sleep', 'SELECT 600::float8')});
job_becomes($node, $job, q{state = 'running'});
sql("SELECT modal_pause($job)");
sql("DROP SERVER brief CASCADE; SELECT modal_cancel($job)");
job_ends($node, $job, 'cancelled', 'a job whose server is gone can be cancelled');

# an owner that is dropped
sql(q{
	CREATE ROLE dan;
	GRANT USAGE ON FOREIGN SERVER local TO dan;
	CREATE USER MAPPING FOR dan SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local')});
$job = sql(q{SET ROLE dan; SELECT modal_spawn('local:builtin/sleep', 600::float8)});
job_becomes($node, $job, q{state = 'running'});
sql("SELECT modal_pause($job)");
# (modal_resume would give the job to whoever calls it)
sql("DROP OWNED BY dan; DROP ROLE dan; UPDATE modal_batch.job SET state = 'pending' WHERE id = $job");
sql('SELECT modal_batch.start_runner()');
job_ends($node, $job, 'failed', 'the owner is dropped: the job fails');
is(job($node, $job, q{last_error->>'code'}), '42501', '... with this SQLSTATE');
sql("SELECT modal_cancel($job)");
job_ends($node, $job, 'cancelled', '... and can be cancelled');

my $elsewhere = ModalLocal->new;
$job = job_midway('elsewhere');
sql(sprintf q{ALTER SERVER local OPTIONS (SET url '%s', SET ssl_ca_file '%s')}, $elsewhere->url, $elsewhere->ca_file);
go_on();
job_ends($node, $job, 'completed', 'the server is another: the job completes');
sink_is($node, 'elsewhere', 10000, '... with one result for each input');
sql(sprintf q{ALTER SERVER local OPTIONS (SET url '%s', SET ssl_ca_file '%s')}, $local->url, $local->ca_file);

# --- clock ------------------------------------------------------------------------

my $jumps = 0;
for my $jump (-3600, 7200, -3600)
{
	my $table = 'jump' . ++$jumps;
	$job = job_midway($table);
	$os->jump($jump);
	go_on();
	job_ends($node, $job, 'completed', "the clock jumps by $jump s: the job completes");
	sink_is($node, $table, 10000, '... with one result for each input');
}
$job = job_midway('jump_away');
$local->kill9;
job_becomes($node, $job, 'last_error IS NOT NULL');
$os->jump(-3600);
$local->write_faults('');
$local->start;
job_ends($node, $job, 'completed', 'it jumps while the job waits for the service: the job completes');
sink_is($node, 'jump_away', 10000, '... with one result for each input');

# --- a service whose clock tells no time that a timestamp can be ---------------------

my $sky = OsFaults->new;
my $far = ModalLocal->new(env => $sky->env);
$sky->jump(10**13);
sql(sprintf q{ALTER SERVER local OPTIONS (SET url '%s', SET ssl_ca_file '%s')}, $far->url, $far->ca_file);
for ([ 'echo', '3|3|0' ], [ 'fail', '3|0|3' ])
{
	my ($function, $counts) = @$_;
	$job = sql("SELECT modal_spawn_map('local:builtin/$function', 'SELECT i FROM generate_series(1, 3) i')");
	job_ends($node, $job, 'completed', "a service in the far future: $function");
	is(sql("SELECT count(*), count(result), count(error) FROM modal_results($job)"), $counts, '... with an outcome for each input');
}

# what it jumps while an input runs has not been run
$sky->jump(-(10**13));
$far->clear_log;
$job = sql("SELECT modal_spawn('local:builtin/sleep', 2.0)");
$far->wait_for_requests('FunctionMap', 1);
wait_until('its input to be there', sub { $far->inputs_put > 0 });
$sky->jump(2 * 10**9);
job_ends($node, $job, 'completed', 'the clock of the service jumps while a function runs');
cmp_ok(sql("SELECT remote_seconds FROM modal_batch.jobs WHERE job = $job"), '<', 10**6, '... which is no time that it has taken');

$node->stop;
done_testing();
