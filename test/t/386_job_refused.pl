# Copyright (c) 2026, modal_batch contributors

# One bad row fails one row: whatever the table says of it, whatever it is, and
# however many there are.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local);

sub sql { return $node->safe_psql('postgres', @_) }

note 'errors that a trigger raises, of classes that pass by themselves when the server raises them';
sql(q{
	CREATE TABLE picky (id int PRIMARY KEY, result int);
	CREATE TABLE state (code text);
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE c text := (SELECT code FROM state);
	BEGIN
		IF NEW.result = 49 THEN RAISE EXCEPTION 'not this one' USING ERRCODE = c, DETAIL = 'It is 49.', HINT = 'Take another.'; END IF;
		RETURN NEW;
	END$$;
	CREATE TRIGGER refuse BEFORE INSERT ON picky FOR EACH ROW EXECUTE FUNCTION refuse();
	INSERT INTO state VALUES ('')});
for my $code (qw(55000 55P03 57014 58030 08006 53100 40001 40P01 25006 P0001))
{
	sql("UPDATE state SET code = '$code'; TRUNCATE picky");
	my $job = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT g AS id, g FROM generate_series(1, 10) g',
		key => '{id}', into_table => 'picky')});
	job_ends($node, $job, 'completed', "a trigger raises $code for one row: the job completes");
	is(job($node, $job, 'succeeded, failed'), '9|1', '... without that row');
	is(sql("SELECT error->>'code', error->>'detail', error->>'hint', input->>'id' FROM modal_results($job)"),
		"$code|It is 49.|Take another.|7", '... which has failed with all that was said');
	is(job($node, $job, q{last_error->>'code'}), $code, '... and is the job\'s last error');
}

note 'one row always meets what passes by itself';
# Waits as long as it has been tried in vain for minutes.
sub tried_in_vain
{
	my ($job, $code) = @_;
	ok(job_becomes($node, $job, "last_error->>'code' = '$code' AND succeeded = 0"), 'the job waits, and says why');
	sql("UPDATE modal_batch.job SET tries = 8 WHERE id = $job");
	return;
}
sql(q{
	CREATE TABLE meeting (id int PRIMARY KEY, result int, why jsonb);
	CREATE FUNCTION meets() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.result = ANY (TG_ARGV[0]::int[]) AND NEW.why IS NULL THEN PERFORM pg_read_file('/nowhere'); END IF;
		RETURN NEW;
	END$$});
