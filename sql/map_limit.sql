-- modal_map as an apply node: who stops reading stops the map.
\i test/setup.sql
CREATE SCHEMA map_limit;
SET search_path = map_limit, public;
SET modal_batch.server = 'local';
CREATE TABLE item AS SELECT g AS id FROM generate_series(1, 3000) g;
ANALYZE item;

-- Inputs that the map in a statement has sent, by EXPLAIN's own figures.
CREATE FUNCTION sent(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ' || statement INTO plan;
	RETURN (SELECT sum(n::bigint) FROM jsonb_path_query(plan, 'strict $.**."Inputs Sent"') n);
END $$;

-- in plans
EXPLAIN (COSTS OFF) SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item') LIMIT 10;
EXPLAIN (COSTS OFF, VERBOSE) SELECT result, m.ordinal + 1 AS n FROM modal_map('builtin/square', ARRAY[1, 2]) m WHERE error IS NULL;
EXPLAIN (COSTS OFF) SELECT count(*) FROM modal_map('builtin/square', 'SELECT id FROM item') WHERE ordinal % 2 = 0;
EXPLAIN (COSTS OFF) SELECT * FROM generate_series(1, 3) g, modal_map('builtin/square', 'VALUES (' || g || ')');
BEGIN;
EXPLAIN (COSTS OFF) DECLARE c SCROLL CURSOR FOR SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item');
COMMIT;
-- left as function scans: numbered, with others, whole rows
EXPLAIN (COSTS OFF) SELECT * FROM modal_map('builtin/square', 'SELECT id FROM item') WITH ORDINALITY LIMIT 3;
EXPLAIN (COSTS OFF) SELECT * FROM ROWS FROM (modal_map('builtin/square', 'SELECT id FROM item'), generate_series(1, 3)) LIMIT 3;
EXPLAIN (COSTS OFF) SELECT m FROM modal_map('builtin/square', 'SELECT id FROM item') m LIMIT 3;
-- a row of the function, though, is made of its columns
SELECT m FROM modal_map('builtin/square', 'SELECT id FROM item') m LIMIT 3;
SET modal_batch.enable_pipelining = off;
EXPLAIN (COSTS OFF) SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item') LIMIT 10;
SET modal_batch.enable_pipelining = on;

-- what is not wanted is not sent
SELECT sent($$SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item') LIMIT 10$$);
SELECT sent($$SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item', ordered => false) LIMIT 10$$);
SELECT sent($$SELECT result FROM modal_map('builtin/square', (SELECT array_agg(id) FROM item)) LIMIT 10$$);
SELECT sent($$SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item') OFFSET 5 LIMIT 10$$);
SELECT sent($$SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item') LIMIT 0$$);
SELECT sent($$SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item LIMIT 7') LIMIT 10$$);
SELECT sent($$SELECT * FROM (SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item') LIMIT 10) q, generate_series(1, 2)$$);
SELECT sent($$SELECT EXISTS (SELECT FROM modal_map('builtin/square', 'SELECT id FROM item'))$$);
SELECT sent($$SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item')$$);
-- a filter lets some fall; a join may stop early
SELECT sent($$SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item') WHERE ordinal % 2 = 1 LIMIT 10$$) <= 20 AS few;
SELECT sent($$SELECT * FROM modal_map('builtin/square', 'SELECT id FROM item') m, generate_series(1, 2) LIMIT 10$$) <= 20 AS few;
-- each of 3 outer rows reads anew what its arguments have changed, else again what was read
SELECT sent($$SELECT * FROM generate_series(1, 3) g, LATERAL (SELECT * FROM modal_map('builtin/square', 'SELECT id + ' || g || ' FROM item') LIMIT 4) m$$);
SELECT sent($$SELECT * FROM generate_series(1, 3) g, LATERAL (SELECT * FROM modal_map('builtin/square', 'SELECT id FROM item') LIMIT g) m$$);
SELECT g, (SELECT result FROM modal_map('builtin/square', 'VALUES (2), (3), (4)') OFFSET g LIMIT 1)
	FROM generate_series(0, 3) g;
SELECT g, array_agg(result ORDER BY ordinal) FROM generate_series(1, 3) g,
	LATERAL (SELECT * FROM modal_map('builtin/square', 'SELECT id FROM item') LIMIT 4 - g) m GROUP BY g ORDER BY g;

-- the query is read no further either
CREATE SEQUENCE reads;
SELECT count(*) FROM (SELECT FROM modal_map('builtin/square', $$SELECT nextval('reads') FROM item$$) LIMIT 10) q;
SELECT last_value FROM reads;

-- in a select list
SELECT modal_map('builtin/square', 'SELECT id FROM item') LIMIT 3;
SELECT setval('reads', 1, false);
SELECT count(*) FROM (SELECT modal_map('builtin/square', $$SELECT nextval('reads') FROM item$$) LIMIT 10) q;
SELECT last_value <= 20 AS few FROM reads;
SELECT x, modal_map('builtin/square', ARRAY[x, x + 1]), generate_series(1, 3) FROM generate_series(1, 2) x;

-- cursors: forward, back, held, over savepoints, with the query's end in between
BEGIN;
SELECT setval('reads', 1, false);
DECLARE c NO SCROLL CURSOR FOR SELECT result FROM modal_map('builtin/square', $$SELECT id FROM item WHERE nextval('reads') > 0$$);
FETCH 3 FROM c;
SELECT last_value <= 6 AS few FROM reads;
FETCH 3 FROM c;
SELECT last_value <= 12 AS few FROM reads;
DECLARE s SCROLL CURSOR FOR SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item WHERE id <= 4');
FETCH 3 FROM s;
FETCH BACKWARD 2 FROM s;
FETCH ALL FROM s;
FETCH ABSOLUTE 1 FROM s;
DECLARE h CURSOR WITH HOLD FOR SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item WHERE id <= 4');
FETCH 1 FROM h;
SAVEPOINT a;
FETCH 1 FROM c;
ROLLBACK TO a;
FETCH 1 FROM c;
SELECT 1 / 0;
ROLLBACK TO a;
FETCH 1 FROM c;
CLOSE c;
COMMIT;
FETCH ALL FROM h;
CLOSE h;
-- one that is begun in a savepoint ends with it
BEGIN;
SAVEPOINT a;
DECLARE c CURSOR FOR SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item');
FETCH 1 FROM c;
ROLLBACK TO a;
FETCH 1 FROM c;
ROLLBACK;
-- a cursor sees what was there when it was declared
BEGIN;
DECLARE c CURSOR FOR SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item WHERE id <= 5');
FETCH 1 FROM c;
UPDATE item SET id = -1 WHERE id > 1;
FETCH ALL FROM c;
ROLLBACK;

-- failures: reached, not reached, in the query, with a savepoint around
\set VERBOSITY terse
SELECT result FROM modal_map('builtin/fail', $$VALUES ('one')$$) LIMIT 1;
SELECT result FROM modal_map('builtin/square', 'SELECT 3 - id FROM item') WHERE 1 / (ordinal - 2) IS NOT NULL LIMIT 2;
SELECT result FROM modal_map('builtin/square', 'SELECT 10 / (3 - id) FROM item') LIMIT 2;
\set VERBOSITY default
SELECT result FROM modal_map('builtin/square', 'SELECT 10 / (3 - id) FROM item') LIMIT 4;
SELECT result FROM modal_map('builtin/square', 'SELECT nothing FROM item') LIMIT 4;
DO $$
DECLARE
	r record;
	n int := 0;
BEGIN
	FOR r IN SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item') LOOP
		n := n + r.result::int;
		BEGIN
			PERFORM 1 / (3 - n);
		EXCEPTION WHEN division_by_zero THEN
			n := 100;
		END;
		EXIT WHEN n > 100;
	END LOOP;
	RAISE NOTICE 'n is %', n;
	BEGIN
		SELECT count(*) INTO n FROM modal_map('builtin/fail', $q$VALUES ('one')$q$);
	EXCEPTION WHEN OTHERS THEN
		RAISE NOTICE 'caught %', SQLERRM;
	END;
	SELECT result::int INTO n FROM modal_map('builtin/square', 'SELECT id FROM item OFFSET 4');
	RAISE NOTICE 'n is %', n;
END $$;
-- a loop that commits keeps its cursor
CREATE TABLE seen (n int);
DO $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item LIMIT 4') LOOP
		INSERT INTO seen VALUES (r.result::int);
		COMMIT;
	END LOOP;
END $$;
SELECT * FROM seen ORDER BY n;

-- views, prepared statements, functions, NULL arguments, rights
CREATE VIEW squares AS SELECT result::int AS n FROM modal_map('builtin/square', 'SELECT id FROM item');
SELECT * FROM squares WHERE n % 2 = 0 LIMIT 2;
SELECT sent('SELECT * FROM squares LIMIT 2');
SET plan_cache_mode = force_generic_plan;
PREPARE p(text, int) AS SELECT result FROM modal_map('builtin/square', $1) LIMIT $2;
EXPLAIN (COSTS OFF) EXECUTE p('VALUES (1), (2), (3)', 2);
EXECUTE p('VALUES (1), (2), (3)', 2);
EXECUTE p('VALUES (4)', NULL);
EXECUTE p(NULL, 1);
RESET plan_cache_mode;
CREATE FUNCTION in_sql(n int) RETURNS SETOF int LANGUAGE sql AS
	$$SELECT result::int FROM modal_map('builtin/square', 'SELECT id FROM item') LIMIT n$$;
SELECT in_sql(3) LIMIT 2;
CREATE FUNCTION in_plpgsql() RETURNS SETOF int LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT result::int FROM modal_map('builtin/square', 'SELECT id FROM item') LIMIT 2;
END $$;
SELECT * FROM in_plpgsql();
CREATE ROLE map_limit_reader;
SET ROLE map_limit_reader;
SELECT result FROM public.modal_map('local:builtin/square', 'VALUES (1)') LIMIT 1;
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER local TO map_limit_reader;
CREATE USER MAPPING FOR map_limit_reader SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local');
GRANT USAGE ON SCHEMA map_limit TO map_limit_reader;
SET ROLE map_limit_reader;
SELECT result FROM modal_map('builtin/square', 'VALUES (1)') LIMIT 1;
SELECT result FROM modal_map('builtin/square', 'SELECT id FROM map_limit.item') LIMIT 1;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION modal_map(text, text, jsonb, text[], boolean, text) FROM PUBLIC;
SET ROLE map_limit_reader;
SELECT result FROM modal_map('builtin/square', 'VALUES (1)') LIMIT 1;
RESET ROLE;
GRANT EXECUTE ON FUNCTION modal_map(text, text, jsonb, text[], boolean, text) TO PUBLIC;

-- typed functions over a map, and writing from one
CREATE FUNCTION again(int) RETURNS int LANGUAGE modal AS 'local:builtin/square';
EXPLAIN (COSTS OFF) SELECT again(result::int) FROM modal_map('builtin/square', 'SELECT id FROM item') WHERE again(result::int) > 16 LIMIT 2;
SELECT result, again(result::int) FROM modal_map('builtin/square', 'SELECT id FROM item') WHERE again(result::int) > 16 LIMIT 2;
UPDATE seen SET n = -n FROM modal_map('builtin/square', 'VALUES (1), (2)') m WHERE n = m.result::int;
INSERT INTO seen SELECT result::int FROM modal_map('builtin/square', 'VALUES (5), (6)');
SELECT * FROM seen ORDER BY n;
SELECT result FROM modal_map('builtin/square', 'VALUES (1), (2)') UNION ALL SELECT result FROM modal_map('builtin/square', 'VALUES (3)') LIMIT 3;

DROP USER MAPPING FOR map_limit_reader SERVER local;
REVOKE ALL ON FOREIGN SERVER local FROM map_limit_reader;
SET client_min_messages = warning;
DROP SCHEMA map_limit CASCADE;
DROP ROLE map_limit_reader;
