-- Durable jobs that run: where results go, in every mode, and what is told.
\i test/setup.sql
\set SHOW_CONTEXT never
CREATE SCHEMA jobs_run;
SET search_path = jobs_run, public;
-- Number of the job made last; psql's statements are transactions of their own.
CREATE FUNCTION last_job() RETURNS bigint LANGUAGE sql AS
	'SELECT max(job) FROM modal_batch.jobs';
CREATE FUNCTION finish() RETURNS TABLE (state text, succeeded bigint, failed bigint, stale bigint)
	LANGUAGE plpgsql SET client_min_messages = error AS $$
BEGIN
	PERFORM modal_wait(last_job(), '60s');
	RETURN QUERY SELECT j.state, j.succeeded, j.failed, j.stale
		FROM modal_batch.jobs j WHERE j.job = last_job();
END $$;

-- what others commit later is seen, whatever snapshot the transaction has
SELECT modal_spawn('local:builtin/sleep', 0.3, 1) AS job \gset
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM modal_batch.jobs WHERE job = :job;
SELECT modal_wait(:job, '60s');
COMMIT;
SELECT modal_spawn('local:builtin/sleep', 0.3, 1) AS job \gset
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT count(*) FROM modal_batch.jobs WHERE job = :job;
SELECT modal_wait(:job, '60s');
COMMIT;
SELECT modal_wait(:job, '300000 years'), modal_wait(:job, '-300000 years');

-- no table: modal_results
SELECT modal_spawn_map('local:builtin/square', 'SELECT i AS id, i AS n FROM generate_series(1, 3) i', key => '{id}') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT ordinal, input, result, error, attempts, started_at <= finished_at AS timed FROM modal_results(last_job());
SELECT state, inputs, waiting, in_flight, percent, eta, waited, mode, into_table,
		remote_call_id LIKE 'fc-%' AS called, finished_at >= started_at AS timed
	FROM modal_batch.jobs WHERE job = last_job();
-- modal-local shows its calls itself
SELECT modal_dashboard_url(last_job()) ~ '^http://localhost:[0-9]+/console/call/fc-[0-9a-z]+$' AS in_console;
SELECT modal_dashboard_url(-1);
-- negative numbers are nobody's: none comes from the sequence
INSERT INTO modal_batch.job (id, owner, function, format, state, finished_at, inputs, mode, search_path, remote_call_id)
	VALUES (-5, CURRENT_USER::regrole, 'modal:app/f', 'cbor', 'completed', now(), 1, 'result', '', 'fc-1');
SELECT modal_dashboard_url(-5);
SELECT modal_forget(-5);

-- scalars go to result_column, converted to its type
CREATE TABLE scalars (id int PRIMARY KEY, result text);
SELECT modal_spawn_map('local:builtin/square', 'SELECT i AS id, i AS n FROM generate_series(1, 3) i',
	key => '{id}', into_table => 'scalars') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT * FROM scalars ORDER BY id;
CREATE TABLE named (id int, answer numeric(6,2), note text DEFAULT 'default');
SELECT modal_spawn_map('local:builtin/square', 'SELECT i AS id, i AS n FROM generate_series(1, 3) i',
	key => '{id}', into_table => 'named', result_column => 'answer') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT * FROM named ORDER BY id;

-- dicts are spread over the columns of their names; a column that a result
-- does not name keeps its default
CREATE TABLE spread (id int PRIMARY KEY, label text DEFAULT 'none', score float8, tags text[], at timestamptz, raw jsonb);
SELECT modal_spawn_map('local:builtin/echo', $$SELECT v.id, v.d FROM (VALUES
	(1, '{"label": "a", "score": 0.5, "tags": ["x", "y"], "raw": {"deep": [1]}}'::jsonb),
	(2, '{"score": 2, "unknown": true}'),
	(3, '{}'),
	(4, '{"label": null, "at": "2024-02-29T12:00:00+00:00"}')) v(id, d)$$,
	key => '{id}', into_table => 'spread') IS NOT NULL AS made;
SELECT * FROM finish();
SET TimeZone = 'UTC';
SELECT * FROM spread ORDER BY id;
RESET TimeZone;

-- lists by position
CREATE TABLE positions (id int PRIMARY KEY, a int, b text);
SELECT modal_spawn_map('local:builtin/echo', $$SELECT i AS id, jsonb_build_array(i, 'b' || i) AS d FROM generate_series(1, 2) i$$,
	key => '{id}', into_table => 'positions') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT * FROM positions ORDER BY id;

-- columns that the table makes itself take no results
CREATE TABLE counted (nr bigint GENERATED ALWAYS AS IDENTITY, id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED);
SELECT modal_spawn_map('local:builtin/echo', $$SELECT v.id, v.d FROM (VALUES (1, '7'::jsonb), (2, '{"a": 8, "twice": 1, "nr": 1}')) v(id, d)$$,
	key => '{id}', into_table => 'counted') IS NOT NULL AS made;
