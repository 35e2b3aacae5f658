-- Query shapes for typed functions: test/t/410_typed_shapes.pl runs each with
-- pipelining off and on, and compares rows, errors and calls.
--
-- A shape begins with "--- name: kind[, option...]".  The kind says how its
-- calls are made when the setting is on:
--   hoisted  all by apply nodes      direct   all by the language handler
--   both     some so, some so        none     there are no calls
--   any      not looked at (calls in parallel workers, or by chance)
--   error    both fail, in the same way
-- Options:
--   calls N  so many calls with the setting on (never more than with it off)
--   ahead    what is wanted is not known in advance: up to twice as many calls
--   sorted   the order of rows is not determined
--   from N   needs this major version
--
-- Each runs in a transaction that is rolled back.  Table "item" has ids 1 to
-- 300, "other" 1 to 100; x is NULL for every 50th item.  Functions: vol
-- (VOLATILE) and stab (STABLE) double their argument; odd and stab_odd test
-- it; add2 adds two; shout appends "!"; pair gives (2x, 3x); fail13 fails for
-- 13; par is PARALLEL SAFE, unsafe PARALLEL UNSAFE, nullable not STRICT.

--- plain: hoisted
SELECT id, vol(x) FROM item;

--- expr around call: hoisted
SELECT id, 1 + vol(x) * 2, g FROM item;

--- arg is an expression: hoisted
SELECT vol(x+g*2) FROM item;

--- const arg per row: hoisted, calls 300
SELECT vol(1) FROM item;

--- two funcs: hoisted
SELECT vol(x), shout(s) FROM item;

--- strict null: hoisted
SELECT x, vol(x) FROM item WHERE id % 50 < 2;

--- nonstrict null: hoisted
SELECT x, nullable(x) FROM item WHERE id % 50 < 2;

--- nested: hoisted
SELECT vol(vol(x)) FROM item;

--- nested different: hoisted
SELECT shout(shout(s)), vol(add2(x,vol(g))) FROM item;

--- same call twice volatile: hoisted, calls 588
SELECT vol(x), vol(x) FROM item;

--- same call twice stable: hoisted, calls 294
SELECT stab(x), stab(x) FROM item;

--- case: hoisted
SELECT CASE WHEN g > 3 THEN vol(x) ELSE -1 END FROM item;

--- case chain: hoisted
SELECT CASE WHEN g = 1 THEN vol(x) WHEN g = 2 THEN vol(x+1) ELSE add2(x,g) END FROM item;

--- case call in cond: hoisted
SELECT CASE WHEN odd(g) THEN vol(x) WHEN g = 2 THEN vol(x+1) ELSE add2(x,g) END FROM item;

--- case with arg: hoisted
SELECT CASE g WHEN 1 THEN vol(x) WHEN 2 THEN vol(x+1) ELSE add2(x,g) END FROM item;

--- case with arg, in an argument and in a condition: hoisted
SELECT vol(CASE g WHEN 1 THEN x WHEN 2 THEN id END), CASE WHEN CASE g WHEN 3 THEN true END THEN vol(x) END FROM item;

--- case with arg that converts arrays: hoisted, calls 2
SELECT CASE ARRAY[g]::bigint[] WHEN ARRAY[5::bigint] THEN vol(x) WHEN ARRAY[6::bigint] THEN vol(id) END FROM item WHERE id < 7;

--- array conversion in an argument: hoisted
SELECT vol(cardinality(ARRAY[s, 'a']::varchar[])) FROM item;

--- case arg is a call: hoisted
SELECT CASE vol(g) WHEN 2 THEN 1 WHEN 4 THEN 2 END FROM item;

--- case guards division: hoisted
SELECT CASE WHEN g <> 0 THEN vol(x / g) ELSE vol(0) END FROM item;

--- case volatile guard: direct
SELECT CASE WHEN random() < 2 THEN vol(x) ELSE -1 END FROM item;

--- case subplan guard: direct
SELECT CASE WHEN EXISTS (SELECT 1 FROM other WHERE other.id = item.id) THEN vol(x) ELSE -1 END FROM item;

--- coalesce: hoisted
SELECT coalesce(x, vol(g)) FROM item;

--- coalesce calls: hoisted
SELECT coalesce(vol(x), vol(g)) FROM item;

--- and or: hoisted
SELECT g > 3 AND odd(x), g > 3 OR odd(x), NOT odd(id) FROM item;

--- and call first: hoisted
SELECT odd(id) AND odd(g) FROM item;

--- nullif greatest array row: hoisted
SELECT nullif(vol(g), 4), greatest(vol(g), 5, vol(id)), ARRAY[vol(g), 1], ROW(vol(g), s), vol(g) IN (2,4), vol(g)::text, vol(g) IS NULL FROM item;

--- where: hoisted
SELECT id FROM item WHERE vol(x) > 1000;

--- where + other quals: hoisted
SELECT id FROM item WHERE g = 3 AND vol(x) > 1000 AND s LIKE 'row%';

--- where two calls: hoisted
SELECT id FROM item WHERE odd(id) AND vol(x) > 1000;

--- where or: hoisted
SELECT id FROM item WHERE g = 3 OR odd(id);

--- where + tlist: hoisted
SELECT id, vol(x), 1000/(id-200) FROM item WHERE odd(id);

--- where + tlist stable same: hoisted
SELECT id, stab(x) FROM item WHERE stab(x) > 1000;

--- where subplan after: hoisted
SELECT id FROM item WHERE odd(id) AND (SELECT count(*) FROM other WHERE other.id < item.id) > 5;

--- order by result: hoisted
SELECT id, vol(x) AS r FROM item ORDER BY r DESC, id;

--- order by other: hoisted
SELECT id, vol(x) FROM item ORDER BY s;

--- order by other stable: hoisted
SELECT id, stab(x) FROM item ORDER BY s;

--- order by + limit: hoisted, calls 6
SELECT id, vol(x) FROM item ORDER BY s LIMIT 7;

--- order by + limit stable: hoisted, calls 6
SELECT id, stab(x) FROM item ORDER BY s LIMIT 7;

--- limit: hoisted, calls 7
SELECT id, vol(x) FROM item LIMIT 7;

--- limit offset: hoisted, calls 27
SELECT id, vol(x) FROM item LIMIT 7 OFFSET 20;

--- limit expr: hoisted, calls 5
SELECT id, vol(x) FROM item LIMIT (SELECT 5);

--- limit volatile: any
SELECT count(*) <= 1000 FROM (SELECT id, vol(x) FROM item LIMIT (1 + random()*3)::int) q;

--- limit null: hoisted
SELECT id, vol(x) FROM item LIMIT NULL;

--- limit 0: none, calls 0
SELECT id, vol(x) FROM item LIMIT 0;

--- limit with ties: hoisted, ahead
SELECT g, vol(x) FROM item ORDER BY g FETCH FIRST 3 ROWS WITH TIES;

--- limit over where: hoisted
SELECT id FROM item WHERE odd(id) LIMIT 5;

--- limit over order by result: hoisted
SELECT id, vol(x) r FROM item ORDER BY r LIMIT 5;

--- offset only: hoisted
SELECT id, vol(x) FROM item OFFSET 290;

--- limit below a limit: hoisted, ahead
SELECT r + 1 FROM (SELECT vol(id) r FROM item LIMIT 100) q LIMIT 3;

--- limit below a consumer that stops: hoisted, calls 1
SELECT id FROM other WHERE EXISTS (SELECT 1 FROM (SELECT vol(id) r FROM item LIMIT 100) q WHERE r > 0);

--- limit in a cte: hoisted, ahead
WITH c AS MATERIALIZED (SELECT vol(id) r FROM item LIMIT 100) SELECT r FROM c LIMIT 4;

--- limit over sets: hoisted, ahead
SELECT generate_series(1, vol(id)) FROM item LIMIT 20;

--- limit in subquery: hoisted, calls 10
SELECT sum(r) FROM (SELECT vol(x) r FROM item LIMIT 10) q;

--- limit union all: hoisted
SELECT vol(x) FROM item UNION ALL SELECT vol(y) FROM other LIMIT 7;

