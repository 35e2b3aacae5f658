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
	'a reference to the same function with other options: of Modal, resources (cpu, memory, gpu, timeout, retries, ...); of an HTTP function, what requests and replies are (request, result, format, ...)';

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

CREATE FUNCTION modal_function_call_logs(
	call text, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
	max_lines int DEFAULT 1000, search text DEFAULT NULL,
	OUT at timestamptz, OUT ordinal bigint, OUT stream text, OUT line text, OUT input text)
	RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000 ROWS 100
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_function_call_logs(text, timestamptz, timestamptz, int, text) IS
	'what the inputs of a remote call have printed: the newest lines, at most max_lines (1 to 20000), that hold search and were printed since (by default in the last 35 days) and before until (by default now), oldest first';

CREATE FUNCTION modal_batch.function_call_graph(call text)
	RETURNS jsonb LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'modal_function_call_graph';
COMMENT ON FUNCTION modal_batch.function_call_graph(text) IS
	'for modal_function_call_graph';

-- Somebody's operator for two jsonb in this schema would come before the one for text.
CREATE FUNCTION modal_function_call_graph(call text)
	RETURNS TABLE (input_id text, call_id text, parent_input_id text,
		module text, function text, status text, task_id text)
	LANGUAGE sql VOLATILE STRICT PARALLEL RESTRICTED
BEGIN ATOMIC
	SELECT i.input_id, c.call_id, c.parent_input_id, c.module, c.function,
		i.status, i.task_id
	FROM modal_batch.function_call_graph(modal_function_call_graph.call) AS g(graph)
		CROSS JOIN LATERAL jsonb_to_recordset(g.graph OPERATOR(pg_catalog.->) 'calls')
			AS c(call_id text, parent_input_id text, module text, function text)
		JOIN LATERAL jsonb_to_recordset(g.graph OPERATOR(pg_catalog.->) 'inputs')
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
	OUT rate double precision, OUT limited_by text)
	RETURNS SETOF record LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'modal_activity';
COMMENT ON FUNCTION modal_batch.activity() IS 'for view modal_batch.activity';

CREATE VIEW modal_batch.activity AS
	SELECT a.pid, a.datid, d.datname, a.usesysid, r.rolname AS usename,
		a.dispatcher, a.kind, a.function, a.remote_call_id, a.started_at,
		a.inputs, a.sent, a.done, a.failed, a.retries, a.bytes_sent,
		a.bytes_received, a.rate, a.limited_by
	FROM modal_batch.activity() a
		LEFT JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) a.datid
		LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) a.usesysid;
COMMENT ON VIEW modal_batch.activity IS
	'calls in progress: inputs received from the caller, sent, done and failed; rate in inputs per second; what keeps HTTP calls from more at once';

CREATE FUNCTION modal_batch.stat_functions(
	OUT datid oid, OUT usesysid oid, OUT function text, OUT calls bigint,
	OUT inputs bigint, OUT errors bigint, OUT retries bigint,
	OUT bytes_sent bigint, OUT bytes_received bigint,
	OUT total_ms double precision, OUT remote_ms double precision,
	OUT first_call timestamptz, OUT last_call timestamptz,
	OUT p50_ms double precision, OUT p95_ms double precision,
	OUT p99_ms double precision, OUT usage double precision)
	RETURNS SETOF record LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'modal_stat_functions';
COMMENT ON FUNCTION modal_batch.stat_functions() IS 'for view modal_batch.stat_functions';

CREATE VIEW modal_batch.stat_functions AS
	SELECT d.datname, r.rolname AS usename, s.function, s.calls, s.inputs,
		s.errors, s.retries, s.bytes_sent, s.bytes_received, s.total_ms,
		s.remote_ms, s.first_call, s.last_call, s.p50_ms, s.p95_ms, s.p99_ms, s.usage
	FROM modal_batch.stat_functions() s
		LEFT JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) s.datid
		LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) s.usesysid;
COMMENT ON VIEW modal_batch.stat_functions IS
	'remote functions called since the server was started or modal_stat_reset(): calls, inputs, times in milliseconds; p50_ms, p95_ms and p99_ms are percentiles of the time that an input took at the remote side, rounded down by less than an eighth; usage (tokens) as services count it';

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

