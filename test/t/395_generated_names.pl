# Copyright (c) 2026, modal_batch contributors

# Tables, columns and schemas of generated columns and rows that get other names, or
# go, while transactions that write, sessions, and results are under way.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local, conf => "max_prepared_transactions = 10\n");

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub error_of
{
	my ($query) = @_;
	my (undef, undef, $err) = modal_psql($node, $query);
	return $err;
}

# All jobs have ended well, and the tables are what the function makes of them.
sub all_right
{
	my ($name) = @_;

	wait_until('the end of all jobs', sub {
		sql('SELECT count(*) FROM modal_batch.jobs WHERE finished_at IS NULL') eq '0' });
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(sql(q{SELECT count(*) FROM modal_batch.jobs WHERE state <> 'completed' OR failed > 0}), '0', "$name: no job has failed");
	is( sql(q{SELECT
			(SELECT count(*) FROM numbers WHERE square IS DISTINCT FROM n::bigint * n),
			(SELECT count(*) FROM (SELECT id, n - 1, page FROM docs,
				jsonb_array_elements_text(pages) WITH ORDINALITY p(page, n)) d(id, n, page)
			FULL JOIN chunks c ON c.doc = d.id AND c.n = d.n AND c.result = d.page
			WHERE d.id IS NULL OR c.doc IS NULL)}),
		'0|0', '... and all rows are as they should be');
	sql('DELETE FROM modal_batch.job; DELETE FROM modal_batch.result; DELETE FROM modal_batch.joined_job; DELETE FROM modal_batch.chunk');
	return;
}

sql(q{
	CREATE TABLE numbers (id int PRIMARY KEY, n int, square bigint);
	CREATE TABLE docs (id int PRIMARY KEY, pages jsonb) PARTITION BY RANGE (id);
	CREATE TABLE docs1 PARTITION OF docs FOR VALUES FROM (0) TO (1000);
	CREATE TABLE docs2 PARTITION OF docs DEFAULT;
	CREATE SCHEMA made;
	CREATE TABLE made.chunks (doc int, n bigint, result text);
	ALTER DATABASE postgres SET search_path = public, made, moved});
sql(q{SELECT modal_generate_column('numbers', 'square', 'local:builtin/square', '{n}');
	SELECT modal_generate_rows('docs', 'chunks', 'local:builtin/echo', '{pages}', '{doc}', ordinality_column => 'n')});

# --- sessions that know the old names ---------------------------------------------------

my $session = $node->background_psql('postgres');

$session->query_safe(q{INSERT INTO docs VALUES (1, '["a", "b"]'), (1001, '["c"]')});
sql(q{ALTER TABLE chunks RENAME doc TO document; ALTER TABLE chunks RENAME n TO number;
	ALTER TABLE chunks RENAME result TO page; ALTER TABLE chunks RENAME TO pieces});
$session->query_safe(q{INSERT INTO docs VALUES (2, '["a", "b"]'), (1002, '["c"]'); DELETE FROM docs WHERE id = 1});
sql(q{ALTER TABLE pieces RENAME TO chunks;
	ALTER TABLE chunks RENAME document TO doc; ALTER TABLE chunks RENAME number TO n; ALTER TABLE chunks RENAME page TO result});
$session->query_safe(q{INSERT INTO docs VALUES (3, '["a", "b"]'), (1003, '["c"]'); DELETE FROM docs WHERE id = 1001});
all_right('a session goes on with the new names of the other table');

# --- in the transaction that writes ------------------------------------------------------

sql(q{BEGIN;
	INSERT INTO docs VALUES (11, '["a", "b"]');
	UPDATE docs SET pages = '["a"]' WHERE id = 2;
	DELETE FROM docs WHERE id = 3;
	INSERT INTO numbers VALUES (1, 1), (2, 2), (3, 3), (4, 4);
	ALTER TABLE docs RENAME id TO docid;
	ALTER TABLE docs RENAME pages TO leaves;
	ALTER TABLE numbers RENAME id TO no;
	INSERT INTO docs VALUES (12, '["a", "b"]');
	INSERT INTO numbers VALUES (11, 5);
	UPDATE numbers SET n = NULL WHERE no = 1;
	ALTER TABLE chunks RENAME doc TO document;
	ALTER TABLE chunks RENAME n TO number;
	ALTER TABLE numbers RENAME TO figures;
	ALTER TABLE figures RENAME square TO result;
	INSERT INTO docs VALUES (13, '["a", "b"]');
	DELETE FROM docs WHERE docid = 1002;
	UPDATE figures SET n = NULL WHERE no = 2;
	ALTER TABLE chunks RENAME result TO page;
	ALTER TABLE chunks RENAME TO pieces;
	INSERT INTO docs VALUES (14, '["a", "b"]');
	DELETE FROM docs WHERE docid = 1003;
	COMMIT});
