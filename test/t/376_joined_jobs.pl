# Copyright (c) 2026, modal_batch contributors

# Bursts of small jobs of a trigger are run together, and what has succeeded is
# not kept for long.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub quiet
{
	return $node->poll_query_until('postgres',
		'SELECT count(*) = 0 FROM modal_batch.jobs WHERE finished_at IS NULL');
}

sub wrong { return sql('SELECT count(*) FROM numbers WHERE square IS DISTINCT FROM n::bigint * n') }

sql(q{
	CREATE TABLE numbers (id int PRIMARY KEY, n int, square bigint, other jsonb);
	CREATE TRIGGER square AFTER INSERT OR UPDATE ON numbers
		FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/square', 'n', 'square');
	CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN NEW.state := 'paused'; RETURN NEW; END $$});

# Jobs that wait: paused as they come, and let go at once.
sub held
{
	my ($statement) = @_;

	sql('CREATE TRIGGER hold BEFORE INSERT ON modal_batch.job FOR EACH ROW EXECUTE FUNCTION hold()');
	sql($statement);
	sql('DROP TRIGGER hold ON modal_batch.job');
	return sql("SELECT count(*) FROM modal_batch.job WHERE state = 'paused'");
}

sub release
{
	sql(q{UPDATE modal_batch.job SET state = 'pending' WHERE state = 'paused'; SELECT modal_batch.start_runner()});
	return quiet();
}

my $loop = 'DO $$ BEGIN FOR i IN %d..%d LOOP INSERT INTO numbers (id, n) VALUES (i, i); COMMIT; END LOOP; END $$';
is(held(sprintf($loop, 1, 3000)), '3000', 'each transaction makes a job');
my @ids = split /\n/, sql('SELECT id FROM modal_batch.job ORDER BY id');
release();
is(wrong(), '0', 'all are done');
is(sql('SELECT job, inputs, succeeded, failed, stale, state FROM modal_batch.jobs'), "$ids[0]|3000|3000|0|0|completed",
	'... as one job');
is(scalar $local->requests('FunctionMap'), 1, '... by one remote call');
inputs_are($local, 3000, '... with each input once');
is(sql('SELECT count(*) FROM modal_batch.chunk'), '0', '... and nothing left');
is(sql("SELECT modal_wait($ids[-1])"), 'completed', 'whoever knows the number of a job finds what became of it');
is(sql("SELECT modal_batch.check_job($ids[1])"), $ids[0], '... by that number');
is(sql("SELECT modal_forget($ids[2]); SELECT count(*) FROM modal_batch.joined_job"), "\n0", '... until it is forgotten');

# --- only what is alike ------------------------------------------------------------

sql(q{
	DELETE FROM modal_batch.job; DELETE FROM modal_batch.joined_job;
	CREATE TABLE others (id int PRIMARY KEY, n int, r jsonb);
	SELECT modal_generate_column('others', 'r', 'local:builtin/echo', '{n}', kwargs => '{"a": 1}', priority => 2, backfill => false)});
held(q{DO $$ BEGIN FOR i IN 1..20 LOOP
		UPDATE numbers SET n = n + 1 WHERE id = i; COMMIT;
		INSERT INTO others VALUES (i, i); COMMIT;
		UPDATE numbers SET n = n + 1 WHERE id IN (100 + i, 200 + i); COMMIT;
	END LOOP; END $$});
my $alone = sql(q{SELECT modal_spawn('local:builtin/echo', 1)});
release();
is(wrong(), '0', 'jobs of several triggers');
is(sql(q{SELECT count(*) FROM others WHERE r IS NULL}), '0', '... are all done');
is(sql(q{SELECT into_table, priority, inputs, count(*) FROM modal_batch.jobs WHERE succeeded = inputs GROUP BY 1, 2, 3 ORDER BY 1, 2, 3}),
	"numbers|0|2|20\nnumbers|0|20|1\nothers|2|20|1\n|0|1|1", '... and joined where they are alike and of one row');

# --- failures, and large inputs ------------------------------------------------------

sql(q{
	DELETE FROM modal_batch.job; DELETE FROM modal_batch.joined_job; DELETE FROM modal_batch.result;
	CREATE TABLE texts (id int PRIMARY KEY, body text, kept int);
	SELECT modal_generate_column('texts', 'kept', 'local:builtin/echo', '{body}', backfill => false)});
held(q{DO $$ BEGIN FOR i IN 1..50 LOOP
		INSERT INTO texts VALUES (i, CASE WHEN i % 10 = 0 THEN 'x' ELSE i::text END); COMMIT;
		INSERT INTO texts VALUES (1000 + i, repeat(md5(i::text), 1000)); COMMIT;
	END LOOP; END $$});
release();
is(sql(q{SELECT count(*) FROM texts WHERE kept = id}), '45', 'one bad row fails one row');
is(sql(q{SELECT inputs, failed FROM modal_batch.jobs WHERE inputs > 1}), '50|5', '... in a joined job, too');
is(sql(q{SELECT count(*) FROM modal_batch.jobs WHERE inputs = 1}), '50', '... of which large inputs are no part');
sql(q{UPDATE texts SET body = id WHERE body = 'x'});
is(sql(q{SELECT modal_retry(job) FROM modal_batch.jobs WHERE inputs = 50}), '5', 'its failures can be tried again');
quiet();
is(sql(q{SELECT stale FROM modal_batch.jobs WHERE inputs = 50}), '0', '... and fail again, for they are what was sent');

