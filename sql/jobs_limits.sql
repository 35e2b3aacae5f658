-- Limits of jobs: what is recorded, what is refused, and what is told of failures.
-- Nothing here is committed but what ends here.
\i test/setup.sql
CREATE SCHEMA limits;
SET search_path = limits, public;
SET timezone = 'UTC';

-- what is recorded
CREATE VIEW last_job AS
	SELECT unique_key, start_at - created_at BETWEEN '4 min' AND '5 min' AS in_five_minutes,
		deadline, max_failures, max_in_flight, distinct_inputs, inputs, run_inputs
	FROM modal_batch.job ORDER BY id DESC LIMIT 1;
BEGIN;
SELECT modal_spawn_map('local:builtin/square', 'SELECT i % 3 FROM generate_series(1, 20) i', unique_key => 'k',
	start_after => '5 minutes', deadline => '2222-01-02 03:04+00', max_failures => 5, max_in_flight => 7, "distinct" => true) IS NOT NULL AS made;
SELECT * FROM last_job;
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1/0', unique_key => 'k') = max(id) AS same FROM modal_batch.job;
SELECT waiting_for, unique_key, waiting FROM modal_batch.jobs ORDER BY job DESC LIMIT 1;
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', start_after => interval '5 minutes', deadline => '2222-01-02'::date) IS NOT NULL AS made;
SELECT * FROM last_job;
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', start_after => now() + '5 minutes', deadline => timestamp '2222-01-02 03:04') IS NOT NULL AS made;
SELECT * FROM last_job;
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', start_after => '5 min'::text, deadline => timestamptz '2222-01-02 03:04+00') IS NOT NULL AS made;
SELECT * FROM last_job;
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', start_after => now() - '1 day'::interval, deadline => NULL) IS NOT NULL AS made;
SELECT * FROM last_job;
PREPARE later(interval) AS SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', start_after => $1) IS NOT NULL AS made;
EXECUTE later('5 minutes');
SELECT in_five_minutes FROM last_job;
PREPARE untyped AS SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', start_after => $1, deadline => $2) IS NOT NULL AS made;
SELECT parameter_types FROM pg_prepared_statements WHERE name = 'untyped';
EXECUTE untyped('5 minutes', '2222-01-02');
SELECT in_five_minutes, deadline FROM last_job;
ROLLBACK;

-- who makes a job with a key is waited for by the same role only
BEGIN;
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', unique_key => 'k') IS NOT NULL AS made;
SELECT classid = (SELECT oid FROM pg_roles WHERE rolname = current_user) AS own
	FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'object' AND mode = 'ExclusiveLock' AND objid > 0;
ROLLBACK;
-- refused
\set SHOW_CONTEXT never
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', unique_key => '');
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', unique_key => repeat('x', 1001));
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', start_after => 'someday');
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', start_after => 5);
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', start_after => 'infinity'::timestamptz);
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', deadline => '-1 s');
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', deadline => '2000-01-01 00:00+00');
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', deadline => '1 min', start_after => '2 min');
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', deadline => 'now'::time);
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', max_failures => -1);
SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', max_in_flight => 0);
SELECT modal_retry(-1, code => '38000');
CALL modal_watch(-1);
CALL modal_watch(NULL);
CALL modal_watch(1, '0');
CALL modal_watch(1, every => '-1 s');
BEGIN;
CALL modal_watch(1);
ROLLBACK;
CREATE SERVER limited FOREIGN DATA WRAPPER modal_batch OPTIONS (url 'https://localhost', max_job_input '3');
CREATE SERVER limited FOREIGN DATA WRAPPER modal_batch OPTIONS (url 'https://localhost', max_job_inputs '-1');
CREATE SERVER limited FOREIGN DATA WRAPPER modal_batch OPTIONS (url 'https://localhost', max_failures 'few');

-- how many inputs
SET modal_batch.max_job_inputs = 3;
SELECT modal_spawn_map('local:builtin/square', 'SELECT generate_series(1, 4)');
BEGIN;
SELECT modal_spawn_map('local:builtin/square', 'SELECT generate_series(1, 3)') IS NOT NULL AS made;
ROLLBACK;
SET modal_batch.max_job_inputs = 0;
SELECT modal_spawn('local:builtin/square', 1);
RESET modal_batch.max_job_inputs;
ALTER SERVER local OPTIONS (ADD max_job_inputs '2', ADD max_failures '4');
SELECT modal_spawn_map('local:builtin/square', 'SELECT generate_series(1, 3)');
BEGIN;
SELECT modal_spawn_map('local:builtin/square', 'SELECT generate_series(1, 2)', max_failures => 10) IS NOT NULL AS made;
SELECT max_failures FROM last_job;
SET LOCAL modal_batch.max_failures = 3;
SELECT modal_spawn_map('local:builtin/square', 'SELECT generate_series(1, 2)') IS NOT NULL AS made;
SELECT max_failures FROM last_job;
SELECT modal_spawn_map('local:builtin/square', 'SELECT generate_series(1, 2)', max_failures => 0) IS NOT NULL AS made;
SELECT max_failures FROM last_job;
ROLLBACK;
ALTER SERVER local OPTIONS (DROP max_job_inputs, DROP max_failures);

