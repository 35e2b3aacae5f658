# Copyright (c) 2026, modal_batch contributors

# Columns that are generated remotely, from the declaration to the results.

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

# rows, current, missing, failed, pending, outdated
sub counts { return sql("SELECT * FROM modal_batch.generated_column_counts('$_[0]', '$_[1]')") }

# --- rows that are there, and rows that come ------------------------------------

sql(q{
	CREATE TABLE numbers (id int PRIMARY KEY, n int, square bigint, version int);
	INSERT INTO numbers SELECT g, g FROM generate_series(1, 30000) g;
	INSERT INTO numbers VALUES (0, NULL)});
my $job = sql(q{SELECT modal_generate_column('numbers', 'square', 'local:builtin/square@1', '{n}', version_column => 'version')});
job_ends($node, $job, 'completed', 'the backfill');
my $wrong = 'SELECT count(*) FROM numbers WHERE square IS DISTINCT FROM n::bigint * n OR version IS DISTINCT FROM CASE WHEN n IS NOT NULL THEN 1 END';
is(sql($wrong), '0', 'it has filled all rows');
is(counts('numbers', 'square'), '30001|30001|0|0|0|0', '... which are current');
is($local->inputs_put, 30000, '... with an input for each that has its argument');
sql(q{INSERT INTO numbers VALUES (30001, 5); UPDATE numbers SET n = n + 1 WHERE id <= 10; UPDATE numbers SET n = NULL WHERE id = 11});
quiet();
is(sql($wrong), '0', 'rows that change follow');

# --- exact: nothing is overwritten, nothing is sent twice -------------------------

sql(q{UPDATE numbers SET square = NULL, version = NULL WHERE id <= 1000});
is(counts('numbers', 'square'), '30002|29003|999|0|0|0', 'rows without a result are missing');
$job = sql(q{BEGIN;
SELECT modal_regenerate('numbers', 'square') AS job \gset
SELECT :job WHERE modal_pause(:job); COMMIT});
is(counts('numbers', 'square'), '30002|29003|0|0|999|0', '... and pending until they are calculated');
is(sql(q{SELECT pending FROM modal_batch.generated_columns}), '999', '... which the view says, too');
my $again = sql(q{SELECT modal_regenerate('numbers', 'square')});
sql(q{UPDATE numbers SET n = -7 WHERE id = 20; DELETE FROM numbers WHERE id = 21});
sql("SELECT modal_resume($job)");
job_ends($node, $job, 'completed', 'what was missing');
quiet();
is(sql("SELECT inputs FROM modal_batch.jobs WHERE job = $again"), '0', '... is not sent twice');
is(sql("SELECT stale FROM modal_batch.jobs WHERE job = $job"), '2', '... and what has changed meanwhile is not overwritten');
is(sql($wrong), '0', '... so that all are right');

# --- names that change while inputs are away -----------------------------------------

$local->set_faults("FunctionGetOutputs delay=1\n");
$local->clear_log;
sql(q{UPDATE numbers SET n = n + 1});
wait_until('inputs to be sent', sub { $local->inputs_put >= 1000 });
sql(q{
	ALTER TABLE numbers RENAME id TO "no.";
	ALTER TABLE numbers RENAME n TO "n't";
	ALTER TABLE numbers RENAME square TO n;
	ALTER TABLE numbers RENAME version TO "VERSION";
	ALTER TABLE numbers RENAME TO "Zahlen"});
$local->set_faults('');
quiet();
is(sql(q{SELECT count(*) FROM "Zahlen" WHERE n IS DISTINCT FROM "n't"::bigint * "n't"}), '0',
	'results find their rows under other names');
is(sql(q{SELECT count(*) FROM modal_batch.jobs WHERE state <> 'completed'}), '0', '... in jobs that go on');
sql(q{INSERT INTO "Zahlen" ("no.", "n't") VALUES (-1, 9)});
quiet();
is(sql(q{SELECT n, "VERSION" FROM "Zahlen" WHERE "no." = -1}), '81|1', '... and so do later rows');

# --- another version -------------------------------------------------------------------

sql(q{
	ALTER TABLE "Zahlen" RENAME TO numbers; ALTER TABLE numbers RENAME n TO square;
	UPDATE numbers SET "VERSION" = 0 WHERE "no." > 20000});
is(counts('numbers', 'square'), '30002|20001|0|0|0|10001', 'results of another version are outdated');
job_ends($node, sql(q{SELECT modal_regenerate('numbers', 'square', 'outdated')}), 'completed', 'a job for these');
is(counts('numbers', 'square'), '30002|30002|0|0|0|0', '... makes them current');
is(sql(q{SELECT inputs FROM modal_batch.jobs ORDER BY job DESC LIMIT 1}), '10001', '... and sends no others');