--- distinct: hoisted, sorted
SELECT DISTINCT vol(g) FROM item;

--- distinct on: hoisted
SELECT DISTINCT ON (g) g, vol(x) FROM item ORDER BY g, id;

--- group by result: hoisted, sorted
SELECT vol(g) k, count(*) FROM item GROUP BY k;

--- group by other, call on key: hoisted, sorted
SELECT g, vol(g) FROM item GROUP BY g;

--- call on aggregate: hoisted, sorted
SELECT g, vol(sum(x)::int) FROM item GROUP BY g;

--- sum: hoisted
SELECT sum(vol(x)), count(*) FROM item;

--- sum group: hoisted, sorted
SELECT g, sum(vol(x)), avg(add2(x,g)) FROM item GROUP BY g;

--- sum sorted group: hoisted
SET LOCAL enable_hashagg = off;
SELECT g, sum(vol(x)) FROM item GROUP BY g ORDER BY g;

--- sum distinct: hoisted, sorted
SELECT g, sum(DISTINCT vol(x)) FROM item GROUP BY g;

--- agg order by: hoisted, sorted
SELECT g, array_agg(id ORDER BY vol(x) DESC) FROM item GROUP BY g;

--- string_agg order: hoisted
SELECT string_agg(shout(s), ',' ORDER BY id) FROM item;

--- agg filter: hoisted, sorted
SELECT g, sum(vol(x)) FILTER (WHERE id > 150) FROM item GROUP BY g;

--- agg filter call: hoisted, sorted, calls 300
SELECT g, count(*) FILTER (WHERE odd(id)) FROM item GROUP BY g;

--- agg filter call, and calls behind it: hoisted, sorted
SELECT g, string_agg(shout(s), ',' ORDER BY vol(x)) FILTER (WHERE odd(id) AND g > 0), count(*) FILTER (WHERE odd(id)), min(stab(x)) FILTER (WHERE stab_odd(g)) FROM item GROUP BY g;

--- agg filter call under a volatile condition: direct, sorted
SELECT g, sum(vol(x)) FILTER (WHERE random() < 2 AND odd(id)) FROM item GROUP BY g;

--- having: hoisted, sorted
SELECT g, sum(x) FROM item GROUP BY g HAVING vol(sum(x)::int) > 126000;

--- having agg arg: hoisted, sorted
SELECT g FROM item GROUP BY g HAVING sum(vol(x)) > 126000;

--- percentile: hoisted
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY vol(x)) FROM item;

--- grouping sets: hoisted
SELECT g, id % 3, sum(vol(x)), grouping(g) FROM item GROUP BY ROLLUP (g, id % 3) ORDER BY 1,2;

--- window over result: hoisted
SELECT id, sum(vol(x)) OVER (PARTITION BY g ORDER BY id) FROM item;

--- window, call outside: hoisted
SELECT id, vol((sum(x) OVER (PARTITION BY g ORDER BY id))::int) FROM item;

--- window moving: hoisted
SELECT id, sum(vol(x)) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM item;

--- window filter call: hoisted
SELECT id, count(*) FILTER (WHERE odd(x)) OVER (PARTITION BY g ORDER BY id), sum(vol(x)) FILTER (WHERE stab_odd(id)) OVER (PARTITION BY g) FROM item;

--- window functions that look at some rows only: direct, calls 7
SELECT id, lag(x, 1, vol(id)) OVER (PARTITION BY g ORDER BY id) FROM item;

--- window functions that do not look at a failing row: direct
SELECT id, first_value(fail13(id)) OVER (ORDER BY id) FROM item;

--- window frame beyond the row: direct, calls 10
SELECT id, sum(vol(id)) OVER (ORDER BY id ROWS BETWEEN 9 FOLLOWING AND 9 FOLLOWING) FROM item WHERE id < 20;

--- window frame without the row: direct, calls 0
SELECT id, sum(vol(id)) OVER (PARTITION BY id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW) FROM item WHERE id < 20;

--- window run condition, calls below: hoisted, ahead
SELECT * FROM (SELECT id, r, row_number() OVER (ORDER BY id) rn FROM (SELECT id, vol(id) r FROM item ORDER BY id OFFSET 0) i) q WHERE rn <= 5;

--- window run condition: direct, from 15
SELECT * FROM (SELECT id, vol(x), row_number() OVER (ORDER BY id) rn FROM item) q WHERE rn <= 5;

--- join: hoisted
SELECT item.id, vol(item.x + other.y) FROM item JOIN other USING (id);

--- join nestloop: hoisted
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SELECT item.id, vol(item.x + other.y) FROM item JOIN other USING (id);

--- join merge: hoisted
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_nestloop = off;
SELECT item.id, vol(item.x + other.y) FROM item JOIN other USING (id);

--- left join: hoisted
SELECT item.id, vol(other.y) FROM item LEFT JOIN other USING (id);

--- join on result volatile: hoisted, calls 1900
SELECT item.id, other.id FROM item JOIN other ON vol(item.x) = other.y WHERE item.id < 20;

--- join on result stable hash: hoisted, calls 294, sorted
SELECT item.id, other.id FROM item JOIN other ON stab(item.x) = other.y;

--- join on result stable merge: hoisted, sorted
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_nestloop = off;
SELECT item.id, other.id FROM item JOIN other ON stab(item.x) = other.y;

--- join extra qual: hoisted
SELECT item.id, other.id FROM item JOIN other USING (id) WHERE add2(item.x,other.y) > 1000;

--- left join on qual: direct
SELECT item.id, other.id FROM item LEFT JOIN other ON item.id = other.id AND odd(item.id);

--- left join where: hoisted
SELECT item.id, other.id FROM item LEFT JOIN other ON item.id = other.id WHERE add2(item.x, coalesce(other.y,0)) > 500;

--- semi join: hoisted
SELECT item.id FROM item WHERE EXISTS (SELECT 1 FROM other WHERE other.id = item.id AND odd(other.y / 20));

--- in subselect: hoisted, sorted
SELECT item.id FROM item WHERE x IN (SELECT vol(y) FROM other);

--- not in subselect: hoisted
SELECT count(*) FROM item WHERE x NOT IN (SELECT vol(y) FROM other);

--- call in testexpr: direct
SELECT count(*) FROM item WHERE vol(x) IN (SELECT y FROM other);

--- scalar subquery: hoisted
SELECT (SELECT sum(vol(y)) FROM other);

--- correlated scalar: hoisted
SELECT id, (SELECT vol(other.y) FROM other WHERE other.id = item.id) FROM item WHERE id < 50;

--- correlated agg: hoisted
SELECT id, (SELECT sum(vol(other.y)) FROM other WHERE other.id <= item.id) FROM item WHERE id < 20;

--- correlated arg: hoisted
SELECT id, (SELECT max(other.y) FROM other WHERE other.id < vol(item.id)) FROM item WHERE id < 20;

--- array subquery: hoisted
SELECT ARRAY(SELECT vol(y) FROM other ORDER BY id);

--- call over subquery: hoisted
SELECT vol((SELECT max(y) FROM other WHERE other.id <= item.id)) FROM item WHERE id < 50;

--- exists tlist: none
SELECT count(*) FROM item WHERE EXISTS (SELECT vol(y) FROM other WHERE other.id = item.id);

--- subquery scan: hoisted
SELECT q.r + 1 FROM (SELECT vol(x) r FROM item OFFSET 0) q;

--- subquery volatile, filter outside: hoisted
SELECT r FROM (SELECT id, vol(x) r FROM item) q WHERE r > 1500;

--- subquery stable, filter outside: hoisted
SELECT r FROM (SELECT id, stab(x) r FROM item) q WHERE r > 1500;

--- subquery used twice: hoisted, calls 294
SELECT r, r+1 FROM (SELECT vol(x) r FROM item) q;

--- subquery not used: hoisted
SELECT id FROM (SELECT id, vol(x) r FROM item) q;

--- cte: hoisted
WITH c AS (SELECT id, vol(x) r FROM item) SELECT sum(r) FROM c WHERE id < 150;