-- A job knows its database.  This row is not in dumps, so where one has been
-- restored there is another; pg_upgrade keeps it, and so does CREATE DATABASE
-- ... TEMPLATE, where the database has another OID.
CREATE TABLE modal_batch.database_id (id uuid PRIMARY KEY DEFAULT gen_random_uuid());
COMMENT ON TABLE modal_batch.database_id IS
	'one row, for modal_batch.this_database()';
INSERT INTO modal_batch.database_id DEFAULT VALUES;
CREATE FUNCTION modal_batch.this_database() RETURNS uuid
	LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'modal_this_database';
COMMENT ON FUNCTION modal_batch.this_database() IS
	'tells this database from its copies';

-- Publications of all tables have the tables of jobs, too.
CREATE FUNCTION modal_batch.not_replicated() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'modal_not_replicated';
COMMENT ON FUNCTION modal_batch.not_replicated() IS
	'keeps rows that logical replication brings out of the tables of jobs';

CREATE SEQUENCE modal_batch.job_id_seq;
COMMENT ON SEQUENCE modal_batch.job_id_seq IS 'numbers of background jobs';

-- Counters are updated with every batch of results: leave room for it in the
-- page, and no index on what changes.  No constraints: the server parses them
-- anew for each statement, an eighth of what a job of one row costs.  New rows
-- are made in C, column by column (store_insert.c).
CREATE TABLE modal_batch.job (
	id bigint PRIMARY KEY DEFAULT nextval('modal_batch.job_id_seq'),
	home uuid NOT NULL DEFAULT modal_batch.this_database(),
	set_aside boolean NOT NULL DEFAULT false,
	owner regrole NOT NULL,
	login boolean NOT NULL DEFAULT false,
	by_trigger boolean NOT NULL DEFAULT false,
	backfill boolean NOT NULL DEFAULT false,
	function text NOT NULL,
	kwargs jsonb,
	format text NOT NULL,
	priority int NOT NULL DEFAULT 0,
	search_path text,
	on_complete text,
	on_complete_done boolean NOT NULL DEFAULT false,
	mode text NOT NULL,
	into_table regclass,
	source_table regclass,
	key_columns text[] NOT NULL DEFAULT '{}',
	key_names text[] NOT NULL DEFAULT '{}',
	check_columns text[] NOT NULL DEFAULT '{}',
	result_column text,
	error_column text,
	ordinality_column text,
	version_column text,
	unique_key text,
	start_at timestamptz,
	deadline timestamptz,
	max_failures bigint,
	max_in_flight int,
	distinct_inputs boolean NOT NULL DEFAULT false,
	order_stripes bigint,
	state text NOT NULL DEFAULT 'pending',
	seed uuid NOT NULL DEFAULT gen_random_uuid(),
	inputs bigint NOT NULL,
	run_inputs bigint,
	run_done bigint NOT NULL DEFAULT 0,
	submitted bigint NOT NULL DEFAULT 0,
	succeeded bigint NOT NULL DEFAULT 0,
	failed bigint NOT NULL DEFAULT 0,
	stale bigint NOT NULL DEFAULT 0,
	failed_before bigint NOT NULL DEFAULT 0,
	settled_before bigint NOT NULL DEFAULT 0,
	retried boolean NOT NULL DEFAULT false,
	tries int NOT NULL DEFAULT 0,
	crashes int NOT NULL DEFAULT 0,
	remote_ms double precision NOT NULL DEFAULT 0,
	usage double precision NOT NULL DEFAULT 0,
	terminate boolean NOT NULL DEFAULT false,
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	started_at timestamptz,
	finished_at timestamptz,
	has_failed boolean,
	remote_call_id text,
	version int,
	retry_at timestamptz,
	last_error jsonb,
	stop_reason jsonb
) WITH (fillfactor = 50);
COMMENT ON TABLE modal_batch.job IS
	'background jobs; view modal_batch.jobs is easier to read';
ALTER SEQUENCE modal_batch.job_id_seq OWNED BY modal_batch.job.id;
CREATE INDEX job_unfinished ON modal_batch.job (owner, priority DESC, id) WHERE finished_at IS NULL;
CREATE INDEX job_ordered ON modal_batch.job (owner, id)
	WHERE finished_at IS NULL AND order_stripes IS NOT NULL;