for my $case ([ '{49}', '2999|1' ], [ '{1,25,81,9000000}', '2996|4' ], [ '{8994001,9000000}', '2998|2' ])
{
	my ($results, $counts) = @$case;
	sql("TRUNCATE meeting; CREATE OR REPLACE TRIGGER meets BEFORE INSERT ON meeting FOR EACH ROW EXECUTE FUNCTION meets('$results')");
	my $job = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT g AS id, g FROM generate_series(1, 3000) g',
		key => '{id}', into_table => 'meeting', error_column => 'why')});
	tried_in_vain($job, '58P01');
	if ($counts =~ /\|2/)
	{
		# nothing can be written after them: they may be the first of what a server cannot do any more
		ok(job_becomes($node, $job, q{succeeded = 2998 AND failed = 0}), "$results: those behind all others wait");
		sql('DROP TRIGGER meets ON meeting');
		job_ends($node, $job, 'completed', '... until they can be written');
		next;
	}
	job_ends($node, $job, 'completed', "$results: the job completes");
	is(job($node, $job, q{succeeded, failed}), $counts, '... without them');
	is(sql("SELECT count(*), min(error->>'code') FROM modal_results($job)"), $counts =~ s/.*\|//r . '|58P01', '... which say why');
}
for my $point ('runner-before-commit', 'runner-after-commit')
{
	sql('TRUNCATE meeting; CREATE OR REPLACE TRIGGER meets BEFORE INSERT ON meeting FOR EACH ROW EXECUTE FUNCTION meets($${250000}$$)');
	arm_point($node, $point, 'crash', 3);
	my $job = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT g AS id, g FROM generate_series(1, 3000) g',
		key => '{id}', into_table => 'meeting')});
	tried_in_vain($job, '58P01');
	point_passed($node, $point);
	wait_up($node);
	cmp_ok(job($node, $job, 'succeeded'), '>', 0, "a crash at $point while a batch is written in parts");
	sql("UPDATE modal_batch.job SET tries = 8, last_error = '{\"code\": \"58P01\"}' WHERE id = $job");
	job_ends($node, $job, 'completed', '... the job completes');
	is(job($node, $job, 'succeeded, failed'), '2999|1', '... without the one row');
	is(sql('SELECT count(*) FROM meeting'), '2999', '... and each other one is there');
}
sql('CREATE OR REPLACE TRIGGER meets BEFORE INSERT ON meeting FOR EACH ROW EXECUTE FUNCTION meets($${1,4,9}$$)');
my $waits = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT g AS id, g FROM generate_series(1, 3) g', key => '{id}', into_table => 'meeting')});
sql('TRUNCATE meeting');
tried_in_vain($waits, '58P01');
ok(job_becomes($node, $waits, 'retry_at IS NOT NULL AND (SELECT tries FROM modal_batch.job WHERE id = jobs.job) > 8'), 'no row can be written: it is the server, and is waited for');
is(job($node, $waits, 'state, failed'), 'running|0', '... however often');
sql("SELECT modal_cancel($waits)");
sql('DROP TRIGGER meets ON meeting; TRUNCATE meeting; INSERT INTO meeting VALUES (7)');
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; SELECT FROM meeting WHERE id = 7 FOR UPDATE');
$waits = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT g AS id, g FROM generate_series(1, 100) g', key => '{id}', into_table => 'meeting', mode => 'upsert', error_column => 'why')});
tried_in_vain($waits, '55P03');
job_ends($node, $waits, 'completed', 'a row is locked for ever: the job completes');
is(job($node, $waits, q{succeeded, failed, last_error->>'code'}), '99|1|55P03', '... without it');
$holder->query_safe('COMMIT');
$holder->quit;

note 'a constraint that a trigger defers';
sql(q{CREATE TABLE parents (id int PRIMARY KEY);
	CREATE TABLE children (id int PRIMARY KEY, result int CONSTRAINT f REFERENCES parents DEFERRABLE);
	CREATE FUNCTION begets() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF TG_WHEN = 'BEFORE' THEN SET CONSTRAINTS f DEFERRED;
		ELSIF NEW.id <> 7 THEN INSERT INTO parents VALUES (NEW.result);
		END IF;
		RETURN NEW;
	END$$;
	CREATE TRIGGER a BEFORE INSERT ON children FOR EACH ROW EXECUTE FUNCTION begets();
	CREATE TRIGGER b AFTER INSERT ON children FOR EACH ROW EXECUTE FUNCTION begets()});
my $child = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT g AS id, g FROM generate_series(1, 1000) g', key => '{id}', into_table => 'children')});
job_ends($node, $child, 'completed', 'the job completes');
is(job($node, $child, q{succeeded, failed, last_error->>'code'}), '999|1|23503', '... without the row that does not meet it');

note 'a statement that takes too long';
sql(q{CREATE ROLE hasty LOGIN; ALTER ROLE hasty SET statement_timeout = '500ms';
	GRANT USAGE ON FOREIGN SERVER local TO hasty;
	CREATE USER MAPPING FOR hasty SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local');
	CREATE TABLE hangs (id int PRIMARY KEY, result int); GRANT ALL ON hangs TO hasty;
	CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(300) WHERE NEW.id = 7; RETURN NEW; END$$;
	CREATE TRIGGER hang BEFORE INSERT ON hangs FOR EACH ROW EXECUTE FUNCTION hang()});
