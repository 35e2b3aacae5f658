-- Lists of numbers become arrays, and types made of floats, without a detour
-- through text.
\i test/setup.sql
SET modal_batch.server = 'local';
\set SHOW_CONTEXT never
\set VERBOSITY terse
CREATE SCHEMA vec;
SET search_path = vec, public;

CREATE FUNCTION as_int2s(bytea) RETURNS int2[] LANGUAGE modal AS 'builtin/raw';
CREATE FUNCTION as_int4s(bytea) RETURNS int4[] LANGUAGE modal AS 'builtin/raw';
CREATE FUNCTION as_int8s(bytea) RETURNS int8[] LANGUAGE modal AS 'builtin/raw';
CREATE FUNCTION as_float4s(bytea) RETURNS float4[] LANGUAGE modal AS 'builtin/raw';
CREATE FUNCTION as_float8s(bytea) RETURNS float8[] LANGUAGE modal AS 'builtin/raw';
CREATE FUNCTION as_json(bytea) RETURNS jsonb LANGUAGE modal AS 'builtin/raw';

-- CBOR as it is written: what is read in one pass, and what is not
CREATE FUNCTION head(major int, n numeric) RETURNS bytea LANGUAGE sql AS $$
	SELECT CASE WHEN n < 24 THEN set_byte('\x00', 0, major * 32 + n::int)
		WHEN n < 2 ^ 32 THEN set_byte('\x00', 0, major * 32 + 26) || int4send((n::int8 - CASE WHEN n >= 2 ^ 31 THEN 2 ^ 32 ELSE 0 END)::int4)
		ELSE set_byte('\x00', 0, major * 32 + 27) || int8send(n::int8) END
$$;
CREATE FUNCTION list(VARIADIC items bytea[]) RETURNS bytea LANGUAGE sql AS $$
	SELECT head(4, count(item)) || COALESCE(string_agg(item, '' ORDER BY n), '') FROM unnest(items) WITH ORDINALITY u(item, n)
$$;
CREATE FUNCTION item(float8) RETURNS bytea LANGUAGE sql AS $$ SELECT '\xfb'::bytea || float8send($1) $$;
CREATE FUNCTION item(float4) RETURNS bytea LANGUAGE sql AS $$ SELECT '\xfa'::bytea || float4send($1) $$;
CREATE FUNCTION item(int8) RETURNS bytea LANGUAGE sql AS $$ SELECT CASE WHEN $1 < 0 THEN head(1, -1 - $1::numeric) ELSE head(0, $1) END $$;

SELECT as_int2s(list(item(1), item(-32768))), as_int4s(list(item(2147483647), item(-1))), as_int8s(list(item(9223372036854775807), item(-9223372036854775808)));
SELECT as_float4s(list(item(0.1::float8), item(0.1::float4), '\xf93e00', item(7))), as_float8s(list(item(0.1::float8), item(0.5::float4), item('NaN'::float8), '\xf9fc00', item('-0'::float8)));
-- item by item: whole floats, NULL, more dimensions, none
SELECT as_int4s(list(item(1), item(2::float8), '\xf6')), as_float4s(list(list(item(1.5::float8)), list(item(2)))), as_float8s('\x80'), as_float8s('\x9f01ff');
SELECT as_float8s(list(item(1), '\xc48221190539', '\xc249010000000000000000')) AS decimal_and_big;
-- what does not fit
SELECT as_int2s(list(item(1), item(32768)));
SELECT as_int4s(list(item(1), item(1.5::float8)));
SELECT as_float4s(list(item(1), item(1e39::float8)));
SELECT as_float4s(list(item(1), item(1e-50::float8)));
SELECT as_float8s(list(item(1), '\x6178'));
SELECT as_float8s(list(item(1), list(item(1))));
SELECT as_float8s('\x8201');
-- half way between two floats, and too small to be normalized: as their text is, alone or not
CREATE FUNCTION as_float4(bytea) RETURNS float4 LANGUAGE modal AS 'builtin/raw';
CREATE FUNCTION as_float8(bytea) RETURNS float8 LANGUAGE modal AS 'builtin/raw';
SELECT v, as_float4s(list(item(v))) = ARRAY[v::text::float4] AS listed, as_float4s(list(item(v), '\xf6')) = ARRAY[v::text::float4, NULL] AS with_null, as_float4(item(v)) = v::text::float4 AS alone
	FROM unnest(ARRAY[1 + 2 ^ -24, 1 + 3 * 2 ^ -24, 1e-40, 1.4e-45, 3.4028235677973366e38, -3.4028235677973366e38, 0.1, '-0', 'NaN', 'Infinity']) v;
-- integers beyond what a double has exactly are rounded once
SELECT v, as_float8s(list(item(v))) = ARRAY[v::text::float8] AS listed, as_float8(item(v)) = v::text::float8 AS alone, as_float4(item(v)) = v::text::float4 AS single
	FROM unnest(ARRAY[9007199254740993, 9007199254740995, -9007199254740993, -9007199254740994, -9007199254740995, -17560170092858286, 9007199791611905, -9007199791611905, -9223372036854775808]) v;
SELECT as_float8('\x3bffffffffffffffff'), as_float8('\x1bffffffffffffffff'), as_float4('\x3bffffffffffffffff');

-- typed arrays (RFC 8746), and a tag that says no more than that it is a list
SELECT as_int4s('\xd84042ff01'), as_int4s('\xd84d44fffe0080'), as_float4s('\xd855480000803fcdcccc3d'), as_float8s('\xd85648000000000000f0bf'), as_float4s('\xd82982f93c0001');
SELECT as_json('\xd855480000803f000020c0'), as_json('\xa16161d84042ff01'), as_int2s('\xd84540');
SELECT as_int4s('\xd8554401020304');
SELECT as_float4s('\xd85543010203');
SELECT as_json('\xd8535000000000000000000000000000000000') AS too_long_for_us;