-- "has_failed", a trigger's job or an input of it, is known when it ends: the counters
-- and the state change before, and are to stay out of indexes.
CREATE INDEX job_has_failed ON modal_batch.job (into_table, result_column) WHERE has_failed;
-- A key is in use until its job has ended.  It is looked for by this expression, so that
-- no other index will do, however few unfinished jobs there seem to be.
CREATE UNIQUE INDEX job_unique_key
	ON modal_batch.job (owner, (CASE WHEN finished_at IS NULL THEN unique_key END))
	WHERE (CASE WHEN finished_at IS NULL THEN unique_key END) IS NOT NULL;

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

-- Jobs of one row that were joined to another one, as which they run: who
-- knows such a number finds that.
CREATE TABLE modal_batch.joined_job (
	id bigint PRIMARY KEY,
	joined_to bigint NOT NULL
);
COMMENT ON TABLE modal_batch.joined_job IS
	'numbers of jobs of triggers that have become part of another job';
CREATE INDEX joined_to ON modal_batch.joined_job (joined_to);

-- What jobs of triggers have done that are no longer there, by the column
-- that they wrote to.  Of this database alone, and in no dump.
CREATE TABLE modal_batch.trigger_total (
	table_oid oid,
	column_number smallint,
	jobs bigint NOT NULL,
	succeeded bigint NOT NULL,
	stale bigint NOT NULL,
	PRIMARY KEY (table_oid, column_number)
);
COMMENT ON TABLE modal_batch.trigger_total IS
	'sums of jobs of triggers after modal_batch.trigger_job_retention; for modal_batch.generated_columns';

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

CREATE INDEX result_failed ON modal_batch.result (job, ordinal) WHERE error IS NOT NULL;
COMMENT ON TABLE modal_batch.result IS
	'results of jobs without a table for them, and failures of all jobs; see modal_results()';

CREATE TRIGGER not_replicated BEFORE INSERT OR UPDATE OR DELETE ON modal_batch.database_id
	FOR EACH ROW EXECUTE FUNCTION modal_batch.not_replicated();
CREATE TRIGGER not_replicated BEFORE INSERT OR UPDATE OR DELETE ON modal_batch.job
	FOR EACH ROW EXECUTE FUNCTION modal_batch.not_replicated();
CREATE TRIGGER not_replicated BEFORE INSERT OR UPDATE OR DELETE ON modal_batch.chunk
	FOR EACH ROW EXECUTE FUNCTION modal_batch.not_replicated();
CREATE TRIGGER not_replicated BEFORE INSERT OR UPDATE OR DELETE ON modal_batch.result
	FOR EACH ROW EXECUTE FUNCTION modal_batch.not_replicated();
CREATE TRIGGER not_replicated BEFORE INSERT OR UPDATE OR DELETE ON modal_batch.joined_job
	FOR EACH ROW EXECUTE FUNCTION modal_batch.not_replicated();
CREATE TRIGGER not_replicated BEFORE INSERT OR UPDATE OR DELETE ON modal_batch.trigger_total
	FOR EACH ROW EXECUTE FUNCTION modal_batch.not_replicated();
ALTER TABLE modal_batch.joined_job ENABLE REPLICA TRIGGER not_replicated;
ALTER TABLE modal_batch.trigger_total ENABLE REPLICA TRIGGER not_replicated;
ALTER TABLE modal_batch.database_id ENABLE REPLICA TRIGGER not_replicated;
ALTER TABLE modal_batch.job ENABLE REPLICA TRIGGER not_replicated;
ALTER TABLE modal_batch.chunk ENABLE REPLICA TRIGGER not_replicated;
ALTER TABLE modal_batch.result ENABLE REPLICA TRIGGER not_replicated;

-- Everybody may look; rows are for the job's owner and members of that role.
ALTER TABLE modal_batch.job ENABLE ROW LEVEL SECURITY;
ALTER TABLE modal_batch.chunk ENABLE ROW LEVEL SECURITY;
ALTER TABLE modal_batch.result ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_jobs ON modal_batch.job FOR SELECT
	USING (pg_has_role(owner, 'USAGE'));
CREATE POLICY own_jobs ON modal_batch.result FOR SELECT
	USING (job IN (SELECT id FROM modal_batch.job WHERE pg_has_role(owner, 'USAGE')));
GRANT SELECT ON modal_batch.job, modal_batch.result TO PUBLIC;

-- Runners believe these tables: whatever rights somebody has on them, only the
-- extension's own functions and superusers write them.
CREATE FUNCTION modal_batch.refuse_write() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'modal_refuse_write';
COMMENT ON FUNCTION modal_batch.refuse_write() IS
	'keeps the tables of jobs for the extension''s own functions';