# --- failures ------------------------------------------------------------------------------

sql(q{
	CREATE TABLE texts (id int PRIMARY KEY, body text, kept int CHECK (kept < 100));
	INSERT INTO texts SELECT g, g FROM generate_series(91, 110) g;
	SELECT modal_generate_column('texts', 'kept', 'local:builtin/echo', '{body}')});
quiet();
is(counts('texts', 'kept'), '20|9|0|11|0|0', 'what the table refuses has failed');
like(sql(q{SELECT failed, last_error->>'message' FROM modal_batch.generated_columns WHERE "column" = 'kept'}),
	qr/^11\|.*violates check constraint/, '... and the view says why');
sql(q{UPDATE texts SET body = '5' WHERE id = 110});
quiet();
is(counts('texts', 'kept'), '20|10|0|10|0|0', '... until it changes');
sql(q{ALTER TABLE texts DROP CONSTRAINT texts_kept_check});
job_ends($node, sql(q{SELECT modal_regenerate('texts', 'kept', 'failed')}), 'completed', 'what has failed');
is(counts('texts', 'kept'), '20|20|0|0|0|0', '... is tried again');
is(sql(q{SELECT inputs FROM modal_batch.jobs ORDER BY job DESC LIMIT 1}), '10', '... and nothing else is');

# --- the runner dies ---------------------------------------------------------------------------

sql(q{UPDATE texts SET kept = NULL});
my $last = sql('SELECT max(job) FROM modal_batch.jobs');
arm_point($node, 'runner-before-commit', 'crash');
# the crash may take the session with it, once the job is there
$node->psql('postgres', q{SELECT modal_regenerate('texts', 'kept', 'all')});
$node->poll_query_until('postgres', "SELECT state = 'completed' FROM modal_batch.jobs WHERE job > $last");
$job = sql('SELECT max(job) FROM modal_batch.jobs');
is(counts('texts', 'kept'), '20|20|0|0|0|0', 'a crash loses nothing');
is(sql("SELECT succeeded, failed, stale FROM modal_batch.jobs WHERE job = $job"), '20|0|0', '... and counts nothing twice');

# --- more arguments than a function in SQL can have ------------------------------------------------

my $python = PostgreSQL::Test::Utils::tempdir() . '/wide.py';
append_to_file($python, "def add(*numbers):\n    return sum(numbers)\n");
my $wide = ModalLocal->new(files => [$python]);
sql(sprintf q{CREATE SERVER wide FOREIGN DATA WRAPPER modal_batch OPTIONS (url '%s', ssl_ca_file '%s');
	CREATE USER MAPPING FOR CURRENT_USER SERVER wide OPTIONS (token_id 'ak-local', token_secret 'as-local')}, $wide->url, $wide->ca_file);