SELECT * FROM finish();
ALTER TABLE counted ADD b text;
SELECT modal_spawn_map('local:builtin/echo', $$SELECT 3 AS id, '[9, "b"]'::jsonb AS d$$, key => '{id}', into_table => 'counted') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT id, a, twice, b FROM counted ORDER BY id;

-- a row that does not fit fails alone, and says why
SELECT modal_spawn_map('local:builtin/echo', $$SELECT i AS id, CASE i WHEN 7 THEN '"seven"' ELSE '[1, "new"]' END::jsonb AS d
	FROM generate_series(2, 9) i$$,
	key => '{id}', into_table => 'positions') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT ordinal, input, error->>'code' AS code, error->>'message' AS message FROM modal_results(last_job());
SELECT count(*), min(b), max(b) FROM positions WHERE id > 2;

-- rows are written in the order of their keys, as ORDER BY has it
CREATE TABLE ordered (n serial, a text COLLATE "C", b int, id int, result int);
SELECT modal_spawn_map('local:builtin/square',
	$$SELECT (ARRAY['b', 'B', 'a', NULL])[i % 4 + 1] AS a, i * 7 % 11 AS b, i AS id, i AS n FROM generate_series(1, 40) i$$,
	key => '{a,b,id}', into_table => 'ordered') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT count(*), array_agg(id ORDER BY n) = array_agg(id ORDER BY a, b, id) AS ordered, sum(result) FROM ordered;

-- upsert
SELECT modal_spawn_map('local:builtin/echo', $$SELECT i AS id, jsonb_build_object('b', 'upserted') AS d FROM generate_series(1, 12, 11) i$$,
	key => '{id}', into_table => 'positions', mode => 'upsert') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT * FROM positions WHERE id IN (1, 12) ORDER BY id;

-- update: rows that are there, and failures in error_column
CREATE TABLE docs (id int, part text, body text, vec jsonb, why jsonb, PRIMARY KEY (id, part));
INSERT INTO docs SELECT i, 'p', CASE i WHEN 2 THEN NULL ELSE 'body ' || i END FROM generate_series(1, 3) i;
SELECT modal_spawn_map('local:builtin/echo', $$SELECT id, part, body FROM docs UNION ALL SELECT 99, 'p', 'gone'$$,
	key => '{id,part}', into_table => 'docs', mode => 'update', result_column => 'vec', error_column => 'why') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT * FROM docs ORDER BY id;
SELECT modal_spawn_map('local:builtin/fail', $$SELECT id, part, body FROM docs WHERE id = 1$$,
	key => '{id,part}', into_table => 'docs', mode => 'update', result_column => 'vec', error_column => 'why') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT id, vec, why ->> 'code' AS code, why ? 'message' AS told FROM docs WHERE id = 1;

-- failures of which the table cannot take some
CREATE TABLE told (id int PRIMARY KEY, result int, why jsonb);
INSERT INTO told VALUES (1);
SELECT modal_spawn_map('local:builtin/square', $$SELECT i AS id, CASE i WHEN 2 THEN '"x"' ELSE to_jsonb(i) END FROM generate_series(1, 3) i$$,
	key => '{id}', into_table => 'told', error_column => 'why') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT id, result, why->>'code' AS code FROM told ORDER BY id;
-- tried again, they are no rows of their own
ALTER TABLE told ADD CONSTRAINT even CHECK (result % 2 = 0) NOT VALID;
SELECT modal_spawn_map('local:builtin/square', $$SELECT i AS id, i FROM generate_series(20, 23) i$$,
	key => '{id}', into_table => 'told', error_column => 'why') IS NOT NULL AS made;
SELECT * FROM finish();
UPDATE told SET result = 100, why = NULL WHERE id = 23;
SELECT modal_retry(last_job());
SELECT * FROM finish();
ALTER TABLE told DROP CONSTRAINT even;
SELECT modal_retry(last_job());
SELECT * FROM finish();
SELECT id, result, why->>'code' AS code FROM told WHERE id >= 20 ORDER BY id;
DELETE FROM told WHERE id >= 20;
-- of one key, one
SELECT modal_spawn_map('local:builtin/fail', $$SELECT i / 2 AS id, 'x' FROM generate_series(8, 11) i$$,
	key => '{id}', into_table => 'told', error_column => 'why', mode => 'upsert') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT id, result, why->>'code' AS code FROM told WHERE id > 3 ORDER BY id;