CREATE TRIGGER refuse_write BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON modal_batch.database_id
	FOR EACH STATEMENT EXECUTE FUNCTION modal_batch.refuse_write();
CREATE TRIGGER refuse_write BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON modal_batch.job
	FOR EACH STATEMENT EXECUTE FUNCTION modal_batch.refuse_write();
CREATE TRIGGER refuse_write BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON modal_batch.chunk
	FOR EACH STATEMENT EXECUTE FUNCTION modal_batch.refuse_write();
CREATE TRIGGER refuse_write BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON modal_batch.result
	FOR EACH STATEMENT EXECUTE FUNCTION modal_batch.refuse_write();
CREATE TRIGGER refuse_write BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON modal_batch.joined_job
	FOR EACH STATEMENT EXECUTE FUNCTION modal_batch.refuse_write();
CREATE TRIGGER refuse_write BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON modal_batch.trigger_total
	FOR EACH STATEMENT EXECUTE FUNCTION modal_batch.refuse_write();
ALTER TABLE modal_batch.joined_job ENABLE ALWAYS TRIGGER refuse_write;
ALTER TABLE modal_batch.trigger_total ENABLE ALWAYS TRIGGER refuse_write;
ALTER TABLE modal_batch.database_id ENABLE ALWAYS TRIGGER refuse_write;
ALTER TABLE modal_batch.job ENABLE ALWAYS TRIGGER refuse_write;
ALTER TABLE modal_batch.chunk ENABLE ALWAYS TRIGGER refuse_write;
ALTER TABLE modal_batch.result ENABLE ALWAYS TRIGGER refuse_write;

-- Of a role or table that is gone a dump has the number only, which may be
-- another one's where it is restored: what cannot run here is not to run there.
CREATE FUNCTION modal_batch.is_dumped(j modal_batch.job) RETURNS boolean
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid = j.owner)
		AND (j.into_table IS NULL OR j.finished_at IS NOT NULL
			OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = j.into_table));
END;
COMMENT ON FUNCTION modal_batch.is_dumped(modal_batch.job) IS
	'whether pg_dump is to take this job: its owner exists, and its table, if that is still needed';

SELECT pg_extension_config_dump('modal_batch.job', 'WHERE modal_batch.is_dumped(job)');
SELECT pg_extension_config_dump('modal_batch.job_id_seq', '');
SELECT pg_extension_config_dump('modal_batch.chunk',
	'WHERE job IN (SELECT j.id FROM modal_batch.job j WHERE modal_batch.is_dumped(j))');
SELECT pg_extension_config_dump('modal_batch.result',
	'WHERE job IN (SELECT j.id FROM modal_batch.job j WHERE modal_batch.is_dumped(j))');