my $hangs = sql(q{SET ROLE hasty; SELECT modal_spawn_map('local:builtin/square', 'SELECT g AS id, g FROM generate_series(1, 10) g', key => '{id}', into_table => 'hangs')});
job_ends($node, $hangs, 'completed', 'the job completes');
is(job($node, $hangs, q{succeeded, failed, last_error->>'message'}), '9|1|canceling statement due to statement timeout', '... without the row for which it does');

sql(q{CREATE FUNCTION is_quick(int) RETURNS bool LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(300) WHERE $1 = 49; RETURN true; END$$;
	CREATE DOMAIN quick AS int CHECK (public.is_quick(value)); CREATE TABLE slow_values (id int PRIMARY KEY, result quick); GRANT ALL ON slow_values TO hasty});
$hangs = sql(q{SET ROLE hasty; SELECT modal_spawn_map('local:builtin/square', 'SELECT g AS id, g FROM generate_series(1, 10) g', key => '{id}', into_table => 'slow_values')});
job_ends($node, $hangs, 'completed', 'a conversion that takes too long: the job completes');
is(job($node, $hangs, q{succeeded, failed, last_error->>'message'}), '9|1|canceling statement due to statement timeout', '... without the row for which it does');

note 'on_complete that raises what passes by itself';
my $job = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT 1',
	on_complete => $$DO 'BEGIN RAISE serialization_failure; END'$$)});
job_ends($node, $job, 'completed', 'the job completes');
is(job($node, $job, q{last_error->>'code'}), '40001', '... and says what was raised');

note 'a result that cannot be shown';
$job = spawn($node, q{modal_spawn_map('local:builtin/raw',
	$$SELECT CASE WHEN i = 50 THEN '\xa182010203'::bytea ELSE '\x07'::bytea END FROM generate_series(1, 100) i$$)});
job_ends($node, $job, 'completed', 'the job completes');
is(job($node, $job, 'succeeded, failed'), '99|1', '... but for that one');

note 'many refused rows';
# Transaction ids that a job over 2,000 inputs takes when every nth is refused.
sub xids
{
	my ($nth) = @_;
	my $before = sql('SELECT txid_current()');

	sql("DROP TABLE IF EXISTS refusing; CREATE TABLE refusing (id int PRIMARY KEY, result int CHECK (result % $nth <> 0))");
	my $job = spawn($node, q{modal_spawn_map('local:builtin/echo', 'SELECT g AS id, g FROM generate_series(1, 2000) g',
		key => '{id}', into_table => 'refusing')});
	job_ends($node, $job, 'completed', "every ${nth}th row is refused");
	is(sql('SELECT count(*), bool_and(id = result) FROM refusing'), (2000 - int(2000 / $nth)) . '|t', '... all others are there');
	is(job($node, $job, 'failed'), int(2000 / $nth), '... and they are counted');
	return sql('SELECT txid_current()') - $before;
}
cmp_ok(xids(2), '<', 1400, 'a transaction id for each of 1000 refused rows');
cmp_ok(xids(10), '<', 560, 'a little more than two when there are others between them');
cmp_ok(xids(1999), '<', 60, 'few for a single one');

note 'a table that refuses rows which it had taken before in the same batch';
sql(q{CREATE TABLE once (id int, result int UNIQUE)});
$job = spawn($node, q{modal_spawn_map('local:builtin/echo', 'SELECT g AS id, g % 500 FROM generate_series(1, 2000) g',
	key => '{id}', into_table => 'once')});
job_ends($node, $job, 'completed', 'the job completes');
is(job($node, $job, 'succeeded, failed'), '500|1500', '... with the first of each');
is(sql('SELECT count(*), count(DISTINCT result) FROM once'), '500|500', '... in the table');

