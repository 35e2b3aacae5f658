-- Mode "replace": the elements of a list become the rows of a key; and results
-- that go to views.  The other places are in test/t/389_job_elsewhere.pl.
\i test/setup.sql
\set SHOW_CONTEXT never
CREATE SCHEMA jobs_replace;
SET search_path = jobs_replace, public;
CREATE FUNCTION last_job() RETURNS bigint LANGUAGE sql AS
	'SELECT max(job) FROM modal_batch.jobs';
CREATE FUNCTION finish() RETURNS TABLE (state text, succeeded bigint, failed bigint, stale bigint)
	LANGUAGE plpgsql SET client_min_messages = error AS $$
BEGIN
	PERFORM modal_wait(last_job(), '60s');
	RETURN QUERY SELECT j.state, j.succeeded, j.failed, j.stale
		FROM modal_batch.jobs j WHERE j.job = last_job();
END $$;

-- scalars, dicts and lists, in one list too; NULL and the empty list are no rows
CREATE TABLE chunks (doc int, n int, result text, tokens int DEFAULT 7 CHECK (tokens > 0), PRIMARY KEY (doc, n));
CREATE FUNCTION chunk(query text) RETURNS boolean LANGUAGE sql AS $$
	SELECT modal_spawn_map('local:builtin/echo', query, key => '{doc}', into_table => 'chunks',
		mode => 'replace', ordinality_column => 'n') IS NOT NULL $$;
INSERT INTO chunks SELECT doc, n, 'old' FROM generate_series(1, 9) doc, generate_series(10, 11) n;
SELECT chunk($$SELECT * FROM (VALUES
	(1, '["a", "b", null]'::jsonb), (2, '[]'), (3, 'null'), (4, NULL),
	(5, '[{"result": "x", "tokens": 3, "unknown": 1, "doc": 9, "n": 9}, ["y", 4], "z", {}]')) v(doc, d)$$);
SELECT * FROM finish();
SELECT * FROM chunks WHERE doc <= 5 ORDER BY doc, n;

-- what is no list, or has an element that does not fit, fails alone and
-- leaves what was there
SELECT chunk($$SELECT * FROM (VALUES
	(1, '["new"]'::jsonb), (6, '5'), (7, '{"result": "x"}'), (8, '["good", {"tokens": "bad"}]'),
	(9, '["good", {"tokens": 0}]'), (5, '["good", [1, 2, 3]]')) v(doc, d)$$);
SELECT * FROM finish();
SELECT input, error->>'code' AS code, error->>'message' AS message, error->>'detail' AS detail
	FROM modal_results(last_job());
SELECT doc, count(*), min(result) FROM chunks GROUP BY doc ORDER BY doc;
-- they are tried again alone
ALTER TABLE chunks DROP CONSTRAINT chunks_tokens_check;
SELECT modal_retry(last_job());
SELECT * FROM finish();
SELECT * FROM chunks WHERE doc = 9;

-- of inputs with one key, the rows of one stay
SELECT chunk($$SELECT 1 AS doc, jsonb_build_array('of', i::text, i::text) FROM generate_series(1, 100) i$$);
SELECT * FROM finish();
SELECT count(*), count(DISTINCT result) FROM chunks WHERE doc = 1;
SELECT chunk($$SELECT NULL::int AS doc, '["x"]'::jsonb AS d$$);
SELECT * FROM finish();
SELECT error->>'code' AS code, error->>'message' AS message FROM modal_results(last_job());

-- many rows, and many sets of columns
SELECT chunk($$SELECT doc, to_jsonb(array_agg(repeat('x', i % 100))) AS d
	FROM generate_series(101, 300) doc, generate_series(1, 100) i GROUP BY doc$$);