CREATE FUNCTION modal_batch.function_label(function text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'modal_function_label';
COMMENT ON FUNCTION modal_batch.function_label(text) IS
	'what others see of a function reference: neither options nor the query of a path, in which there may be secrets';

CREATE VIEW modal_batch.jobs WITH (security_barrier) AS
SELECT j.id AS job, j.owner,
	CASE WHEN o.own THEN j.function ELSE modal_batch.function_label(j.function) END AS function,
	j.version, j.state, j.priority,
	j.inputs,
	j.inputs - d.done - f.in_flight AS waiting,
	f.in_flight, j.succeeded, j.failed, j.stale,
	CASE WHEN j.inputs > 0 THEN round(100.0 * d.done / j.inputs, 1) ELSE 100 END AS percent,
	r.rate,
	CASE WHEN j.finished_at IS NULL AND r.rate > 0
		THEN make_interval(secs => (j.inputs - d.done) / r.rate) END AS eta,
	CASE WHEN j.state = 'pending' THEN clock_timestamp() - j.created_at END AS waited,
	j.mode, j.into_table, CASE WHEN o.own THEN j.remote_call_id END AS remote_call_id,
	j.created_at, j.started_at, j.finished_at, CASE WHEN o.own THEN j.last_error END AS last_error,
	CASE WHEN j.finished_at IS NULL AND j.retry_at > clock_timestamp() THEN j.retry_at END AS retry_at,
	w.waiting_for, j.remote_ms / 1000 AS remote_seconds, j.start_at, j.deadline,
	CASE WHEN o.own THEN j.unique_key END AS unique_key,
	j.usage
FROM modal_batch.job j
	CROSS JOIN LATERAL (SELECT j.succeeded + j.failed + j.stale) AS d(done)
	CROSS JOIN LATERAL (SELECT CASE WHEN j.finished_at IS NULL
		THEN greatest(j.submitted - j.run_done, 0) ELSE 0 END) AS f(in_flight)
	CROSS JOIN LATERAL (SELECT round((d.done / nullif(extract(epoch FROM
		coalesce(j.finished_at, clock_timestamp()) - j.started_at), 0))::numeric, 1)) AS r(rate)
	CROSS JOIN LATERAL (SELECT pg_has_role(j.owner, 'USAGE')) AS o(own)
	-- what a SQLSTATE says of the thing that is waited for: see jobs/error.c;
	-- who comes after older ones: BEHIND_OTHERS in jobs/sql.c
	CROSS JOIN LATERAL (SELECT CASE
		WHEN j.finished_at IS NOT NULL OR j.state = 'paused' THEN NULL
		WHEN j.state = 'pending' AND j.start_at > clock_timestamp() THEN 'start time'
		WHEN j.retry_at IS NOT NULL AND j.last_error->>'code' = '53000' THEN 'rate limit'
		WHEN j.retry_at IS NOT NULL AND j.last_error->>'code' ~ '^08' THEN 'service'
		WHEN j.tries > 0 AND j.last_error IS NOT NULL THEN CASE
			WHEN j.last_error->>'code' = '53100' THEN 'disk'
			WHEN j.last_error->>'code' ~ '^(40...|55P03)$' THEN 'lock'
			WHEN j.last_error->>'code' ~ '^53' THEN 'resources'
			WHEN j.last_error->>'code' = '25006' THEN 'writable server'
			ELSE 'service' END
		WHEN j.state = 'pending' AND j.last_error->>'code' ~ '^(28|42)' THEN 'login'
		WHEN j.state = 'pending' AND j.order_stripes IS NOT NULL AND EXISTS (SELECT
			FROM modal_batch.job b WHERE b.owner = j.owner AND (b.id < j.id OR b.state = 'running') AND b.finished_at IS NULL
				AND b.function = j.function AND b.order_stripes & j.order_stripes <> 0) THEN 'older job'
		WHEN j.state = 'pending' THEN 'place'
		-- a path, which no call of Modal's has
		WHEN j.state = 'running' AND j.remote_call_id LIKE '%/%' THEN 'batch' END) AS w(waiting_for)
WHERE o.own OR pg_has_role('pg_monitor', 'USAGE');
COMMENT ON VIEW modal_batch.jobs IS
	'own background jobs and how far they are; members of pg_monitor see the numbers of all';
GRANT SELECT ON modal_batch.jobs TO PUBLIC;

CREATE VIEW modal_batch.failures WITH (security_barrier) AS
SELECT r.job, j.owner, j.function, j.into_table, r.ordinal, r.input AS key,
	r.error->>'code' AS code, r.error->>'type' AS type, r.error->>'message' AS message,
	r.error->>'detail' AS detail, r.error->>'hint' AS hint, r.error, r.attempts,
	r.started_at, r.finished_at
FROM modal_batch.result r JOIN modal_batch.job j ON j.id = r.job
WHERE r.error IS NOT NULL AND pg_has_role(j.owner, 'USAGE');
COMMENT ON VIEW modal_batch.failures IS
	'every failed input of own jobs that is kept; modal_retry(job, code => ...) runs those with a SQLSTATE again';
GRANT SELECT ON modal_batch.failures TO PUBLIC;

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
		mode text DEFAULT 'insert', on_complete text DEFAULT NULL, priority int DEFAULT 0,
		ordinality_column name DEFAULT NULL,
		unique_key text DEFAULT NULL, start_after "any" DEFAULT NULL, deadline "any" DEFAULT NULL,
		max_failures bigint DEFAULT NULL, max_in_flight int DEFAULT NULL,
		"distinct" boolean DEFAULT false)
	RETURNS bigint LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_spawn_map(text, text, jsonb, text[], regclass, name, name, text, text, int,
		name, text, "any", "any", bigint, int, boolean) IS
	'calls a remote function in the background for every row of a query and stores the results; with a unique_key that an unfinished job has, returns that job; start_after and deadline are an interval from now or a timestamptz; more than max_failures failed inputs end it as failed; max_in_flight and distinct bound what is sent';

