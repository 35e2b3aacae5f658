-- Typed functions that return sets, in FROM beside a table: as apply nodes, and
-- row by row.
\i test/setup.sql
CREATE SCHEMA typed_sets;
SET search_path = typed_sets, public;
CREATE TABLE item (id int PRIMARY KEY, a int[]);
INSERT INTO item SELECT g, CASE WHEN g % 5 = 0 THEN NULL WHEN g % 3 = 0 THEN '{}'::int[] ELSE ARRAY[g, NULL, g + 1] END
	FROM generate_series(1, 12) g;
ANALYZE item;
CREATE FUNCTION list(int[]) RETURNS SETOF int LANGUAGE modal AS 'local:builtin/echo';
CREATE FUNCTION strict_list(int[]) RETURNS SETOF int STABLE STRICT LANGUAGE modal AS 'local:builtin/echo';
CREATE FUNCTION numbers(int) RETURNS SETOF int LANGUAGE modal AS 'local:builtin/count';
CREATE FUNCTION pairs(jsonb) RETURNS TABLE (n int, t text) LANGUAGE modal AS 'local:builtin/echo';
CREATE FUNCTION slow(float8, int[]) RETURNS SETOF int LANGUAGE modal AS 'local:builtin/sleep';
CREATE FUNCTION twice(int) RETURNS int LANGUAGE modal AS 'local:builtin/echo';
SET enable_memoize = off;

-- in plans
EXPLAIN (COSTS OFF, VERBOSE) SELECT id, r FROM item, list(a) r;
EXPLAIN (COSTS OFF) SELECT id, r FROM item LEFT JOIN LATERAL list(a) r ON true WHERE r IS NULL LIMIT 3;
EXPLAIN (COSTS OFF, VERBOSE) SELECT id, t FROM item, pairs(jsonb_build_array(id)) p WHERE n > 1;
SET enable_memoize = on;
INSERT INTO item SELECT g, '{1,2}' FROM generate_series(100, 300) g;
ANALYZE item;
EXPLAIN (COSTS OFF) SELECT id, r FROM item, list(a) r;
SET enable_memoize = off;
DELETE FROM item WHERE id >= 100;
ANALYZE item;
-- left row by row
EXPLAIN (COSTS OFF) SELECT id, r FROM item, list(a) WITH ORDINALITY r(r, n);
EXPLAIN (COSTS OFF) SELECT id, r FROM item, pairs(jsonb_build_array(id)) r;
EXPLAIN (COSTS OFF) SELECT id, list(a) FROM item;

