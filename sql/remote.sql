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

-- Parameters of no type, as drivers send strings, are text: also beside others,
-- in sub-selects, and where one stands twice.  A type from elsewhere counts.
PREPARE untyped AS SELECT modal_remote('local:builtin/echo', $1);
EXECUTE untyped('x');
PREPARE untyped_types AS SELECT modal_remote('local:builtin/types', 1, $1, $2, $1);
EXECUTE untyped_types('one', 'two');
PREPARE untyped_below AS SELECT n, (SELECT modal_remote('local:builtin/echo', $1) WHERE n < 3) FROM (SELECT 2 AS n) s WHERE $2 = n;
EXECUTE untyped_below('below', 2);
PREPARE untyped_generator AS SELECT * FROM modal_remote_gen('local:builtin/count', 2, 0, $1) LIMIT 0;
EXECUTE untyped_generator('0');
PREPARE untyped_spawn AS SELECT modal_spawn('local:builtin/echo', $1) > 0 AS spawned;
EXECUTE untyped_spawn('x');
PREPARE typed_elsewhere AS SELECT modal_remote('local:builtin/types', $1), $1 + 1;
PREPARE typed_by_itself (int) AS SELECT modal_remote('local:builtin/echo', $1);
EXECUTE typed_by_itself(5);
PREPARE untyped_format AS SELECT format('%s', $1);
DEALLOCATE ALL;
