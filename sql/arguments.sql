-- Every argument of every function that asks a service, absent, empty, negative,
-- huge or endless, by a superuser and by nobody: an error or an answer.
\i test/setup.sql
SET client_min_messages = error;
CREATE ROLE arguments_nobody;

-- The outcome of a call with each combination of values for its arguments.
CREATE FUNCTION outcomes(call text, VARIADIC choices text[]) RETURNS TABLE (outcome text, times bigint) LANGUAGE plpgsql AS $$
DECLARE
	calls text[] := ARRAY[call];
	choice text;
	n int := 0;
	seen text[] := '{}';
	one text;
BEGIN
	FOREACH choice IN ARRAY choices LOOP
		n := n + 1;
		CONTINUE WHEN choice = '';
		calls := ARRAY(SELECT replace(c, '%' || n, v) FROM unnest(calls) c, unnest(string_to_array(choice, ' | ')) v);
	END LOOP;
	FOREACH one IN ARRAY calls LOOP
		BEGIN
			EXECUTE 'SELECT count(x) FROM (SELECT ' || one || ' AS x LIMIT 3) s';
			seen := seen || 'fine'::text;
		EXCEPTION WHEN OTHERS THEN
			seen := seen || SQLSTATE::text;
		END;
	END LOOP;
	RETURN QUERY SELECT s, count(*) FROM unnest(seen) s GROUP BY s ORDER BY s;
END $$;
CREATE FUNCTION all_outcomes(whose text) RETURNS TABLE (function text, outcomes text) LANGUAGE plpgsql AS $$
DECLARE
	functions CONSTANT text := $c$NULL | '' | 'local:' | 'local:builtin/echo' | 'local:builtin/echo#{' | 'nowhere:f/g' | repeat('x', 100000) | 'local:' || repeat('a', 5000) || '/f'$c$;
	ids CONSTANT text := $c$NULL | '' | 'local:' | 'local:fc-' | 'local:fc-00000000000000000000000000' | 'local:fc-' || repeat('a', 200)$c$;
	ints CONSTANT text := 'NULL | 0 | -1 | 2147483647 | (-2147483648)';
	bigints CONSTANT text := 'NULL | 0 | -1 | 9223372036854775807 | (-9223372036854775808)';
	intervals CONSTANT text := $c$'0' | '-1 s' | '1 day -25 hours' | '1 mon -31 days' | '0.001 s'$c$;
	objects CONSTANT text := $c$NULL | '{}' | '[]' | '1' | 'null' | '{"a": 1}'$c$;
	errors CONSTANT text := $c$NULL | '' | 'raise' | 'return' | 'ignore'$c$;
	c text[];
BEGIN
	FOREACH c SLICE 1 IN ARRAY ARRAY[
		['modal_ping(%1)', $c$NULL | '' | 'local' | ':' | 'nowhere' | repeat('x', 100000)$c$, '', '', ''],
		['modal_remote(%1)', functions, '', '', ''],
		['modal_remote(%1, %2)', functions, $c$NULL | 'x' | '{}'::int[] | NULL::int[] | ROW() | '-infinity'::timestamp$c$, '', ''],
		['modal_remote(%1, VARIADIC %2)', functions, $c$NULL::int[] | '{}'::int[] | '{NULL}'::int[] | '{{1},{2}}'::int[]$c$, '', ''],
		['modal_call(%1, %2, %3)', functions, objects, objects, ''],
		['modal_map(%1, %2, %3, on_error => %4)', functions, $c$NULL | '' | 'SELECT' | 'SELECT NULL' | ';'$c$, objects, errors],
		['modal_map(%1, ''SELECT 1 AS a'', key => %2, ordered => %3)', functions, $c$NULL | '{}' | '{NULL}' | '{a}' | '{a,a}' | '{""}' | '{{a}}'$c$, 'NULL | true | false', ''],
		['modal_map(%1, %2, %3, on_error => %4)', functions, $c$NULL::int[] | '{}'::int[] | '{NULL}'::int[] | '{{1,2}}'::int[] | '[0:0]={1}'::int[]$c$, objects, errors],
		['modal_for_each(%1, %2, %3, %4)', functions, $c$NULL | '' | 'SELECT' | 'SELECT NULL'$c$, objects, errors],
		['modal_remote_gen(%1)', functions, '', '', ''],
		['modal_with_options(%1, %2)', functions, objects, '', ''],
		['modal_function_stats(%1)', functions, '', '', ''],
		['modal_update_autoscaler(%1, %2, %3, %4)', functions, ints, ints, ints],
		['modal_web_url(%1)', functions, '', '', ''],
		['modal_function_call(%1)', ids, '', '', ''],
		['modal_function_call_get(%1, %2, %3)', ids, bigints, intervals, ''],
		['modal_function_call_get(%1, 0, %2)', ids, $c$NULL::interval | '300000 years' | '178000000 years' | '2147483647 days'$c$, '', ''],
		['modal_function_call_results(%1, %2, %3, on_error => %4)', ids, bigints, bigints, errors],
		['modal_function_call_results(%1, wait => %2)', ids, 'NULL | true | false', '', ''],
		['modal_function_call_gather(VARIADIC %1)', $c$NULL::text[] | '{}' | '{NULL}' | '{"local:fc-0"}' | '{{"local:fc-0"},{"x"}}'$c$, '', '', ''],
		['modal_function_call_cancel(%1, %2)', ids, 'NULL | true | false', '', ''],
		['modal_function_call_graph(%1)', ids, '', '', ''],
		['modal_function_call_logs(%1, %2, %2, %3)', ids, $c$NULL::timestamptz | '-infinity' | 'infinity' | '4713-01-01 BC' | '2020-01-01'$c$, 'NULL | 0 | -1 | 10 | 20001 | 2147483647', ''],
		['modal_logs(%1, max_lines => %2)', 'NULL | 0 | -1 | 9223372036854775807', 'NULL | 0 | 10', '', ''],
		['modal_batch.fingerprint(%1)', $c$NULL | 'x' | '{}'::int[] | NULL::int[] | ROW() | VARIADIC '{1}'::int[] | VARIADIC NULL::int[]$c$, '', '', ''],
		['modal_batch_validator(%1, %2)', $c$NULL | '{}' | '{NULL}' | '{a}' | '{window=}' | '{=}' | '{url=x}'$c$, '0 | 1417 | 1418 | 4294967295', '', ''],
		['modal_stat_reset()', '', '', '', ''],
		['modal_batch.activity()', '', '', '', ''], ['modal_batch.stat_functions()', '', '', '', ''], ['modal_batch.stat_dispatcher()', '', '', '', '']]
	LOOP
		function := c[1];
		SELECT string_agg(o.outcome || ' ' || o.times, ', ') INTO outcomes FROM outcomes(c[1], c[2], c[3], c[4], c[5]) o;
		RETURN NEXT;
	END LOOP;
END $$;
\a\t
SELECT * FROM all_outcomes('superuser');
SET ROLE arguments_nobody;
SELECT * FROM all_outcomes('nobody');
RESET ROLE;
-- long, or for ever
SELECT modal_remote('local:builtin/square', 7);
DROP FUNCTION all_outcomes, outcomes;
DROP ROLE arguments_nobody;
