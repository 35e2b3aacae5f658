-- One call: references, arguments, results.
\i test/setup.sql

SELECT reachable, authenticated, latency_ms > 0 AS timed FROM modal_ping('local');
SELECT modal_remote('local:builtin/square', 12);
SELECT modal_remote('local:builtin/square@1', 12);
SELECT modal_remote('local:builtin/kwargs');
SELECT modal_remote('local:builtin/types', 1, 'two'::text, NULL::int, ARRAY[3, 4]);
SELECT modal_remote('local:builtin/types', VARIADIC ARRAY[1, 2]);
SELECT modal_call('local:builtin/kwargs', '[1, "two", null]', '{"a": {"b": [true, 1.5]}}');
SELECT modal_call('local:builtin/kwargs');
SELECT modal_call('local:builtin/kwargs', kwargs => '{"x": 1}');
SELECT octet_length(modal_remote('local:builtin/large', 5000000)::text) AS through_a_blob;
SELECT octet_length(modal_remote('local:builtin/echo', repeat('x', 3000000)) #>> '{}') AS both_ways;

-- the default server
SET modal_batch.server = 'local';
SELECT modal_remote('builtin/square', 3);
SET modal_batch.server = 'nowhere';
SELECT modal_remote('builtin/square', 3);
RESET modal_batch.server;

-- several at once in one statement, and within functions
SELECT sum((modal_remote('local:builtin/square', g))::int) FROM generate_series(1, 20) g;
DO $$
BEGIN
	FOR i IN 1..3 LOOP
		BEGIN
			PERFORM modal_remote('local:builtin/fail', 'in a loop'::text);
		EXCEPTION WHEN external_routine_exception THEN
			RAISE NOTICE 'caught: %', SQLERRM;
		END;
	END LOOP;
	RAISE NOTICE 'then: %', modal_remote('local:builtin/square', 5);
END $$;

-- references to other resources
SELECT modal_with_options('local:builtin/square', '{"cpu": 2}');
SELECT modal_with_options(modal_with_options('builtin/C{"a": "#"}.m', '{"cpu": 2, "gpu": "T4"}'), '{"cpu": 4}');
SELECT modal_with_options('builtin', '{}');
SELECT modal_with_options('builtin/f', '[]');

-- questions to the service
SELECT backlog IS NOT NULL AS backlog, runners IS NOT NULL AS runners
	FROM modal_function_stats('local:builtin/square');
SELECT modal_web_url('local:builtin/square');
SELECT modal_web_url('local:builtin/web') IS NOT NULL AS has_url;
SELECT modal_update_autoscaler('local:builtin/square', min_containers => -1);
