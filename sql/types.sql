-- Every type, there and back: what Python sees, what comes back as jsonb, and
-- whether a typed function returns the very value that was sent.
\i test/setup.sql
SET timezone = 'America/New_York';
SET datestyle = 'German';
SET intervalstyle = 'sql_standard';
SET extra_float_digits = 1;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, "B c" text);
CREATE TYPE nest AS (p pair, list pair[], at timestamptz);

CREATE FUNCTION there_and_back(type text, literal text, OUT python jsonb, OUT js jsonb, OUT same boolean)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE FUNCTION echoed(%s) RETURNS %1$s LANGUAGE modal AS %L', type, 'local:builtin/echo');
	EXECUTE format('SELECT modal_remote(%L, %L::%s), modal_remote(%L, %2$L::%3$s), echoed(%2$L::%3$s)::text IS NOT DISTINCT FROM (%2$L::%3$s)::text',
		'local:builtin/types', literal, type, 'local:builtin/echo') INTO python, js, same;
	DROP FUNCTION echoed;
END $$;

SELECT v.*, left(r.python #>> '{args,0}', 60) AS python, left(r.js::text, 60) AS json, r.same
FROM (VALUES
	('bool', 'true'), ('bool', NULL),
	('int2', '-32768'), ('int4', '2147483647'), ('int8', '-9223372036854775808'), ('int8', '9007199254740993'),
	('oid', '4294967295'),
	('float4', '0.1'), ('float4', 'NaN'), ('float8', '0.1'), ('float8', '1e300'), ('float8', '-0'), ('float8', '5e-324'),
	('float8', 'NaN'), ('float8', 'Infinity'), ('float8', '-Infinity'), ('float8', '3'),
	('numeric', '1'), ('numeric', '1.10'), ('numeric', '-0.000001'), ('numeric', '123456789012345678901234567890'),
	('numeric', '-18446744073709551616'), ('numeric', '-18446744073709551617'), ('numeric', '18446744073709551615'),
	('numeric', '18446744073709551616'), ('numeric', '1e-50'), ('numeric', 'NaN'), ('numeric', '-Infinity'), ('numeric(10,3)', '7.5'),
	('text', 'green'), ('text', ''), ('varchar(3)', 'abc'), ('char(3)', 'a'), ('name', 'pg_class'),
	('bytea', '\x00ff'), ('bytea', ''),
	('date', '2024-02-29'), ('date', '0044-03-15 BC'), ('date', 'infinity'),
	('timestamptz', '2024-02-29 12:34:56.000001+02'), ('timestamptz', '2024-07-01 00:00:00-04'), ('timestamptz', '-infinity'),
	('timestamp', '2024-02-29 12:34:56.5'), ('timestamp', '12024-01-01'), ('timestamp', '0044-03-15 12:00 BC'), ('timestamptz', '0044-03-15 12:00+00 BC'), ('time', '01:02:03.4'), ('timetz', '01:02:03+05'),
	('interval', '1 year 2 mons 3 days 04:05:06.7'), ('interval', '-1 day +02:00'), ('interval', '-00:00:00.5'), ('interval', '0'),
	('uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
	('json', '{"a": "x", "b": [1, 2.5, null]}'), ('jsonb', '{"a": {"b": [1, 2.5, true, null, 12345678901234567890.5]}}'), ('jsonb', '"scalar"'), ('jsonb', '[]'),
	('int[]', '{1,NULL,3}'), ('int[]', '{}'), ('text[]', '{{a,b},{c,d}}'), ('float8[]', '{{{1,2}},{{3,NaN}}}'), ('jsonb[]', '{"[1]","{}"}'),
	('mood', 'happy'), ('positive', '5'), ('mood[]', '{sad,ok}'),
	('pair', '(1,"x y")'), ('pair', '(,)'), ('nest', '("(1,a)","{""(2,b)"",""(3,)""}","2024-01-01 00:00:00+00")'),
	('int4range', '[1,5)'), ('inet', '10.0.0.1/8'), ('bit(3)', '101'), ('money', '$1.50'), ('xml', '<a/>'), ('tsvector', 'a:1'), ('point', '(1,2)')
) AS v(type, literal), there_and_back(v.type, v.literal) AS r;

-- a row of an anonymous type, several arguments, literals of unknown type
SELECT modal_remote('local:builtin/echo', ROW(1, 'a', ROW(true)));
SELECT modal_remote('local:builtin/types', 'unknown', 1, 1.5, now() IS NOT NULL);
SELECT modal_call('local:builtin/types', '[1, 1.5, "x", null, true, [1], {"k": 1}, 12345678901234567890, 0.12345678901234567890]');
SELECT modal_call('local:builtin/types', '[0.30000000000000004, -1.2345678901234567, 1.100000000000000, 1e-20, 0.30000000000000005, 12345678901.123456789]');
SELECT modal_remote('local:builtin/types', to_jsonb(pi()), to_jsonb(1::float8 / 3));
-- arrays with other lower bounds lose them
SELECT modal_remote('local:builtin/echo', '[2:3]={7,8}'::int[]);

-- declared types: what came, and what was declared
\set SHOW_CONTEXT never
CREATE FUNCTION as_int4(bytea) RETURNS int LANGUAGE modal AS 'local:builtin/raw';
CREATE FUNCTION as_int2(bytea) RETURNS int2 LANGUAGE modal AS 'local:builtin/raw';
CREATE FUNCTION as_float4(bytea) RETURNS float4 LANGUAGE modal AS 'local:builtin/raw';
CREATE FUNCTION as_text(bytea) RETURNS text LANGUAGE modal AS 'local:builtin/raw';
CREATE FUNCTION as_bool(bytea) RETURNS bool LANGUAGE modal AS 'local:builtin/raw';
CREATE FUNCTION as_date(bytea) RETURNS date LANGUAGE modal AS 'local:builtin/raw';
CREATE FUNCTION as_ints(bytea) RETURNS int[] LANGUAGE modal AS 'local:builtin/raw';
CREATE FUNCTION as_pair(bytea) RETURNS pair LANGUAGE modal AS 'local:builtin/raw';
CREATE FUNCTION as_positive(bytea) RETURNS positive LANGUAGE modal AS 'local:builtin/raw';
CREATE FUNCTION as_mood(bytea) RETURNS mood LANGUAGE modal AS 'local:builtin/raw';
CREATE FUNCTION as_numeric(bytea) RETURNS numeric(6,2) LANGUAGE modal AS 'local:builtin/raw';
SELECT as_int4('\xfb4008000000000000') AS whole_float;
SELECT as_int4('\xf94200') AS whole_half, as_int4('\xf6') AS none;
SELECT as_int4('\xfb400921fb54442d18');
SELECT as_int4('\x1a80000000');
SELECT as_int2('\x198000');
SELECT as_int4('\x6131');
SELECT as_int4('\x8101');
SELECT as_float4('\xfb7e37e43c8800759c');
SELECT as_float4('\x0a') AS integer_for_float;
SELECT as_text('\x01');
SELECT as_text('\x6161') AS text, as_text('\x610a') AS newline;
SELECT as_bool('\x01');
SELECT as_date('\xc074323032342d30322d32395431323a30303a30305a') AS of_a_timestamp;
SELECT as_date('\x6378797a');
SELECT as_ints('\x828101820203');
SELECT as_ints('\x82820102820304' || ''::bytea) AS two_dimensions;
SELECT as_ints('\x8201f6') AS with_null, as_ints('\x80') AS no_elements;
SELECT as_ints('\x81818181818181' || '\x01'::bytea);
SELECT as_pair('\xa2616101617802') AS other_keys;
SELECT as_pair('\xa261610163422063617a') AS by_name, as_pair('\x82016179') AS by_position, as_pair('\xa0') AS empty;
SELECT as_pair('\x8101');
SELECT as_pair('\x01');
SELECT as_positive('\x05') AS positive;
SELECT as_positive('\x20');
SELECT as_mood('\x6568617070' || '\x79'::bytea) AS mood;
SELECT as_mood('\x63626164');
SELECT as_numeric('\xfb40091eb851eb851f') AS rounded, as_numeric('\xc48221190539') AS decimal;

DROP FUNCTION there_and_back, as_int4, as_int2, as_float4, as_text, as_bool, as_date, as_ints, as_pair, as_positive, as_mood, as_numeric;
DROP TYPE nest, pair, positive, mood;