sql(q{BEGIN;
	UPDATE docs SET leaves = leaves || '["z"]';
	UPDATE figures SET n = n + 1;
	ALTER TABLE pieces RENAME TO chunks; ALTER TABLE chunks RENAME document TO doc;
	ALTER TABLE chunks RENAME number TO n; ALTER TABLE chunks RENAME page TO result;
	ALTER TABLE docs RENAME docid TO id; ALTER TABLE docs RENAME leaves TO pages;
	ALTER TABLE figures RENAME TO numbers; ALTER TABLE numbers RENAME no TO id; ALTER TABLE numbers RENAME result TO square;
	COMMIT});
all_right('names that change in the transaction that writes');

# --- while a transaction that writes is open, or prepared ---------------------------------

$session->query_safe(q{BEGIN; INSERT INTO docs VALUES (21, '["a", "b"]'), (1021, '["c"]')});
sql('ALTER TABLE chunks RENAME doc TO document; ALTER TABLE chunks RENAME result TO page');
$session->query_safe('COMMIT');
sql('ALTER TABLE chunks RENAME document TO doc; ALTER TABLE chunks RENAME page TO result');
all_right('names that change before the commit');

$session->query_safe(q{BEGIN; INSERT INTO docs VALUES (22, '["a", "b"]'); PREPARE TRANSACTION 'kept'});
like(error_of(q{SET lock_timeout = 100; ALTER TABLE chunks RENAME doc TO document}), qr/lock timeout/, 'a prepared transaction holds the names');
sql(q{COMMIT PREPARED 'kept'});
all_right('... until it is committed');

# --- while somebody waits for the table -------------------------------------------------

$session->query_safe('BEGIN; ALTER TABLE chunks RENAME doc TO document; ALTER TABLE chunks RENAME n TO number');
$session->query_safe('ALTER TABLE numbers RENAME id TO "the key"');
my $other = $node->background_psql('postgres');
$other->query_safe('SELECT count(*) FROM docs');
$other->query_until(qr/begun/, qq{\\echo begun\nINSERT INTO docs VALUES (23, '["a", "b"]');\n});
wait_until('a session that waits for a table', sub {
	sql(q{SELECT count(*) FROM pg_locks WHERE relation = 'made.chunks'::regclass AND NOT granted}) eq '1' });
$session->query_safe('COMMIT');
$other->query_safe('SELECT 1');
sql('ALTER TABLE chunks RENAME document TO doc; ALTER TABLE chunks RENAME number TO n; ALTER TABLE numbers RENAME "the key" TO id');
all_right('whoever waits for the new names');

arm_point($node, 'runner-before-commit', 'block');
sql(q{SELECT modal_spawn('local:builtin/square', 1)});
point_passed($node, 'runner-before-commit');
sql(q{INSERT INTO docs VALUES (24, '["a", "b"]'); INSERT INTO numbers VALUES (24, 4)});
$session->query_safe('BEGIN; ALTER TABLE chunks RENAME doc TO document; ALTER TABLE numbers RENAME id TO "the key"');
disarm_point($node, 'runner-before-commit');
wait_until('a runner that waits for a table', sub {
	sql(q{SELECT count(*) FROM pg_locks WHERE relation IN ('made.chunks'::regclass, 'numbers'::regclass) AND NOT granted}) eq '1' });
$session->query_safe('COMMIT');
sql('ALTER TABLE chunks RENAME document TO doc; ALTER TABLE numbers RENAME "the key" TO id');
all_right('names that change while the runner waits for the table');

# a declaration that somebody else is dropping
sql(q{CREATE TABLE lone (id int PRIMARY KEY, pages jsonb); CREATE TABLE lone_rows (doc int, result text);
	SELECT modal_generate_rows('lone', 'lone_rows', 'local:builtin/echo', '{pages}', '{doc}', backfill => false)});
$session->query_safe('BEGIN; DROP TRIGGER modal_generate_lone_rows ON lone');
$other->query_until(qr/begun/, qq{\\echo begun\nALTER TABLE lone_rows RENAME doc TO document;\n});
wait_until('a session that waits for the declaration', sub {
	sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'object' AND NOT granted}) eq '1' });