-- a result that sets nothing, of a row that is as it was sent, and of one that is not
ALTER TABLE docs DROP COLUMN why;
SELECT modal_spawn_map('local:builtin/kwargs', $$SELECT id, part, body FROM docs WHERE id = 1
	UNION ALL SELECT id, part, 'other' FROM docs WHERE id = 2$$, kwargs => '{"unknown": 1}',
	key => '{id,part}', into_table => 'docs', mode => 'update', result_column => NULL) IS NOT NULL AS made;
SELECT * FROM finish();

-- discard: nothing is kept but failures
SELECT modal_spawn_map('local:builtin/square', $$SELECT CASE i WHEN 2 THEN '"x"' ELSE '7' END::jsonb FROM generate_series(1, 3) i$$,
	mode => 'discard') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT ordinal, result, error->>'code' AS code FROM modal_results(last_job());

-- keyword arguments, for every input
SELECT modal_spawn_map('local:builtin/kwargs', 'SELECT 1', kwargs => '{"k": [1, 2]}') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT result FROM modal_results(last_job());

-- one input; results of several jobs together
SELECT modal_spawn('local:builtin/square', 12) AS job \gset
SELECT modal_spawn('local:builtin/square', 13) AS job2 \gset
SELECT j.job = :job AS first, ordinal, result, error FROM modal_gather(:job, :job2) j;
SELECT modal_wait(:job);

-- on_complete runs once, as the owner, and is given the number of the job
CREATE TABLE ended (job bigint, who name, path text);
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', on_complete =>
	$$INSERT INTO ended VALUES ($1, current_user, current_schema)$$) IS NOT NULL AS made;
SELECT * FROM finish();
SELECT job = last_job() AS this_job, who = current_user AS owner, path FROM ended;
-- its failure changes nothing else
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', on_complete => 'SELECT 1/0') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT last_error ->> 'code' AS code, last_error ->> 'message' AS message FROM modal_batch.jobs WHERE job = last_job();

-- no inputs
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1 WHERE false', on_complete =>
	$$INSERT INTO ended VALUES ($1)$$) IS NOT NULL AS made;
SELECT * FROM finish();
SELECT count(*) FROM ended WHERE job = last_job();
SELECT percent, inputs FROM modal_batch.jobs WHERE job = last_job();

-- retry: what failed, and nothing else
CREATE TABLE few (id int PRIMARY KEY, result int CHECK (result < 10));
SELECT modal_spawn_map('local:builtin/square', 'SELECT i AS id, i AS n FROM generate_series(1, 5) i',
	key => '{id}', into_table => 'few') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT ordinal, input, error->>'code' AS code FROM modal_results(last_job());
ALTER TABLE few DROP CONSTRAINT few_result_check;
SELECT modal_retry(last_job());
SELECT * FROM finish();
SELECT * FROM few ORDER BY id;
SELECT count(*) FROM modal_results(last_job());
SELECT modal_retry(last_job());
SELECT modal_forget(last_job());

-- nothing is left behind
SELECT count(*) FROM modal_batch.chunk JOIN modal_batch.job j ON j.id = job WHERE j.state = 'completed';
-- what the workers do can be seen
SELECT backend_type, application_name FROM pg_stat_activity
	WHERE backend_type LIKE 'modal_batch %' AND coalesce(datname = current_database(), true) ORDER BY 1;

-- a key that the table's column would round is no row's
CREATE TABLE rounded (id numeric(4, 0), at timestamp(0), result int, PRIMARY KEY (id, at));
INSERT INTO rounded VALUES (2, '2020-01-01 00:00:01');
SELECT modal_spawn_map('local:builtin/square', $$SELECT id, at::timestamp, 7 FROM (VALUES (1.5, '2020-01-01 00:00:01'),
	(2.0, '2020-01-01 00:00:00.6'), (2.4, '2020-01-01 00:00:01.2')) v(id, at)$$, key => '{id,at}', into_table => 'rounded', mode => 'update') AS job \gset
SELECT modal_wait(:job);
SELECT succeeded, failed, stale FROM modal_batch.jobs WHERE job = :job;
SELECT * FROM rounded;
SELECT modal_spawn_map('local:builtin/square', $$SELECT 2.00 AS id, timestamp '2020-01-01 00:00:01' AS at, 7$$, key => '{id,at}', into_table => 'rounded', mode => 'update') AS job \gset
SELECT modal_wait(:job);
SELECT * FROM rounded;

-- everything of jobs says what it is
SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
	JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'modal_batch'
	WHERE obj_description(p.oid, 'pg_proc') IS NULL;
SELECT c.oid::regclass FROM pg_class c JOIN pg_depend d ON d.objid = c.oid AND d.deptype = 'e'
	JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'modal_batch'
	WHERE c.relkind IN ('r', 'v', 'S') AND obj_description(c.oid, 'pg_class') IS NULL;

SET client_min_messages = warning;
DROP SCHEMA jobs_run CASCADE;
