# Copyright (c) 2026, modal_batch contributors

# pg_dump and restore of a database with jobs: ended, failed, and unfinished
# ones, of several owners.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local);

$node->safe_psql(
	'postgres', q{
	CREATE ROLE worker;
	GRANT USAGE ON FOREIGN SERVER local TO worker;
	CREATE USER MAPPING FOR worker SERVER local
		OPTIONS (token_id 'ak-local', token_secret 'as-local');
	CREATE SCHEMA "Odd name";
	CREATE TABLE "Odd name".squares (g int PRIMARY KEY, result int);
	GRANT ALL ON SCHEMA "Odd name" TO worker;
	ALTER TABLE "Odd name".squares OWNER TO worker;
	SELECT modal_spawn_map('local:builtin/square', 'SELECT generate_series(1, 3)');
	SELECT modal_spawn('local:builtin/fail', 'on purpose');
	SELECT modal_wait(id) FROM modal_batch.job;
	SELECT modal_pause(modal_spawn_map('local:builtin/square', 'SELECT generate_series(1, 500)'));
	SET ROLE worker;
	SELECT modal_pause(modal_spawn_map('local:builtin/square', 'SELECT g, g AS n FROM generate_series(1, 300) g',
		key => '{g}', into_table => '"Odd name".squares'));
	RESET ROLE;
	CREATE FUNCTION typed_square(int) RETURNS int LANGUAGE modal AS 'local:builtin/square';
	CREATE TABLE numbers (id int PRIMARY KEY, n int, n2 int);
	CREATE TRIGGER n2 AFTER INSERT OR UPDATE ON numbers
		FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/square', 'n', 'n2')});

# What the tables of jobs hold.
sub jobs
{
	my ($dbname) = @_;

	return $node->safe_psql(
		$dbname, q{
		SELECT * FROM modal_batch.job ORDER BY id;
		SELECT job, first, count, md5(inputs), done, ordinals FROM modal_batch.chunk ORDER BY 1, 2;
		SELECT * FROM modal_batch.result ORDER BY 1, 2;
		SELECT last_value, is_called FROM modal_batch.job_id_seq});
}

my $want = jobs('postgres');
like($want, qr/\|paused\|/, 'there are unfinished jobs');

my $dir = PostgreSQL::Test::Utils::tempdir();
$node->command_ok(
	[ 'pg_dump', '-Fc', '-f', "$dir/dump", $node->connstr('postgres') ],
	'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok(
	[
		'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), "$dir/dump"
	],
	'pg_restore');
is(jobs('restored'), $want, 'all jobs are there');

# Goes on with them.
my ($mine, $theirs) = split /\n/, $node->safe_psql('restored',
	q{SELECT id FROM modal_batch.job WHERE state = 'paused' ORDER BY id});
is($node->safe_psql('restored', "SELECT modal_resume($mine); SELECT modal_wait($mine, '2 min')"),
	"t\ncompleted", 'an unfinished job goes on');
is($node->safe_psql('restored', "SELECT count(*), sum(result::int) FROM modal_results($mine)"),
	'500|41791750', 'with all its results');
is( $node->safe_psql(
		'restored',
		"SET ROLE worker; SELECT modal_resume($theirs); SELECT modal_wait($theirs, '2 min'); SELECT count(*), sum(result) FROM \"Odd name\".squares"
	),
	"t\ncompleted\n300|9045050",
	'that of another owner too, into its table');
is( $node->safe_psql('restored', q{SELECT typed_square(5)}),
	'25', 'typed functions are there');
$node->safe_psql('restored', 'INSERT INTO numbers VALUES (1, 6)');
ok($node->poll_query_until('restored', 'SELECT n2 = 36 FROM numbers'),
	'and triggers');
is(jobs('postgres'), $want, 'the jobs of the other database have not moved');

# Jobs that were not paused when they were dumped: modal_batch.start_runner().
$node->safe_psql('restored', "SELECT modal_wait(id, '1 min') FROM modal_batch.job");
$node->safe_psql('postgres', q{UPDATE modal_batch.job SET state = 'pending' WHERE state = 'paused'});
$node->command_ok(
	[ 'pg_dump', '-Fc', '-f', "$dir/pending", $node->connstr('postgres') ],
	'pg_dump with pending jobs');
$node->safe_psql('postgres', 'CREATE DATABASE again');
$node->command_ok(
	[
		'pg_restore', '--exit-on-error', '-d', $node->connstr('again'), "$dir/pending"
	],
	'pg_restore');
is( $node->safe_psql(
		'again',
		"SELECT modal_batch.start_runner(); SELECT modal_wait($mine, '2 min')"),
	"\ncompleted",
	'start_runner goes on with the jobs of a restored database');

# In a dump, a role or table that is gone is a number, which may be another's.
$node->safe_psql('postgres', q{
	CREATE ROLE leaver;
	GRANT USAGE ON FOREIGN SERVER local TO leaver;
	CREATE USER MAPPING FOR leaver SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local');
	CREATE TABLE gone (g int PRIMARY KEY, result int);
	SELECT modal_pause(modal_spawn_map('local:builtin/square', 'SELECT g, g AS n FROM generate_series(1, 3) g',
		key => '{g}', into_table => 'gone'));
	DROP TABLE gone;
	SET ROLE leaver;
	SELECT modal_spawn_map('local:builtin/square', 'SELECT generate_series(1, 3)');
	SELECT modal_wait(max(job)) FROM modal_batch.jobs;
	SELECT modal_pause(modal_spawn_map('local:builtin/square', 'SELECT generate_series(1, 3)'));
	RESET ROLE;
	DROP OWNED BY leaver;
	DROP ROLE leaver});
$node->command_ok(
	[ 'pg_dump', '-Fc', '-f', "$dir/gone", $node->connstr('postgres') ],
	'pg_dump when a role and a table are gone');
$node->safe_psql('postgres', 'CREATE DATABASE third');
$node->command_ok(
	[ 'pg_restore', '--exit-on-error', '-d', $node->connstr('third'), "$dir/gone" ],
	'pg_restore');
my $counts = q{SELECT count(*) FROM modal_batch.job WHERE %s;
	SELECT count(*) FROM modal_batch.chunk WHERE job IN (SELECT id FROM modal_batch.job WHERE %1$s);
	SELECT count(*) FROM modal_batch.chunk WHERE job NOT IN (SELECT id FROM modal_batch.job);
	SELECT count(*) FROM modal_batch.result WHERE job NOT IN (SELECT id FROM modal_batch.job)};
is($node->safe_psql('postgres', sprintf $counts, q{owner::text ~ '^[0-9]+$' OR into_table::text ~ '^[0-9]+$'}),
	"3\n2\n0\n0", 'jobs of the role and the table that are gone');
is($node->safe_psql('third', sprintf $counts, q{owner::text ~ '^[0-9]+$' OR into_table::text ~ '^[0-9]+$'}),
	"0\n0\n0\n0", '... are not in the dump, nor what belongs to them');
is($node->safe_psql('third', 'SELECT count(*) FROM modal_batch.job'),
	$node->safe_psql('postgres', 'SELECT count(*) - 3 FROM modal_batch.job'), 'all others are');

# Data alone, into a database that has the tables: the triggers that guard those of jobs
# are disabled for that, and enabled as they were.
my $guards = q{SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid
	WHERE relnamespace = 'modal_batch'::regnamespace AND NOT tgisinternal ORDER BY tgrelid::regclass::text, tgname};
$node->command_ok([ 'pg_dump', '--schema-only', '-f', "$dir/schema", $node->connstr('postgres') ], 'pg_dump of the schema');
$node->command_ok([ 'pg_dump', '--data-only', '--disable-triggers', '-f', "$dir/data", $node->connstr('postgres') ], 'pg_dump of the data');
$node->safe_psql('postgres', 'CREATE DATABASE fourth');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/$_", $node->connstr('fourth') ], "... $_ is restored")
	for qw(schema data);
is($node->safe_psql('fourth', 'SELECT count(*) FROM modal_batch.job'),
	$node->safe_psql('postgres', 'SELECT count(*) - 3 FROM modal_batch.job'), '... with the jobs');
is($node->safe_psql('fourth', $guards), $node->safe_psql('postgres', $guards), '... whose tables are guarded as before');

# Tables that have another owner where they are restored: so have the jobs of their triggers.
$node->safe_psql('postgres', q{
	CREATE TABLE theirs (id int PRIMARY KEY, n int, square int);
	ALTER TABLE theirs OWNER TO worker;
	SELECT modal_generate_column('theirs', 'square', 'local:builtin/square', '{n}', backfill => false);
	REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
	INSERT INTO theirs SELECT i, i FROM generate_series(1, 3) i});
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/theirs", $node->connstr('postgres') ], 'pg_dump with a job that waits');
$node->safe_psql('postgres', 'CREATE DATABASE fifth');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--no-owner', '-d', $node->connstr('fifth'), "$dir/theirs" ], '... is restored without owners');
$node->safe_psql('fifth', 'SELECT modal_batch.start_runner()');
ok($node->poll_query_until('fifth', 'SELECT sum(square) = 14 FROM theirs'), '... and the job goes on as who owns the table there');

$node->stop;
done_testing();