my @columns = map { "c$_" } 1 .. 120;
my $columns = join ',', @columns;
sql('CREATE TABLE wide (id int PRIMARY KEY, ' . join(', ', map { "$_ int DEFAULT 1" } @columns) . ', total int, version int);
	INSERT INTO wide (id) VALUES (1), (2), (3)');
$job = sql("SELECT modal_generate_column('wide', 'total', 'wide:wide/add', '{$columns}', version_column => 'version')");
job_ends($node, $job, 'completed', 'a column of 120 others');
is(sql('SELECT array_agg(total) FROM wide'), '{120,120,120}', '... is calculated');
sql('UPDATE wide SET c1 = 2 WHERE id = 1; UPDATE wide SET c120 = NULL WHERE id = 2');
quiet();
is(sql('SELECT array_agg(total ORDER BY id) FROM wide'), '{121,NULL,120}', '... and follows');
$job = sql(q{BEGIN; SELECT modal_regenerate('wide', 'total', 'all') AS job \gset
SELECT :job WHERE modal_pause(:job); COMMIT});
is(counts('wide', 'total'), '3|1|0|0|2|0', '... and is counted');
sql("SELECT modal_resume($job)");
job_ends($node, $job, 'completed', '... and regenerated');
$job = sql("SELECT modal_spawn_map('wide:wide/add', 'SELECT id, $columns FROM wide', key => '{id}', into_table => 'wide', result_column => 'version', mode => 'update')");
job_ends($node, $job, 'completed', 'a job that updates by 120 columns');
is(sql("SELECT succeeded, failed FROM modal_batch.jobs WHERE job = $job"), '2|1', '... whose results arrive, but that of a NULL');
sql('DROP TABLE wide');

# --- heirs have no trigger, and are left alone ------------------------------------------------------

sql(q{CREATE TABLE elder (id int PRIMARY KEY, n int, made int); CREATE TABLE heir () INHERITS (elder);
	CREATE TABLE parts (id int, n int, made int, PRIMARY KEY (id, n));
	INSERT INTO heir VALUES (1, 1, 0), (2, 2, 0)});
$job = sql(q{SELECT modal_generate_column('elder', 'made', 'local:builtin/echo', '{n}')});
job_ends($node, $job, 'completed', 'a column of a table with an heir');
sql('INSERT INTO elder VALUES (1, 1)');
quiet();
is(sql('SELECT tableoid::regclass, id, made FROM elder ORDER BY 1, 2'), "elder|1|1\nheir|1|0\nheir|2|0", '... whose rows are left alone');
$job = sql(q{SELECT modal_generate_rows('elder', 'parts', 'local:builtin/echo', '{n}', '{id}', 'made', 'n')});
job_ends($node, $job, 'completed', 'rows of a table with an heir');
is(sql('SELECT inputs FROM modal_batch.jobs WHERE job = ' . $job), '1', '... are made of its own rows');
sql('DROP TABLE parts, heir, elder');

# --- jobs that go while something is to be done to them -------------------------------------------

sql(q{CREATE TABLE gone (id int PRIMARY KEY, n int, made int); INSERT INTO gone VALUES (1, 1)});
$job = sql(q{SELECT modal_generate_column('gone', 'made', 'local:no/such', '{n}')});
job_ends($node, $job, 'failed', 'a job without a function');
for my $case ([ "SELECT modal_forget($job)", q{SELECT modal_regenerate('gone', 'made', 'failed')}, 'forgotten' ],
	[ 'DELETE FROM modal_batch.job', q{SELECT modal_drop_generated_column('gone', 'made')}, 'deleted' ])
{
	my ($delete, $call, $how) = @$case;
	my $other = $node->background_psql('postgres');
	my $caller = $node->background_psql('postgres');
	$other->query_safe("BEGIN; $delete");
	$caller->query_until(qr/calling/, "\\echo calling\n$call;\n");
	$node->poll_query_until('postgres', 'SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)');
	$other->query_safe('COMMIT');
	$caller->query_safe('SELECT 1');
	$_->quit for $other, $caller;
	is(sql('SELECT 1'), '1', "a job that is $how meanwhile takes nobody down");
	# unfinished ones, for the next case
	sql(q{BEGIN; SELECT modal_regenerate('gone', 'made', 'all') AS job \gset
SELECT modal_pause(:job); COMMIT}) if $how eq 'forgotten';
}
sql('DROP TABLE gone');

# --- locks: nobody waits for one that he has no right to -------------------------------------------

sql('CREATE ROLE stranger; CREATE TABLE busy (id int PRIMARY KEY, n int, made int); CREATE TABLE beside (LIKE busy INCLUDING ALL)');
my $busy = $node->background_psql('postgres');
$busy->query_safe('BEGIN; LOCK TABLE busy IN ROW EXCLUSIVE MODE');
for my $call (
	q{modal_generate_column('busy', 'made', 'local:builtin/echo', '{n}')}, q{modal_drop_generated_column('busy', 'made')},
	q{modal_generate_rows('busy', 'beside', 'local:builtin/echo', '{n}', '{id}')}, q{modal_drop_generated_rows('busy', 'beside')})
{
	my ($rc, $out, $err) = $node->psql('postgres', "SET lock_timeout = '1s'; SET ROLE stranger; SELECT $call");
	like($err, qr/must be owner of table busy/, "refused without a lock: $call");
}
$busy->query_safe('ROLLBACK');
my $shown = 'SELECT count(*), count(function) FROM modal_batch.generated_columns';
my $declared = sql($shown);
$busy->query_safe('BEGIN; LOCK TABLE numbers, texts IN ACCESS EXCLUSIVE MODE');
is($node->psql('postgres', "SET lock_timeout = '1s'; $shown"), 0, 'a locked table does not keep the view of all from being read');
is(sql("SET lock_timeout = '1s'; $shown"), $declared, '... as it is');
$busy->quit;
sql('DROP TABLE busy, beside; DROP ROLE stranger');

# --- renamed while a job is taken up ----------------------------------------------------

sql(q{CREATE TABLE renamed (id int PRIMARY KEY, n int, square bigint, other bigint);
	SELECT modal_generate_column('renamed', 'square', 'local:builtin/square', '{n}', backfill => false)});
for my $case ([ 'RENAME n TO m', 'square' ],
	[ 'RENAME square TO s; ALTER TABLE renamed RENAME other TO square; ALTER TABLE renamed RENAME s TO other', 'other' ])
{
	my ($rename, $column) = @$case;

	sql('TRUNCATE renamed');
	$local->kill9;
	sql('INSERT INTO renamed VALUES (1, 5)');
	$job = sql('SELECT max(job) FROM modal_batch.jobs');
	ok(job_becomes($node, $job, 'retry_at IS NOT NULL'), 'a job that waits for its next try');
	my $renamer = $node->background_psql('postgres');
	$renamer->query_safe("BEGIN; ALTER TABLE renamed $rename");
	$local->start;
	$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)})
	  or die 'the job does not meet the renaming';
	$renamer->query_safe('COMMIT');
	$renamer->quit;
	job_ends($node, $job, 'completed', "... meets $rename");
	is(sql("SELECT $column FROM renamed"), '25', '... and writes to the column that it was for');
}
sql('DROP TABLE renamed');

