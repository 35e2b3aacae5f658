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

# --- a schema that others have prepared -----------------------------------------

# An operator or function there that fits better than pg_catalog's would run
# with the rights of whoever looks at a view.
$node->safe_psql('postgres', 'CREATE DATABASE hostile');
$node->safe_psql(
	'hostile', q{
	CREATE SCHEMA trap;
	DO $do$
	DECLARE
		op text;
		l text;
		r text;
		n int := 0;
	BEGIN
		FOREACH op IN ARRAY '{+,-,*,/,||,=,<>,<,>,<=,>=,->,->>,~*}'::text[] LOOP
			FOREACH l IN ARRAY '{int4,int8,numeric,float8,text,name,jsonb,oid,regrole,regclass,interval,timestamptz}'::text[] LOOP
				FOREACH r IN ARRAY '{int4,int8,numeric,float8,text,name,jsonb,oid,regrole,regclass,interval,timestamptz}'::text[] LOOP
					n := n + 1;
					EXECUTE format('CREATE FUNCTION trap.f%s(%s, %s) RETURNS %s LANGUAGE sql AS $$ SELECT NULL::%4$s $$',
						n, l, r, CASE WHEN op IN ('+', '-', '*', '/') THEN 'numeric' WHEN op = '||' THEN 'text' WHEN op = '->' THEN 'jsonb' ELSE 'bool' END);
					EXECUTE format('CREATE OPERATOR trap.%s (FUNCTION = trap.f%s, LEFTARG = %s, RIGHTARG = %s)', op, n, l, r);
				END LOOP;
			END LOOP;
		END LOOP;
	END $do$;
	CREATE FUNCTION trap.pg_has_role(regrole, text) RETURNS bool LANGUAGE sql AS 'SELECT true';
	CREATE FUNCTION trap.nextval(text) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';
	CREATE FUNCTION trap.round(numeric, bigint) RETURNS numeric LANGUAGE sql AS 'SELECT 1.0';
	CREATE FUNCTION trap.round(bigint, int) RETURNS numeric LANGUAGE sql AS 'SELECT 1.0';
	CREATE FUNCTION trap.make_interval(secs numeric) RETURNS interval LANGUAGE sql AS $$ SELECT '1 day'::interval $$;
	CREATE FUNCTION trap.pg_extension_config_dump(text, text) RETURNS void LANGUAGE sql AS '';
	CREATE FUNCTION trap.unnest(bigint[]) RETURNS SETOF bigint LANGUAGE sql AS 'SELECT 1::bigint';
	CREATE FUNCTION trap.jsonb_to_recordset(json) RETURNS SETOF record LANGUAGE sql AS 'SELECT 1';
	CREATE FUNCTION trap.split_part(text, text, bigint) RETURNS text LANGUAGE sql AS $$ SELECT '' $$;
	CREATE FUNCTION trap.split_part(text, varchar, int) RETURNS text LANGUAGE sql AS $$ SELECT '' $$;
	CREATE FUNCTION trap.regexp_replace(text, varchar, varchar, varchar) RETURNS text LANGUAGE sql AS $$ SELECT '' $$;
	CREATE FUNCTION trap.modal_wait(bigint) RETURNS text LANGUAGE sql AS $$ SELECT 'trapped' $$;
	SET search_path = trap, pg_catalog;
	CREATE EXTENSION modal_batch SCHEMA trap});
is( $node->safe_psql(
		'hostile', q{
		WITH member AS (SELECT classid, objid FROM pg_depend
				WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'),
			part AS (SELECT * FROM member
				UNION SELECT 'pg_rewrite'::regclass, r.oid FROM pg_rewrite r JOIN member ON ev_class = objid
				UNION SELECT 'pg_attrdef'::regclass, a.oid FROM pg_attrdef a JOIN member ON adrelid = objid
				UNION SELECT 'pg_constraint'::regclass, c.oid FROM pg_constraint c JOIN member ON conrelid = objid
				UNION SELECT 'pg_policy'::regclass, p.oid FROM pg_policy p JOIN member ON polrelid = objid)
		SELECT pg_describe_object(d.classid, d.objid, d.objsubid), pg_describe_object(refclassid, refobjid, 0)
		FROM pg_depend d JOIN part USING (classid, objid)
		WHERE refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
			AND NOT EXISTS (SELECT FROM member m WHERE m.classid = refclassid AND m.objid = refobjid)
		ORDER BY 1, 2}),
	'',
	'nothing of the extension uses what was in its schema');
is( $node->safe_psql(
		'hostile', q{SELECT cardinality(extconfig) FROM pg_extension WHERE extname = 'modal_batch'}),
	'4',
	'tables to dump are known');

$node->stop;
done_testing();