-- a domain's checks hold for every element
CREATE DOMAIN small AS float4 CHECK (VALUE < 10);
CREATE DOMAIN two_numbers AS float8[] CHECK (cardinality(VALUE) = 2);
CREATE FUNCTION as_smalls(bytea) RETURNS small[] LANGUAGE modal AS 'builtin/raw';
CREATE FUNCTION as_two(bytea) RETURNS two_numbers LANGUAGE modal AS 'builtin/raw';
SELECT as_smalls(list(item(1), item(2.5::float4))), as_two(list(item(1), item(2)));
SELECT as_smalls(list(item(1), item(10)));
SELECT as_two(list(item(1)));
-- arrays of a domain that is an array itself; tags of lists within a list
CREATE FUNCTION as_twos(bytea) RETURNS two_numbers[] LANGUAGE modal AS 'builtin/raw';
CREATE FUNCTION echo_twos(two_numbers[]) RETURNS jsonb LANGUAGE modal AS 'builtin/echo';
SELECT as_twos(list(list(item(1), item(2)), '\xf6', list(item(3), item(4)))), as_twos('\x80'), echo_twos(ARRAY['{1,2}', NULL]::two_numbers[]);
SELECT as_twos(list(list(item(1))));
SELECT as_twos(list(item(1)));
SELECT as_int4s(list('\xd90102'::bytea || list(item(1)), '\xd829'::bytea || list(item(2)), '\xd84d4403000000')) AS no_rectangle;
SELECT as_int4s(list('\xd90102'::bytea || list(item(1)), '\xd829'::bytea || list(item(2)), '\xd84e4403000000'));

-- arguments: the same bytes as one by one, float4 in 32 bits
SELECT modal_remote('builtin/echo', ARRAY[0.1, 2.5, 'NaN', '-Infinity', '-0']::float4[]), modal_remote('builtin/echo', ARRAY[0.1, 1e30]::float8[]),
	modal_remote('builtin/echo', ARRAY[1, -1, 24, 256, 65536, 4294967296, -9223372036854775808]), modal_remote('builtin/echo', '{{1,2},{3,4}}'::int2[]),
	modal_remote('builtin/echo', '{1,NULL}'::float8[]), modal_remote('builtin/echo', '{}'::float4[]);
CREATE FUNCTION same(float4[]) RETURNS float4[] LANGUAGE modal AS 'builtin/echo';
CREATE FUNCTION same(float8[]) RETURNS float8[] LANGUAGE modal AS 'builtin/echo';
CREATE FUNCTION same(int8[]) RETURNS int8[] LANGUAGE modal AS 'builtin/echo';
SELECT count(*) FILTER (WHERE same(f4) IS DISTINCT FROM f4 OR same(f8) IS DISTINCT FROM f8 OR same(i8) IS DISTINCT FROM i8) AS different
FROM (SELECT array_agg(((random() - 0.5) * 10 ^ (random() * 60 - 30))::float4) AS f4, array_agg((random() - 0.5) * 10 ^ (random() * 300 - 150)) AS f8,
		array_agg(((random() - 0.5) * 2 ^ (random() * 62))::int8) AS i8
	FROM generate_series(1, 100) g, generate_series(1, 20) n GROUP BY n) q;

-- a list as numbers, and as text that the elements' type reads: the same
SELECT count(*) FILTER (WHERE as_float4s(list(VARIADIC items)) IS DISTINCT FROM texts::float4[]) AS float4s,
	count(*) FILTER (WHERE as_float8s(list(VARIADIC items)) IS DISTINCT FROM texts::float8[]) AS float8s
FROM (SELECT array_agg(item(v)) AS items, array_agg(v::text) AS texts
	FROM generate_series(1, 50) n, generate_series(1, 40) g, LATERAL (SELECT (random() - 0.5) * 10 ^ (random() * 70 - 35 + n * 0) AS v) r GROUP BY n) q;

SELECT modal_remote('builtin/floats', 3), modal_remote('builtin/floats', 0);

-- jsonb: the numbers that their text is
SELECT count(*) FILTER (WHERE js::text IS DISTINCT FROM to_jsonb(numbers)::text) AS different,
	count(*) FILTER (WHERE pg_column_size(js) <> pg_column_size(to_jsonb(numbers)) OR js -> 37 <> to_jsonb(numbers) -> 37) AS stored_differently
FROM (SELECT numbers, as_json(list(VARIADIC items)) AS js FROM (SELECT array_agg(item(v)) AS items, array_agg(v::text::numeric) AS numbers
	FROM generate_series(1, 50) n, generate_series(1, 40) g,
	LATERAL (SELECT CASE g % 4 WHEN 0 THEN round(random() * 10 ^ (g % 20)) WHEN 1 THEN (random() - 0.5)::float4::float8 ELSE (random() - 0.5) * 10 ^ (random() * 600 - 300 + n * 0) END AS v) r GROUP BY n) p OFFSET 0) q;
SELECT as_json(list(item(0::float8), item('-0'::float8), item(1e15::float8), item(1e16::float8), item(1e22::float8), item(1e-7::float8), item(123456.5::float8), item('NaN'::float8), item('-Infinity'::float8), item(1.05::float8), item(-1e-5::float8), item(1e-63::float8), item(1e-64::float8)));

SET client_min_messages = warning;
DROP SCHEMA vec CASCADE;