--- cte twice: hoisted
WITH c AS (SELECT id, vol(x) r FROM item) SELECT count(*) FROM c a JOIN c b USING (r);

--- cte recursive: hoisted
WITH RECURSIVE c(n, r) AS (SELECT 1, 1 UNION ALL SELECT n+1, vol(n) FROM c WHERE n < 20) SELECT * FROM c;

--- cte recursive wide: hoisted
WITH RECURSIVE c(n, d) AS (SELECT id, 0 FROM other UNION ALL SELECT vol(n), d+1 FROM c WHERE d < 3) SELECT d, sum(n) FROM c GROUP BY d ORDER BY d;

--- union all: hoisted
SELECT vol(x) FROM item UNION ALL SELECT vol(y) FROM other;

--- union: hoisted, sorted
SELECT vol(x) FROM item UNION SELECT vol(y) FROM other;

--- except: hoisted, sorted
SELECT vol(x) FROM item EXCEPT SELECT vol(y) FROM other;

--- partitioned: hoisted
SELECT id, vol(x) FROM part;

--- partitioned where: hoisted
SELECT id FROM part WHERE odd(x);

--- partitioned merge append: hoisted
SET LOCAL enable_sort = off;
SELECT id, vol(x) FROM part ORDER BY id;

--- partitioned merge append stable limit: hoisted
SET LOCAL enable_sort = off;
SELECT id, stab(x) FROM part ORDER BY id LIMIT 20;

--- partitioned limit: hoisted, calls 150
SELECT id, vol(x) FROM part LIMIT 150;

--- tableoid: hoisted
SELECT tableoid::regclass, vol(x) FROM part;

--- system columns: hoisted
SELECT ctid, vol(x), xmin <> '0' FROM item WHERE id < 10;

--- whole row: hoisted
SELECT item, vol(item.x), (item).s FROM item WHERE id < 10;

--- values in from: hoisted
SELECT vol(column1) FROM (VALUES (1),(2),(3)) v;

--- values list: direct
VALUES (vol(1)), (vol(2)), (vol(3));

--- srf in from: hoisted
SELECT vol(i) FROM generate_series(1,300) i;

--- no from, three calls: hoisted
SELECT vol(1), vol(2), vol(3);

--- no from, one call: direct
SELECT vol(1);

--- no from, where false: none
SELECT vol(1), vol(2) WHERE false;

--- srf in tlist: hoisted
SELECT vol(x), generate_series(1,2) FROM item;

--- srf over call: hoisted
SELECT generate_series(1, vol(g)) FROM item WHERE id < 20;

--- call over srf: hoisted
SELECT vol(generate_series(1,3)) FROM item WHERE id < 20;

--- remote srf in tlist: direct
SELECT twice(id) FROM item WHERE id < 20;

--- remote srf in from: direct
SELECT * FROM twice(5);

--- lateral remote srf: direct
SELECT item.id, r FROM item, LATERAL twice(item.x) r WHERE id < 20;

--- function in from lateral: hoisted, calls 19
SELECT item.id, r FROM item, vol(item.x) r WHERE id < 20;

--- lateral subselect volatile: direct
SELECT item.id, r FROM item, LATERAL (SELECT vol(item.x) r) q WHERE id < 20;

--- lateral subselect stable: hoisted
SELECT item.id, r FROM item, LATERAL (SELECT stab(item.x) r) q WHERE id < 20;

--- lateral subquery rows: hoisted
SELECT item.id, r FROM item, LATERAL (SELECT vol(other.y + item.g) r FROM other WHERE other.id < item.id) q WHERE item.id < 20;

--- nestloop inner rescan: hoisted
SET LOCAL enable_material = off;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SELECT item.id, q.r FROM item, (SELECT other.id, vol(other.y) r FROM other WHERE id < 10 OFFSET 0) q WHERE item.id < 10 AND item.id > q.id;

--- phv under outer join merge: hoisted
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_nestloop = off;
SET LOCAL enable_sort = off;
SELECT item.id, q.r FROM item LEFT JOIN (SELECT other.id, stab(other.y) r FROM other) q ON item.id = q.id;

--- phv mark restore: hoisted, ahead
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_nestloop = off;
SET LOCAL enable_material = off;
SELECT a.g, q.r FROM (SELECT g FROM item ORDER BY g) a LEFT JOIN (SELECT other.id, stab(other.y) r FROM other) q ON a.g = q.id;

--- sql function inlined: hoisted
SELECT inlined(x) FROM item;

--- sql set function: hoisted
SELECT * FROM sql_set(50);

--- sql one-row function: hoisted, calls 1
SELECT sql_one(5);

--- security definer: direct
SELECT definer(x) FROM item WHERE id < 10;

--- function with SET: direct
SELECT with_set(x) FROM item WHERE id < 10;

--- mixed: both
SELECT definer(x) + vol(x), twice(vol(g)) FROM item WHERE id < 10;

--- random beside: hoisted
SELECT count(DISTINCT r) > 250 FROM (SELECT random() r, vol(x) FROM item) q;

--- nextval beside: hoisted
SELECT nextval('counter') - currval('counter'), vol(x) FROM item;

--- tablesample: hoisted
SELECT vol(x) FROM item TABLESAMPLE BERNOULLI (50) REPEATABLE (1);

--- bitmap scan: hoisted
SET LOCAL enable_seqscan = off;
SET LOCAL enable_indexscan = off;
SELECT id, vol(x) FROM item WHERE id < 50 OR id > 290;

--- index only: hoisted
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT vol(id) FROM item WHERE id BETWEEN 10 AND 50;

--- tid scan: hoisted
SELECT vol(x) FROM item WHERE ctid = '(0,5)';

--- index qual on call volatile: hoisted
SELECT id FROM item WHERE id = vol(5);

--- index qual on call stable: direct
SELECT id FROM item WHERE id = stab(5);

--- gating result: hoisted
SELECT vol(x) FROM item WHERE now() > '2000-01-01' AND id < 50;

--- parallel restricted: hoisted, sorted
SELECT go_parallel();
SELECT id, vol(x) FROM many WHERE id % 200 = 0;

--- parallel restricted agg: hoisted
SELECT go_parallel();
SELECT sum(vol(x)) FROM many WHERE id % 200 = 0;

--- parallel gather merge: hoisted
SELECT go_parallel();
SELECT id, stab(x) FROM many WHERE id % 200 = 0 ORDER BY id;

--- parallel safe: any, sorted
SELECT go_parallel();
SELECT id, par(x) FROM many WHERE id % 200 = 0;

--- parallel safe agg: any
SELECT go_parallel();
SELECT sum(par(x)) FROM many WHERE id % 200 = 0;

--- parallel unsafe: hoisted, sorted
SELECT go_parallel();
SELECT id, unsafe(x) FROM many WHERE id % 200 = 0;

--- force parallel: any
SELECT go_parallel(true);
SELECT id, par(x) FROM item;

--- insert select: hoisted
INSERT INTO target SELECT id + 1000, vol(x) FROM item;
SELECT sum(id), sum(v), count(*) FROM target;

--- insert one: direct
INSERT INTO target VALUES (2000, vol(5));
SELECT sum(v) FROM target;

--- insert two calls: hoisted
INSERT INTO target VALUES (2000, vol(5), vol(6));
SELECT sum(v) + sum(w) FROM target;

--- insert multi values: direct
INSERT INTO target VALUES (2000, vol(5)), (2001, vol(6));
SELECT sum(v) FROM target;

--- insert on conflict: hoisted
INSERT INTO target SELECT id, vol(x) FROM item ON CONFLICT (id) DO UPDATE SET w = excluded.v;
SELECT sum(v), sum(w) FROM target;

--- on conflict set call: direct
INSERT INTO target SELECT id, x FROM item WHERE id < 50 ON CONFLICT (id) DO UPDATE SET w = vol(excluded.v);
SELECT sum(v), sum(w) FROM target;

--- update: hoisted
UPDATE target SET w = vol(v);
SELECT sum(v), sum(w) FROM target;

--- update where: hoisted
UPDATE target SET w = 1 WHERE odd(v);
SELECT sum(v), sum(w) FROM target;

