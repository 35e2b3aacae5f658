# Copyright (c) 2026, modal_batch contributors

# modal_trigger, from the change of a row to the result in it.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local, conf => "wal_level = logical\nmax_wal_senders = 5\nmax_replication_slots = 5\n");

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub quiet
{
	return $node->poll_query_until('postgres',
		'SELECT count(*) = 0 FROM modal_batch.jobs WHERE finished_at IS NULL');
}

sub quiet_but_paused
{
	return $node->poll_query_until('postgres',
		q{SELECT count(*) = 0 FROM modal_batch.jobs WHERE finished_at IS NULL AND state <> 'paused'});
}

# All of it has been done when no job is left.
sub afterwards
{
	my ($change, $query, $expected, $name) = @_;

	sql($change) if $change ne '';
	quiet();
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(sql($query), $expected, $name);
}

sub jobs { return sql('SELECT count(*) FROM modal_batch.jobs') }

sql(q{
	CREATE TABLE numbers (a int, b text, n int, square bigint, PRIMARY KEY (a, b));
	CREATE TRIGGER square AFTER INSERT OR UPDATE ON numbers
		FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/square', 'n', 'square');
});

# --- rows in, results in the rows ----------------------------------------------

my $wrong = 'SELECT count(*) FROM numbers WHERE square IS DISTINCT FROM n::bigint * n';
afterwards(q{INSERT INTO numbers SELECT g, 'x', g FROM generate_series(1, 30000) g}, $wrong, '0',
	'an INSERT of 30,000 rows');
is(sql('SELECT count(*), sum(inputs), sum(succeeded) FROM modal_batch.jobs'), '1|30000|30000', '... is one job');
afterwards(q{UPDATE numbers SET n = n + 1 WHERE a <= 1000}, $wrong, '0', 'an UPDATE of arguments');
my $jobs = jobs();
afterwards(q{UPDATE numbers SET square = square, n = n WHERE a <= 10}, $wrong, '0', 'an UPDATE of nothing');
is(jobs(), $jobs, '... makes no job; nor do write-backs');
afterwards(q{UPDATE numbers SET a = -a WHERE a <= 10; UPDATE numbers SET n = 7 WHERE a < 0}, $wrong, '0',
	'a key that changes');
afterwards("COPY numbers (a, b, n) FROM stdin;\n100001\ty\t5\n100002\ty\t6\n\\.\n", $wrong, '0', 'COPY');
afterwards(q{BEGIN; INSERT INTO numbers VALUES (200001, 'z', 1); SAVEPOINT s;
	INSERT INTO numbers VALUES (200002, 'z', 2); ROLLBACK TO s; COMMIT}, $wrong, '0', 'a savepoint');

# --- a row that changes while its input is away ----------------------------------

$local->set_faults("FunctionGetOutputs delay=1\n");
$local->clear_log;
sql(q{INSERT INTO numbers VALUES (300001, 's', 3), (300002, 's', 4), (300003, 's', 5)});
wait_until('the inputs to be sent', sub { $local->inputs_put >= 3 });
sql(q{UPDATE numbers SET n = 30 WHERE a = 300001; DELETE FROM numbers WHERE a = 300002});
$local->set_faults('');
afterwards('', $wrong, '0', 'a result that is stale is not written');
is(sql('SELECT sum(stale), sum(failed) FROM modal_batch.jobs WHERE inputs = 3'), '2|0', '... and counted as that');

# --- refused values, failures -------------------------------------------------------

sql(q{
	CREATE TABLE texts (id int PRIMARY KEY, body text, result jsonb);
	CREATE TRIGGER t AFTER INSERT OR UPDATE ON texts
		FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/fail', 'body', 'result');
});
afterwards(q{INSERT INTO texts SELECT g, 'b' || g FROM generate_series(1, 10) g}, 'SELECT count(*) FROM texts WHERE result IS NOT NULL',
	'0', 'inputs that fail leave their rows alone');
is(sql(q{SELECT failed FROM modal_batch.jobs WHERE into_table = 'texts'::regclass}), '10', '... and are counted');

# --- partitions ---------------------------------------------------------------------

