-- Durable jobs: how they are recorded, and what is refused.  Nothing here is
-- committed, so nothing runs; test/t/3*.pl runs jobs.
\i test/setup.sql
CREATE SCHEMA jobs;
SET search_path = jobs, public;
CREATE TABLE docs (id int, part text, body text, vec jsonb, PRIMARY KEY (id, part));
CREATE TABLE out (id int PRIMARY KEY, result int, twice int GENERATED ALWAYS AS (result * 2) STORED);
CREATE VIEW v AS SELECT * FROM out;
CREATE VIEW last_job AS
	SELECT state, function, owner = CURRENT_USER::regrole AS own, inputs, mode, into_table,
		key_columns, check_columns, result_column, error_column, priority
	FROM modal_batch.job ORDER BY id DESC LIMIT 1;

-- what is recorded
BEGIN;
SELECT modal_spawn('local:builtin/echo', 1, 'two'::text) IS NOT NULL AS made;
SELECT * FROM last_job;
SELECT modal_spawn('local:builtin/echo') IS NOT NULL AS made;
SELECT modal_spawn_map('local:builtin/square', 'SELECT i FROM generate_series(1, 20000) i') IS NOT NULL AS made;
SELECT * FROM last_job;
SELECT count(*) > 1 AS several_chunks, sum(count), min(first), bool_and(ordinals IS NULL) AS dense
	FROM modal_batch.chunk WHERE job = (SELECT max(id) FROM modal_batch.job);
SELECT state, inputs, waiting, in_flight, succeeded, percent, rate, eta
	FROM modal_batch.jobs ORDER BY job DESC LIMIT 1;
SELECT modal_spawn_map('local:builtin/square', 'SELECT i AS id, i FROM generate_series(1, 3) i',
	key => '{id}', into_table => 'out', mode => 'upsert', priority => 5) IS NOT NULL AS made;
SELECT * FROM last_job;
-- no column "result": results are spread over the columns that they name
SELECT modal_spawn_map('local:builtin/echo', 'SELECT id, part, body FROM docs',
	key => '{id,part}', into_table => 'docs', mode => 'update', error_column => 'vec') IS NOT NULL AS made;
SELECT * FROM last_job;
-- no rows
SELECT modal_spawn_map('local:builtin/echo', 'SELECT 1 WHERE false') IS NOT NULL AS made;
SELECT * FROM last_job;
ROLLBACK;
SELECT count(*) FROM modal_batch.jobs WHERE function LIKE 'local:builtin/echo%';

-- savepoints
BEGIN;
SELECT modal_spawn('local:builtin/echo', 1) IS NOT NULL AS made;
SAVEPOINT s;
SELECT modal_spawn('local:builtin/echo', 2) IS NOT NULL AS made;
ROLLBACK TO s;
SELECT count(*) FROM modal_batch.jobs WHERE function = 'local:builtin/echo';
ROLLBACK;