CREATE FUNCTION modal_batch.estimate_inputs(function text, query text, kwargs jsonb,
		key text[], "distinct" boolean,
		OUT label text, OUT "rows" bigint, OUT bytes bigint, OUT p50_bytes bigint,
		OUT max_bytes bigint, OUT blobs bigint, OUT requests bigint,
		OUT distinct_inputs bigint)
	RETURNS record LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'modal_estimate_inputs';
COMMENT ON FUNCTION modal_batch.estimate_inputs(text, text, jsonb, text[], boolean) IS
	'for modal_estimate';

CREATE FUNCTION modal_estimate(function text, query text, kwargs jsonb DEFAULT '{}',
		key text[] DEFAULT '{}', "distinct" boolean DEFAULT false)
	RETURNS TABLE ("rows" bigint, bytes bigint, p50_bytes bigint, max_bytes bigint,
		blobs bigint, requests bigint, distinct_inputs bigint,
		seconds double precision, remote_seconds double precision)
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT e."rows", e.bytes, e.p50_bytes, e.max_bytes, e.blobs, e.requests, e.distinct_inputs,
		n.sent::double precision * coalesce(s.p50 * s.share, s.mean), n.sent::double precision * s.p50
	FROM modal_batch.estimate_inputs(modal_estimate.function, modal_estimate.query,
			modal_estimate.kwargs, modal_estimate.key, modal_estimate."distinct") AS e
		CROSS JOIN LATERAL (SELECT CASE WHEN modal_estimate."distinct"
			THEN e.distinct_inputs ELSE e."rows" END) AS n(sent)
		-- seconds of an input that runs, and how much of them passes until the next one ends
		CROSS JOIN LATERAL (SELECT
				sum(f.p50_ms * f.inputs::double precision)
					/ nullif(sum(f.inputs) FILTER (WHERE f.p50_ms IS NOT NULL)::double precision, 0::double precision)
					/ 1000::double precision,
				sum(f.total_ms) / nullif(sum(f.remote_ms), 0::double precision),
				sum(f.total_ms) / nullif(sum(f.inputs)::double precision, 0::double precision) / 1000::double precision
			FROM modal_batch.stat_functions f
			WHERE f.datname = current_database() AND f.function = e.label)
			AS s(p50, share, mean);
END;
COMMENT ON FUNCTION modal_estimate(text, text, jsonb, text[], boolean) IS
	'what a job of these rows would send, in bytes and requests, without sending anything; from the p50_ms that modal_batch.stat_functions has of the function, how many seconds the function runs and how long that takes, else NULL';

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
	WHERE r.job = (SELECT modal_batch.check_job(modal_results.job))
		-- asked for before any row is, of which there may be none
		AND (SELECT modal_batch.check_job(modal_results.job)) IS NOT NULL
	ORDER BY r.ordinal;
END;
COMMENT ON FUNCTION modal_results(bigint) IS
	'results of a job that has no table for them, and the failures of any job';

CREATE FUNCTION modal_gather(VARIADIC jobs bigint[])
	RETURNS TABLE (job bigint, ordinal bigint, result jsonb, error jsonb)
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
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
CREATE FUNCTION modal_retry(job bigint, code text DEFAULT NULL) RETURNS bigint
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_retry(bigint, text) IS
	'runs the failed inputs of a job again, all or those with a SQLSTATE, or goes on with a failed job; returns how many inputs; error 55000 while the job has not ended';
CREATE PROCEDURE modal_watch(job bigint, every interval DEFAULT '1 s')
	LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON PROCEDURE modal_watch(bigint, interval) IS
	'shows how far a job is, as notices, until it ends; not in a transaction block';
CREATE FUNCTION modal_forget(job bigint) RETURNS void
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_forget(bigint) IS
	'deletes an ended job and its stored results';

-- A server that is not Modal's own is modal-local, whose console has no https.
CREATE FUNCTION modal_dashboard_url(job bigint) RETURNS text
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT CASE
		WHEN o.http THEN NULL
		WHEN o.url IS NULL OR o.url ~* '^https://([^/,]+\.)?modal2?\.com([:/,]|$)'
			THEN 'https://modal.com/id/' || j.remote_call_id
		ELSE regexp_replace(o.url, '^[a-z]+://([^/,]*).*$', 'http://\1/console/call/', 'i') || j.remote_call_id END
	FROM modal_batch.job j
		CROSS JOIN LATERAL (
			SELECT min(o.option_value) FILTER (WHERE o.option_name = 'url') AS url,
				coalesce(bool_or(o.option_name = 'protocol' AND o.option_value = 'http'), false) AS http
			FROM pg_catalog.pg_foreign_server s,
				pg_catalog.pg_options_to_table(s.srvoptions) o
			WHERE s.srvname = split_part(j.function, ':', 1)) o
	WHERE j.id = (SELECT modal_batch.check_job(modal_dashboard_url.job))
		AND (SELECT modal_batch.check_job(modal_dashboard_url.job)) IS NOT NULL;