sql(q{
	CREATE TABLE parted (id int PRIMARY KEY, n int, square bigint) PARTITION BY RANGE (id);
	CREATE TABLE p1 PARTITION OF parted FOR VALUES FROM (0) TO (1000);
	CREATE TABLE p2 (square bigint, n int, id int NOT NULL);
	ALTER TABLE parted ATTACH PARTITION p2 FOR VALUES FROM (1000) TO (2000);
	CREATE TRIGGER square AFTER INSERT OR UPDATE ON parted
		FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/square', 'n', 'square');
});
my $wrong_parted = 'SELECT count(*) FROM parted WHERE square IS DISTINCT FROM n::bigint * n';
afterwards(q{INSERT INTO parted SELECT g, g FROM generate_series(500, 1499) g}, $wrong_parted, '0', 'partitions');
is(sql(q{SELECT count(*) FROM modal_batch.jobs WHERE into_table = 'parted'::regclass}), '1', '... in one job');
afterwards(q{UPDATE parted SET id = id + 900 WHERE id BETWEEN 700 AND 800}, $wrong_parted, '0', 'rows that move between them');
afterwards(q{INSERT INTO p2 (id, n) VALUES (1900, 9)}, $wrong_parted, '0', 'a row put into a partition');
afterwards(q{ALTER TABLE parted DETACH PARTITION p2; INSERT INTO parted VALUES (1, 11)}, $wrong_parted, '0', 'a partition is detached');

# --- rights ----------------------------------------------------------------------------

sql(q{CREATE ROLE carol LOGIN; GRANT INSERT ON numbers TO carol});
afterwards(q{SET ROLE carol; INSERT INTO numbers VALUES (400001, 'c', 12)}, $wrong, '0',
	'whoever may write to the table needs no right on the server');

