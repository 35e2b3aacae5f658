# Copyright (c) 2026, modal_batch contributors

# Jobs and transactions, databases, the extension, and the life of runners.

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

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }
sub nothing_sent { return is(scalar $local->requests('FunctionMap'), 0, $_[0]) }

# A runner that has nothing to do leaves; by then it would have sent what it had.
sub runner_leaves
{
	my ($name) = @_;
	return ok($node->poll_query_until('postgres',
			q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'modal_batch runner'}),
		$name);
}

sub database_with_extension
{
	my ($name) = @_;
	sql("CREATE DATABASE $name");
	create_local_server($node, $local, dbname => $name);
	return;
}

# --- transactions ------------------------------------------------------------

my $map = q{modal_spawn_map('local:builtin/square', 'SELECT g AS id, g FROM generate_series(0, 99) g',
	key => '{id}', into_table => 'out')};
sql('CREATE TABLE out (id int, result bigint)');

sql("BEGIN; SELECT $map; SELECT modal_spawn('local:builtin/echo', 1); ROLLBACK");
sql("BEGIN; SAVEPOINT s; SELECT $map; ROLLBACK TO s; COMMIT");
sql(qq{DO \$\$ BEGIN
	PERFORM $map; RAISE EXCEPTION 'no';
EXCEPTION WHEN raise_exception THEN NULL; END \$\$});
sql("BEGIN; SELECT $map; PREPARE TRANSACTION 'a'; ROLLBACK PREPARED 'a'");
runner_leaves('no runner stays');
nothing_sent('nothing that was rolled back is sent');

my ($job) = sql("BEGIN; SELECT $map; PREPARE TRANSACTION 'b'") =~ /(\d+)/;
$node->restart;
runner_leaves('no runner stays after a restart');
nothing_sent('nothing that is only prepared is sent');
sql("COMMIT PREPARED 'b'");
job_ends($node, $job, 'completed', 'COMMIT PREPARED starts the job');
sink_is($node, 'out', 100, '... which does its work');
sql('TRUNCATE out');
($job) = sql("BEGIN; SAVEPOINT s; SELECT $map; RELEASE s; COMMIT") =~ /(\d+)/;
job_ends($node, $job, 'completed', 'a released savepoint is committed with its transaction');
sink_is($node, 'out', 100, '... and once');

# --- several databases ---------------------------------------------------------

runner_leaves('the runner leaves when there is nothing to do');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'modal_batch launcher'}),
	'1', '... the launcher stays');
database_with_extension($_) for qw(one two);
$local->set_faults("FunctionGetOutputs delay=0.1\n");
sql(q{ALTER SERVER local OPTIONS (ADD max_in_flight '1000')}, $_) for qw(one two);
my %jobs = map { $_ => map_into($node, 'out', 5000, dbname => $_) } qw(one two);
for my $dbname (sort keys %jobs)
{
	job_ends($node, $jobs{$dbname}, 'completed', "a job of database $dbname", dbname => $dbname);
	sink_is($node, 'out', 5000, '... with one result for each input', $dbname);
}

sub active_job
{
	my ($dbname, $table) = @_;
	my $job = map_into($node, $table, 5000, dbname => $dbname);
	job_becomes($node, $job, 'succeeded > 0', $dbname);
	return $job;
}

# so slow that the runner has work until it has been looked at
$local->set_faults("FunctionGetOutputs delay=1\n");
$job = active_job('one', 'renamed');
my $runner_of_one =
  q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'modal_batch runner' AND datname = 'one'};
my $runner = sql($runner_of_one);
sql('CREATE ROLE stranger CREATEDB');
for my $command ('DROP DATABASE one', 'ALTER DATABASE one RENAME TO mine', 'CREATE DATABASE mine TEMPLATE one')
{
	my (undef, undef, $err) = modal_psql($node, "SET ROLE stranger; $command");
	like($err, qr/42501/, "who does not own the database is refused: $command");
}
is(sql($runner_of_one), $runner, '... and does not disturb its runner');
$local->set_faults("FunctionGetOutputs delay=0.1\n");
sql('ALTER DATABASE one RENAME TO three');
job_ends($node, $job, 'completed', 'a database is renamed under a job, which completes', dbname => 'three');
sink_is($node, 'renamed', 5000, '... with one result for each input', 'three');

# so slow that none of them ends before the copy has been made
$local->set_faults("FunctionGetOutputs delay=3\n");
my $third = active_job('three', 'original_three');
is(sql("SELECT modal_pause($third)", 'three'), 't', 'a job is paused');
my $second = active_job('three', 'original_too');
$job = active_job('three', 'original');
sql('CREATE DATABASE copy TEMPLATE three');
pass('a database is copied under jobs');
$local->set_faults('');
# that of the copy knows of it by a job of its own
my $own = map_into($node, 'own', 20, dbname => 'copy');
job_ends($node, $own, 'completed', '... a new job of the copy runs', dbname => 'copy');
is( sql("SELECT state, remote_call_id IS NULL, last_error->>'code' FROM modal_batch.job WHERE id = $job", 'copy'),
	'paused|t|55000', '... and those of the original are set aside in it');