--- update both: hoisted
UPDATE target SET w = vol(v) WHERE odd(v);
SELECT sum(v), sum(w) FROM target;

--- update from: hoisted
UPDATE target SET w = add2(target.v, other.y) FROM other WHERE other.id = target.id;
SELECT sum(v), sum(w) FROM target;

--- update returning: direct
UPDATE target SET w = v WHERE id < 20 RETURNING vol(w);

--- update multiexpr: hoisted
UPDATE target SET (v, w) = (SELECT vol(other.y), other.id FROM other WHERE other.id = target.id);
SELECT sum(v), sum(w) FROM target;

--- update multiexpr beside: direct
UPDATE target SET (v, w) = (SELECT other.y, other.id FROM other WHERE other.id = target.id), id = vol(id) + 1000;
SELECT sum(id), sum(v), sum(w) FROM target;

--- update partition move: hoisted
UPDATE part SET id = (vol(id) % 300) + 1 WHERE id < 50;
SELECT tableoid::regclass, sum(id) FROM part GROUP BY 1 ORDER BY 1;

--- delete: hoisted
DELETE FROM target WHERE odd(v);
SELECT count(*) FROM target;

--- delete returning: direct
DELETE FROM target WHERE id < 10 RETURNING vol(v);

--- merge: hoisted, from 15
MERGE INTO target USING (SELECT id, vol(x) r FROM item WHERE id > 190 AND id < 210) s ON target.id = s.id WHEN MATCHED THEN UPDATE SET w = r WHEN NOT MATCHED THEN INSERT VALUES (s.id, r, 0);
SELECT sum(id), sum(v), sum(w) FROM target;

--- merge action: direct, from 15
MERGE INTO target USING (SELECT id, x FROM item WHERE id > 190 AND id < 210) s ON target.id = s.id WHEN MATCHED THEN UPDATE SET w = vol(x) WHEN NOT MATCHED THEN INSERT VALUES (s.id, vol(x), 0);
SELECT sum(id), sum(v), sum(w) FROM target;

--- ctas: hoisted
CREATE TABLE nt AS SELECT id, vol(x) r FROM item;
SELECT sum(r), count(*) FROM nt;

--- select into: hoisted
SELECT id, vol(x) r INTO nt FROM item;
SELECT sum(r), count(*) FROM nt;

--- matview: hoisted
CREATE MATERIALIZED VIEW nt AS SELECT id, vol(x) r FROM item;
REFRESH MATERIALIZED VIEW nt;
SELECT sum(r), count(*) FROM nt;

--- copy to: hoisted
COPY (SELECT id, vol(x) FROM item) TO STDOUT;

--- for update: hoisted
SELECT id, vol(v) FROM target FOR UPDATE;

--- for update limit: hoisted, calls 5
SELECT id, vol(v) FROM target ORDER BY id LIMIT 5 FOR UPDATE SKIP LOCKED;

--- modifying cte: hoisted
WITH d AS (DELETE FROM target WHERE odd(v) RETURNING id) SELECT count(*), sum(vol(id)) FROM d;

--- view: hoisted
CREATE VIEW vw AS SELECT id, vol(x) r FROM item;
SELECT * FROM vw WHERE r > 1500;

--- security barrier view: hoisted
CREATE VIEW vw WITH (security_barrier) AS SELECT id, x FROM item WHERE g = 2;
SELECT id, vol(x) FROM vw WHERE odd(id);

--- rls: hoisted
CREATE POLICY p ON item USING (odd(id));
ALTER TABLE item ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON item TO PUBLIC;
CREATE ROLE bob_rls;
SET LOCAL ROLE bob_rls;
SELECT id FROM item WHERE s LIKE 'row%';

--- prepared generic: hoisted
SET LOCAL plan_cache_mode = force_generic_plan;
PREPARE p(int) AS SELECT id, vol(x) FROM item WHERE id < $1;
EXECUTE p(100);
EXECUTE p(100);

--- prepared generic limit: hoisted, calls 25
SET LOCAL plan_cache_mode = force_generic_plan;
PREPARE p(int) AS SELECT id, vol(x) FROM item LIMIT $1;
EXECUTE p(10);
EXECUTE p(15);

--- cursor: hoisted
DECLARE c CURSOR FOR SELECT id, vol(x) FROM item;
FETCH 5 FROM c;
FETCH 20 FROM c;
FETCH ALL FROM c;

--- cursor scroll: hoisted
DECLARE c SCROLL CURSOR FOR SELECT id, vol(x) FROM item;
FETCH 5 FROM c;
FETCH BACKWARD 3 FROM c;
FETCH LAST FROM c;
FETCH ABSOLUTE 10 FROM c;

--- cursor scroll joined: hoisted
DECLARE c SCROLL CURSOR FOR SELECT id, vol(x) r FROM item ORDER BY r;
FETCH 5 FROM c;
FETCH BACKWARD 3 FROM c;
FETCH FIRST FROM c;

--- cursor hold: any
DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT id, vol(x) FROM item;
COMMIT;
FETCH 5 FROM c;
FETCH BACKWARD 3 FROM c;
CLOSE c;
BEGIN;

--- cursor default backward: hoisted
DECLARE c CURSOR FOR SELECT id, vol(x) FROM item;
FETCH 5 FROM c;
FETCH BACKWARD 3 FROM c;

--- where current of, for update: hoisted, ahead
DECLARE c CURSOR FOR SELECT id, vol(v) FROM target FOR UPDATE;
FETCH 5 FROM c;
UPDATE target SET w = 77 WHERE CURRENT OF c;
SELECT id FROM target WHERE w = 77;

--- plpgsql simple expr: direct
DO $$ DECLARE v int; BEGIN v := vol(4) + vol(5); RAISE INFO '%', v; IF odd(3) AND odd(5) THEN RAISE INFO 'odd'; END IF; END $$;

--- plpgsql select into: hoisted, calls 3
DO $$ DECLARE v int; w int; BEGIN SELECT vol(x) INTO v FROM item; SELECT vol(1), vol(2) INTO v, w; RAISE INFO '% %', v, w; END $$;

--- plpgsql select into with a limit: hoisted, calls 1
DO $$ DECLARE v int; BEGIN SELECT vol(id) INTO v FROM item LIMIT 100; RAISE INFO '%', v; END $$;

--- plpgsql for loop: hoisted
DO $$ DECLARE r record; s int := 0; BEGIN FOR r IN SELECT id, vol(x) v FROM item WHERE x IS NOT NULL LOOP s := s + r.v; END LOOP; RAISE INFO '%', s; END $$;

--- plpgsql for loop exit: hoisted, ahead
DO $$ DECLARE r record; s int := 0; BEGIN FOR r IN SELECT id, vol(x) v FROM item WHERE x IS NOT NULL LOOP s := s + r.v; EXIT WHEN r.id > 3; END LOOP; RAISE INFO '%', s; END $$;

--- plpgsql return query: hoisted
CREATE FUNCTION rq() RETURNS TABLE (v int) LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY SELECT vol(x) FROM item; END $$;
SELECT sum(v) FROM rq();

--- trigger query: both
CREATE FUNCTION trg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.w := vol(NEW.v); SELECT sum(vol(y)) INTO NEW.v FROM other; RETURN NEW; END $$; CREATE TRIGGER tt BEFORE INSERT ON target FOR EACH ROW EXECUTE FUNCTION trg();
INSERT INTO target VALUES (5000, 1, 1);
SELECT * FROM target WHERE id = 5000;

--- error reached: error
SELECT id, fail13(id) FROM item;

--- error not reached: hoisted, calls 12
SELECT id, fail13(id) FROM item LIMIT 12;

--- error behind a filter: hoisted
SELECT id, fail13(id) FROM item WHERE id <> 13;

--- error in arg not reached: hoisted
SELECT vol(10 / (13 - id)) FROM item LIMIT 12;

--- error in arg: error
SELECT vol(10 / (13 - id)) FROM item;

--- domain: hoisted
CREATE DOMAIN dom AS int CHECK (VALUE >= 0);
SELECT vol(x)::dom FROM item;