# --- limits of failures --------------------------------------------------------------

for my $limit (1, 0)
{
	sql(qq{
		DELETE FROM modal_batch.job; DELETE FROM modal_batch.joined_job; DELETE FROM modal_batch.result; TRUNCATE texts;
		ALTER SERVER local OPTIONS (ADD max_failures '$limit')});
	held(q{DO $$ BEGIN FOR i IN 1..40 LOOP
			INSERT INTO texts VALUES (i, CASE WHEN i % 2 = 0 THEN 'x' ELSE i::text END); COMMIT;
		END LOOP; END $$});
	sql('ALTER SERVER local OPTIONS (DROP max_failures)');
	release();
	is(sql(q{SELECT count(*) FROM texts WHERE kept = id}), '20', "bad rows of other transactions stop none, with max_failures $limit");
	is(sql(q{SELECT count(*), sum(inputs), sum(failed), string_agg(DISTINCT state, ' ') FROM modal_batch.jobs}),
		$limit > 0 ? '1|40|20|completed' : '40|40|20|completed failed', '... and jobs end as each would alone');
}

# --- jobs that run again ------------------------------------------------------------

sql(q{
	DELETE FROM modal_batch.job; DELETE FROM modal_batch.joined_job; DELETE FROM modal_batch.result; TRUNCATE numbers, texts;
	ALTER TABLE texts ADD CHECK (kept < 0) NOT VALID});
sql("INSERT INTO texts VALUES ($_, '$_')"), quiet() for 1 .. 4;
is(sql('SELECT count(*), sum(failed) FROM modal_batch.jobs'), '4|4', 'jobs of one row fail');
sql(q{
	ALTER TABLE texts DROP CONSTRAINT texts_kept_check;
	SELECT modal_retry(job) FROM (SELECT job FROM modal_batch.failures ORDER BY job) AS f});
quiet();
is(sql('SELECT count(*) FROM texts WHERE kept = id'), '4', '... are tried again together');
is(sql('SELECT inputs, succeeded, failed, state FROM modal_batch.jobs'), '4|4|0|completed', '... and joined with all they have');

held(sprintf($loop, 1, 6));
sql('UPDATE modal_batch.job SET version = 1 WHERE id IN (SELECT max(id) FROM modal_batch.job)');
sql('CREATE DATABASE copy TEMPLATE postgres');
$node->safe_psql('copy', q{UPDATE modal_batch.job SET state = 'pending' WHERE state = 'paused'; SELECT modal_batch.start_runner()});
$node->poll_query_until('copy', 'SELECT count(*) = 0 FROM modal_batch.jobs WHERE finished_at IS NULL');
is($node->safe_psql('copy', 'SELECT count(*) FROM numbers WHERE square = n * n'), '6', 'jobs that run anew in a copy of their database');
is($node->safe_psql('copy', q{SELECT inputs, succeeded FROM modal_batch.jobs WHERE into_table = 'numbers'::regclass ORDER BY job}), "5|5\n1|1",
	'... are joined with all they have, but for what began with another version of the function');
release();

# --- a crash in between -----------------------------------------------------------------

sql(q{DELETE FROM modal_batch.job; DELETE FROM modal_batch.joined_job; DELETE FROM modal_batch.result; TRUNCATE numbers});
held(sprintf($loop, 1, 500));
sql(q{UPDATE modal_batch.job SET state = 'pending' WHERE state = 'paused'});
arm_point($node, 'runner-before-commit', 'crash');
my $log_from = -s $node->logfile;
$node->psql('postgres', 'SELECT modal_batch.start_runner()'); # which may not live to see its end
wait_until('a crash', sub { slurp_file($node->logfile, $log_from) =~ /database system is ready/ });
wait_up($node);
quiet();
is(wrong(), '0', 'a crash loses nothing');
is(sql('SELECT sum(inputs), sum(succeeded) FROM modal_batch.jobs'), '500|500', '... and counts each once');

# --- how long they are kept ---------------------------------------------------------------

sql(q{SELECT modal_spawn('local:builtin/echo', 1); INSERT INTO texts VALUES (-1, '7'), (-2, 'x')});
quiet();
my $before = sql(q{SELECT succeeded, stale FROM modal_batch.generated_columns WHERE "table" = 'numbers'::regclass});
is($before, '500|0', 'the view counts what was done');
$node->append_conf('postgresql.conf', "modal_batch.trigger_job_retention = '0s'\nmodal_batch.runner_idle_timeout = '10ms'\n");
$node->reload;
sql(q{SELECT modal_batch.start_runner()});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM modal_batch.jobs WHERE into_table = 'numbers'::regclass}),
	'jobs of triggers go after modal_batch.trigger_job_retention');
is(sql(q{SELECT count(*) FROM modal_batch.joined_job}), '0', '... with all that is known of them');
is(sql(q{SELECT succeeded, stale FROM modal_batch.generated_columns WHERE "table" = 'numbers'::regclass}), $before,
	'... and are counted all the same');
is(sql(q{SELECT count(*) FROM modal_batch.jobs WHERE into_table = 'texts'::regclass}), '1', 'one with failures stays');
cmp_ok(sql(q{SELECT count(*) FROM modal_batch.jobs WHERE mode = 'result'}), '>', 0, '... and so do others');

done_testing();