$session->query_safe('COMMIT');
$other->query_safe('SELECT 1');
is(sql(q{SELECT attname FROM pg_attribute WHERE attrelid = 'lone_rows'::regclass AND attnum = 1}), 'document', 'a rename waits for who drops the declaration');

# --- what is gone ---------------------------------------------------------------------------

sql(q{CREATE TABLE gone (id int PRIMARY KEY, pages jsonb, square bigint, n int); CREATE TABLE of_gone (doc int, n int, result text)});
for my $drop ('TABLE of_gone DROP result', 'TABLE of_gone DROP doc', 'TABLE of_gone DROP n', 'TABLE gone DROP pages', 'TABLE gone DROP square', 'TABLE gone DROP n')
{
	sql(q{ALTER TABLE gone ADD IF NOT EXISTS pages jsonb, ADD IF NOT EXISTS square bigint, ADD IF NOT EXISTS n int;
		ALTER TABLE of_gone ADD IF NOT EXISTS doc int, ADD IF NOT EXISTS n int, ADD IF NOT EXISTS result text});
	my $column = $drop =~ /square|gone DROP n/ && $drop !~ /of_gone/;
	sql(($column ? q{SELECT modal_generate_column('gone', 'square', 'local:builtin/square', '{n}')}
		: q{SELECT modal_generate_rows('gone', 'of_gone', 'local:builtin/echo', '{pages}', '{doc}', ordinality_column => 'n')}));
	sql(q{DELETE FROM gone; SELECT modal_wait(job) FROM modal_batch.jobs; DELETE FROM modal_batch.job});
	sql(qq{BEGIN; INSERT INTO gone (id, pages, n) VALUES (1, '["a"]', 1); ALTER $drop; COMMIT});
	is(sql('SELECT count(*) FROM modal_batch.jobs'), '0', "$drop: nothing is sent of a declaration that its own transaction drops");
}
sql(q{ALTER TABLE gone ADD n int; ALTER TABLE of_gone ADD IF NOT EXISTS n int});
sql(q{ALTER TABLE gone ADD IF NOT EXISTS pages jsonb; SELECT modal_generate_rows('gone', 'of_gone', 'local:builtin/echo', '{pages}', '{doc}')});
sql(q{SELECT modal_wait(job) FROM modal_batch.jobs; DELETE FROM modal_batch.job});
sql(q{BEGIN; INSERT INTO gone (id, pages) VALUES (2, '["a"]'); DROP TABLE of_gone; COMMIT});
is(sql('SELECT count(*) FROM modal_batch.jobs'), '0', '... nor when the other table is dropped');

# --- a schema, and a dump ---------------------------------------------------------------------

sql(q{BEGIN; INSERT INTO docs VALUES (31, '["a", "b"]'); ALTER SCHEMA made RENAME TO moved; INSERT INTO docs VALUES (1031, '["c"]'); COMMIT});
all_right('a schema gets another name');
is(sql(q{SELECT count(*) FROM pg_trigger WHERE tgrelid = 'docs'::regclass AND pg_get_triggerdef(oid) LIKE '%"moved.chunks"%'}), '1', '... which the declaration has, too');
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'a dump');
sql('CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('copy') ], '... is restored');
is( $node->safe_psql('copy', q{
	DROP TABLE moved.chunks;
	SELECT count(*) FROM pg_trigger WHERE tgrelid = 'docs'::regclass AND tgname = 'modal_generate_chunks'}),
	'0', '... with the declaration, which depends on its table there');

# --- collations -------------------------------------------------------------------------------

SKIP:
{
	skip 'no ICU collations', 2
		if error_of(q{CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)}) ne '';
	sql(q{CREATE TABLE plain (id text PRIMARY KEY, pages jsonb); CREATE TABLE ci_rows (id text COLLATE ci, result text);
		CREATE TABLE ci (id text COLLATE ci PRIMARY KEY, pages jsonb); CREATE TABLE plain_rows (id text, result text)});
	like(error_of("SELECT modal_generate_rows('$_->[0]', '$_->[1]', 'local:builtin/echo', '{pages}', '{id}')"),
		qr/key column "id" of relation ".*" has another collation than column "id"/, "keys that differ for one table alone: $_->[0]")
		for [ 'plain', 'ci_rows' ], [ 'ci', 'plain_rows' ];
}

$_->quit for $session, $other;
$node->stop;
done_testing();