-- refused
\set SHOW_CONTEXT never
SELECT modal_spawn(NULL);
SELECT modal_spawn('nosuchserver:app/f');
SELECT modal_spawn_map(NULL, 'SELECT 1');
SELECT modal_spawn_map('local:app/f', NULL);
SELECT modal_spawn_map('local:app/f', 'SELECT 1; SELECT 2');
SELECT modal_spawn_map('local:app/f', 'DELETE FROM out');
SELECT modal_spawn_map('local:app/f', 'SELECT nonsense');
SELECT modal_spawn_map('local:app/f', 'SELECT 1/0');
SELECT modal_spawn_map('local:app/f', 'SELECT 1', kwargs => '[]');
SELECT modal_spawn_map('local:app/f', 'SELECT 1', mode => 'append');
SELECT modal_spawn_map('local:app/f', 'SELECT 1', mode => 'upsert');
SELECT modal_spawn_map('local:app/f', 'SELECT 1', error_column => 'e');
SELECT modal_spawn_map('local:app/f', 'SELECT 1', key => '{id}');
SELECT modal_spawn_map('local:app/f', 'SELECT 1 AS id', key => ARRAY['id', NULL]);
SELECT modal_spawn_map('local:app/f', 'SELECT 1', into_table => 'nosuch');
SELECT modal_spawn_map('local:app/f', 'SELECT 1', into_table => 'pg_class_oid_index');
-- no table, but not NULL
SELECT modal_spawn_map('local:app/f', 'SELECT 1', into_table => '-');
SELECT modal_spawn_map('local:app/f', 'SELECT 1 AS id, 2', into_table => 0, key => '{id}', mode => 'upsert');
SELECT modal_spawn_map('local:app/f', 'SELECT 1 AS id, 2', into_table => 4294967295, key => '{id}', mode => 'update');
BEGIN;
SET LOCAL modal_batch.max_payload = '64kB';
SELECT modal_spawn('local:builtin/echo', repeat('x', 100000));
ROLLBACK;
SELECT modal_spawn_map('local:app/f', 'SELECT 1', into_table => 'out', mode => 'discard');
SELECT modal_spawn_map('local:app/f', 'SELECT 1', into_table => 'out', result_column => 'reslt');
SELECT modal_spawn_map('local:app/f', 'SELECT 1', into_table => 'out', result_column => 'nosuch');
SELECT modal_spawn_map('local:app/f', 'SELECT 1', into_table => 'out', result_column => 'twice');
SELECT modal_spawn_map('local:app/f', 'SELECT 1', into_table => 'out', error_column => 'nosuch');
SELECT modal_spawn_map('local:app/f', 'SELECT 1 AS part', into_table => 'out', key => '{part}');
SELECT modal_spawn_map('local:app/f', 'SELECT 1', into_table => 'out', mode => 'update');
SELECT modal_spawn_map('local:app/f', 'SELECT 1 AS id', into_table => 'docs', key => '{id}', mode => 'upsert');
-- columns that cannot be what they are to be
CREATE TABLE always (nr bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at point, attempts int, note text, why json, result int);
SELECT modal_spawn_map('local:app/f', 'SELECT 1 AS nr, 2', into_table => 'always', key => '{nr}');
SELECT modal_spawn_map('local:app/f', 'SELECT 1', into_table => 'always', result_column => 'nr');
SELECT modal_spawn_map('local:app/f', $$SELECT point '(1,2)' AS at, 2$$, into_table => 'always', key => '{at}', mode => 'update');
SELECT modal_spawn_map('local:app/f', 'SELECT 1 AS result, 2', into_table => 'always', key => '{result}');
SELECT modal_spawn_map('local:app/f', $$SELECT '{}'::json AS why, 2$$, into_table => 'always', key => '{why}', error_column => 'why');
SELECT modal_spawn_map('local:app/f', 'SELECT 1 AS id', into_table => 'always', result_column => 'note', error_column => 'note');
SELECT modal_spawn_map('local:app/f', 'SELECT 1 AS id', into_table => 'always', error_column => 'attempts');
BEGIN;
SELECT modal_spawn_map('local:app/f', 'SELECT 1 AS nr, 2', into_table => 'always', key => '{nr}', mode => 'update', error_column => c) > 0 AS made
	FROM unnest('{why,note}'::name[]) c;
CREATE ROLE regress_jobs_blind;
GRANT USAGE ON SCHEMA jobs TO regress_jobs_blind;
GRANT USAGE ON FOREIGN SERVER local TO regress_jobs_blind;
CREATE USER MAPPING FOR regress_jobs_blind SERVER local OPTIONS (token_id 'a', token_secret 'b');
GRANT UPDATE, SELECT (note) ON always TO regress_jobs_blind;
SET LOCAL ROLE regress_jobs_blind;
SELECT modal_spawn_map('local:app/f', 'SELECT 1 AS nr, 2', into_table => 'always', key => '{nr}', mode => 'update');
ROLLBACK;
-- a column that is cast is not compared
BEGIN;
SELECT modal_spawn_map('local:app/f', 'SELECT nr, note::varchar AS note, attempts, why::text FROM always', into_table => 'always',
	key => '{nr}', mode => 'update', error_column => 'why') AS job \gset