SELECT * FROM finish();
SELECT count(*), count(DISTINCT doc), min(n), max(n), sum(length(result)) FROM chunks WHERE doc > 100;
CREATE TABLE wide (id int, a int, b int, c int, d int, e int, f int);
CREATE FUNCTION named(id int) RETURNS jsonb LANGUAGE sql AS $$
	SELECT coalesce(jsonb_object_agg(chr(97 + bit), id) FILTER (WHERE (id & (1 << bit)) > 0), '{}')
	FROM generate_series(0, 5) bit $$;
SELECT modal_spawn_map('local:builtin/echo',
	'SELECT id, jsonb_build_array(named(id), named(id), named(63 - id)) AS d FROM generate_series(1, 63) id',
	key => '{id}', into_table => 'wide', mode => 'replace') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT count(*), count(a), count(b), count(c), count(d), count(e), count(f), sum(a) FROM wide;
SELECT modal_spawn_map('local:builtin/echo',
	'SELECT id, (SELECT jsonb_agg(named(i)) FROM generate_series(1, 40) i) AS d FROM generate_series(1, 2) id',
	key => '{id}', into_table => 'wide', mode => 'replace') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT input, error->>'code' AS code, error->>'message' AS message, error->>'detail' AS detail
	FROM modal_results(last_job());
SELECT count(*) FROM wide;

-- the only column takes whole elements, if its type holds them
CREATE TABLE whole (id int, result jsonb);
CREATE TABLE vectors (id int, result float4[]);
SELECT modal_spawn_map('local:builtin/echo', $$SELECT 1 AS id, '[{"a": 1}, [2], 3, null]'::jsonb AS d$$,
	key => '{id}', into_table => 'whole', mode => 'replace') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT * FROM whole;
SELECT modal_spawn_map('local:builtin/echo', $$SELECT 1 AS id, '[[1, 2.5], [3], []]'::jsonb AS d$$,
	key => '{id}', into_table => 'vectors', mode => 'replace') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT * FROM vectors;

-- arguments
\set call 'SELECT modal_spawn_map(''local:builtin/echo'', ''SELECT 1 AS doc, 2'', '
:call mode => 'replace', into_table => 'chunks');
:call mode => 'replace', key => '{doc}');
:call mode => 'replace', key => '{doc}', into_table => 'chunks', error_column => 'result');
:call mode => 'upsert', key => '{doc}', into_table => 'chunks', ordinality_column => 'n');
:call mode => 'replace', key => '{doc}', into_table => 'chunks', ordinality_column => 'doc');
:call mode => 'replace', key => '{doc}', into_table => 'chunks', ordinality_column => 'result');
:call mode => 'replace', key => '{doc}', into_table => 'chunks', ordinality_column => 'm');
:call mode => 'replace', key => '{doc}', into_table => 'chunks', result_column => 'n', ordinality_column => 'n');
:call mode => 'replace', key => '{doc}', into_table => 'chunks', result_column => 'doc');
:call mode => 'replaces', key => '{doc}', into_table => 'chunks');
CREATE TABLE unordered (doc xid, result text);
:call mode => 'replace', key => '{doc}', into_table => 'unordered');
CREATE MATERIALIZED VIEW materialized AS SELECT 1 AS doc, 2 AS result;
:call key => '{doc}', into_table => 'materialized');

-- views: those that PostgreSQL updates by itself, and those with triggers
CREATE TABLE base (id int PRIMARY KEY, n int, result int);
CREATE VIEW plain AS SELECT id, n, result FROM base;
CREATE VIEW summed AS SELECT id, max(n) AS n, max(result) AS result FROM base GROUP BY id;
:call key => '{doc}', into_table => 'summed');
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN DELETE FROM base WHERE id = OLD.id; RETURN OLD; END IF;
	IF TG_OP = 'UPDATE' THEN UPDATE base SET result = NEW.result WHERE id = OLD.id; RETURN NEW; END IF;
	IF NEW.id = 3 THEN RAISE 'not three'; END IF;
	INSERT INTO base VALUES (NEW.id, NEW.n, NEW.result); RETURN NEW;