--- array subscripts: both
SELECT (ARRAY[1,2,3,4])[vol(1)], (ARRAY[vol(g), vol(x)])[2] FROM item;

--- field select: hoisted
SELECT (r).f1 FROM (SELECT ROW(vol(x), s) r FROM item OFFSET 0) q;

--- json build: hoisted
SELECT jsonb_build_object('a', vol(x), 'b', s) FROM item;

--- returns text: hoisted
SELECT shout(s), length(shout(s)) FROM item;

--- zero columns below: hoisted
SELECT vol(7), vol(8) FROM item WHERE id < 5;

--- empty input: none
SELECT vol(x) FROM item WHERE id < 0;

--- cross join group: hoisted
SELECT a.g, sum(vol(b.y)) FROM (SELECT DISTINCT g FROM item) a, (SELECT * FROM other WHERE id < 10) b GROUP BY a.g ORDER BY 1;

--- with ordinality: hoisted
SELECT o, vol(i) FROM unnest(ARRAY[5,6,7]) WITH ORDINALITY a(i,o);

--- table function: hoisted
SELECT vol(a) FROM xmltable('/r/a' passing '<r><a>1</a><a>2</a></r>' columns a int path '.');

--- transition table: hoisted
CREATE FUNCTION trg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE INFO '%', (SELECT sum(vol(v)) FROM nw); RETURN NULL; END $$; CREATE TRIGGER tt AFTER INSERT ON target REFERENCING NEW TABLE AS nw FOR EACH STATEMENT EXECUTE FUNCTION trg();
INSERT INTO target SELECT id+3000, v FROM target;
SELECT max(w) FROM target;

--- composite result, fields of a volatile function: hoisted, calls 588
SELECT (pair_vol(x)).* FROM item;

--- composite result, fields of a stable function: hoisted, calls 294
SELECT (pair_stab(x)).* FROM item;

--- composite result as a value: hoisted
SELECT p, (p).a FROM (SELECT pair_vol(id) p FROM item OFFSET 0) q;

--- out parameters: hoisted
SELECT out2(id) FROM item WHERE id < 20;

--- polymorphic operator over a call: hoisted
SELECT ARRAY[id] || vol(id) FROM item WHERE id < 20;

--- is distinct from: hoisted
SELECT vol(x) IS DISTINCT FROM 20, odd(id) IS TRUE, odd(x) IS NOT UNKNOWN FROM item;

--- least, quantified comparison: hoisted
SELECT least(vol(id), 20), vol(id) = ANY (ARRAY[2, 4, x]) FROM item;

--- row comparison: direct
SELECT (vol(g), id) < (4, 5) FROM item;

--- coalesce three: hoisted
SELECT coalesce(nullif(g, 1), nullif(vol(g), 2), vol(id)) FROM item;

--- case in an argument: hoisted
SELECT vol(CASE WHEN g > 3 THEN vol(x) ELSE x END) FROM item;

--- case without a chance: hoisted, calls 0
SELECT CASE WHEN g > 100 THEN vol(x) END FROM item;

--- case nested in case: hoisted
SELECT CASE WHEN g > 1 THEN CASE WHEN x > 500 THEN vol(x) ELSE vol(-x) END ELSE vol(0) END FROM item;

--- case over and: hoisted
SELECT CASE WHEN g > 1 AND odd(x) OR g = 0 THEN vol(x) END FROM item;

--- a condition too long to be worth it: both
SELECT CASE id WHEN 1 THEN 1 WHEN 2 THEN 1 WHEN 3 THEN 1 WHEN 4 THEN 1
	WHEN 5 THEN 1 WHEN 6 THEN 1 WHEN 7 THEN 1 WHEN 8 THEN 1 WHEN 9 THEN 1
	WHEN 10 THEN 1 WHEN 11 THEN 1 WHEN 12 THEN 1 WHEN 13 THEN 1 WHEN 14 THEN 1
	WHEN 15 THEN 1 WHEN 16 THEN 1 WHEN 17 THEN 1 WHEN 18 THEN 1 WHEN 19 THEN 1
	WHEN 20 THEN vol(20) WHEN 21 THEN 1 WHEN 22 THEN 1 WHEN 23 THEN 1
	WHEN 24 THEN 1 WHEN 25 THEN 1 WHEN 26 THEN 1 WHEN 27 THEN 1 WHEN 28 THEN 1
	WHEN 29 THEN 1 WHEN 30 THEN 1 WHEN 31 THEN 1 WHEN 32 THEN 1 WHEN 33 THEN 1
	WHEN 34 THEN 1 ELSE vol(x) END
FROM item;

--- having without aggregates: hoisted, sorted
SET LOCAL enable_hashagg = off;
SELECT g FROM item GROUP BY g HAVING odd(g);

--- window filter: hoisted
SELECT id, sum(vol(x)) FILTER (WHERE g > 3) OVER (ORDER BY id) FROM item;

--- two window definitions: hoisted
SELECT id, sum(vol(x)) OVER (ORDER BY id), avg(add2(x, g)) OVER (PARTITION BY g ORDER BY id) FROM item;

--- aggregate of a nested call with filter: hoisted, sorted
SELECT g, max(vol(vol(x))) FILTER (WHERE x > 1000), min(shout(s)) FROM item GROUP BY g;

--- filter after a division: hoisted
SELECT id FROM item WHERE id <> 200 AND 1000 / (id - 200) > 0 AND odd(id);

--- filter and call on the survivors with limit: hoisted
SELECT id, vol(x) FROM item WHERE odd(id) LIMIT 9;

--- limit per outer row: hoisted, calls 6
SELECT a.n, q.* FROM (VALUES (1), (3), (2)) a(n),
	LATERAL (SELECT other.id, vol(other.y) FROM other ORDER BY other.y DESC LIMIT a.n) q;

--- offset null: hoisted
SELECT id, vol(x) FROM item OFFSET NULL LIMIT 4;

--- order by a call with limit: hoisted, calls 294
SELECT id FROM item ORDER BY vol(x), id LIMIT 3;

--- hash join, call on both sides: hoisted, sorted
SELECT a.r, b.r FROM (SELECT id, vol(x) r FROM item OFFSET 0) a JOIN (SELECT id, vol(y) r FROM other OFFSET 0) b ON a.id = b.id;

--- join with an empty side: none
SELECT a.r FROM (SELECT id, vol(id) r FROM item OFFSET 0) a JOIN (SELECT id FROM other WHERE y < 0 OFFSET 0) b ON a.id = b.id;

--- full join, call on the inner side: hoisted, sorted
SET LOCAL enable_hashjoin = off;
SELECT a.g, q.r FROM (SELECT DISTINCT g FROM item) a FULL JOIN (SELECT id, vol(y) r FROM other OFFSET 0) q ON a.g = q.id;

--- anti join: hoisted
SELECT id FROM item WHERE NOT EXISTS (SELECT 1 FROM other WHERE other.id = item.id AND odd(other.y / 20));

--- inner unique nested loop: hoisted, sorted
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SELECT item.id FROM item JOIN other ON other.id = item.g WHERE add2(item.id, other.y) > 100;

--- memoize: hoisted
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SET LOCAL enable_seqscan = off;
SELECT count(r) FROM item, LATERAL (SELECT vol(other.y) r FROM other WHERE other.id = item.g + 1 OFFSET 0) q;

--- correlated over a hashed aggregate: hoisted
SELECT id, (SELECT string_agg(r::text, ',') FROM (SELECT vol(other.y) r FROM other WHERE other.id <= item.id ORDER BY other.y DESC OFFSET 0) q) FROM item WHERE id < 9;

--- initplan in a call and in a filter: hoisted
SELECT count(*), sum(r) FROM (SELECT add2(x, (SELECT max(id) FROM other)) r FROM item WHERE add2(x, (SELECT min(id) FROM other)) > 100 OFFSET 0) q;

--- exists with a limit: hoisted
SELECT id, EXISTS (SELECT 1 FROM other WHERE odd(other.y / 20) AND other.id >= item.id) FROM item WHERE id < 20;

