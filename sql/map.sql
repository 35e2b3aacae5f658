-- modal_map and modal_for_each.
\i test/setup.sql
CREATE TABLE map_rows AS SELECT g AS id, 'row ' || g AS body FROM generate_series(1, 3000) g;

SELECT * FROM modal_map('local:builtin/square', 'SELECT g FROM generate_series(1, 4) g');
SELECT * FROM modal_map('local:builtin/echo', ARRAY['a', 'b', NULL]);
SELECT * FROM modal_map('local:builtin/echo', '{}'::int[]);
SELECT * FROM modal_map('local:builtin/square', '{{1,2},{3,4}}'::int[]);
-- columns are positional arguments, those of the key are carried
SELECT * FROM modal_map('local:builtin/kwargs', 'SELECT id, body, id * 2 AS twice FROM map_rows LIMIT 2',
	kwargs => '{"lang": "en"}', key => '{id}');
SELECT * FROM modal_map('local:builtin/kwargs', 'SELECT id, body FROM map_rows LIMIT 2', key => '{body,id}');
-- no rows
SELECT * FROM modal_map('local:builtin/square', 'SELECT 1 WHERE false');
-- VALUES and WITH
SELECT result FROM modal_map('local:builtin/square', 'VALUES (5), (6)');
SELECT result FROM modal_map('local:builtin/square', 'WITH w AS (SELECT 7 AS x) SELECT x FROM w');

-- every input has its result, whatever the order
SELECT count(*), count(DISTINCT ordinal), sum(result::int), bool_and(result::int = (ordinal + 1) ^ 2) AS right_row
	FROM modal_map('local:builtin/square', 'SELECT id FROM map_rows');
SELECT bool_and((result)::bigint = (input->>'k')::bigint ^ 2) AS right_row, count(*)
	FROM modal_map('local:builtin/square', 'SELECT id, id AS k FROM map_rows', key => '{k}', ordered => false);
SELECT bool_and(n = ordinal + 1) AS in_order
	FROM modal_map('local:builtin/echo', 'SELECT id FROM map_rows') WITH ORDINALITY m(ordinal, input, result, error, n);
-- the slow one comes first or last
SELECT array_agg(result ORDER BY n) FROM (SELECT result, row_number() OVER () AS n
	FROM modal_map('local:builtin/sleep', 'VALUES (0.3::float8, 1), (0::float8, 2)')) s;
SELECT array_agg(result ORDER BY n) FROM (SELECT result, row_number() OVER () AS n
	FROM modal_map('local:builtin/sleep', 'VALUES (0.3::float8, 1), (0::float8, 2)', ordered => false)) s;

-- a small window, and results larger than the memory for them
SET modal_batch.max_in_flight = 3;
SELECT count(*), sum(result::int) FROM modal_map('local:builtin/square', 'SELECT id FROM map_rows LIMIT 100');
RESET modal_batch.max_in_flight;
SET modal_batch.window_bytes = '64kB';
SELECT count(*), sum(octet_length(result::text)) > 6000000 AS all_there
	FROM modal_map('local:builtin/large', 'SELECT 50000 FROM generate_series(1, 100)');
RESET modal_batch.window_bytes;
SELECT count(*), min(length(result #>> '{}'))
	FROM modal_map('local:builtin/echo', 'SELECT repeat(''y'', 200000) FROM generate_series(1, 40)');

-- failures of inputs
SELECT ordinal, result, error->>'code' AS code, error->>'type' AS type, error->>'message' AS message,
		(error->>'traceback') IS NOT NULL AS traceback, error->'retryable' AS retryable, error->'attempts' AS attempts
	FROM modal_map('local:builtin/fail', $$VALUES ('one'), ('two')$$, on_error => 'return');
\set SHOW_CONTEXT never
SELECT * FROM modal_map('local:builtin/fail', $$VALUES ('one'), ('two')$$);
\set SHOW_CONTEXT errors
SELECT ordinal, result, error FROM modal_map('local:builtin/flaky', $$VALUES (2, 'late')$$);
SELECT ordinal, result, error FROM modal_map('local:builtin/flaky_server', $$VALUES (1, 'late')$$);

-- maps within maps, cursors, rescans
SELECT result FROM modal_map('local:builtin/square',
	$$SELECT result::int FROM modal_map('local:builtin/square', 'VALUES (2), (3)')$$);
SELECT g, result FROM generate_series(1, 2) g, modal_map('local:builtin/square', format('VALUES (%s)', g));
SELECT x, modal_map('local:builtin/square', ARRAY[x]) FROM generate_series(1, 2) x;
BEGIN;
DECLARE c CURSOR FOR SELECT result FROM modal_map('local:builtin/square', 'SELECT id FROM map_rows');
FETCH 2 FROM c;
SELECT modal_remote('local:builtin/square', 9);
FETCH 1 FROM c;
COMMIT;

-- the caller's snapshot and own changes
BEGIN;
DELETE FROM map_rows WHERE id > 2;
SELECT count(*) FROM modal_map('local:builtin/echo', 'SELECT id FROM map_rows');
ROLLBACK;

SELECT modal_for_each('local:builtin/square', 'SELECT id FROM map_rows');
SELECT modal_for_each('local:builtin/fail', $$VALUES ('a'), ('b')$$, on_error => 'return');
DROP TABLE map_rows;

-- the function's own error, though inputs before it still run
SELECT count(*) FROM modal_map('local:builtin/sleep',
	$$SELECT CASE WHEN i = 2 THEN '"x"' ELSE '1' END::jsonb, i FROM generate_series(1, 3) i$$);
\set VERBOSITY terse
SELECT modal_remote('local:builtin/sleep', 100000);
\set VERBOSITY default

-- a result that jsonb cannot hold fails its row, or the statement
SELECT ordinal, input, result, error - 'message' AS error, error->>'message' AS message
FROM modal_map('local:builtin/raw', $$SELECT v, k FROM (VALUES (1, '\x01'::bytea), (2, '\x6100'), (3, '\xff'), (4, '\xa18001'), (5, '\x02')) AS v(k, v)$$,
	key => '{k}', on_error => 'return');
SELECT ordinal, result, error->>'code' AS code FROM modal_map('local:builtin/raw', ARRAY['\x6100'::bytea, '\x01'], on_error => 'return');
SELECT ordinal, result, error->>'code' AS code, error->>'message' AS message FROM modal_map('local:builtin/raw',
	$$VALUES (decode('9a01000001' || repeat('f5', 16777217), 'hex')), (decode('ba00800001' || repeat('60f5', 8388609), 'hex')), ('\x01')$$, on_error => 'return');
SELECT * FROM modal_map('local:builtin/raw', ARRAY['\x01'::bytea, '\x6100']);
SELECT modal_for_each('local:builtin/raw', $$SELECT '\x6100'::bytea$$);
-- a column of the key that stands twice is sent, too
SELECT input, result FROM modal_map('local:builtin/echo', 'SELECT g AS id, g AS id, g * 10 AS n FROM generate_series(1, 2) g', key => '{id}');
SELECT * FROM modal_map('local:builtin/echo', 'SELECT 1 AS id, 2 AS n', key => '{id,id}');