END $$;
CREATE TRIGGER instead INSTEAD OF INSERT ON summed FOR EACH ROW EXECUTE FUNCTION instead();
SELECT modal_spawn_map('local:builtin/square', 'SELECT id, id AS n FROM generate_series(1, 5) id',
	key => '{id}', into_table => 'summed', mode => 'update');
CREATE TRIGGER instead_of_others INSTEAD OF UPDATE OR DELETE ON summed FOR EACH ROW EXECUTE FUNCTION instead();
\set square 'SELECT modal_spawn_map(''local:builtin/square'', ''SELECT id, id AS n FROM generate_series(1, 5) id'', key => ''{id}'', '
:square into_table => 'summed') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT error->>'message' AS message FROM modal_results(last_job());
SELECT * FROM base ORDER BY id;
-- n is an argument, and NULL there: all are stale; then two are not
:square into_table => 'summed', mode => 'update') IS NOT NULL AS made;
SELECT * FROM finish();
UPDATE base SET n = id, result = 0 WHERE id <= 2;
:square into_table => 'summed', mode => 'update') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT * FROM base ORDER BY id;
UPDATE base SET result = 0;
DELETE FROM base WHERE id = 1;
:square into_table => 'summed', mode => 'upsert') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT * FROM base ORDER BY id;
UPDATE base SET result = 0;
:square into_table => 'plain', mode => 'upsert') IS NOT NULL AS made;
SELECT * FROM finish();
:square into_table => 'plain', mode => 'update') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT * FROM base ORDER BY id;
-- dicts that name no column
SELECT modal_spawn_map('local:builtin/echo', $$SELECT id, '{}'::jsonb AS d FROM generate_series(5, 6) id$$,
	key => '{id}', into_table => 'plain', result_column => NULL, mode => 'upsert') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT * FROM base ORDER BY id;
SELECT modal_spawn_map('local:builtin/echo', $$SELECT id, '[[7, 8]]'::jsonb AS d FROM generate_series(5, 7) id$$,
	key => '{id}', into_table => 'plain', mode => 'replace') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT * FROM base ORDER BY id;

-- of inputs with one key, the last is written, also where no index keeps out the others; NULL is nobody's key
CREATE TABLE loose (id int, result int);
CREATE VIEW of_loose AS SELECT id, result FROM loose;
INSERT INTO loose VALUES (1, 0);
SELECT modal_spawn_map('local:builtin/square', 'SELECT nullif(i % 3, 0) AS id, i FROM generate_series(1, 9) i',
	key => '{id}', into_table => 'of_loose', mode => 'upsert') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT id, count(*) FROM loose GROUP BY id ORDER BY id;

-- one column for results beside one that the table makes: elements whole
CREATE TABLE numbered (nr bigint GENERATED ALWAYS AS IDENTITY, doc int, result jsonb);
SELECT modal_spawn_map('local:builtin/echo', $$SELECT 1 AS doc, '[[7, 8], {"a": 1}, 9]'::jsonb AS d$$,
	key => '{doc}', into_table => 'numbered', mode => 'replace') IS NOT NULL AS made;
SELECT * FROM finish();
SELECT * FROM numbered ORDER BY nr;

-- rights
CREATE ROLE jobs_replace_role;
GRANT USAGE ON SCHEMA jobs_replace TO jobs_replace_role;
GRANT USAGE ON FOREIGN SERVER local TO jobs_replace_role;
CREATE USER MAPPING FOR jobs_replace_role SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local');
GRANT SELECT, INSERT ON chunks TO jobs_replace_role;
SET ROLE jobs_replace_role;
:call key => '{doc}', into_table => 'chunks', mode => 'replace');
RESET ROLE;
DROP OWNED BY jobs_replace_role;
DROP ROLE jobs_replace_role;

SET client_min_messages = warning;
DROP SCHEMA jobs_replace CASCADE;
DELETE FROM modal_batch.job;
DELETE FROM modal_batch.result;
