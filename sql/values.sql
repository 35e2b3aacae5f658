-- Settings of a session have no influence on values, neither way; and what was
-- written exactly is read back as it was.
\i test/setup.sql
SET modal_batch.server = 'local';
\set SHOW_CONTEXT never
CREATE SCHEMA vals;
CREATE SCHEMA elsewhere;
SET search_path = vals, public;
CREATE TABLE elsewhere.thing (at tstzrange);
CREATE TYPE span AS (at tstzrange, list interval[]);

CREATE FUNCTION as_raw(bytea) RETURNS jsonb LANGUAGE modal AS 'builtin/raw';
CREATE FUNCTION as_timestamptz(text) RETURNS timestamptz LANGUAGE modal AS 'builtin/echo';
CREATE FUNCTION as_timestamp(text) RETURNS timestamp LANGUAGE modal AS 'builtin/echo';
CREATE FUNCTION as_date(text) RETURNS date LANGUAGE modal AS 'builtin/echo';
CREATE FUNCTION as_timetz(text) RETURNS timetz LANGUAGE modal AS 'builtin/echo';
CREATE FUNCTION as_interval(text) RETURNS interval LANGUAGE modal AS 'builtin/echo';
CREATE FUNCTION as_range(text) RETURNS tstzrange LANGUAGE modal AS 'builtin/echo';
CREATE FUNCTION as_dates(text) RETURNS date[] LANGUAGE modal AS 'builtin/echo';
CREATE FUNCTION as_strings(text) RETURNS text[] LANGUAGE modal AS 'builtin/echo';
CREATE FUNCTION as_xml(text) RETURNS xml LANGUAGE modal AS 'builtin/echo';
CREATE FUNCTION as_class(text) RETURNS regclass LANGUAGE modal AS 'builtin/echo';

-- what functions get, and what is made of what they give
CREATE FUNCTION forms(OUT sent jsonb, OUT got text) LANGUAGE plpgsql AS $$
BEGIN
	sent := jsonb_build_array(
		modal_remote('builtin/echo', tstzrange('2024-06-01 10:00+00', '2024-06-01 11:00+00')),
		modal_remote('builtin/echo', ARRAY[daterange('2024-02-03', '2024-03-04')]),
		modal_remote('builtin/echo', '{[2024-06-01 10:00+00,2024-06-01 11:00+00)}'::tstzmultirange),
		modal_remote('builtin/echo', ROW(tstzrange('2024-06-01 10:00+00', NULL), '{-1 day -2:03:04}')::span),
		modal_remote('builtin/echo', point(1.0 / 3, 1e-20)),
		modal_remote('builtin/echo', interval '1 mon -2 days 03:04:05'),
		modal_remote('builtin/echo', '01:02:03+05'::timetz),
		modal_remote('builtin/echo', 'elsewhere.thing'::regclass),
		modal_remote('builtin/echo', 'pg_class'::regclass),
		as_raw('\xc11a65920080'), as_raw('\xc1fb41d9648020200000'), as_raw('\xc13903e7'));
	got := concat_ws(' ',
		extract(epoch FROM as_timestamptz('2024-02-29T23:30:00')),
		extract(epoch FROM as_timestamptz('02/03/2024 12:00')),
		extract(epoch FROM as_timestamp('2024-02-29T23:30:00-05:00')),
		as_date('2024-02-29T23:30:00-05:00') - date '2024-01-01', as_date('02/03/2024') - date '2024-01-01',
		as_date('300000-01-01') - date '2024-01-01',
		extract(timezone FROM as_timetz('10:00')), extract(timezone FROM as_timetz('10:00 IST')),
		extract(epoch FROM as_timestamptz('2024-02-29 10:00 IST')), extract(epoch FROM lower(as_range('[2024-02-29 10:00 IST,)'))),
		extract(epoch FROM as_interval('-1 2:03:04')),
		extract(epoch FROM lower(as_range('[02/03/2024 10:00,)'))),
		(as_dates('{02/03/2024}'))[1] - date '2024-01-01',
		(as_strings('{NULL}'))[1] IS NULL, as_xml('a<b/>') IS NOT NULL, as_class('elsewhere.thing')::oid = 'elsewhere.thing'::regclass::oid);