# --- owners, dumps --------------------------------------------------------------------------------

sql(q{
	CREATE ROLE keeper LOGIN;
	GRANT USAGE ON FOREIGN SERVER local TO keeper;
	CREATE USER MAPPING FOR keeper SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local');
	GRANT CREATE ON SCHEMA public TO keeper;
	ALTER TABLE texts OWNER TO keeper;
	INSERT INTO texts VALUES (1, '1')});
$job = sql(q{SELECT modal_regenerate('texts', 'kept', 'all')});
quiet();
is(sql("SELECT owner FROM modal_batch.jobs WHERE job = $job"), 'keeper', 'the jobs are those of the new owner');
is(sql(q{SELECT kept FROM texts WHERE id = 1}), '1', '... and are done');

my $dir = PostgreSQL::Test::Utils::tempdir();
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/dump", $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), "$dir/dump" ], 'pg_restore');
is($node->safe_psql('restored', q{SELECT "table", "column", arguments FROM modal_batch.generated_columns ORDER BY "table"::text}),
	qq{numbers|square|{n't}\ntexts|kept|{body}}, 'a restored database has the declarations');
is($node->safe_psql('restored', q{INSERT INTO texts VALUES (2, '2'); SELECT count(*) FROM modal_batch.jobs WHERE into_table = 'texts'::regclass AND finished_at IS NULL AND state <> 'paused'}) > 0
	|| $node->poll_query_until('restored', q{SELECT kept = 2 FROM texts WHERE id = 2}), 1, '... which work');
$node->safe_psql('restored', q{ALTER TABLE texts RENAME body TO words; ALTER TABLE texts DROP COLUMN words});
is($node->safe_psql('restored', q{SELECT count(*) FROM modal_batch.generated_columns}), '1', '... and go with their columns');
sql(q{DROP TABLE texts});
is(sql(q{SELECT "column" FROM modal_batch.generated_columns}), 'square', 'a declaration goes with its table');

# --- as many jobs as there are -----------------------------------------------------

sql(q{CREATE TABLE busy (id int PRIMARY KEY, n int, square bigint);
	INSERT INTO busy VALUES (1, 1), (2, 1000000)});
job_ends($node, sql(q{SELECT modal_generate_column('busy', 'square', 'local:builtin/square', '{n}')}), 'completed', 'a busy table');
sql(q{
	BEGIN;
	INSERT INTO modal_batch.job (owner, function, format, mode, inputs, state, finished_at, by_trigger, into_table, result_column)
		SELECT 'postgres', 'local:builtin/square', 'cbor', 'update', 1, 'completed', now(), true, 'busy', 'square' FROM generate_series(1, 20000);
	UPDATE busy SET square = NULL;
	COMMIT});
for my $statement (
	q{SELECT modal_regenerate('busy', 'square')},
	q{SELECT modal_batch.generated_column_counts('busy', 'square')},
	q{ALTER TABLE busy RENAME n TO number},
	q{SELECT modal_drop_generated_column('busy', 'square')})
{
	my $read = q{SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relid = 'modal_batch.job'::regclass};
	cmp_ok(sql("BEGIN; $statement; $read; COMMIT") =~ s/.*\n//sr, '<', 100, "jobs that have ended well are not read: $statement");
}

is(sql(q{SELECT string_agg(DISTINCT a.attname, ' ' ORDER BY a.attname) FROM pg_index i
	JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refobjid = i.indrelid
	JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = d.refobjsubid WHERE i.indrelid = 'modal_batch.job'::regclass}),
	'finished_at has_failed id into_table order_stripes owner priority result_column unique_key',
	'what changes while a job runs is in no index, so that updates are HOT');

done_testing();