-- the same rows in both ways
CREATE FUNCTION same(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answers text[];
BEGIN
	FOREACH statement IN ARRAY ARRAY[statement, statement] LOOP
		PERFORM set_config('modal_batch.enable_pipelining', (answers IS NULL)::text, true);
		BEGIN
			EXECUTE format('SELECT coalesce(string_agg(q::text, '' ''), '''') FROM (%s) q', statement) INTO statement;
		EXCEPTION WHEN OTHERS THEN
			statement := SQLSTATE || ' ' || SQLERRM;
		END;
		answers := answers || statement;
	END LOOP;
	PERFORM set_config('modal_batch.enable_pipelining', 'on', true);
	RETURN CASE WHEN answers[1] = answers[2] THEN 'same: ' ELSE 'not ' || answers[2] || ' but ' END || answers[1];
END $$;
SELECT same('SELECT id, r FROM item, list(a) r WHERE id % 5 > 0');
SELECT same('SELECT id, r FROM item, list(a) r LIMIT 4');
SELECT same('SELECT id, r FROM item, list(a) r WHERE id % 5 > 0 OFFSET 2 LIMIT 7');
SELECT same('SELECT id, r FROM item, strict_list(a) r');
SELECT same('SELECT id, r FROM item LEFT JOIN LATERAL strict_list(a) r ON true');
SELECT same('SELECT id, r, coalesce(r, 7) FROM item LEFT JOIN LATERAL strict_list(a) r ON true WHERE coalesce(r, 9) > 8');
SELECT same('SELECT id, r FROM item LEFT JOIN LATERAL (SELECT r, coalesce(r, 7) AS c FROM strict_list(a) r) q ON true WHERE c IS NULL');
SELECT same('SELECT id, r FROM item LEFT JOIN LATERAL strict_list(a) r ON r > 4');
SELECT same('SELECT id, r FROM item, numbers(id) r WHERE id < 5');
-- what is a list, and what is another value or none
CREATE DOMAIN small AS int CHECK (VALUE < 2);
CREATE FUNCTION misfits(int[]) RETURNS SETOF small LANGUAGE modal AS 'local:builtin/echo';
CREATE FUNCTION small_numbers(int) RETURNS SETOF small LANGUAGE modal AS 'local:builtin/count';
CREATE FUNCTION numerics(numeric) RETURNS SETOF numeric LANGUAGE modal AS 'local:builtin/echo';
CREATE FUNCTION floats(bytea) RETURNS SETOF float4 LANGUAGE modal AS 'local:builtin/raw';
CREATE FUNCTION arrays(bytea) RETURNS SETOF float4[] LANGUAGE modal AS 'local:builtin/raw';
SELECT same('SELECT r FROM (VALUES (1.5)) v(n), numerics(n) r');
SELECT same('SELECT r FROM (VALUES (''\xd855480000803f000020c0''::bytea)) v(b), floats(b) r');
SELECT same('SELECT r FROM (VALUES (''\xd8454405000080''::bytea)) v(b), floats(b) r');
SELECT same('SELECT r FROM (VALUES (''\xd84844807f00ff''::bytea)) v(b), floats(b) r');
SELECT same('SELECT r FROM (VALUES (''\x82d855480000803f000020c080''::bytea)) v(b), arrays(b) r');
SELECT same('SELECT r FROM (VALUES (''\xd9d9f7d90102820102''::bytea)) v(b), floats(b) r');
SELECT same('SELECT r FROM (VALUES (''\xf7''::bytea)) v(b), floats(b) r');
SELECT r FROM (VALUES ('{1}'::int[]), ('{0,1}'), ('{1,5}')) v(a), misfits(a) r;
SET modal_batch.enable_pipelining = off;
SELECT r FROM (VALUES ('{1}'::int[]), ('{0,1}'), ('{1,5}')) v(a), misfits(a) r;
SELECT small_numbers(3);
RESET modal_batch.enable_pipelining;
SELECT r FROM generate_series(1, 3) g, small_numbers(g) r;
SELECT same('SELECT id, r FROM item LEFT JOIN LATERAL numbers(id - 2) r ON true WHERE id < 6');
SELECT same('SELECT id, r FROM item, numbers(id) r LIMIT 8');
SELECT same('SELECT i.id, r, s FROM item i, list(a) r, numbers(r) s WHERE id < 5 AND r IS NOT NULL');
SELECT same('SELECT i.id, r, s FROM item i, list(a) r, strict_list(ARRAY[r, id]) s WHERE id < 5');
SELECT same('SELECT id, twice(r) FROM item, list(ARRAY[twice(id), twice(id + 1)]) r WHERE twice(r) % 3 = 0');
SELECT same($$SELECT id, p.* FROM item, pairs(jsonb_build_array(jsonb_build_object('n', id, 't', 'x'), jsonb_build_array(id + 1, NULL), NULL)) p WHERE id < 4$$);
SELECT same($$SELECT id, t FROM item LEFT JOIN LATERAL pairs(CASE WHEN id % 2 = 0 THEN jsonb_build_array(jsonb_build_array(id, 'x')) END) p ON true$$);
SELECT same('SELECT sum(r), count(*) FROM item, list(a) r GROUP BY id % 3');
SELECT same('SELECT g, (SELECT sum(r) FROM item, strict_list(a) r WHERE id > g) FROM generate_series(1, 3) g');
SELECT same('SELECT g, q.* FROM generate_series(1, 3) g, LATERAL (SELECT id, r FROM item, strict_list(a) r LIMIT g) q');
SELECT same('SELECT id FROM item WHERE EXISTS (SELECT FROM generate_series(1, 2) g, list(ARRAY[g, id]) r WHERE r = id)');
-- failures: no list; an element that is no integer; a remote error, and one that is not reached
CREATE FUNCTION no_list(int) RETURNS SETOF int LANGUAGE modal AS 'local:builtin/echo';
SELECT same('SELECT id, r FROM item, no_list(id) r');
CREATE FUNCTION words(text[]) RETURNS SETOF int LANGUAGE modal AS 'local:builtin/echo';
SELECT same('SELECT id, r FROM item, words(ARRAY[id::text, $$x$$]) r');
SELECT same('SELECT id, r FROM item, words(ARRAY[id::text, $$x$$]) r LIMIT 1');
SELECT same('SELECT id, r FROM item, slow(CASE WHEN id = 4 THEN -1 ELSE 0 END, ARRAY[id, id]) r LIMIT 5');
-- elements in chunks (CBOR's indefinite strings), each longer than the one before
CREATE FUNCTION texts(bytea) RETURNS SETOF text LANGUAGE modal AS 'local:builtin/raw';
SELECT same($$SELECT length(t), md5(t) FROM (SELECT decode('9f' || string_agg('7f79' || lpad(to_hex(n), 4, '0') || repeat('61', n) || 'ff', '' ORDER BY n) || 'ff', 'hex') AS list
	FROM (VALUES (5), (100), (2000), (40000)) v(n)) q, texts(list) t$$);

-- only what is wanted is sent, and what is in a cursor is kept
CREATE FUNCTION sent(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ' || statement INTO plan;
	RETURN (SELECT sum(n::bigint) FROM jsonb_path_query(plan, 'strict $.**."Inputs Sent"') n);
END $$;
SELECT sent('SELECT r FROM generate_series(1, 1000) g, list(ARRAY[g, g]) r');
SELECT sent('SELECT r FROM generate_series(1, 1000) g, list(ARRAY[g, g]) r LIMIT 2');
SELECT sent('SELECT r FROM generate_series(1, 1000) g, list(ARRAY[g, g]) r LIMIT 20') <= 20 AS few;
SELECT sent('SELECT r FROM generate_series(1, 1000) g, strict_list(ARRAY[g % 10]) r') < 1000 AS shared;
SELECT sent('SELECT r FROM generate_series(1, 5) g, numbers(g) r');
BEGIN;
DECLARE c CURSOR FOR SELECT g, r FROM generate_series(1, 1000) g, list(ARRAY[g, -g]) r;
FETCH 3 FROM c;
FETCH 2 FROM c;
DECLARE n CURSOR FOR SELECT g, r FROM generate_series(1, 1000) g, numbers(g) r;
FETCH 2 FROM n;
FETCH 2 FROM c;
FETCH 2 FROM n;
COMMIT;

SET client_min_messages = warning;
DROP SCHEMA typed_sets CASCADE;