END $$;
CREATE TABLE seen AS SELECT 'plain' AS session, * FROM forms();
SELECT jsonb_array_elements(sent) AS sent FROM seen;
SELECT got FROM seen;
SET timezone = 'Asia/Tokyo';
SET datestyle = 'German, DMY';
SET intervalstyle = 'sql_standard';
SET extra_float_digits = -10;
SET bytea_output = 'escape';
SET xmloption = 'document';
SET array_nulls = off;
SET quote_all_identifiers = on;
SET timezone_abbreviations = 'India';
SET search_path = elsewhere, vals, public;
INSERT INTO seen SELECT 'odd', * FROM forms();
SELECT count(DISTINCT sent), count(DISTINCT got) FROM seen;
-- a conversion that fails leaves the session's settings
SELECT as_interval('nonsense');
SELECT as_class('nonsense');
SELECT timestamptz '2024-06-01 10:00+00', interval '-1 day -2:03:04', current_setting('search_path');
RESET timezone;
RESET datestyle;
RESET intervalstyle;
RESET extra_float_digits;
RESET bytea_output;
RESET xmloption;
RESET array_nulls;
RESET quote_all_identifiers;
SELECT '2024-02-29 10:00 IST'::timestamptz AT TIME ZONE 'UTC';
RESET timezone_abbreviations;
SET search_path = vals, public;

-- precision of declared times
CREATE DOMAIN whole AS timestamp(0);
CREATE FUNCTION at_whole(timestamp) RETURNS whole LANGUAGE modal AS 'builtin/echo';
CREATE TYPE rounded AS (a timestamptz(0), b timestamp(0)[], c whole);
CREATE FUNCTION at_rounded(jsonb) RETURNS rounded LANGUAGE modal AS 'builtin/echo';
SELECT at_whole('2024-01-01 00:00:00.6');
SELECT (r).* FROM at_rounded('{"a": "2024-01-01T00:00:00.6Z", "b": ["2024-01-01T00:00:00.6"], "c": "2024-01-01T00:00:00.4"}') AS r;

-- a domain may be against a member that is not there
CREATE DOMAIN must AS int NOT NULL;
CREATE TYPE needs AS (a int, b must);
CREATE FUNCTION as_needs(jsonb) RETURNS needs LANGUAGE modal AS 'builtin/echo';
CREATE FUNCTION as_list_of_needs(jsonb) RETURNS needs[] LANGUAGE modal AS 'builtin/echo';
SELECT as_needs('{"a": 1, "b": 2}');
SELECT as_needs('{"a": 1, "b": null}');
SELECT as_needs('{"a": 1}');
SELECT as_list_of_needs('[{"a": 1, "b": 2}, {}]');