# Jobs of a trigger follow the table, others follow REASSIGN OWNED; jobs of a role
# that is gone are a superuser's who goes on with them.
sql(q{
	CREATE ROLE first LOGIN; CREATE ROLE second LOGIN; CREATE ROLE gone LOGIN;
	GRANT USAGE ON FOREIGN SERVER local TO PUBLIC;
	CREATE USER MAPPING IF NOT EXISTS FOR PUBLIC SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local');
	CREATE TABLE handed (id int PRIMARY KEY, n int, square bigint);
	GRANT CREATE ON SCHEMA public TO first, second;
	ALTER TABLE handed OWNER TO first;
	CREATE TRIGGER square AFTER INSERT ON handed
		FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/square', 'n', 'square')});
# the row is another role's by the time that the job begins
sql(q{
	INSERT INTO handed VALUES (1, 3);
	SELECT modal_wait(max(job), '60 s') FROM modal_batch.jobs;
	BEGIN;
	SET LOCAL ROLE first;
	INSERT INTO handed VALUES (2, 4);
	SET LOCAL ROLE gone;
	SELECT modal_pause(modal_spawn('local:builtin/square', 6));
	SET LOCAL ROLE first;
	SELECT modal_pause(modal_spawn('local:builtin/square', 5));
	RESET ROLE;
	REASSIGN OWNED BY first TO second;
	COMMIT});
quiet_but_paused();
is(sql(q{SELECT string_agg(id || ' ' || square, ',' ORDER BY id) FROM handed}), '1 9,2 16', 'a table gets another owner: results come');
is(sql(q{SELECT string_agg(owner::text, ',' ORDER BY job) FROM modal_batch.jobs WHERE into_table = 'handed'::regclass}),
	'second,second', '... with the rights of who owns it then');
is(sql(q{SELECT owner FROM modal_batch.jobs WHERE state = 'paused' AND owner <> 'gone'::regrole}), 'second', '... and so do others that had not begun');
sql('DROP OWNED BY first, gone; DROP ROLE first, gone');
my $orphan = sql(q{SELECT min(job) FROM modal_batch.jobs WHERE state = 'paused'});
is(sql("SELECT modal_resume($orphan); SELECT modal_wait($orphan, '60 s'); SELECT result FROM modal_results($orphan)"), "t\ncompleted\n36",
	'a job whose owner is gone goes on as that of the superuser who says so');
is(sql("SELECT owner FROM modal_batch.jobs WHERE job = $orphan"), $node->safe_psql('postgres', 'SELECT CURRENT_USER'), '... who owns it now');
sql(q{SELECT modal_cancel(job) FROM modal_batch.jobs WHERE state = 'paused'});
quiet();

# --- logical replication ------------------------------------------------------------------

my $subscriber = modal_node('subscriber', local => $local);
sql('CREATE TABLE source (id int PRIMARY KEY, n int); CREATE PUBLICATION p FOR TABLE source; INSERT INTO source VALUES (1, 2)');
$subscriber->safe_psql('postgres', q{
	CREATE TABLE source (id int PRIMARY KEY, n int, square bigint);
	CREATE TRIGGER square AFTER INSERT OR UPDATE ON source
		FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/square', 'n', 'square');
	ALTER TABLE source ENABLE ALWAYS TRIGGER square;
});
$subscriber->safe_psql('postgres',
	"CREATE SUBSCRIPTION s CONNECTION '" . $node->connstr . " dbname=postgres' PUBLICATION p");
$subscriber->wait_for_subscription_sync($node, 's');
sql('INSERT INTO source SELECT g, g FROM generate_series(2, 100) g; UPDATE source SET n = 50 WHERE id = 50');
ok($subscriber->poll_query_until('postgres',
		'SELECT count(*) = 100 FROM source WHERE square = n::bigint * n'),
	'rows that logical replication brings, where the trigger is enabled for them');
$subscriber->safe_psql('postgres', 'ALTER TABLE source ENABLE TRIGGER square');
$jobs = $subscriber->safe_psql('postgres', 'SELECT count(*) FROM modal_batch.jobs');
sql('INSERT INTO source VALUES (101, 1)');
$node->wait_for_catchup('s');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM modal_batch.jobs'), $jobs, '... and not where it is not');
# A publication of all tables has those of the extension, too; jobs of both have
# the same numbers.
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION s; DROP TABLE source');
sql('DROP PUBLICATION p');
quiet();
sql(q{SELECT modal_spawn('local:builtin/square', 2)});
quiet();
sql(q{SELECT modal_forget(job) FROM modal_batch.jobs WHERE owner = 'second'::regrole OR into_table IS NOT NULL});
sql('DROP TABLE IF EXISTS texts, parted, p2, source, handed; CREATE TABLE every (id int PRIMARY KEY); CREATE PUBLICATION p FOR ALL TABLES');
$subscriber->safe_psql('postgres', q{
	CREATE TABLE every (id int PRIMARY KEY);
	CREATE TABLE numbers (a int, b text, n int, square bigint, PRIMARY KEY (a, b));
});
my $theirs = $subscriber->safe_psql('postgres', 'SELECT job, function, inputs FROM modal_batch.jobs ORDER BY job');
isnt($theirs, '', 'both have jobs');
$subscriber->safe_psql('postgres',
	"CREATE SUBSCRIPTION s CONNECTION '" . $node->connstr . " dbname=postgres' PUBLICATION p");
$subscriber->wait_for_subscription_sync($node, 's');
sql(q{INSERT INTO every VALUES (1)});
sql(q{SELECT modal_spawn('local:builtin/square', 4) FROM generate_series(1, 20)});
quiet();
sql(q{SELECT modal_forget(job) FROM modal_batch.jobs; INSERT INTO every VALUES (2)});
$node->wait_for_catchup('s');
is($subscriber->safe_psql('postgres', 'SELECT sum(id) FROM every'), '3', '... and replication goes on');
is($subscriber->safe_psql('postgres', 'SELECT job, function, inputs FROM modal_batch.jobs ORDER BY job'),
	$theirs, '... without touching the jobs of the subscriber');
$subscriber->stop;

# --- a crash before the job is stored -------------------------------------------------------

arm_point($node, 'trigger-stored', 'crash');
$node->psql('postgres', q{INSERT INTO numbers VALUES (500001, 'k', 3)});
point_passed($node, 'trigger-stored');
wait_up($node);
quiet();
is(sql('SELECT count(*) FROM numbers WHERE a = 500001'), '0', 'a crash before the commit: neither row nor job');
is(sql($wrong), '0', 'all is as it should be');

$node->stop;
done_testing();
