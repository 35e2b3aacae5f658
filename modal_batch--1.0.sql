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