--- runtime pruning: hoisted
SELECT id, vol(x) FROM part WHERE id = (SELECT 150);

--- partitions with other columns, and a filter: hoisted
SELECT id, vol(x), shout(x::text) FROM part WHERE id > 50 AND odd(x);

--- union all of unequal branches, limit: hoisted, calls 302
SELECT id, unsafe(id) FROM item UNION ALL SELECT id, add2(y, 1) FROM other LIMIT 302;

--- union all of unequal branches: hoisted, ahead
SELECT id, vol(x) FROM item UNION ALL SELECT id, add2(y, 1) FROM other UNION ALL SELECT id, x FROM part LIMIT 320;

--- intersect: hoisted, sorted
SELECT vol(id) FROM item INTERSECT ALL SELECT vol(id) FROM other;

--- insert into a table with a dropped column: hoisted
ALTER TABLE target DROP COLUMN v;
INSERT INTO target SELECT id + 1000, vol(x) FROM item;
SELECT sum(id), sum(w) FROM target;

--- insert into a table with a generated column: hoisted
CREATE TABLE generated (a int, b int GENERATED ALWAYS AS (a + 1) STORED, c int DEFAULT 7);
INSERT INTO generated (a) SELECT vol(x) FROM item;
SELECT sum(b - a), sum(c) FROM generated;

--- insert returning into one row: hoisted
DO $$ DECLARE r int; BEGIN INSERT INTO target SELECT id + 1000, vol(id) FROM item WHERE id < 2 RETURNING target.v INTO r; RAISE INFO '%', r; END $$;

--- default of a column: both
ALTER TABLE target ALTER w SET DEFAULT vol(21);
INSERT INTO target VALUES (1001, 1);
INSERT INTO target (id, v) SELECT id + 2000, x FROM item;
SELECT sum(w) FROM target;

--- check constraint: direct
ALTER TABLE target ADD CHECK (odd(v) OR v % 2 = 0);
UPDATE target SET v = v + 2 WHERE id < 5;

--- modifying cte with the call inside: hoisted
WITH d AS (UPDATE target SET w = vol(v) WHERE odd(v) RETURNING id, w) SELECT count(*), sum(w) FROM d;

--- modifying cte that nobody reads: hoisted, calls 196
WITH d AS (INSERT INTO target SELECT id + 1000, vol(x) FROM item WHERE id <= 200 RETURNING id) SELECT 1;
SELECT count(*), sum(v) FROM target WHERE id > 1000;

--- modifying cte without rows: hoisted, calls 200
WITH d AS (UPDATE target SET w = vol(v)) SELECT 1;
SELECT count(*), sum(w) FROM target;

--- modifying ctes that are read in part: hoisted
WITH d AS (UPDATE target SET w = vol(v) WHERE odd(v) RETURNING id, w),
	e AS (INSERT INTO target SELECT id + 1000, stab(w) FROM d RETURNING id)
	SELECT count(*) FROM (SELECT FROM e LIMIT 3) q;
SELECT count(*), sum(v), sum(w) FROM target;

--- modifying cte of a cursor that is closed: hoisted, ahead
DO $$
DECLARE
	r record;
BEGIN
	FOR r IN WITH d AS (DELETE FROM target WHERE odd(v) RETURNING id) SELECT vol(id) AS i FROM d LOOP
		EXIT;
	END LOOP;
END $$;
SELECT count(*) FROM target;

--- fetch first of a cursor: hoisted, calls 1
DECLARE c NO SCROLL CURSOR FOR SELECT id, vol(x) FROM item;
FETCH c;

--- two cursors at once: hoisted, ahead
DECLARE c NO SCROLL CURSOR FOR SELECT id, vol(x) FROM item;
DECLARE d NO SCROLL CURSOR FOR SELECT id, shout(s) FROM item;
FETCH 3 FROM c;
FETCH 2 FROM d;
FETCH 30 FROM c;
FETCH 50 FROM d;
CLOSE c;
FETCH ALL FROM d;

--- first row of a cursor with a limit: hoisted, calls 1
DECLARE c NO SCROLL CURSOR FOR SELECT id, vol(id) FROM item LIMIT 100;
FETCH c;

--- rows of a cursor with a limit: hoisted, ahead
DECLARE c NO SCROLL CURSOR FOR SELECT id, vol(id) FROM item LIMIT 100 OFFSET 3;
FETCH 4 FROM c;
FETCH 2 FROM c;
FETCH 2147483647 FROM c;

--- cursor with a limit: hoisted, calls 10
DECLARE c NO SCROLL CURSOR FOR SELECT id, vol(x) FROM item LIMIT 10;
FETCH 4 FROM c;
FETCH ALL FROM c;

--- error caught in a block: any
DO $$ DECLARE r int; BEGIN BEGIN SELECT sum(fail13(id)) INTO r FROM item; EXCEPTION WHEN OTHERS THEN RAISE INFO 'caught'; END; SELECT sum(vol(id)) INTO r FROM item; RAISE INFO '%', r; END $$;

--- procedure with its own queries: both
CREATE PROCEDURE work(n int) LANGUAGE plpgsql AS $$ DECLARE r int; BEGIN r := vol(n); SELECT sum(vol(x)) INTO r FROM item WHERE id < r; RAISE INFO '%', r; END $$;
CALL work(20);

--- function made security definer: direct
SET LOCAL plan_cache_mode = force_generic_plan;
PREPARE q AS SELECT vol(x) FROM item WHERE id < 5;
ALTER FUNCTION vol(int) SECURITY DEFINER;
EXECUTE q;

--- function renamed: error
SET LOCAL plan_cache_mode = force_generic_plan;
PREPARE q AS SELECT vol(x) FROM item WHERE id < 5;
EXECUTE q;
ALTER FUNCTION vol(int) RENAME TO volatile_function;
EXECUTE q;

--- setting turned off under a cached plan: hoisted
SET LOCAL plan_cache_mode = force_generic_plan;
PREPARE q AS SELECT vol(x) FROM item WHERE id < 5;
EXECUTE q;
SET LOCAL modal_batch.enable_pipelining = off;
EXECUTE q;

--- no right to execute: error
REVOKE EXECUTE ON FUNCTION vol(int) FROM PUBLIC;
CREATE ROLE typed_nobody;
GRANT SELECT ON item TO typed_nobody;
SET LOCAL ROLE typed_nobody;
SELECT count(*) FROM (SELECT vol(x) FROM item OFFSET 0) q;

--- no right to execute, behind a view: error
REVOKE EXECUTE ON FUNCTION vol(int) FROM PUBLIC;
CREATE ROLE typed_nobody;
CREATE VIEW v AS SELECT id, vol(x) r FROM item;
GRANT SELECT ON v TO typed_nobody;
SET LOCAL ROLE typed_nobody;
SELECT count(*) FROM (SELECT r FROM v OFFSET 0) q;

--- window of two: hoisted
SET LOCAL modal_batch.max_in_flight = 2;
SELECT id, vol(vol(x)), shout(s) FROM item;

--- small byte window: hoisted
SET LOCAL modal_batch.window_bytes = '64kB';
SELECT id, length(shout(repeat(s, 1000))) FROM item;

--- function in from, used twice and filtered: hoisted, calls 294
SELECT item.id, r, r + 1 FROM item, vol(item.x) r WHERE r > 100 AND r < 900;

--- function in from, outer join: hoisted
SELECT item.id, r FROM item LEFT JOIN LATERAL vol(item.x) r ON true WHERE id < 60;

--- function in from, outer join with a condition: direct
SELECT item.id, r FROM item LEFT JOIN LATERAL vol(item.x) r ON r > 100 WHERE id < 60;

--- function in from, composite: hoisted, calls 59
SELECT item.id, p.a, p.b + 1 FROM item, pair_vol(item.id) p WHERE id < 60;

--- function in from, composite that is null: hoisted
SELECT item.id, p.a, p.b FROM item, pair_vol(item.x) p WHERE id BETWEEN 48 AND 52;

--- function in from, whole row: direct
SELECT item.id, p FROM item, pair_vol(item.x) p WHERE id BETWEEN 48 AND 52;