END;
COMMENT ON FUNCTION modal_dashboard_url(bigint) IS
	'page of a job''s present remote call in Modal''s dashboard, or in the console of modal-local; NULL when it has none';

CREATE FUNCTION modal_logs(
	job bigint, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
	max_lines int DEFAULT 1000, search text DEFAULT NULL)
	RETURNS TABLE (at timestamptz, ordinal bigint, stream text, line text, input text)
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT l.at, l.ordinal, l.stream, l.line, l.input
	FROM modal_batch.job j
		CROSS JOIN LATERAL modal_function_call_logs(
			split_part(j.function, ':', 1) || ':' || j.remote_call_id,
			modal_logs.since, modal_logs.until, modal_logs.max_lines, modal_logs.search) l
	WHERE j.id = (SELECT modal_batch.check_job(modal_logs.job)) AND j.remote_call_id IS NOT NULL
		AND (SELECT modal_batch.check_job(modal_logs.job)) IS NOT NULL;
END;
COMMENT ON FUNCTION modal_logs(bigint, timestamptz, timestamptz, int, text) IS
	'what the inputs of a job''s present remote call have printed, as modal_function_call_logs has it';

CREATE FUNCTION modal_trigger() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_trigger() IS
	'calls a remote function for each row changed and writes its result to the row; arguments: function, argument columns, result column; with a function alone, whose server has format webhook: tells it of each INSERT, UPDATE or DELETE';

CREATE FUNCTION modal_batch.fingerprint(VARIADIC args "any") RETURNS bigint
	LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'modal_fingerprint';
COMMENT ON FUNCTION modal_batch.fingerprint("any") IS
	'hash of values as they would be sent, to tell whether a row has changed since';

CREATE FUNCTION modal_generate_column("table" regclass, result_column name, function text,
		argument_columns name[], kwargs jsonb DEFAULT '{}', version_column name DEFAULT NULL,
		skip_nulls boolean DEFAULT true, backfill boolean DEFAULT true, priority int DEFAULT 0)
	RETURNS bigint LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_generate_column(regclass, name, text, name[], jsonb, name, boolean, boolean, int) IS
	'declares that a column is a remote function of others: rows that change, and with backfill those that have no result yet, are calculated in the background; returns the job of the backfill';
CREATE FUNCTION modal_generate_rows(source regclass, target regclass, function text,
		argument_columns name[], key name[], result_column name DEFAULT 'result',
		ordinality_column name DEFAULT NULL, kwargs jsonb DEFAULT '{}',
		backfill boolean DEFAULT true, priority int DEFAULT 0)
	RETURNS bigint LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_generate_rows(regclass, regclass, text, name[], name[], name, name, jsonb, boolean, int) IS
	'declares that rows of the target are the lists that a remote function makes of the source''s rows: key names the target''s columns for the source''s primary key; returns the job of the backfill';
CREATE FUNCTION modal_drop_generated_rows(source regclass, target regclass)
	RETURNS void LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_drop_generated_rows(regclass, regclass) IS
	'makes rows that were generated ordinary ones; jobs under way end as they would';
CREATE FUNCTION modal_truncate_rows() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_truncate_rows() IS
	'empties the tables whose rows are generated from those of the table that is truncated';
CREATE FUNCTION modal_regenerate("table" regclass, "column" name, "only" text DEFAULT 'missing')
	RETURNS bigint LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_regenerate(regclass, name, text) IS
	'calculates a generated column again where it is "missing", has "failed", is "outdated" (from another version of the function), or for "all" rows; returns the job';
CREATE FUNCTION modal_drop_generated_column("table" regclass, "column" name)
	RETURNS void LANGUAGE c VOLATILE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION modal_drop_generated_column(regclass, name) IS
	'makes a generated column an ordinary one, with the results that it has, and cancels its unfinished jobs';

CREATE FUNCTION modal_batch.input_identity(key text[], VARIADIC args "any") RETURNS bigint
	LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'modal_input_identity';
