# Copyright (c) 2026, modal_batch contributors

# Rows that are made from those of another table: crashes, transactions with
# older snapshots, dumps.

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

sub all_done
{
	wait_until('the end of all jobs', sub {
		sql('SELECT count(*) FROM modal_batch.jobs WHERE finished_at IS NULL') eq '0' });
	return;
}

sub pages_are
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(
		sql(q{SELECT count(*) FROM (SELECT id, n - 1, page FROM docs,
				jsonb_array_elements_text(pages) WITH ORDINALITY p(page, n)) d(id, n, page)
			FULL JOIN chunks c ON c.doc = d.id AND c.n = d.n AND c.result = d.page
			WHERE d.id IS NULL OR c.doc IS NULL}),
		'0', $name);
}

sql(q{
	CREATE TABLE docs (id int PRIMARY KEY, pages jsonb);
	CREATE TABLE chunks (doc int, n bigint, result text, PRIMARY KEY (doc, n));
	INSERT INTO docs SELECT i, (SELECT jsonb_agg(i || ' ' || n) FROM generate_series(0, i % 10) n) FROM generate_series(1, 1000) i;
});
my $declare = q{modal_generate_rows('docs', 'chunks', 'local:builtin/echo', '{pages}', '{doc}', ordinality_column => 'n')};

# --- crashes ------------------------------------------------------------------

arm_point($node, 'runner-before-commit', 'crash');
my $job = spawn($node, $declare);
point_passed($node, 'runner-before-commit');
wait_up($node);
job_ends($node, $job, 'completed', 'a crash during the backfill');
pages_are('... and all rows are there, once');

arm_point($node, 'runner-sink-written', 'crash');
sql(q{UPDATE docs SET pages = pages || '["more"]' WHERE id % 2 = 0; DELETE FROM docs WHERE id % 10 = 3});
point_passed($node, 'runner-sink-written');
wait_up($node);
all_done();
pages_are('a crash after changes: the rows are what they should be');

# --- older snapshots -----------------------------------------------------------------

foreach my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);

	$local->set_faults("FunctionPutInputs delay=2\n");
	sql(q{INSERT INTO docs VALUES (2000, '["a", "b"]')});
	$session->query_safe("BEGIN ISOLATION LEVEL $level");
	$session->query_safe('SELECT count(*) FROM docs');
	$local->set_faults('');
	all_done();
	$session->query('DELETE FROM docs WHERE id = 2000');
	like($session->{stderr}, qr/could not serialize access/, "$level: rows that it does not see are not left behind");
	$session->query('ROLLBACK');
	$session->quit;
	pages_are('... and nothing has changed');
	sql('DELETE FROM docs WHERE id = 2000');
}
pages_are('a later transaction deletes them');

# --- dump and restore ----------------------------------------------------------------

# Two at once would not see each other.
sql(q{CREATE TABLE one (id int PRIMARY KEY, pages jsonb); CREATE TABLE another (LIKE one INCLUDING ALL);
	CREATE TABLE shared (id int, result text)});
my $share = q{SELECT modal_generate_rows('%s', 'shared', 'local:builtin/echo', '{pages}', '{id}', backfill => false)};
my $first = $node->background_psql('postgres');
$first->query_safe('BEGIN; ' . sprintf($share, 'one'));
my (undef, undef, $waits) = modal_psql($node, "SET lock_timeout = '100ms'; " . sprintf($share, 'another'));
like($waits, qr/55P03/, 'a second declaration waits for the first one');
$first->query_safe('COMMIT');
$first->quit;
my (undef, undef, $sees) = modal_psql($node, sprintf($share, 'another'));
like($sees, qr/22023: .*with the same key columns/, '... and sees it');

my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'a dump');
sql('CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('copy') ], '... is restored');
is( $node->safe_psql('copy', q{
	DROP TABLE chunks;
	SELECT count(*) FROM pg_trigger WHERE tgrelid = 'docs'::regclass AND tgname = 'modal_generate_chunks'}),
	'0', '... with the declaration, which depends on its table there');

$node->stop;
done_testing();