--- function in from, out parameters: hoisted
SELECT item.id, o.b FROM item, out2(item.id) o WHERE id < 60;

--- function in from, with ordinality: direct
SELECT item.id, r, n FROM item, vol(item.x) WITH ORDINALITY f(r, n) WHERE id < 60;

--- function in from that does not depend on the row: direct, calls 1
SELECT item.id, r FROM item, vol(7) r WHERE id < 60;

--- function in from, limit: hoisted, calls 9
SELECT item.id, r FROM item, vol(item.id) r LIMIT 9;

--- function in from, another call on its result: hoisted, sorted
SELECT item.id, shout(r::text) FROM item, vol(item.id) r WHERE odd(item.g) ORDER BY r;

--- functions in from, one of the other: hoisted
SELECT item.id, r, q FROM item, vol(item.id) r, add2(r, item.g) q WHERE id < 60;

--- function in from, of other calls: hoisted, calls 887
SELECT item.id, r FROM item, add2(vol(item.x), nullable(item.id)) r WHERE r > 0 AND id < 300;

--- function in from, of other calls, limit: hoisted, calls 18
SELECT item.id, r FROM item, vol(vol(item.id)) r LIMIT 9;

--- function in from, of two tables: hoisted, sorted
SELECT item.id, r FROM item JOIN other USING (id), add2(item.x, other.y) r;

--- function in from, in a sub-query per row: hoisted
SELECT id, (SELECT sum(r) FROM other, add2(other.y, item.id) r WHERE other.id < item.g) FROM item WHERE id < 30;

--- function in from of an update, which keeps whole rows: direct
UPDATE target SET w = r FROM item, vol(item.x) r WHERE item.id = target.id;
SELECT sum(w) FROM target;

--- hash key, nested: hoisted, sorted
SELECT item.id, other.id FROM item JOIN other ON stab(stab(item.x)) = other.y;

--- hash key on both sides: hoisted, sorted
SELECT item.id, other.id FROM item JOIN other ON stab(item.x) = stab(other.y) + 0;

--- hash key, call also in the list: hoisted, sorted
SELECT item.id, stab(item.x) FROM item JOIN other ON stab(item.x) = other.y;

--- hash key of a left join: hoisted, sorted
SET LOCAL enable_mergejoin = off;
SET LOCAL enable_nestloop = off;
SELECT item.id, other.id FROM item LEFT JOIN other ON stab(item.x) = other.y;

--- hash key of a full join: hoisted, sorted
SET LOCAL enable_mergejoin = off;
SELECT item.id, other.id FROM item FULL JOIN other ON stab(item.x) = stab(other.y);

--- hash key of a semi join: hoisted, sorted
SET LOCAL enable_mergejoin = off;
SET LOCAL enable_nestloop = off;
SELECT id FROM item WHERE EXISTS (SELECT 1 FROM other WHERE stab(item.x) = other.y);

--- hash key of an anti join: hoisted, sorted
SET LOCAL enable_mergejoin = off;
SET LOCAL enable_nestloop = off;
SELECT id FROM item WHERE NOT EXISTS (SELECT 1 FROM other WHERE stab(item.x) = stab(other.y));

--- hash keys, two of them: direct, sorted
SET LOCAL enable_mergejoin = off;
SET LOCAL enable_nestloop = off;
SELECT item.id, other.id FROM item JOIN other ON stab(item.x) = other.y AND item.g = other.id;

--- hash key in a condition: direct, sorted
SET LOCAL enable_mergejoin = off;
SET LOCAL enable_nestloop = off;
SELECT item.id, other.id FROM item JOIN other ON CASE WHEN item.g > 3 THEN stab(item.x) END = other.y;

--- sub-select of the outermost row, in an argument of an aggregate: hoisted
SELECT o.id, (SELECT sum(vol(CASE WHEN i.g IN (SELECT other.id FROM other WHERE other.id = o.id) THEN i.id ELSE 0 END)) FROM item i) FROM other o WHERE o.id < 6;

--- the same, grouped by hashing: hoisted
SELECT o.id, (SELECT string_agg(s::text, ',' ORDER BY s) FROM (SELECT sum(vol(CASE WHEN i.g IN (SELECT other.id FROM other WHERE other.id = o.id) THEN i.id ELSE 0 END)) s FROM item i GROUP BY i.g) q(s)) FROM (SELECT id FROM other) o WHERE o.id < 6;

--- the same, sorted groups and a filter: both
SET LOCAL enable_hashagg = off;
SELECT o.id, (SELECT array_agg(s) FROM (SELECT i.g, count(vol(i.id)) FILTER (WHERE odd(i.id) AND i.g IN (SELECT other.id FROM other WHERE other.id <= o.id)) FROM item i GROUP BY i.g ORDER BY 1) q(g, s)) FROM other o WHERE o.id < 6;

--- the same, grouping sets: hoisted
SELECT o.id, (SELECT sum(s * (coalesce(g, 9) + 1)) FROM (SELECT i.g, sum(vol(CASE WHEN i.g IN (SELECT other.id FROM other WHERE other.id = o.id) THEN i.id ELSE 0 END)) FROM item i GROUP BY ROLLUP (i.g)) q(g, s)) FROM other o WHERE o.id < 6;

--- the same, aggregates of distinct and of ordered values: hoisted
SELECT o.id, (SELECT string_agg(shout(i.s), ',' ORDER BY vol(CASE WHEN i.g IN (SELECT other.id FROM other WHERE other.id = o.id) THEN -i.id ELSE i.id END)) FROM item i WHERE i.id < 9), (SELECT count(DISTINCT vol(CASE WHEN i.g IN (SELECT other.id FROM other WHERE other.id = o.id) THEN i.id END)) FROM item i) FROM other o WHERE o.id < 6;

--- sub-select of the outermost row, in an argument of a window aggregate: hoisted
SELECT o.id, (SELECT max(s) FROM (SELECT sum(vol(CASE WHEN i.g IN (SELECT other.id FROM other WHERE other.id = o.id) THEN i.id ELSE 0 END)) OVER (ORDER BY i.id) FROM item i) q(s)) FROM other o WHERE o.id < 6;

--- sub-select of the outermost row, in an argument of a set-returning function: hoisted
SELECT o.id, (SELECT sum(s) FROM (SELECT generate_series(1, vol(CASE WHEN i.g IN (SELECT other.id FROM other WHERE other.id = o.id) THEN 2 ELSE 0 END)) FROM item i) q(s)) FROM other o WHERE o.id < 6;

--- sub-select with sorted rows of the outermost row, in an argument: hoisted
SELECT o.id, (SELECT sum(vol((SELECT other.y FROM other WHERE other.id > o.id ORDER BY other.y - i.g OFFSET 1 LIMIT 1))) FROM item i WHERE i.id < 20) FROM other o WHERE o.id < 6;

--- sub-select over materialized rows of the outermost row: hoisted
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SELECT o.id, (SELECT sum(vol((SELECT count(*)::int FROM other a, (SELECT id FROM other WHERE id % 3 = o.id % 3 OFFSET 0) b WHERE a.id < b.id AND b.id < i.g + 9))) FROM item i WHERE i.id < 20) FROM other o WHERE o.id < 6;

--- sub-select with a CTE of the outermost row: hoisted
SELECT o.id, (SELECT sum(vol((WITH c AS MATERIALIZED (SELECT id FROM other WHERE id % 5 = o.id % 5) SELECT count(*)::int FROM c a, c b WHERE a.id < b.id + i.g))) FROM item i WHERE i.id < 9) FROM other o WHERE o.id < 6;

--- EXISTS, ANY and ALL of the outermost row in arguments: hoisted
SELECT o.id, (SELECT sum(vol((EXISTS (SELECT 1 FROM other WHERE other.id = o.id AND other.id = i.g))::int + (i.g > ALL (SELECT id FROM other WHERE id < o.id))::int * 2 + (i.g <> ANY (SELECT id FROM other WHERE id = o.id))::int * 4)) FROM item i) FROM other o WHERE o.id < 6;