-- estimates
SELECT * FROM modal_estimate('local:builtin/limits_never', 'SELECT i % 3, repeat(''x'', i) FROM generate_series(1, 10000) i', key => '{repeat}');
SELECT * FROM modal_estimate('local:builtin/limits_never', 'SELECT i % 3, repeat(''x'', i) FROM generate_series(1, 10000) i');
SELECT * FROM modal_estimate('local:builtin/limits_never', 'SELECT i % 3 FROM generate_series(1, 10000) i', "distinct" => true);
SELECT * FROM modal_estimate('local:builtin/limits_never', 'SELECT i % 3 FROM generate_series(1, 10) i', kwargs => '{"a": "bcd"}');
SELECT * FROM modal_estimate('local:builtin/limits_never', 'SELECT 1 WHERE false');
CREATE SERVER estimated FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', url 'https://localhost', format 'json-lines', max_batch_rows '300');
SELECT rows, bytes, blobs, requests FROM modal_estimate('estimated:f', 'SELECT i FROM generate_series(1, 1000) i');
ALTER SERVER estimated OPTIONS (ADD max_batch_bytes '1024');
SELECT rows, bytes, blobs, requests FROM modal_estimate('estimated:f', 'SELECT repeat(''x'', 500) FROM generate_series(1, 1000) i');
ALTER SERVER estimated OPTIONS (SET format 'json');
SELECT rows, requests FROM modal_estimate('estimated:f', 'SELECT i FROM generate_series(1, 1000) i');
DROP SERVER estimated;
SELECT * FROM modal_estimate(NULL, 'SELECT 1');
SELECT * FROM modal_estimate('local:builtin/square', NULL);
SELECT * FROM modal_estimate('local:builtin/square', 'CREATE TABLE x ()');
SELECT * FROM modal_estimate('local:builtin/square', 'SELECT 1', kwargs => '[]');
SELECT * FROM modal_estimate('nosuchserver:builtin/square', 'SELECT 1');
SELECT count(*) FROM modal_batch.stat_functions WHERE function LIKE '%limits_never';

-- one of three fails, and nobody can miss it
SELECT modal_spawn_map('local:builtin/square',
	$$SELECT i AS id, CASE i WHEN 2 THEN '"two"' ELSE to_jsonb(i) END FROM generate_series(1, 3) i$$, key => '{id}') AS job \gset
SET client_min_messages = error;
SELECT modal_wait(:job);
RESET client_min_messages;
SELECT ordinal, key, code, type, message = error->>'message' AS same, hint FROM modal_batch.failures WHERE job = :job;
SELECT last_error->>'code' AS code, succeeded, failed, waiting_for, remote_seconds >= 0 AS costs FROM modal_batch.jobs WHERE job = :job;
SELECT modal_retry(:job, code => '22P02') AS inputs;
SELECT modal_retry(:job, code => 'two');
SELECT state FROM modal_batch.jobs WHERE job = :job;
SELECT modal_retry(:job, code => '38000') AS inputs;
SET client_min_messages = error;
CALL modal_watch(:job);
RESET client_min_messages;
SELECT state, inputs, succeeded, failed FROM modal_batch.jobs WHERE job = :job;
CREATE ROLE regress_limits_other;
SET ROLE regress_limits_other;
SELECT count(*) FROM modal_batch.failures;
RESET ROLE;
GRANT pg_monitor TO regress_limits_other;
SET ROLE regress_limits_other;
SELECT count(*) FROM modal_batch.failures;
RESET ROLE;
-- nor what may be secret in a reference
BEGIN;
CREATE SERVER paths FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', url 'https://localhost:1');
CREATE USER MAPPING FOR CURRENT_USER SERVER paths;
SELECT modal_spawn(f, 3) > 0 AS made FROM unnest(ARRAY['paths:/v1/score?key=secret',
	modal_with_options('local:builtin/square', '{"cpu": 1}'),
	modal_with_options('paths:/v1/chat', '{"request": "{\"n\": \"$1\", \"key\": \"secret\"}"}')]) f;
SELECT function FROM modal_batch.jobs WHERE state = 'pending' ORDER BY job;
SET ROLE regress_limits_other;
SELECT function FROM modal_batch.jobs WHERE state = 'pending' ORDER BY job;
ROLLBACK;
DROP ROLE regress_limits_other;
SELECT modal_forget(:job);
-- one that has failed is not completed by a code that none of its failures has
SELECT modal_spawn_map('local:builtin/fail', $$SELECT 'x'$$, max_failures => 0) AS job \gset
SET client_min_messages = error;
SELECT modal_wait(:job);
SELECT modal_retry(:job, code => '22P02') AS inputs;
SELECT state, inputs, failed, last_error->>'message' LIKE '% inputs have failed, of which 0 may' AS says_why FROM modal_batch.jobs WHERE job = :job;
RESET client_min_messages;
SELECT modal_forget(:job);

-- a key is found by its index, however few unfinished jobs there seemed to be
TRUNCATE modal_batch.job;
INSERT INTO modal_batch.job (owner, function, format, mode, state, inputs)
	SELECT CURRENT_USER::regrole, 'old', 'cbor', 'result', 'paused', 0 FROM generate_series(1, 1000);
UPDATE modal_batch.job SET state = 'completed', finished_at = now() WHERE function = 'old';
VACUUM ANALYZE modal_batch.job;
BEGIN;
SELECT count(modal_spawn_map('local:builtin/square', 'SELECT 1', unique_key => 'k' || i)) FROM generate_series(1, 2000) i;
DISCARD PLANS;
SELECT count(modal_spawn_map('local:builtin/square', 'SELECT 1', unique_key => 'k' || i)) FROM generate_series(2001, 2100) i;
SELECT relname, pg_stat_get_xact_tuples_returned(oid) > 10000 AS many FROM pg_class
	WHERE relname IN ('job', 'job_pkey', 'job_unfinished', 'job_unique_key') ORDER BY 1;
ROLLBACK;
DELETE FROM modal_batch.job WHERE function = 'old';

SET client_min_messages = warning;
DROP SCHEMA limits CASCADE;
