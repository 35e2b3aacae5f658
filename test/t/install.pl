# Copyright (c) 2026, modal_batch contributors

# CREATE EXTENSION in any schema, and DROP EXTENSION leaves nothing behind.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main');

# The number of rows of every system catalog.
sub catalog_counts
{
	my ($dbname) = @_;

	return $node->safe_psql(
		$dbname, q{
		SELECT format('%s: %s', relname,
			(xpath('/row/n/text()', query_to_xml(
				format('SELECT count(*) AS n FROM pg_catalog.%I', relname),
				false, true, '')))[1])
		FROM pg_catalog.pg_class
		WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'
			AND relname NOT IN ('pg_statistic', 'pg_shdepend')
		ORDER BY relname});
}

$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
my $before = catalog_counts('elsewhere');

$node->safe_psql('elsewhere',
	'CREATE SCHEMA "Other"; CREATE EXTENSION modal_batch SCHEMA "Other"');
create_local_server($node, $local, dbname => 'elsewhere');
is( $node->safe_psql(
		'elsewhere', q{SELECT "Other".modal_remote('local:builtin/square', 7)}),
	'49',
	'a function works in another schema, with that schema not in search_path');
is( $node->safe_psql(
		'elsewhere', q{
		SELECT string_agg(result::text, ',' ORDER BY ordinal)
		FROM "Other".modal_map('local:builtin/square',
			'SELECT g FROM generate_series(1, 3) g')}),
	'1,4,9',
	'modal_map works in another schema');

is( $node->safe_psql(
		'elsewhere', q{
		SELECT count(*) FROM pg_depend d
		WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
			AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'modal_batch')
			AND d.classid = 'pg_proc'::regclass
			AND (SELECT pronamespace FROM pg_proc WHERE oid = d.objid)
				NOT IN ('"Other"'::regnamespace, 'modal_batch'::regnamespace)}),
	'0',
	'every function is in the chosen schema or in modal_batch');

is( $node->safe_psql(
		'elsewhere', q{
		SELECT p.oid::regprocedure
		FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid
		WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
			AND d.classid = 'pg_proc'::regclass
			AND p.prosecdef AND NOT coalesce(p.proconfig::text LIKE '%search_path%', false)}),
	'',
	'every SECURITY DEFINER function has a search_path of its own');

$node->safe_psql('elsewhere',
	'DROP EXTENSION modal_batch CASCADE; DROP SCHEMA "Other"');
is(catalog_counts('elsewhere'), $before, 'DROP EXTENSION leaves nothing behind');

is( $node->safe_psql(
		'elsewhere',
		'CREATE EXTENSION modal_batch; DROP EXTENSION modal_batch; CREATE EXTENSION modal_batch; SELECT 1'),
	'1',
	'the extension can be made again');

$node->stop;
done_testing();
