-- What the shapes of shapes.sql work with; :rows is how many items there are.
CREATE FUNCTION vol(int) RETURNS int STRICT PARALLEL RESTRICTED COST 1000
	LANGUAGE plpgsql AS $$ BEGIN RETURN $1 * 2; END $$;
CREATE FUNCTION stab(int) RETURNS int STABLE STRICT PARALLEL RESTRICTED COST 1000
	LANGUAGE plpgsql AS $$ BEGIN RETURN $1 * 2; END $$;
CREATE FUNCTION par(int) RETURNS int STABLE STRICT PARALLEL SAFE COST 1000
	LANGUAGE plpgsql AS $$ BEGIN RETURN $1 * 2; END $$;
CREATE FUNCTION unsafe(int) RETURNS int STRICT COST 1000
	LANGUAGE plpgsql AS $$ BEGIN RETURN $1 * 2; END $$;
CREATE FUNCTION nullable(int) RETURNS int COST 1000
	LANGUAGE plpgsql AS $$ BEGIN RETURN coalesce($1, -1) * 2; END $$;
CREATE FUNCTION add2(int, int) RETURNS int STRICT COST 1000
	LANGUAGE plpgsql AS $$ BEGIN RETURN $1 + $2; END $$;
CREATE FUNCTION odd(int) RETURNS bool STRICT COST 1000
	LANGUAGE plpgsql AS $$ BEGIN RETURN $1 % 2 <> 0; END $$;
CREATE FUNCTION stab_odd(int) RETURNS bool STABLE STRICT COST 1000
	LANGUAGE plpgsql AS $$ BEGIN RETURN $1 % 2 <> 0; END $$;
CREATE FUNCTION shout(text) RETURNS text STRICT COST 1000
	LANGUAGE plpgsql AS $$ BEGIN RETURN $1 || '!'; END $$;
CREATE FUNCTION fail13(int) RETURNS int STRICT COST 1000
	LANGUAGE plpgsql AS $$ BEGIN IF $1 = 13 THEN RAISE 'failed for 13'; END IF; RETURN $1 * 2; END $$;
CREATE TYPE pair AS (a int, b int);
CREATE FUNCTION pair_vol(int) RETURNS pair STRICT COST 1000
	LANGUAGE plpgsql AS $$ BEGIN RETURN ROW($1 * 2, $1 * 3); END $$;
CREATE FUNCTION pair_stab(int) RETURNS pair STABLE STRICT COST 1000
	LANGUAGE plpgsql AS $$ BEGIN RETURN ROW($1 * 2, $1 * 3); END $$;
CREATE FUNCTION out2(i int, OUT a int, OUT b text) STRICT COST 1000
	LANGUAGE plpgsql AS $$ BEGIN a := i * 2; b := i || '!'; END $$;
CREATE FUNCTION twice(int) RETURNS SETOF int STRICT COST 1000
	LANGUAGE plpgsql AS $$ BEGIN RETURN NEXT $1; RETURN NEXT $1; END $$;
CREATE FUNCTION definer(int) RETURNS int STRICT SECURITY DEFINER COST 1000
	LANGUAGE plpgsql AS $$ BEGIN RETURN $1 * 2; END $$;
CREATE FUNCTION with_set(int) RETURNS int STRICT SET work_mem = '1MB' COST 1000
	LANGUAGE plpgsql AS $$ BEGIN RETURN $1 * 2; END $$;

CREATE TABLE item (id int PRIMARY KEY, x int, g int, s text);
INSERT INTO item SELECT i, CASE WHEN i % 50 <> 0 THEN i * 10 END, i % 7, 'row ' || i
	FROM generate_series(1, :rows) i;
CREATE TABLE other (id int PRIMARY KEY, y int);
INSERT INTO other SELECT i, i * 20 FROM generate_series(1, :rows / 3) i;
CREATE TABLE target (id int PRIMARY KEY, v int, w int);
INSERT INTO target SELECT i, i FROM generate_series(1, :rows * 2 / 3) i;
CREATE TABLE many AS SELECT i AS id, i % 1000 AS x FROM generate_series(1, 20000) i;
CREATE SEQUENCE counter;

-- partitions with columns in another order, and at other places
CREATE TABLE part (id int, x int) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (1) TO (101);
CREATE TABLE part2 (dummy text, x int, id int);
ALTER TABLE part2 DROP COLUMN dummy;
ALTER TABLE part ATTACH PARTITION part2 FOR VALUES FROM (101) TO (201);
CREATE TABLE part3 PARTITION OF part FOR VALUES FROM (201) TO (301);
CREATE INDEX ON part (id);
INSERT INTO part SELECT i, i FROM generate_series(1, :rows) i;

CREATE FUNCTION inlined(int) RETURNS int LANGUAGE sql AS 'SELECT vol($1) + 1';
CREATE FUNCTION sql_set(int) RETURNS SETOF int LANGUAGE sql
	AS 'SELECT vol(x) FROM item WHERE id <= $1';
CREATE FUNCTION sql_one(int) RETURNS int LANGUAGE sql
	AS 'SELECT vol(x) FROM item WHERE id >= $1 ORDER BY id';

-- The helpers are LANGUAGE sql, so that they do not count as remote.
CREATE FUNCTION go_parallel(forced bool = false) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT set_config(name, CASE WHEN name = 'max_parallel_workers_per_gather' THEN '2'
		WHEN name ~ '^(force|debug)_parallel' THEN CASE WHEN forced THEN 'on' ELSE 'off' END
		ELSE '0' END, true)
	FROM pg_settings
	WHERE name IN ('parallel_setup_cost', 'parallel_tuple_cost', 'min_parallel_table_scan_size',
		'max_parallel_workers_per_gather', 'force_parallel_mode', 'debug_parallel_query')
$$;

-- Calls in this transaction, and how many of those an apply node has made.
CREATE FUNCTION apply_calls() RETURNS bigint LANGUAGE c AS '$libdir/modal_batch', 'modal_debug_apply_calls';
CREATE FUNCTION typed_calls(OUT calls bigint, OUT applied bigint) LANGUAGE sql AS $$
	SELECT coalesce(sum(pg_stat_get_xact_function_calls(oid)), 0), apply_calls()
	FROM pg_proc
	WHERE proname IN ('vol', 'volatile_function', 'stab', 'par', 'unsafe', 'nullable', 'add2', 'odd', 'stab_odd',
		'shout', 'fail13', 'pair_vol', 'pair_stab', 'out2', 'twice', 'definer', 'with_set')
$$;
ANALYZE;
