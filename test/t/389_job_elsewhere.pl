# Copyright (c) 2026, modal_batch contributors

# Jobs whose results go to another server, through postgres_fdw.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local);
my $far   = PostgreSQL::Test::Cluster->new('far');

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub far { return $far->safe_psql('postgres', $_[0]) }

if ($node->safe_psql('postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'") eq '0')
{
	$node->stop;
	plan skip_all => 'postgres_fdw is not there';
}

$far->init;
$far->append_conf('postgresql.conf', 'log_statement = all');
$far->start;
far(q{
	CREATE TABLE numbers (id int PRIMARY KEY, result bigint CONSTRAINT c CHECK (result <> 25));
	CREATE TABLE docs (id int PRIMARY KEY, body text, note json, vec float4[], body2 text, note2 json, vec2 float4[]);
	CREATE TABLE chunks (doc int, n int, result text, PRIMARY KEY (doc, n));
	INSERT INTO docs SELECT i, 'body ' || i, to_json(i), ARRAY[i, NULL, i / 2.0] FROM generate_series(1, 3000) i;
	INSERT INTO chunks SELECT i, 0, 'old' FROM generate_series(1, 100) i;
	CREATE TABLE heap (id int, result bigint);
});
my ($host, $port) = ($far->host, $far->port);
my $user = sql('SELECT current_user');
sql(qq{
	CREATE EXTENSION postgres_fdw;
	CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres');
	CREATE USER MAPPING FOR CURRENT_USER SERVER far OPTIONS (user '$user');
	IMPORT FOREIGN SCHEMA public FROM SERVER far INTO public;
	CREATE FOREIGN TABLE read_only (id int, result bigint) SERVER far OPTIONS (table_name 'numbers', updatable 'false');
});

sub square
{
	my ($table, $mode, $inputs) = @_;

	return spawn($node, qq{modal_spawn_map('local:builtin/square', 'SELECT g AS id, g AS n FROM generate_series(0, $inputs) g',
		key => '{id}', into_table => '$table', mode => '$mode')});
}

# --- rows ------------------------------------------------------------------------

my $job = square('numbers', 'insert', 2999);
job_ends($node, $job, 'completed', 'inserts into a foreign table');
is(job($node, $job, 'succeeded, failed'), '2999|1', '... of which the other server refuses one');
is( far('SELECT count(*), bool_and(result = id::bigint * id) FROM numbers'),
	'2999|t', '... all others are there');
far('ALTER TABLE numbers DROP CONSTRAINT c; UPDATE numbers SET result = 0 WHERE id % 2 = 0; DELETE FROM numbers WHERE id % 3 = 0');
$job = square('numbers', 'upsert', 3999);
job_ends($node, $job, 'completed', 'an upsert');
is(job($node, $job, 'succeeded, failed'), '4000|0', '... of all');
is( far('SELECT count(*), bool_and(result = id::bigint * id) FROM numbers'),
	'4000|t', '... updates and inserts');

far(q{CREATE TABLE parents (id bigint PRIMARY KEY); INSERT INTO parents SELECT i::bigint * i FROM generate_series(1, 3000) i WHERE i <> 77;
	CREATE TABLE children (id int, result bigint REFERENCES parents DEFERRABLE INITIALLY DEFERRED)});
sql('CREATE FOREIGN TABLE children (id int, result bigint) SERVER far');
$job = square('children', 'insert', 2999);
job_ends($node, $job, 'completed', 'the other server refuses rows at its commit');
is(job($node, $job, q{succeeded, failed, last_error->>'code'}), '2998|2|23503', '... which alone fail');
is(far('SELECT count(*), count(DISTINCT id) FROM children'), '2998|2998', '... all others are there, once');
far(q{CREATE FUNCTION closed() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
		IF NEW.result = 49 THEN RAISE EXCEPTION 'closed' USING ERRCODE = '55P03'; END IF; RETURN NEW; END$$;
	CREATE TABLE closing (id int, result bigint); CREATE TRIGGER closed BEFORE INSERT ON closing FOR EACH ROW EXECUTE FUNCTION closed()});
sql('CREATE FOREIGN TABLE closing (id int, result bigint) SERVER far');
$job = square('closing', 'insert', 99);
ok(job_becomes($node, $job, q{last_error->>'code' = '55P03'}), 'the other server raises a lock timeout for one row: the job waits');
sql("UPDATE modal_batch.job SET tries = 8 WHERE id = $job");
job_ends($node, $job, 'completed', '... not for ever');
is(job($node, $job, q{succeeded, failed, last_error->>'message'}), '99|1|closed', '... and all others are written');

my ($code, $out, $err) = $node->psql('postgres', q{SELECT modal_spawn_map('local:builtin/square', 'SELECT 1 AS id, 1',
	key => '{id}', into_table => 'read_only')});
like($err, qr/"read_only" does not take INSERT/, 'a foreign table that takes none is refused');

# --- updates: arrays, types without equality, rows that change meanwhile ------------

sub update
{
	my ($from, $to) = @_;

	return spawn($node, qq{modal_spawn_map('local:builtin/echo', 'SELECT id, $from FROM docs WHERE id <= 2000',
		key => '{id}', into_table => 'docs', mode => 'update', result_column => '$to')});
}

my $offset = -s $far->logfile;
foreach my $columns ([ 'body', 'body2' ], [ 'note', 'note2' ], [ 'vec', 'vec2' ])
{
	my ($from, $to) = @$columns;

	job_ends($node, update($from, $to), 'completed', "an update of column $to");
	is(far("SELECT count(*) FROM docs WHERE $from\::text = $to\::text"), '2000', '... writes all rows');
}
my $log = slurp_file($far->logfile, $offset);
ok($log =~ /SELECT id, vec FROM public\.docs WHERE \(\(id = ANY \('\{\d/, '... and asks for no other rows');

$local->set_faults("FunctionPutInputs delay=2\n");
$job = update('body', 'body2');
far(q{UPDATE docs SET body = 'changed' WHERE id <= 10; UPDATE docs SET body = NULL WHERE id = 11;
	DELETE FROM docs WHERE id = 12});
$local->set_faults('');
job_ends($node, $job, 'completed', 'rows change at the other server meanwhile');
is(job($node, $job, 'succeeded, failed, stale'), '1988|0|12', '... and are stale');
is(far(q{SELECT count(*) FROM docs WHERE id <= 2000 AND body2 IS DISTINCT FROM body}), '11', '... and as they were');

# --- lists ----------------------------------------------------------------------------

$job = spawn($node, q{modal_spawn_map('local:builtin/echo',
	$$SELECT i AS doc, (SELECT to_jsonb(array_agg(i || ' ' || n)) FROM generate_series(1, i % 50) n) AS d FROM generate_series(1, 200) i$$,
	key => '{doc}', into_table => 'chunks', mode => 'replace', ordinality_column => 'n')});
job_ends($node, $job, 'completed', 'lists replace rows');
is( far(q{SELECT count(*), count(*) FILTER (WHERE result = doc || ' ' || n + 1) FROM chunks}),
	'4900|4900', '... of the other server');

# --- the other server goes away, ours crashes ------------------------------------------

$far->stop('immediate');
$job = square('heap', 'insert', 999);
ok(job_becomes($node, $job, q{last_error->>'code' LIKE '08%' AND state = 'running'}),
	'the other server is down: the job waits, and says why');
$far->start;
job_ends($node, $job, 'completed', '... and goes on when it is back');
is(far('SELECT count(*), count(DISTINCT id) FROM heap'), '1000|1000', '... with one result for each input');

far('TRUNCATE heap; TRUNCATE numbers');
foreach my $point ('runner-sink-written', 'runner-before-commit')
{
	arm_point($node, $point, 'crash');
	my $job = square('heap', 'insert', 999);
	point_passed($node, $point);
	wait_up($node);
	job_ends($node, $job, 'completed', "a crash at $point");
}
is(far('SELECT count(*), count(DISTINCT id) FROM heap'), '2000|1000', '... leaves nothing at the other server');

$node->stop;
$far->stop;
done_testing();
