/* modal_batch--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION modal_batch" to load this file. \quit

CREATE SCHEMA modal_batch;
GRANT USAGE ON SCHEMA modal_batch TO PUBLIC;
COMMENT ON SCHEMA modal_batch IS 'tables and views of extension modal_batch';

-- ---------------------------------------------------------------------------
-- Connecting: servers and user mappings (docs/settings.md)
-- ---------------------------------------------------------------------------

CREATE FUNCTION modal_batch_validator(text[], oid) RETURNS void
	LANGUAGE c STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_batch_validator(text[], oid) IS
	'checks options of servers and user mappings of foreign-data wrapper modal_batch';

CREATE FOREIGN DATA WRAPPER modal_batch NO HANDLER VALIDATOR modal_batch_validator;
COMMENT ON FOREIGN DATA WRAPPER modal_batch IS
	'remote functions, of Modal or over HTTP';

CREATE FUNCTION modal_ping(
	server text,
	OUT reachable boolean, OUT authenticated boolean,
	OUT latency_ms double precision, OUT detail text)
	RETURNS record LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_ping(text) IS
	'is a server reachable, are the credentials accepted, and how long does a round trip take';

-- ---------------------------------------------------------------------------
-- Calling (docs/functions.md)
-- ---------------------------------------------------------------------------

CREATE FUNCTION modal_remote(function text)
	RETURNS jsonb LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_remote(text) IS
	'calls a remote function without arguments and returns its result';
CREATE FUNCTION modal_remote(function text, VARIADIC args "any")
	RETURNS jsonb LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_remote(text, "any") IS
	'calls a remote function with typed positional arguments and returns its result';

CREATE FUNCTION modal_call(function text, args jsonb DEFAULT '[]', kwargs jsonb DEFAULT '{}')
	RETURNS jsonb LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED COST 10000
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_call(text, jsonb, jsonb) IS
	'calls a remote function with positional and keyword arguments and returns its result';

CREATE FUNCTION modal_map(
	function text, query text, kwargs jsonb DEFAULT '{}', key text[] DEFAULT '{}',
	ordered boolean DEFAULT true, on_error text DEFAULT 'raise',
	OUT ordinal bigint, OUT input jsonb, OUT result jsonb, OUT error jsonb)
	RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000 ROWS 1000
	AS 'MODULE_PATHNAME', 'modal_map_query';
COMMENT ON FUNCTION modal_map(text, text, jsonb, text[], boolean, text) IS
	'calls a remote function for every row of a query; columns are positional arguments, but for those in key, which are returned as input';

CREATE FUNCTION modal_map(
	function text, inputs anyarray, kwargs jsonb DEFAULT '{}',
	ordered boolean DEFAULT true, on_error text DEFAULT 'raise',
	OUT ordinal bigint, OUT input jsonb, OUT result jsonb, OUT error jsonb)
	RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000 ROWS 1000
	AS 'MODULE_PATHNAME', 'modal_map_array';
COMMENT ON FUNCTION modal_map(text, anyarray, jsonb, boolean, text) IS
	'calls a remote function for every element of an array';

CREATE FUNCTION modal_for_each(
	function text, query text, kwargs jsonb DEFAULT '{}', on_error text DEFAULT 'raise')
	RETURNS bigint LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_for_each(text, text, jsonb, text) IS
	'calls a remote function for every row of a query, drops the results, and returns how many there were';

CREATE FUNCTION modal_remote_gen(function text)
	RETURNS SETOF jsonb LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000 ROWS 100
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_remote_gen(text) IS
	'calls a remote generator without arguments and returns what it yields';
CREATE FUNCTION modal_remote_gen(function text, VARIADIC args "any")
	RETURNS SETOF jsonb LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000 ROWS 100
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_remote_gen(text, "any") IS
	'calls a remote generator and returns what it yields';

CREATE FUNCTION modal_with_options(function text, options jsonb)
	RETURNS text LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_with_options(text, jsonb) IS
	'a reference to the same function with other resources: cpu, memory, gpu, timeout, retries, ...';

CREATE FUNCTION modal_function_stats(
	function text,
	OUT backlog bigint, OUT runners bigint,
	OUT running_inputs bigint, OUT input_headroom bigint)
	RETURNS record LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'modal_current_stats';
COMMENT ON FUNCTION modal_function_stats(text) IS
	'queued inputs and containers of a remote function, now';

CREATE FUNCTION modal_update_autoscaler(
	function text, min_containers int DEFAULT NULL, max_containers int DEFAULT NULL,
	buffer_containers int DEFAULT NULL, scaledown_window int DEFAULT NULL)
	RETURNS jsonb LANGUAGE c VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_update_autoscaler(text, int, int, int, int) IS
	'changes the autoscaler settings that are not null and returns all of them; scaledown_window is in seconds';

CREATE FUNCTION modal_web_url(function text)
	RETURNS text LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_web_url(text) IS
	'the URL of a web function, NULL when the function is not one';

-- ---------------------------------------------------------------------------
-- Remote calls started elsewhere (docs/functions.md)
-- ---------------------------------------------------------------------------

CREATE FUNCTION modal_function_call(
	call text,
	OUT call_id text, OUT function_id text, OUT app_id text,
	OUT created_at timestamptz, OUT inputs bigint, OUT pending bigint,
	OUT succeeded bigint, OUT failed bigint, OUT timed_out bigint,
	OUT cancelled bigint, OUT dashboard_url text)
	RETURNS record LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_function_call(text) IS
	'a remote call by its id ([server:]fc-...): how many inputs it has, and how far they are';

CREATE FUNCTION modal_function_call_get(
	call text, index bigint DEFAULT 0, timeout interval DEFAULT NULL)
	RETURNS jsonb LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_function_call_get(text, bigint, interval) IS
	'waits for one result of a remote call, by the index of its input; NULL when there is none in time';

CREATE FUNCTION modal_function_call_results(
	call text, first bigint DEFAULT 0, last bigint DEFAULT NULL,
	wait boolean DEFAULT true, on_error text DEFAULT 'raise',
	OUT ordinal bigint, OUT result jsonb, OUT error jsonb)
	RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000 ROWS 100
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_function_call_results(text, bigint, bigint, boolean, text) IS
	'the results of a remote call in the order of its inputs; without wait, those that are there now';

CREATE FUNCTION modal_function_call_gather(
	VARIADIC calls text[],
	OUT call text, OUT ordinal bigint, OUT result jsonb, OUT error jsonb)
	RETURNS SETOF record LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED COST 10000 ROWS 100
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_function_call_gather(text[]) IS
	'waits for several remote calls at once and returns their results, call after call';

CREATE FUNCTION modal_function_call_cancel(
	call text, terminate_containers boolean DEFAULT false)
	RETURNS void LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_function_call_cancel(text, boolean) IS
	'ends a remote call; its unfinished inputs fail';

CREATE FUNCTION modal_batch.function_call_graph(call text)
	RETURNS jsonb LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'modal_function_call_graph';
COMMENT ON FUNCTION modal_batch.function_call_graph(text) IS
	'for modal_function_call_graph';

CREATE FUNCTION modal_function_call_graph(call text)
	RETURNS TABLE (input_id text, call_id text, parent_input_id text,
		module text, function text, status text, task_id text)
	LANGUAGE sql VOLATILE STRICT PARALLEL RESTRICTED
BEGIN ATOMIC
	SELECT i.input_id, c.call_id, c.parent_input_id, c.module, c.function,
		i.status, i.task_id
	FROM modal_batch.function_call_graph(modal_function_call_graph.call) AS g(graph)
		CROSS JOIN LATERAL jsonb_to_recordset(g.graph->'calls')
			AS c(call_id text, parent_input_id text, module text, function text)
		JOIN LATERAL jsonb_to_recordset(g.graph->'inputs')
			AS i(input_id text, call_id text, status text, task_id text)
			ON i.call_id = c.call_id;
END;
COMMENT ON FUNCTION modal_function_call_graph(text) IS
	'the inputs of a remote call and of the calls that they made in their turn: parent_input_id is the input that made a call';

-- ---------------------------------------------------------------------------
-- Seeing (docs/functions.md)
-- ---------------------------------------------------------------------------

CREATE FUNCTION modal_batch.activity(
	OUT pid int, OUT datid oid, OUT usesysid oid, OUT dispatcher int, OUT kind text,
	OUT function text, OUT remote_call_id text, OUT started_at timestamptz,
	OUT inputs bigint, OUT sent bigint, OUT done bigint, OUT failed bigint,
	OUT retries bigint, OUT bytes_sent bigint, OUT bytes_received bigint,
	OUT rate double precision)
	RETURNS SETOF record LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'modal_activity';
COMMENT ON FUNCTION modal_batch.activity() IS 'for view modal_batch.activity';

CREATE VIEW modal_batch.activity AS
	SELECT a.pid, a.datid, d.datname, a.usesysid, r.rolname AS usename,
		a.dispatcher, a.kind, a.function, a.remote_call_id, a.started_at,
		a.inputs, a.sent, a.done, a.failed, a.retries, a.bytes_sent,
		a.bytes_received, a.rate
	FROM modal_batch.activity() a
		LEFT JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) a.datid
		LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) a.usesysid;
COMMENT ON VIEW modal_batch.activity IS
	'calls in progress: inputs received from the caller, sent, done and failed; rate in inputs per second';

CREATE FUNCTION modal_batch.stat_functions(
	OUT datid oid, OUT usesysid oid, OUT function text, OUT calls bigint,
	OUT inputs bigint, OUT errors bigint, OUT retries bigint,
	OUT bytes_sent bigint, OUT bytes_received bigint,
	OUT total_ms double precision, OUT remote_ms double precision,
	OUT first_call timestamptz, OUT last_call timestamptz)
	RETURNS SETOF record LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'modal_stat_functions';
COMMENT ON FUNCTION modal_batch.stat_functions() IS 'for view modal_batch.stat_functions';

CREATE VIEW modal_batch.stat_functions AS
	SELECT d.datname, r.rolname AS usename, s.function, s.calls, s.inputs,
		s.errors, s.retries, s.bytes_sent, s.bytes_received, s.total_ms,
		s.remote_ms, s.first_call, s.last_call
	FROM modal_batch.stat_functions() s
		LEFT JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) s.datid
		LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) s.usesysid;
COMMENT ON VIEW modal_batch.stat_functions IS
	'remote functions called since the server was started or modal_stat_reset(): calls, inputs, times in milliseconds';

CREATE FUNCTION modal_stat_reset()
	RETURNS void LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME';
REVOKE ALL ON FUNCTION modal_stat_reset() FROM PUBLIC;
COMMENT ON FUNCTION modal_stat_reset() IS 'empties modal_batch.stat_functions';

CREATE FUNCTION modal_batch.stat_dispatcher(
	OUT dispatcher int, OUT pid int, OUT state text, OUT started_at timestamptz,
	OUT heartbeat timestamptz, OUT channels int, OUT calls int,
	OUT connections int, OUT requests_active int, OUT inputs_queued bigint,
	OUT inputs_in_flight bigint, OUT requests bigint, OUT retries bigint,
	OUT bytes_sent bigint, OUT bytes_received bigint)
	RETURNS SETOF record LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'modal_stat_dispatcher';
COMMENT ON FUNCTION modal_batch.stat_dispatcher() IS 'for view modal_batch.stat_dispatcher';

CREATE VIEW modal_batch.stat_dispatcher AS SELECT * FROM modal_batch.stat_dispatcher();
COMMENT ON VIEW modal_batch.stat_dispatcher IS
	'the background workers that talk to remote services: what they wait for, connections, queues, totals';

GRANT SELECT ON modal_batch.activity, modal_batch.stat_functions,
	modal_batch.stat_dispatcher TO PUBLIC;

-- ---------------------------------------------------------------------------
-- Typed functions (docs/typed-functions.md)
-- ---------------------------------------------------------------------------

CREATE FUNCTION modal_language_handler() RETURNS language_handler
	LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_language_handler() IS
	'calls functions of LANGUAGE modal';

CREATE FUNCTION modal_language_validator(oid) RETURNS void
	LANGUAGE c STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_language_validator(oid) IS
	'checks functions of LANGUAGE modal when they are created';

-- Its functions reach the network, so nobody may use it by default; TRUSTED
-- is what makes it possible to grant USAGE at all.
CREATE TRUSTED LANGUAGE modal
	HANDLER modal_language_handler VALIDATOR modal_language_validator;
REVOKE ALL ON LANGUAGE modal FROM PUBLIC;
COMMENT ON LANGUAGE modal IS 'functions that run remotely';

-- ---------------------------------------------------------------------------
-- Durable jobs (docs/jobs.md)
-- ---------------------------------------------------------------------------

-- The schema of the extension may be one that others write to: no operator or
-- function of theirs must get into tables, policies and views.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE SEQUENCE modal_batch.job_id_seq;
COMMENT ON SEQUENCE modal_batch.job_id_seq IS 'numbers of background jobs';

-- Counters are updated with every batch of results: leave room for it in the
-- page, and no index on what changes.
CREATE TABLE modal_batch.job (
	id bigint PRIMARY KEY DEFAULT nextval('modal_batch.job_id_seq'),
	owner regrole NOT NULL,
	function text NOT NULL,
	version int,
	state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running',
		'paused', 'cancelling', 'completed', 'failed', 'cancelled')),
	priority int NOT NULL DEFAULT 0,
	kwargs jsonb,
	format text NOT NULL CHECK (format IN ('cbor', 'json')),
	seed uuid NOT NULL DEFAULT gen_random_uuid(),
	remote_call_id text,
	terminate boolean NOT NULL DEFAULT false,
	inputs bigint NOT NULL,
	run_offset bigint NOT NULL DEFAULT 0,
	submitted bigint NOT NULL DEFAULT 0,
	succeeded bigint NOT NULL DEFAULT 0,
	failed bigint NOT NULL DEFAULT 0,
	stale bigint NOT NULL DEFAULT 0,
	mode text NOT NULL CHECK (mode IN ('result', 'insert', 'upsert', 'update', 'discard')),
	into_table regclass,
	key_columns text[] NOT NULL DEFAULT '{}',
	check_columns text[] NOT NULL DEFAULT '{}',
	result_column text,
	error_column text,
	on_complete text,
	on_complete_done boolean NOT NULL DEFAULT false,
	search_path text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	started_at timestamptz,
	finished_at timestamptz,
	last_error jsonb
) WITH (fillfactor = 50);
COMMENT ON TABLE modal_batch.job IS
	'background jobs; view modal_batch.jobs is easier to read';
ALTER SEQUENCE modal_batch.job_id_seq OWNED BY modal_batch.job.id;
CREATE INDEX job_unfinished ON modal_batch.job (priority DESC, id) WHERE finished_at IS NULL;

-- A run of inputs: "first" is the index of the first one in the present run,
-- "done" a bit for each that has an outcome.  "ordinals" says where inputs
-- stood in the job, when that is not their index.
CREATE TABLE modal_batch.chunk (
	job bigint NOT NULL,
	first bigint NOT NULL,
	count int NOT NULL,
	inputs bytea NOT NULL,
	done bytea,
	ordinals bigint[],
	PRIMARY KEY (job, first)
) WITH (autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0.1,
	toast.autovacuum_vacuum_threshold = 2000, toast.autovacuum_vacuum_scale_factor = 0.1);
COMMENT ON TABLE modal_batch.chunk IS
	'encoded inputs of unfinished jobs, many in a row';

-- Inputs are written once and read once: spend little on their compression.
DO $$
BEGIN
	ALTER TABLE modal_batch.chunk ALTER COLUMN inputs SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
	NULL; -- a server built without it
END $$;

-- Results of jobs without a table, and the failures of every job.  "payload"
-- is the failed input itself, for modal_retry.
CREATE TABLE modal_batch.result (
	job bigint NOT NULL,
	ordinal bigint NOT NULL,
	input jsonb,
	result jsonb,
	error jsonb,
	attempts int,
	started_at timestamptz,
	finished_at timestamptz,
	payload bytea,
	PRIMARY KEY (job, ordinal)
);

COMMENT ON TABLE modal_batch.result IS
	'results of jobs without a table for them, and failures of all jobs; see modal_results()';

-- Everybody may look; rows are for the job's owner and members of that role.
ALTER TABLE modal_batch.job ENABLE ROW LEVEL SECURITY;
ALTER TABLE modal_batch.chunk ENABLE ROW LEVEL SECURITY;
ALTER TABLE modal_batch.result ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_jobs ON modal_batch.job FOR SELECT
	USING (pg_has_role(owner, 'USAGE'));
CREATE POLICY own_jobs ON modal_batch.result FOR SELECT
	USING (job IN (SELECT id FROM modal_batch.job WHERE pg_has_role(owner, 'USAGE')));
GRANT SELECT ON modal_batch.job, modal_batch.result TO PUBLIC;

SELECT pg_extension_config_dump('modal_batch.job', '');
SELECT pg_extension_config_dump('modal_batch.job_id_seq', '');
SELECT pg_extension_config_dump('modal_batch.chunk', '');
SELECT pg_extension_config_dump('modal_batch.result', '');

CREATE VIEW modal_batch.jobs WITH (security_barrier) AS
SELECT j.id AS job, j.owner, j.function, j.version, j.state, j.priority,
	j.inputs,
	j.inputs - d.done - f.in_flight AS waiting,
	f.in_flight, j.succeeded, j.failed, j.stale,
	CASE WHEN j.inputs > 0 THEN round(100.0 * d.done / j.inputs, 1) ELSE 100 END AS percent,
	r.rate,
	CASE WHEN j.finished_at IS NULL AND r.rate > 0
		THEN make_interval(secs => (j.inputs - d.done) / r.rate) END AS eta,
	CASE WHEN j.state = 'pending' THEN clock_timestamp() - j.created_at END AS waited,
	j.mode, j.into_table, j.remote_call_id,
	j.created_at, j.started_at, j.finished_at, j.last_error
FROM modal_batch.job j
	CROSS JOIN LATERAL (SELECT j.succeeded + j.failed + j.stale) AS d(done)
	CROSS JOIN LATERAL (SELECT CASE WHEN j.finished_at IS NULL
		THEN greatest(j.submitted - (d.done - j.run_offset), 0) ELSE 0 END) AS f(in_flight)
	CROSS JOIN LATERAL (SELECT round((d.done / nullif(extract(epoch FROM
		coalesce(j.finished_at, clock_timestamp()) - j.started_at), 0))::numeric, 1)) AS r(rate)
WHERE pg_has_role(j.owner, 'USAGE');
COMMENT ON VIEW modal_batch.jobs IS 'own background jobs and how far they are';
GRANT SELECT ON modal_batch.jobs TO PUBLIC;

SET LOCAL search_path = @extschema@, pg_temp;

CREATE FUNCTION modal_spawn(function text, VARIADIC args "any") RETURNS bigint
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
CREATE FUNCTION modal_spawn(function text) RETURNS bigint
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_spawn(text) IS
	'calls a remote function without arguments in the background, once this transaction has committed';
COMMENT ON FUNCTION modal_spawn(text, "any") IS
	'calls a remote function in the background, once this transaction has committed';

CREATE FUNCTION modal_spawn_map(function text, query text, kwargs jsonb DEFAULT '{}',
		key text[] DEFAULT '{}', into_table regclass DEFAULT NULL,
		result_column name DEFAULT 'result', error_column name DEFAULT NULL,
		mode text DEFAULT 'insert', on_complete text DEFAULT NULL, priority int DEFAULT 0)
	RETURNS bigint LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_spawn_map(text, text, jsonb, text[], regclass, name, name, text, text, int) IS
	'calls a remote function in the background for every row of a query and stores the results';

CREATE FUNCTION modal_wait(job bigint, timeout interval DEFAULT NULL) RETURNS text
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_wait(bigint, interval) IS
	'waits for the end of a job and returns its state';

CREATE FUNCTION modal_batch.check_job(job bigint) RETURNS bigint
	LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'modal_check_job';
COMMENT ON FUNCTION modal_batch.check_job(bigint) IS
	'its argument, or an error when there is no such job of yours';

CREATE FUNCTION modal_results(job bigint)
	RETURNS TABLE (ordinal bigint, input jsonb, result jsonb, error jsonb, attempts int,
		started_at timestamptz, finished_at timestamptz)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT r.ordinal, r.input, r.result, r.error, r.attempts, r.started_at, r.finished_at
	FROM modal_batch.result r
	WHERE r.job = (SELECT modal_batch.check_job(modal_results.job)) ORDER BY r.ordinal;
END;
COMMENT ON FUNCTION modal_results(bigint) IS
	'results of a job that has no table for them, and the failures of any job';

-- Two statements: the second one's snapshot is taken after the wait.
CREATE FUNCTION modal_gather(VARIADIC jobs bigint[])
	RETURNS TABLE (job bigint, ordinal bigint, result jsonb, error jsonb)
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT modal_wait(j.job, NULL::interval) FROM unnest(modal_gather.jobs) AS j(job);
	SELECT j.job, r.ordinal, r.result, r.error
	FROM unnest(modal_gather.jobs) WITH ORDINALITY AS j(job, n)
		CROSS JOIN LATERAL modal_results(j.job) AS r
	ORDER BY j.n, r.ordinal;
END;
COMMENT ON FUNCTION modal_gather(bigint[]) IS
	'waits for the end of jobs and returns their results';

CREATE FUNCTION modal_cancel(job bigint, terminate_containers boolean DEFAULT false)
	RETURNS boolean LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_cancel(bigint, boolean) IS
	'stops a job here and at the remote side; false when it had ended already';
CREATE FUNCTION modal_pause(job bigint) RETURNS boolean
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_pause(bigint) IS
	'sends no more inputs of a job and applies no results until modal_resume';
CREATE FUNCTION modal_resume(job bigint) RETURNS boolean
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_resume(bigint) IS 'goes on with a paused job';
CREATE FUNCTION modal_retry(job bigint) RETURNS bigint
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_retry(bigint) IS
	'runs the failed inputs of a job again, or goes on with a failed job; returns how many inputs';
CREATE FUNCTION modal_forget(job bigint) RETURNS void
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_forget(bigint) IS
	'deletes an ended job and its stored results';

-- Calls at a server that is not Modal's own have no page there.
CREATE FUNCTION modal_dashboard_url(job bigint) RETURNS text
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT 'https://modal.com/id/' || j.remote_call_id
	FROM modal_batch.job j
	WHERE j.id = (SELECT modal_batch.check_job(modal_dashboard_url.job))
		AND NOT EXISTS (
			SELECT FROM pg_catalog.pg_foreign_server s,
				pg_catalog.pg_options_to_table(s.srvoptions) o
			WHERE s.srvname = split_part(j.function, ':', 1) AND o.option_name = 'url'
				AND o.option_value !~ '^https://([^/]+\.)?modal\.com(/|$)');
END;
COMMENT ON FUNCTION modal_dashboard_url(bigint) IS
	'page of a job''s present remote call in Modal''s dashboard; NULL when it has none';

CREATE FUNCTION modal_trigger() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_trigger() IS
	'calls a remote function for each row changed and writes its result to the row; arguments: function, argument columns, result column';

CREATE FUNCTION modal_batch.fingerprint(VARIADIC args "any") RETURNS bigint
	LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'modal_fingerprint';
COMMENT ON FUNCTION modal_batch.fingerprint("any") IS
	'hash of values as they would be sent, to tell whether a row has changed since';

CREATE FUNCTION modal_batch.start_runner() RETURNS void
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'modal_start_runner';
COMMENT ON FUNCTION modal_batch.start_runner() IS
	'goes on with the unfinished jobs of a database that has just been restored';