note 'dicts of many shapes';
sql('CREATE TABLE sparse (id int PRIMARY KEY, ' . join(', ', map { "c$_ int" } 0 .. 9) . ')');
for my $mode (qw(insert upsert update))
{
	$job = spawn($node, qq{modal_spawn_map('local:builtin/echo', \$q\$SELECT i AS id,
		(SELECT coalesce(jsonb_object_agg('c' || k, i), '{}') FROM generate_series(0, 9) k WHERE (i >> k) & 1 = 1)
		FROM generate_series(0, 1023) i ORDER BY random()\$q\$,
		key => '{id}', into_table => 'sparse', mode => '$mode', result_column => NULL)});
	job_ends($node, $job, 'completed', "$mode: 1024 sets of keys");
	is(job($node, $job, 'succeeded, failed, stale'), '1024|0|0', '... all of them written');
	is(sql('SELECT count(*) FROM sparse WHERE '
		  . join(' AND ', map { "c$_ IS NOT DISTINCT FROM CASE WHEN (id >> $_) & 1 = 1 THEN id END" } 0 .. 9)),
		'1024', '... each in its columns');
	sql('UPDATE sparse SET ' . join(', ', map { "c$_ = NULL" } 0 .. 9)) if $mode eq 'upsert';
}

note 'a virtual column of the table as an argument';
SKIP:
{
	skip 'there are none', 2 if $node->pg_version < 18;
	sql(q{CREATE TABLE virtual (id int PRIMARY KEY, a text, v text GENERATED ALWAYS AS (lower(a)) VIRTUAL, result text);
		INSERT INTO virtual (id, a) VALUES (1, 'A')});
	$job = spawn($node, q{modal_spawn_map('local:builtin/echo', 'SELECT id, v FROM virtual', key => '{id}', into_table => 'virtual', mode => 'update')});
	job_ends($node, $job, 'completed', 'the job completes');
	is(sql('SELECT result FROM virtual'), 'a', '... and has written it');
}

note 'the failures of a job are told';
my $out = sql(q{LISTEN modal_batch;
	SELECT modal_spawn_map('local:builtin/fail', 'SELECT ''boom'' FROM generate_series(1, 3)') AS job \gset
	SELECT modal_wait(:job);
	SELECT 1});
like($out, qr/"state": "completed", "inputs": \d+, "succeeded": \d+, "failed": 3, "stale": 0\}/, 'in the notification');

note 'a database of another encoding';
sql(q{CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'});
create_local_server($node, $local, dbname => 'latin');
my $from = -s $node->logfile;
for my $case ([ q{modal_spawn_map('local:builtin/fail', $$SELECT U&'caf\00E9' UNION ALL SELECT 'plain'$$)}, 'completed' ],
	[ q{modal_spawn(U&'local:no/caf\00E9', 1)}, 'failed' ])
{
	$job = spawn($node, $case->[0], 'latin');
	job_ends($node, $job, $case->[1], "LATIN1: $case->[0]", dbname => 'latin');
}
# {"name": "x", "\u50f9\u683c": 1, "a\0": 2, "\u00e9": 3}
$node->safe_psql('latin', q{SET client_encoding = 'UTF8'; CREATE TABLE named (id int, name text, U&"\00E9" int)});
$job = spawn($node, q{modal_spawn_map('local:builtin/raw', $$SELECT 1 AS id, '\xa4646e616d65617866e583b9e6a0bc016261000262c3a903'::bytea$$,
	key => '{id}', into_table => 'named')}, 'latin');
job_ends($node, $job, 'completed', 'a dict with names that are no column, nor can be', dbname => 'latin');
is($node->safe_psql('latin', 'SELECT * FROM named') =~ tr/\x{80}-\x{ff}//dr, '1|x|3', '... is written without them');
is($node->safe_psql('latin', q{SET client_encoding = 'UTF8'; SELECT string_agg(error->>'message', ',' ORDER BY ordinal)
		~ U&'caf\00E9' FROM modal_batch.result}), 't', 'errors come in its encoding');
unlike(slurp_file($node->logfile, $from), qr/terminated by signal|PANIC|TRAP/, 'no crash');

$node->stop;
done_testing();
