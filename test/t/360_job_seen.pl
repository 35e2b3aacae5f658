# Copyright (c) 2026, modal_batch contributors

# What is told of jobs while they run and when they end; jobs side by side;
# triggers fired by many sessions at once.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local, conf => 'modal_batch.window_bytes = 1MB');

# a notification at the end, and lines in the log
my $out = $node->safe_psql(
	'postgres', q{
	LISTEN modal_batch;
	SELECT modal_spawn('local:builtin/square', 12) AS job \gset
	SELECT modal_wait(:job);
	SELECT pg_sleep(0.2);
	SELECT pg_sleep(0.2);
	SELECT 'job ' || :job});
my ($job) = $out =~ /^job (\d+)$/m;
like($out, qr/"modal_batch" with payload "\{"job": $job, "state": "completed", "inputs": 1, "succeeded": 1, "failed": 0, "stale": 0\}"/,
	'the end of a job is a notification');
my $log = slurp_file($node->logfile);
like($log, qr/job $job started: function "local:builtin\/square", 1 inputs/, 'its start is logged');
like($log, qr/job $job completed after [\d.]+ s: 1 inputs succeeded, 0 failed, 0 stale, of 1/,
	'and its end, with counts');

# large results do not narrow the window of a job until its inputs wait for ever
$node->safe_psql(
	'postgres', q{
	CREATE TABLE blobs (id int, result bytea);
	ALTER SERVER local OPTIONS (ADD max_in_flight '600')});
$job = spawn($node,
	q{modal_spawn_map('local:builtin/large', 'SELECT i AS id, 20000 FROM generate_series(1, 3000) i',
		key => '{id}', into_table => 'blobs')});
job_ends($node, $job, 'completed', 'a job with large results ends');
is($node->safe_psql('postgres', 'SELECT count(DISTINCT id), min(length(result)) FROM blobs'),
	'3000|20000', 'and all of them are there');
$node->safe_psql('postgres', 'ALTER SERVER local OPTIONS (DROP max_in_flight)');

# one row is not delayed by half a million before it
$node->safe_psql('postgres', 'CREATE TABLE many (n int, result int)');
my $large = spawn($node,
	q{modal_spawn_map('local:builtin/echo', 'SELECT i AS n, i FROM generate_series(1, 500000) i',
		key => '{n}', into_table => 'many')});
ok(job_becomes($node, $large, 'succeeded > 0'), 'a large job runs');
my $small = spawn($node, q{modal_spawn('local:builtin/square', 3)});
job_ends($node, $small, 'completed', 'a small one behind it ends');
is(job($node, $large, 'state'), 'running', 'while the large one goes on');
like($node->safe_psql('postgres',
		q{SELECT query FROM pg_stat_activity WHERE backend_type = 'modal_batch runner'}),
	qr/^job \d+: \d+ of \d+ inputs done$/, 'pg_stat_activity shows how far a job is');
like($node->safe_psql('postgres',
		q{SELECT query FROM pg_stat_activity WHERE backend_type = 'modal_batch dispatcher'}),
	qr/^(waiting for answers|idle)$/, 'and what the dispatcher waits for');
job_ends($node, $large, 'completed', 'the large job ends');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT n) FROM many WHERE n = result'),
	'500000|500000', 'each result was written once');
is($node->safe_psql('postgres', 'SELECT count(*) FROM modal_batch.chunk'), '0', 'no input is left behind');

# Plans that were made while the tables were nearly empty, as autovacuum has
# them made again, must not read all of a table for each of many jobs.
my $scans = q{SELECT sum(seq_scan) FROM pg_stat_all_tables WHERE schemaname = 'modal_batch'};
my $deleted = q{SELECT n_tup_del FROM pg_stat_all_tables WHERE relid = 'modal_batch.chunk'::regclass};
$node->safe_psql('postgres', 'VACUUM ANALYZE modal_batch.job, modal_batch.chunk, modal_batch.result');
my ($scans_before, $deleted_before) = map { $node->safe_psql('postgres', $_) } $scans, $deleted;
$node->safe_psql(
	'postgres', q{
	DO $$
	BEGIN
		FOR i IN 1 .. 300 LOOP
			PERFORM modal_spawn('local:builtin/square', i);
			COMMIT;
		END LOOP;
	END $$});
ok($node->poll_query_until('postgres', "SELECT ($deleted) >= $deleted_before + 300"),
	'many small jobs end');
# (a session of this test may report one of its own late)
cmp_ok($node->safe_psql('postgres', $scans) - $scans_before,
	'<', 10, 'no table was read as a whole for each of them');

# A trigger fired by many sessions that change the same few rows: every change
# is an input; the last one of each row wins, whatever the order of results.
$node->safe_psql(
	'postgres', q{
	DELETE FROM modal_batch.job;
	CREATE TABLE docs (id int PRIMARY KEY, n int NOT NULL, result int);
	INSERT INTO docs SELECT i, 0 FROM generate_series(1, 20) i;
	CREATE TRIGGER t AFTER INSERT OR UPDATE ON docs
		FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'n', 'result')});
$node->pgbench('--no-vacuum --client=6 --transactions=150', 0,
	[qr/actually processed: 900\/900/], [qr/^$/], 'sessions change rows at once',
	{'360_docs' => q{
		\set id random(1, 20)
		UPDATE docs SET n = n + 1 WHERE id = :id;}});
ok($node->poll_query_until('postgres',
		'SELECT NOT EXISTS (SELECT FROM modal_batch.job WHERE finished_at IS NULL)'),
	'all jobs of the trigger end');
is($node->safe_psql('postgres',
		'SELECT sum(inputs), sum(succeeded + stale), sum(failed) FROM modal_batch.jobs'),
	'900|900|0', 'each change was one input, and has its outcome');
is($node->safe_psql('postgres', 'SELECT sum(n), count(*) FROM docs WHERE n = result'),
	'900|' . $node->safe_psql('postgres', 'SELECT count(*) FROM docs WHERE n > 0'),
	'no change was lost, and each row has the result of its last one');
cmp_ok($node->safe_psql('postgres', 'SELECT sum(stale) FROM modal_batch.jobs'), '>', 0,
	'results for rows that had changed again were stale');

$node->stop;
done_testing();