SELECT check_columns FROM modal_batch.job WHERE id = :job;
ROLLBACK;
DROP TABLE always;
CREATE TEMP TABLE tmp (id int PRIMARY KEY, result int);
SELECT modal_spawn_map('local:app/f', 'SELECT 1', into_table => 'tmp');
CREATE TRIGGER t AFTER INSERT ON tmp FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'id', 'result');
BEGIN READ ONLY;
SELECT modal_spawn('local:app/f');
ROLLBACK;

-- a job that does not exist, and one that is somebody else's
SELECT modal_wait(-1);
SELECT modal_wait(NULL);
SELECT modal_cancel(-1);
SELECT modal_pause(-1);
SELECT modal_resume(-1);
SELECT modal_retry(-1);
SELECT modal_forget(-1);
SELECT * FROM modal_results(-1);
SELECT * FROM modal_gather(-1);
-- negative numbers are nobody's: none comes from the sequence
INSERT INTO modal_batch.job (id, owner, function, format, state, finished_at, inputs, mode, search_path)
	VALUES (-2, CURRENT_USER::regrole, 'local:app/f', 'cbor', 'completed', now(), 1, 'result', '');
INSERT INTO modal_batch.result (job, ordinal, result) VALUES (-2, 0, '7');
SELECT modal_wait(-2);
SELECT ordinal, result FROM modal_results(-2);
SELECT job, ordinal, result FROM modal_gather(-2);
SELECT modal_pause(-2), modal_resume(-2), modal_cancel(-2), modal_retry(-2);
CREATE ROLE regress_jobs_other;
GRANT USAGE ON SCHEMA jobs TO regress_jobs_other;
SET ROLE regress_jobs_other;
SELECT modal_wait(-2);
SELECT modal_cancel(-2);
SELECT * FROM modal_results(-2);
SET enable_indexscan = off;
SET enable_bitmapscan = off;
DISCARD PLANS;
SELECT * FROM modal_results(-2);
SELECT * FROM modal_logs(-2);
SELECT modal_dashboard_url(-2);
RESET enable_indexscan;
RESET enable_bitmapscan;
SELECT count(*) FROM modal_batch.jobs WHERE job = -2;
SELECT count(*) FROM modal_batch.job WHERE id = -2;
SELECT count(*) FROM modal_batch.result WHERE job = -2;
SELECT count(*) FROM modal_batch.chunk;
INSERT INTO modal_batch.job (owner, function, format, inputs, mode, search_path)
	VALUES (CURRENT_USER::regrole, 'local:app/f', 'cbor', 1, 'result', '');
SELECT modal_spawn('local:builtin/echo', 1);
RESET ROLE;
-- rights on the table are those of the caller
GRANT USAGE ON FOREIGN SERVER local TO regress_jobs_other;
CREATE USER MAPPING FOR regress_jobs_other SERVER local OPTIONS (token_id 'ak-x', token_secret 'as-x');
SET ROLE regress_jobs_other;
SELECT modal_spawn_map('local:app/f', 'SELECT 1', into_table => 'jobs.out');
SELECT modal_spawn_map('local:app/f', 'SELECT id FROM jobs.out');
RESET ROLE;
SELECT modal_forget(-2);
SELECT count(*) FROM modal_batch.result WHERE job = -2;

-- waiting where it could never end
\set VERBOSITY sqlstate
SELECT modal_wait(modal_spawn('local:builtin/echo', 1)) IS NOT NULL;
\set VERBOSITY default

-- fingerprints: the same for the same values, whatever the statement
SELECT modal_batch.fingerprint(1, 'a'::text) = modal_batch.fingerprint(1, 'a'::text) AS same,
	modal_batch.fingerprint(1, 'a'::text) = modal_batch.fingerprint(1, 'b'::text) AS different,
	modal_batch.fingerprint(NULL::int) = modal_batch.fingerprint(NULL::int) AS both_null;

DROP USER MAPPING FOR regress_jobs_other SERVER local;
REVOKE USAGE ON FOREIGN SERVER local FROM regress_jobs_other;
REVOKE USAGE ON SCHEMA jobs FROM regress_jobs_other;
DROP ROLE regress_jobs_other;
SET client_min_messages = warning;
DROP SCHEMA jobs CASCADE;