is(sql("SELECT modal_cancel($second, true)", 'copy'), 't', '... where one of them is cancelled');
job_ends($node, $second, 'cancelled', '... which ends there', dbname => 'copy');
job_ends($node, $second, 'completed', '... and nowhere else', dbname => 'three');
sink_is($node, 'original_too', 5000, '... with one result for each input', 'three');
is(sql("SELECT modal_resume($third)", 'copy'), 't', 'one that was paused goes on in the copy');
job_ends($node, $third, 'completed', '... by a call of its own', dbname => 'copy');
sink_is($node, 'original_three', 5000, '... with one result for each input', 'copy');
is(sql("SELECT modal_resume($third)", 'three'), 't', '... and in the original');
job_ends($node, $third, 'completed', '... by the one that it had', dbname => 'three');
sink_is($node, 'original_three', 5000, '... with one result for each input', 'three');
job_ends($node, $job, 'completed', '... which completes', dbname => 'three');
sink_is($node, 'original', 5000, '... with one result for each input', 'three');
sql('SELECT modal_batch.start_runner()', 'copy');
job_ends($node, $job, 'completed', '... and so does its copy, when asked to', dbname => 'copy');
sink_is($node, 'original', 5000, '... with one result for each input', 'copy');

active_job('three', 'dropped');
sql('DROP DATABASE three');
pass('a database is dropped under a job');
sql('DROP DATABASE copy');
pass('... and one whose runner has nothing to do');
sql('CREATE DATABASE from_template1');
pass('CREATE DATABASE from template1');

# --- the extension goes --------------------------------------------------------

my $errors_from = -s $node->logfile;
active_job('two', 'gone');
sql('DROP EXTENSION modal_batch CASCADE', 'two');
runner_leaves('the extension is dropped under a job: the runner leaves');
create_local_server($node, $local, dbname => 'two');
$job = map_into($node, 'again', 100, dbname => 'two');
job_ends($node, $job, 'completed', '... and works when it is there again', dbname => 'two');
sql(q{CREATE TABLE texts (id int PRIMARY KEY, body text, result jsonb);
	CREATE TRIGGER t AFTER INSERT ON texts FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'body', 'result')}, 'two');
sql('BEGIN; INSERT INTO texts VALUES (1, $$one$$); DROP EXTENSION modal_batch CASCADE; COMMIT', 'two');
is(sql('SELECT count(*) FROM texts', 'two'), '1', '... with a transaction whose triggers have collected inputs');
create_local_server($node, $local, dbname => 'two');
unlike(slurp_file($node->logfile, $errors_from), qr/(PANIC|FATAL|cache lookup failed)/, '... without a failure');

# --- dump and restore ------------------------------------------------------------

$local->set_faults("FunctionGetOutputs delay=0.3\n");
sql(q{ALTER SERVER local OPTIONS (ADD max_in_flight '500')});
$job = active_job('postgres', 'dumped');
$local->set_faults("FunctionGetOutputs delay=2\n");
my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'pg_dump');
$local->set_faults('');
sql('CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('restored'), $dump ], 'pg_restore');
# A runner that has looked there since has paused it.
like(sql("SELECT state FROM modal_batch.job WHERE id = $job", 'restored'), qr/^(running|paused)$/, 'the job is there, unfinished');
sql('SELECT modal_batch.start_runner()', 'restored');
job_ends($node, $job, 'completed', 'a job that was dumped and restored completes', dbname => 'restored');
sink_is($node, 'dumped', 5000, '... with one result for each input', 'restored');
isnt(map_into($node, 'new_id', 1, dbname => 'restored'), $job, '... and ids go on');
job_ends($node, $job, 'completed', 'the original completes, too');
sink_is($node, 'dumped', 5000, '... with one result for each input');

# --- a database that cannot be entered ------------------------------------------

$local->kill9;
$job = map_into($node, 'closed', 10, dbname => 'two');
job_becomes($node, $job, 'last_error IS NOT NULL', 'two');
my $from = -s $node->logfile;
sql(q{ALTER DATABASE two ALLOW_CONNECTIONS false});
runner_leaves('a runner leaves a database that takes no connections');
sleep 3;
unlike(slurp_file($node->logfile, $from), qr/FATAL/, '... and none tries to get in');
$local->start;
sql(q{ALTER DATABASE two ALLOW_CONNECTIONS true});
job_ends($node, $job, 'completed', '... until it can: the job goes on', dbname => 'two');

# --- a copy of the cluster -------------------------------------------------------

$node->append_conf('postgresql.conf', 'modal_batch.run_jobs = off');
$node->restart;
$job = map_into($node, 'looked_at', 10, dbname => 'two');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'modal_batch (launcher|runner)'}), '0',
	'with modal_batch.run_jobs = off nothing runs jobs');
is(sql("SELECT modal_remote('local:builtin/square', 3)", 'two'), '9', '... and calls work');
is(sql("SELECT state FROM modal_batch.jobs WHERE job = $job", 'two'), 'pending', '... a job stays as it is');
$node->append_conf('postgresql.conf', 'modal_batch.run_jobs = on');
$node->restart;
job_ends($node, $job, 'completed', '... until it is on again', dbname => 'two');

$node->stop;
done_testing();