-- domains over a type that is not read from its binary form
CREATE TYPE bare;
SET client_min_messages = warning;
CREATE FUNCTION bare_in(cstring) RETURNS bare LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION bare_out(bare) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
RESET client_min_messages;
CREATE TYPE bare (INPUT = bare_in, OUTPUT = bare_out, LIKE = text);
CREATE DOMAIN short AS bare CHECK (length(VALUE::text) < 4);
CREATE DOMAIN needed AS short CONSTRAINT no_x CHECK (VALUE::text <> 'x') NOT NULL;
CREATE TYPE has_shorts AS (a short, list needed[], n int);
CREATE FUNCTION as_short(text) RETURNS short LANGUAGE modal AS 'builtin/echo';
CREATE FUNCTION as_needed(text) RETURNS needed LANGUAGE modal AS 'builtin/echo' CALLED ON NULL INPUT;
CREATE FUNCTION as_has_shorts(jsonb) RETURNS has_shorts LANGUAGE modal AS 'builtin/echo';
SELECT as_short(t), as_needed(t) FROM unnest('{a,abc}'::text[]) t;
SELECT as_short(NULL), as_short(t) FROM unnest('{a,abcd}'::text[]) t;
SELECT as_needed('abcd');
SELECT as_needed('x');
SELECT as_needed(NULL);
SELECT as_has_shorts('{"a": null, "list": ["a", "b"], "n": 1}');
SELECT as_has_shorts('{"a": "abcd"}');
SELECT as_has_shorts('{"list": ["a", "x"]}');
SELECT as_has_shorts('{"list": ["a", null]}');
ALTER DOMAIN short ADD CONSTRAINT no_y CHECK (VALUE::text <> 'y');
SELECT as_short('y');
ALTER DOMAIN short DROP CONSTRAINT no_y;
SELECT as_short('y');
CREATE FUNCTION fails(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '22012' USING MESSAGE = 'of ' || $1; END $$;
ALTER DOMAIN short ADD CONSTRAINT that_fails CHECK (VALUE::text <> 'z' OR fails(VALUE::text)) NOT VALID;
SELECT as_short('z');

-- numbers at the ends of their types
CREATE FUNCTION as_float4(float8) RETURNS float4 LANGUAGE modal AS 'builtin/echo';
CREATE FUNCTION same_numeric(numeric) RETURNS numeric LANGUAGE modal AS 'builtin/echo';
SELECT as_float4(1e-40), as_float4(0), as_float4(-0.0);
SELECT as_float4(1e-50);
SELECT same_numeric(n) = n AS same, (modal_remote('builtin/echo', n))::numeric = n AS as_jsonb
FROM (VALUES (('1' || repeat('0', 131071))::numeric), (0), (-18446744073709551616), ((repeat('7', 131072) || '.' || repeat('3', 16383))::numeric), (-(repeat('9', 30000)::numeric))) AS v(n);

-- vectors of the catalogs are numbered from 0
CREATE FUNCTION as_int2vector(int[]) RETURNS int2vector LANGUAGE modal AS 'builtin/echo';
CREATE FUNCTION as_oidvector(jsonb) RETURNS oidvector LANGUAGE modal AS 'builtin/echo';
SELECT array_lower(as_int2vector('{3,1}'), 1), as_int2vector('{3,1}') = '3 1'::int2vector AS same,
	as_int2vector('{}') = ''::int2vector AS empty, as_oidvector('[1, 4294967295]');
SELECT as_int2vector('{1,NULL}');
SELECT as_int2vector('{{1},{2}}');

-- kept and compared exactly: what a function sees as the same
SELECT modal_batch.fingerprint('null'::jsonb) <> modal_batch.fingerprint(NULL::jsonb) AS "null",
	modal_batch.fingerprint('[0:1]={1,2}'::int[]) <> modal_batch.fingerprint('{1,2}'::int[]) AS bounds,
	modal_batch.fingerprint(ARRAY['null'::jsonb]) <> modal_batch.fingerprint(ARRAY[NULL::jsonb]) AS elements,
	modal_batch.fingerprint('1 2'::int2vector) = modal_batch.fingerprint('1 2'::int2vector) AS vectors;
CREATE TABLE exact (k int[], j jsonb, v jsonb, result jsonb, PRIMARY KEY (k, j));
INSERT INTO exact VALUES ('[0:1]={1,2}', 'null', 'null'), ('{1,2}', 'null', '[1]'), ('{1,2}', '1', NULL), ('[-1:0][2:2]={{3},{4}}', '{}', '{"a": null}');
SELECT modal_spawn_map('builtin/types', 'SELECT k, j, v FROM exact', key => '{k,j}', into_table => 'exact', mode => 'update') AS job \gset
SELECT modal_wait(:job, '20 s');
SELECT k, j, v, result -> 'args' AS args FROM exact ORDER BY k, j;

-- row types that change from row to row leave no memory behind
SELECT count(modal_remote('builtin/echo', CASE WHEN g % 2 = 0 THEN ROW(1) ELSE ROW(1, 'a') END)) FROM generate_series(1, 4) g;

SET client_min_messages = warning;
DROP SCHEMA vals, elsewhere CASCADE;