COMMENT ON FUNCTION modal_batch.input_identity(text[], "any") IS
	'hash by which a row, its key columns and then its arguments, is found among inputs that are kept';
CREATE FUNCTION modal_batch.column_inputs("table" oid, "column" name)
	RETURNS TABLE (identity bigint, failed boolean, ended boolean, collected boolean)
	LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'modal_column_inputs';
COMMENT ON FUNCTION modal_batch.column_inputs(oid, name) IS
	'inputs for a generated column of one''s own that are kept: to be done, or failed in a job that has ended or not, or collected by triggers of this transaction';
CREATE FUNCTION modal_batch.generated_column_counts("table" regclass, "column" name,
		OUT rows bigint, OUT current bigint, OUT missing bigint, OUT failed bigint,
		OUT pending bigint, OUT outdated bigint)
	LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'modal_generated_column_counts';
COMMENT ON FUNCTION modal_batch.generated_column_counts(regclass, name) IS
	'how many rows there are, and in which state their generated column is; reads the table once';
CREATE FUNCTION modal_batch.trigger_spec(trigger oid, OUT target oid, OUT result_column name,
		OUT function text, OUT arguments name[], OUT kwargs jsonb, OUT version_column name,
		OUT skip_nulls boolean, OUT priority int)
	LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'modal_trigger_spec';
COMMENT ON FUNCTION modal_batch.trigger_spec(oid) IS
	'what a trigger with modal_trigger() says';

SET LOCAL search_path = pg_catalog, pg_temp;
CREATE VIEW modal_batch.generated_columns WITH (security_barrier) AS
SELECT t.tgrelid::regclass AS "table", s.result_column AS "column", s.function, s.arguments,
	s.kwargs, s.version_column, s.skip_nulls, s.priority, t.tgname AS trigger,
	coalesce(j.pending, 0) AS pending, coalesce(f.failed, 0) AS failed,
	CASE WHEN pg_has_role(c.relowner, 'USAGE') THEN j.last_error END AS last_error,
	(coalesce(j.succeeded, 0) + coalesce(o.succeeded, 0))::bigint AS succeeded,
	(coalesce(j.stale, 0) + coalesce(o.stale, 0))::bigint AS stale
FROM pg_trigger t
	JOIN pg_class c ON c.oid = t.tgrelid
	CROSS JOIN LATERAL modal_batch.trigger_spec(t.oid) AS s
	LEFT JOIN (SELECT j.into_table, j.result_column,
			sum(j.inputs - j.succeeded - j.failed - j.stale)
				FILTER (WHERE j.finished_at IS NULL)::bigint AS pending,
			sum(j.succeeded) AS succeeded, sum(j.stale) AS stale,
			(array_agg(j.last_error ORDER BY j.id DESC) FILTER (WHERE j.last_error IS NOT NULL))[1] AS last_error
		FROM modal_batch.job j WHERE j.by_trigger GROUP BY 1, 2) AS j
		ON j.into_table = s.target AND j.result_column = s.result_column
	LEFT JOIN (SELECT j.into_table, j.result_column, count(*) AS failed
		FROM modal_batch.job j JOIN modal_batch.result r ON r.job = j.id
		WHERE j.by_trigger AND j.failed > 0 GROUP BY 1, 2) AS f
		ON f.into_table = s.target AND f.result_column = s.result_column
	LEFT JOIN pg_attribute a ON a.attrelid = s.target AND a.attname = s.result_column
	LEFT JOIN modal_batch.trigger_total o ON o.table_oid = a.attrelid AND o.column_number = a.attnum
WHERE t.tgfoid = '@extschema@.modal_trigger()'::regprocedure AND t.tgnargs > 1 AND t.tgparentid = 0
	AND s.function IS NOT NULL
	AND (pg_has_role(c.relowner, 'USAGE') OR pg_has_role('pg_monitor', 'USAGE'));
COMMENT ON VIEW modal_batch.generated_columns IS
	'columns of one''s own tables that are generated remotely; modal_batch.generated_column_counts() counts their rows';
GRANT SELECT ON modal_batch.generated_columns TO PUBLIC;
SET LOCAL search_path = @extschema@, pg_temp;

CREATE FUNCTION modal_batch.start_runner() RETURNS void
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'modal_start_runner';
COMMENT ON FUNCTION modal_batch.start_runner() IS
	'goes on with the unfinished jobs of a database that has been restored or copied';