--- a sub-select within a sub-select in an argument: hoisted
SELECT o.id, (SELECT sum(vol(CASE WHEN i.g IN (SELECT a.id FROM other a WHERE a.id IN (SELECT b.id FROM other b WHERE b.id >= o.id AND b.id < o.id + 2)) THEN i.id ELSE 0 END)) FROM item i) FROM other o WHERE o.id < 6;

--- calls within the sub-select in an argument: hoisted
SELECT o.id, (SELECT sum(vol(CASE WHEN i.g IN (SELECT stab(b.id) FROM other b WHERE b.id = o.id) THEN i.id ELSE 0 END)) FROM item i WHERE i.id < 20) FROM other o WHERE o.id < 4;

--- nested calls with sub-selects of the outermost row: hoisted
SELECT o.id, (SELECT sum(add2(vol(CASE WHEN i.g IN (SELECT id FROM other WHERE id = o.id) THEN 1 ELSE 0 END), CASE WHEN i.g IN (SELECT id FROM other WHERE id > o.id) THEN 1 ELSE 0 END)) FROM item i) FROM other o WHERE o.id < 6;

--- sub-select of an outer row under LATERAL: hoisted
SELECT o.id, q.s FROM other o, LATERAL (SELECT sum(vol(CASE WHEN i.g IN (SELECT id FROM other WHERE id = o.id) THEN i.id ELSE 0 END)) s FROM item i) q WHERE o.id < 6;

--- sub-select of an outer row under LATERAL, of two levels: hoisted
SELECT o.id, q.s FROM other o, LATERAL (SELECT sum(r.t) s FROM item p, LATERAL (SELECT sum(vol(CASE WHEN i.g IN (SELECT id FROM other WHERE id = o.id OR id = p.g) THEN i.id ELSE 0 END)) t FROM item i WHERE i.id < 9) r WHERE p.id < 4) q WHERE o.id < 4;

--- InitPlan used by an argument of an aggregate: hoisted
SELECT o.id, (SELECT sum(vol(i.id + (SELECT max(id)::int FROM other WHERE id <= o.id))) FROM item i WHERE i.id < 9) FROM other o WHERE o.id < 6;

--- InitPlan and a hashed sub-select that uses it: hoisted
SELECT o.id, (SELECT sum(vol(CASE WHEN i.g IN (SELECT id FROM other WHERE id = (SELECT max(id) FROM other WHERE id <= o.id)) THEN i.id ELSE 0 END)) FROM item i) FROM other o WHERE o.id < 6;

--- sub-select of the outermost row in a target list and a filter: hoisted
SELECT o.id, (SELECT sum(r) FROM (SELECT vol(CASE WHEN i.g IN (SELECT id FROM other WHERE id = o.id) THEN i.id ELSE 0 END) r FROM item i WHERE odd(CASE WHEN i.g IN (SELECT id FROM other WHERE id <= o.id) THEN 1 ELSE i.id END) OFFSET 0) q) FROM other o WHERE o.id < 6;

--- sub-select of the outermost row in parts of an Append: hoisted
SELECT o.id, (SELECT sum(r) FROM (SELECT vol(CASE WHEN p.x % 7 IN (SELECT id FROM other WHERE id = o.id) THEN p.id ELSE 0 END) r FROM part p UNION ALL SELECT vol(y % 7 + o.id) FROM other OFFSET 0) q) FROM other o WHERE o.id < 6;

--- sub-select of the outermost row below a MergeAppend: hoisted
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT o.id, (SELECT array_agg(r) FROM (SELECT vol(CASE WHEN p.id % 7 IN (SELECT id FROM other WHERE id = o.id) THEN p.id ELSE 0 END) r FROM part p ORDER BY p.id LIMIT 9) q) FROM other o WHERE o.id < 6;

--- parameter of the outermost row in the keys of a hash join: hoisted
SET LOCAL enable_nestloop = off;
SET LOCAL enable_mergejoin = off;
SELECT o.id, (SELECT count(*) FROM item i JOIN other p ON stab(i.g + o.id) = stab(p.id)) FROM (SELECT id FROM other WHERE id < 6 OFFSET 0) o;

--- parameter of the outermost row in the outer key alone: hoisted
SET LOCAL enable_nestloop = off;
SET LOCAL enable_mergejoin = off;
SELECT o.id, (SELECT count(*) FROM (SELECT g FROM item ORDER BY g, id OFFSET 0) i JOIN other p ON stab(i.g + o.id) = p.id) FROM (SELECT id FROM other WHERE id < 6 OFFSET 0) o;

--- function in FROM with a parameter of the outermost row: hoisted
SELECT o.id, (SELECT sum(r) FROM item i, LATERAL add2(vol(i.id + o.id), o.id) r WHERE i.id < 9) FROM other o WHERE o.id < 6;

--- nested loops with a sub-select of the outer side: hoisted
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SELECT o.id, q.r FROM other o JOIN LATERAL (SELECT vol(CASE WHEN i.g IN (SELECT id FROM other WHERE id = o.id) THEN i.id ELSE 0 END) r FROM item i WHERE i.id < 9 OFFSET 0) q ON q.r > 0 WHERE o.id < 6;

--- recursive union with a sub-select in an argument: hoisted
WITH RECURSIVE c(n, r) AS (SELECT 1, 0::bigint UNION ALL SELECT n + 1, (SELECT sum(vol(CASE WHEN i.g IN (SELECT id FROM other WHERE id = c.n) THEN i.id ELSE 0 END)) FROM item i) FROM c WHERE n < 6) SELECT * FROM c;

--- INSERT of sub-selects in arguments: hoisted
INSERT INTO target SELECT 1000 + o.id, (SELECT sum(vol(CASE WHEN i.g IN (SELECT id FROM other WHERE id = o.id) THEN i.id ELSE 0 END)) FROM item i) FROM other o WHERE o.id < 6 RETURNING id, v;

--- UPDATE with sub-selects in arguments: hoisted
UPDATE target SET v = (SELECT sum(vol(CASE WHEN i.g IN (SELECT id FROM other WHERE id = target.id) THEN i.id ELSE 0 END)) FROM item i) WHERE id < 6 RETURNING id, v;

--- MERGE with sub-selects in arguments: hoisted, from 15
MERGE INTO target t USING (SELECT o.id, (SELECT sum(vol(CASE WHEN i.g IN (SELECT id FROM other WHERE id = o.id) THEN i.id ELSE 0 END)) FROM item i) s FROM other o WHERE o.id < 6) q ON t.id = q.id + 3 WHEN MATCHED THEN UPDATE SET v = q.s WHEN NOT MATCHED THEN INSERT VALUES (q.id + 1000, q.s);
SELECT id, v FROM target WHERE id < 10 OR id > 1000 ORDER BY id;

--- a cursor over sub-selects in arguments: hoisted, ahead
DECLARE c CURSOR FOR SELECT o.id, (SELECT sum(vol(CASE WHEN i.g IN (SELECT id FROM other WHERE id = o.id) THEN i.id ELSE 0 END)) FROM item i) FROM other o WHERE o.id < 6;
FETCH 2 FROM c;
FETCH ALL FROM c;

--- prepared, a generic plan with sub-selects in arguments: hoisted
SET LOCAL plan_cache_mode = force_generic_plan;
PREPARE q(int) AS SELECT o.id, (SELECT sum(vol(CASE WHEN i.g IN (SELECT id FROM other WHERE id = o.id + $1) THEN i.id ELSE 0 END)) FROM item i) FROM other o WHERE o.id < 6;
EXECUTE q(0);
EXECUTE q(1);
DEALLOCATE q;

--- parallel, with sub-selects in arguments: any
SELECT go_parallel();
SELECT o.id, (SELECT sum(par(CASE WHEN m.x % 7 IN (SELECT id FROM other WHERE id = o.id) THEN m.id ELSE 0 END)) FROM many m WHERE m.id < 300) FROM other o WHERE o.id < 4;
SELECT sum(par(CASE WHEN m.x IN (SELECT id FROM other WHERE id < (SELECT max(id) FROM other)) THEN m.id ELSE -m.id END)) FROM many m WHERE m.id < 500;
