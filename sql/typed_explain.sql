-- Where calls of typed functions go in plans, as EXPLAIN tells it.
--
-- Functions of PL/pgSQL stand in for remote ones, so no server is needed.
SET modal_batch.debug_remote_language = 'plpgsql';
CREATE SCHEMA typed_explain;
SET search_path = typed_explain, public;
CREATE FUNCTION vol(int) RETURNS int STRICT PARALLEL RESTRICTED COST 1000
	LANGUAGE plpgsql AS $$ BEGIN RETURN $1 * 2; END $$;
CREATE FUNCTION stab(int) RETURNS int STABLE STRICT PARALLEL RESTRICTED COST 1000
	LANGUAGE plpgsql AS $$ BEGIN RETURN $1 * 2; END $$;
CREATE FUNCTION odd(int) RETURNS bool STRICT COST 1000
	LANGUAGE plpgsql AS $$ BEGIN RETURN $1 % 2 <> 0; END $$;
CREATE TABLE item (id int PRIMARY KEY, x int, g int);
INSERT INTO item SELECT i, i * 10, i % 7 FROM generate_series(1, 300) i;
CREATE TABLE part (id int, x int) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (1) TO (101);
CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (101) TO (201);
INSERT INTO part SELECT i, i FROM generate_series(1, 200) i;
ANALYZE item, part;

-- select list; conditions; nested calls
EXPLAIN (COSTS OFF, VERBOSE) SELECT id, vol(x) + 1, CASE WHEN g > 3 THEN vol(g) END FROM item;
EXPLAIN (COSTS OFF, VERBOSE) SELECT vol(vol(x)) FROM item;
-- equal calls share a result only if the function is not volatile
EXPLAIN (COSTS OFF) SELECT vol(x), vol(x) FROM item;
EXPLAIN (COSTS OFF) SELECT stab(x), stab(x) FROM item;
-- a filter, and calls for its survivors only
EXPLAIN (COSTS OFF, VERBOSE) SELECT id, vol(x) FROM item WHERE g > 2 AND odd(id);
-- a Limit says what it takes
EXPLAIN (COSTS OFF) SELECT id, vol(x) FROM item ORDER BY g LIMIT 7;
EXPLAIN (COSTS OFF) SELECT g, vol(x) FROM item ORDER BY g FETCH FIRST 3 ROWS WITH TIES;
EXPLAIN (COSTS OFF) SELECT id, vol(x) FROM item OFFSET 7;
-- arguments of aggregates
EXPLAIN (COSTS OFF, VERBOSE) SELECT g, sum(vol(x)) FILTER (WHERE id > 5), max(stab(id)) FROM item GROUP BY g;
-- one window over all partitions
EXPLAIN (COSTS OFF) SELECT id, vol(x) FROM part WHERE odd(x);
-- writing
EXPLAIN (COSTS OFF) INSERT INTO part SELECT id, vol(x) FROM item WHERE id < 100;
EXPLAIN (COSTS OFF) UPDATE item SET x = vol(x) WHERE odd(id);
-- slow start where the consumer may stop early
EXPLAIN (COSTS OFF) WITH c AS MATERIALIZED (SELECT vol(x) r FROM item) SELECT * FROM c LIMIT 3;
-- a cursor that can go backward
BEGIN;
EXPLAIN (COSTS OFF) DECLARE c SCROLL CURSOR FOR SELECT vol(x) FROM item;
COMMIT;
-- functions in FROM; keys of hash joins
EXPLAIN (COSTS OFF, VERBOSE) SELECT id, r, r + 1 FROM item, vol(item.x) r WHERE r > 5;
SET enable_mergejoin = off;
EXPLAIN (COSTS OFF, VERBOSE) SELECT item.id FROM item JOIN part ON stab(item.x) = part.x;
RESET enable_mergejoin;
-- left where they are: one row; a volatile condition
EXPLAIN (COSTS OFF) SELECT vol(1);
EXPLAIN (COSTS OFF) SELECT CASE WHEN random() < 2 THEN vol(x) END FROM item;

-- a plan that was made with the setting on
SET plan_cache_mode = force_generic_plan;
PREPARE p AS SELECT id, vol(x) FROM item LIMIT 3;
EXPLAIN (COSTS OFF) EXECUTE p;
SET modal_batch.enable_pipelining = off;
EXPLAIN (COSTS OFF) EXECUTE p;
EXECUTE p;
DEALLOCATE p;
EXPLAIN (COSTS OFF) SELECT id, vol(x) FROM item LIMIT 3;

RESET modal_batch.enable_pipelining;
RESET modal_batch.debug_remote_language;
RESET plan_cache_mode;
RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA typed_explain CASCADE;
RESET client_min_messages;
