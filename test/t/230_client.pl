# Copyright (c) 2026, modal_batch contributors

# What can be called on Modal, and how: functions on an input plane, classes,
# functions with options, generators, and calls that were started elsewhere.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new(args => [ '--secret', 'keys:API_KEY=k1', '--volume', 'data' ]);
my $node = modal_node('main', local => $local, conf => "statement_timeout = '${PostgreSQL::Test::Utils::timeout_default}s'\n");

sub result_is { return sql_is($node, @_) }
sub fails_like { return sql_fails($node, @_) }

# The job of this call, ended; its id.
sub job_of
{
	my ($call, $state) = @_;
	my $job = $node->safe_psql('postgres', "SELECT $call");
	is($node->safe_psql('postgres', "SELECT modal_wait($job, '60s')"), $state, "$call ends");
	return $job;
}

subtest 'input plane' => sub {
	$local->clear_log;
	result_is(q{SELECT modal_remote('local:builtin/echo_input_plane', 5)}, '5', 'a single call');
	is($local->requests('AttemptStart'), 1, 'is an attempt');
	is($local->requests('FunctionMap'), 0, 'and no call of the control plane');
	is(($local->requests('AttemptStart'))[0]{region}, 'local', 'the region is told');
	result_is(q{SELECT count(*), sum(result::int), bool_and(ordinal + 1 = sqrt(result::int))
			FROM modal_map('local:builtin/square_input_plane', 'SELECT g FROM generate_series(1, 1000) g')},
		'1000|333833500|t', 'a map keeps its order, though indexes begin at 1 there');
	is_deeply([ $local->inputs_put ], [ 0, 1 .. 1000 ], 'every input was sent once');
	is(($local->requests('MapAwait'))[0]{region}, 'local', 'the region is told again');
	result_is(q{SELECT modal_remote('local:builtin/flaky_input_plane', 1, 'x'::text)}, '"x"',
		'a failed attempt is made again by the policy');
	is($local->requests('AttemptRetry'), 1, 'once');
	result_is(q{SELECT string_agg(result::text, ',' ORDER BY ordinal)
			FROM modal_map('local:builtin/crash_input_plane', ARRAY[1, 2, 3])}, '1,2,3',
		'internal failures are retried');
	$local->set_faults("input idx=2 attempt=0 lost\n");
	result_is(q{SELECT string_agg(result::text, ',' ORDER BY ordinal)
			FROM modal_map('local:builtin/echo_input_plane', ARRAY[1, 2, 3])}, '1,2,3',
		'an input that was lost is sent again');
	cmp_ok(scalar $local->requests('MapCheckInputs'), '>=', 1, 'after asking');
	$local->set_faults("input idx=0 attempt=0 lost\n");
	result_is(q{SELECT modal_remote('local:builtin/echo_input_plane', 6)}, '6', 'so is a single one');
	$local->set_faults('');
	fails_like(q{SELECT modal_remote('local:builtin/fail_input_plane', 'bad'::text)},
		qr/38000: ValueError\('bad'\)/, 'an exception');
	my $job = job_of(q{modal_spawn('local:builtin/echo_input_plane', 1)}, 'failed');
	result_is("SELECT last_error->>'code', last_error->>'message' FROM modal_batch.jobs WHERE job = $job",
		'0A000|"local:builtin/echo_input_plane" cannot be called in the background', 'spawning is refused clearly');
};

subtest 'classes' => sub {
	$local->clear_log;
	result_is(q{SELECT modal_remote('local:builtin/Counter{"start": 5, "seed": "AP8=", "loud": true, "name": "x"}.describe')},
		'{"loud": true, "name": "x", "seed": "AP8=", "start": 5}', 'parameters of every type');
	is(($local->requests('FunctionBindParams'))[0]{params},
		'0a0a0a046c6f756410093801' . '0a0b0a046e616d6510011a0178'
		  . '0a0c0a0473656564100432' . '0200ff' . '0a0b0a057374617274100220' . '05',
		'are encoded in the order of their names');
	result_is(q{SELECT modal_remote('local:builtin/Counter{"name": "x"}.describe')},
		'{"loud": false, "name": "x", "seed": "", "start": 0}', 'defaults');
	result_is(q{SELECT modal_remote('local:builtin/Counter{"name": "x", "start": -3}.add', 5)}, '2', 'arguments of a method');
	result_is(q{SELECT modal_call('local:builtin/Counter{"name": "x", "start": -3}.add', kwargs => '{"n": 7}')}, '4', 'by name');
	result_is(q{SELECT sum(result::int) FROM modal_map('local:builtin/Counter{"name": "x"}.add', ARRAY[1, 2, 3])}, '6', 'a map');
	result_is(q{SELECT string_agg(x::text, ',') FROM modal_remote_gen('local:builtin/Counter{"name": "x", "start": 5}.upto', 8) x},
		'5,6,7', 'a generator');
	$local->clear_log;
	result_is(q{SELECT modal_remote('local:builtin/Counter{"name": "x", "start": -3}.add', 5)}, '2', 'once more');
	is($local->requests('FunctionGet') + $local->requests('FunctionBindParams'), 0, 'is looked up no more');
	my $job = job_of(q{modal_spawn('local:builtin/Counter{"name": "x", "start": 1}.add', 1)}, 'completed');
	result_is("SELECT result FROM modal_results($job)", '2', 'a job');
	fails_like(q{SELECT modal_remote('local:builtin/Counter.describe')}, qr/22023: class parameter "name" is missing/, 'missing');
	fails_like(q{SELECT modal_remote('local:builtin/Counter{"name": 3}.describe')},
		qr/22023: class parameter "name" must be a string/, 'of a wrong type');
	fails_like(q{SELECT modal_remote('local:builtin/Counter{"name": "x", "start": 9223372036854775808}.describe')},
		qr/22023: class parameter "start" must be an integer of at most 64 bits/, 'too large');
	fails_like(q{SELECT modal_remote('local:builtin/Counter{"name": "x", "start": 1.5}.describe')},
		qr/22023: class parameter "start" must be/, 'a fraction');
	fails_like(q{SELECT modal_remote('local:builtin/Counter{"name": "x", "seed": "?"}.describe')},
		qr/22023: class parameter "seed" must be bytes/, 'bytes that are not base64');
	fails_like(q{SELECT modal_remote('local:builtin/Counter{"nme": "x"}.describe')},
		qr/22023: the remote class has no parameter "nme"/, 'unknown');
	fails_like(q{SELECT modal_remote('local:builtin/Counter{"name": "x"}.nope')},
		qr/42883: remote class "builtin\/Counter" has no method "nope"/, 'an unknown method');
	fails_like(q{SELECT modal_remote('local:builtin/NoClass.m')},
		qr/42883: remote class "builtin\/NoClass" does not exist/, 'an unknown class');
};

subtest 'options' => sub {
	my $all = '{"cpu": [2, 4], "memory": [128, 256], "gpu": "t4:2", "retries": 3, "timeout": 10, "max_containers": 3,
		"buffer_containers": 1, "scaledown_window": 20, "max_inputs": 10, "target_inputs": 5,
		"region": ["us-east", "eu"], "cloud": "aws", "env": {"A": "b"}, "max_batch_size": 10, "wait_ms": 100,
		"secrets": ["keys"], "volumes": {"/data": "data"}}';
	$local->clear_log;
	result_is(qq{SELECT modal_remote(modal_with_options('local:builtin/echo', '$all'), 1)}, '1', 'all at once');
	my $sent = ($local->requests('FunctionBindParams'))[0]{options};
	like($sent, qr/$_/, "sent: $_")
	  for 'milli_cpu:2000', 'milli_cpu_max:4000', 'memory_mb:128', 'memory_mb_max:256', 'gpu_type:T4', 'count:2',
	  'retries:3', 'timeout_secs:10', 'concurrency_limit:3', 'buffer_containers:1', 'task_idle_timeout_secs:20',
	  'max_concurrent_inputs:10', 'target_concurrent_inputs:5', 'regions:us-east', 'regions:eu',
	  'cloud_provider_str:aws', 'batch_max_size:10', 'batch_linger_ms:100', 'replace_secret_ids:true',
	  'mount_path:/data', 'replace_volume_mounts:true', 'allow_background_commits:true';
	is($local->requests('SecretGetOrCreate'), 2, 'a secret by name, one made of env');
	is($local->requests('VolumeGetOrCreate'), 1, 'a volume by name');

	my $more = q{modal_with_options(modal_with_options('local:builtin/echo', '{"cpu": 1, "timeout": 5}'), '{"timeout": 6}')};
	$local->clear_log;
	result_is("SELECT sum(result::int) FROM modal_map($more, ARRAY[1, 2])", '3', 'in a map, given in two steps');
	like(($local->requests('FunctionBindParams'))[0]{options}, qr/milli_cpu:1000.*timeout_secs:6/, 'the later one counts');
	result_is("SELECT string_agg(x::text, ',') FROM modal_remote_gen(modal_with_options('local:builtin/count', '{\"cpu\": 1}'), 2) x",
		'0,1', 'in a generator');
	result_is(q{SELECT modal_remote(modal_with_options('local:builtin/Counter{"name": "x", "start": 2}.add', '{"cpu": 1}'), 3)},
		'5', 'with a class');
	$local->clear_log;
	my $job = job_of("modal_spawn($more, 7)", 'completed');
	result_is("SELECT result FROM modal_results($job)", '7', 'in a job');
	like(($local->requests('FunctionMap'))[0]{call}, qr/^fc-/, 'which is a call');
	result_is("SELECT function FROM modal_batch.jobs WHERE job = $job",
		'local:builtin/echo#{"cpu": 1, "timeout": 6}', 'that shows its options');
	$job = job_of("modal_spawn_map($more, 'SELECT 8')", 'completed');
	result_is("SELECT result FROM modal_results($job)", '8', 'of many inputs');
	$local->clear_log;
	result_is(q{CREATE FUNCTION square(int) RETURNS int LANGUAGE modal AS 'local:builtin/square#{"cpu": 1}';
		SELECT square(7)}, '49', 'in a typed function');
	$node->safe_psql('postgres', q{CREATE TABLE numbers (id int PRIMARY KEY, n int, n2 int);
		CREATE TRIGGER n2 AFTER INSERT ON numbers FOR EACH ROW
			EXECUTE FUNCTION modal_trigger('local:builtin/square#{"cpu": 2}', 'n', 'n2');
		INSERT INTO numbers VALUES (1, 8)});
	ok($node->poll_query_until('postgres', 'SELECT n2 = 64 FROM numbers'), 'in a trigger');
	is(join(' ', sort map { $_->{options} } $local->requests('FunctionBindParams')),
		'{resources:{milli_cpu:1000}} {resources:{milli_cpu:2000}}', 'which send them');
	$local->clear_log;
	result_is(q{SELECT modal_remote(modal_with_options('local:builtin/flaky', '{"retries": {"max_retries": 2,
			"backoff_coefficient": 1, "initial_delay": 0}}'), 2, 'x'::text)}, '"x"', 'a retry policy');
	is($local->requests('FunctionRetryInputs'), 2, 'is followed');
	fails_like(q{SELECT modal_remote(modal_with_options('local:builtin/flaky', '{"retries": 0}'), 1)},
		qr/38000: RuntimeError/, 'no retries');
	result_is(q{SELECT modal_remote(modal_with_options('local:builtin/echo', '{"routing_region": "eu"}'), 1)}, '1',
		'another region');
	is(($local->requests('AttemptStart'))[-1]{region}, 'eu', 'has an input plane');
	for my $wrong ('cpu": 0', 'cpu": "2"', 'cpu": [2, 1]', 'memory": -1', 'gpu": "T4:0"', 'gpu": ""', 'retries": 11',
		'retries": {"backoff_coefficient": 11}', 'timeout": 0', 'timeout": 1.5', 'max_containers": 0',
		'buffer_containers": -1', 'scaledown_window": 0', 'max_inputs": 0', 'max_batch_size": 1001', 'wait_ms": 600001',
		'region": 1', 'cloud": 1', 'routing_region": 1', 'env": {"1A": "b"}', 'env": {"A": 1}', 'secrets": "keys"',
		'secrets": [1]', 'volumes": ["data"]')
	{
		my ($name) = $wrong =~ /^(\w+)/;
		fails_like(qq{SELECT modal_remote('local:builtin/echo#{"$wrong}', 1)},
			qr/22023: invalid value of function option "$name"/, "wrong: $wrong");
	}
	fails_like(q{SELECT modal_remote('local:builtin/echo#{"max_inputs": 2, "target_inputs": 3}', 1)},
		qr/22023: .*target_inputs/, 'wrong: a target over the limit');
	fails_like(q{SELECT modal_remote('local:builtin/echo#{"cups": 2}', 1)},
		qr/22023: unknown function option "cups".*HINT.*cpu/s, 'an unknown option');
	fails_like(q{SELECT modal_remote('local:builtin/echo#{"secrets": ["nope"]}', 1)},
		qr/42883: secret "nope" does not exist/, 'an unknown secret');
	fails_like(q{SELECT modal_remote('local:builtin/echo#{"volumes": {"/x": "nope"}}', 1)},
		qr/42883: volume "nope" does not exist/, 'an unknown volume');
};

subtest 'generators' => sub {
	result_is(q{SELECT string_agg(x::text, ',') FROM modal_remote_gen('local:builtin/count', 4) x}, '0,1,2,3', 'items');
	result_is(q{SELECT count(*) FROM modal_remote_gen('local:builtin/count', 0)}, '0', 'none');
	result_is(q{SELECT count(*), max(x::int) FROM modal_remote_gen('local:builtin/count', 20000) x}, '20000|19999', 'many');
	result_is(q{SELECT string_agg(x::text, ',') FROM modal_remote_gen('local:builtin/count_input_plane', 3) x}, '0,1,2',
		'on an input plane');
	$node->safe_psql('postgres', 'CREATE FUNCTION numbers(int) RETURNS SETOF int LANGUAGE modal AS $$local:builtin/count$$');
	result_is('SELECT count(*), sum(n) FROM numbers(1000) n', '1000|499500', 'a typed function');
	$local->set_faults("FunctionCallGetDataOut count=2 reset\n");
	result_is(q{SELECT string_agg(x::text, ',') FROM modal_remote_gen('local:builtin/count', 3, 0.05::float8) x}, '0,1,2',
		'a stream that breaks is opened again');
	$local->set_faults("FunctionCallGetDataOut delay=0.5 after\n");
	result_is(q{SELECT count(*) FROM modal_remote_gen('local:builtin/count', 30)}, '30', 'a stream that ends with its items');
	$local->set_faults("FunctionCallGetDataOut count=2 status=UNAVAILABLE\n");
	result_is(q{SELECT string_agg(x::text, ',') FROM modal_remote_gen('local:builtin/count', 3) x}, '0,1,2', 'or fails');
	$local->set_faults('');
	$local->clear_log;
	$node->safe_psql('postgres', q{SELECT modal_remote_gen('local:builtin/count', 1000, 0.05::float8) LIMIT 2});
	ok($node->poll_query_until('postgres', 'SELECT calls = 0 FROM modal_batch.stat_dispatcher'), 'a query that stops early');
	is($local->wait_for_requests('FunctionCallCancel', 1), 1, 'cancels the generator');
	my ($items) = $node->safe_psql('postgres', q{BEGIN;
		DECLARE c CURSOR FOR SELECT modal_remote_gen('local:builtin/count', 100, 0.02::float8);
		FETCH 3 FROM c; CLOSE c; COMMIT});
	is($items, "0\n1\n2", 'so does a cursor, whose items come one by one');
	fails_like(q{SELECT * FROM modal_remote_gen('local:builtin/count', 'x'::text)}, qr/38000: TypeError/, 'an exception');
	fails_like(q{SELECT modal_remote('local:builtin/count', 3)}, qr/0A000: .*is a generator.*HINT.*modal_remote_gen/s,
		'not by modal_remote');
	fails_like(q{SELECT * FROM modal_remote_gen('local:builtin/echo', 3)}, qr/0A000: .*is not a generator/, 'nor the other way');
};

subtest 'web functions' => sub {
	fails_like("SELECT $_", qr/0A000: "local:builtin\/web" is a web function.*HINT:  Call it at https:\/\/\S+, through/s,
		"$_ is refused")
	  for q{modal_remote('local:builtin/web')}, q{modal_map('local:builtin/web', ARRAY[1])},
	  q{modal_remote_gen('local:builtin/web')};
	like($node->safe_psql('postgres', q{SELECT modal_web_url('local:builtin/web')}), qr{^https://}, 'its URL');
	result_is(q{SELECT modal_web_url('local:builtin/echo') IS NULL}, 't', 'and that of another function');
};

subtest 'statistics and autoscaler' => sub {
	result_is(q{SELECT * FROM modal_function_stats('local:builtin/echo')}, '0|1|0|65535', 'an idle function');
	my $sleeper = $node->background_psql('postgres', on_error_stop => 0);
	$sleeper->query_until(qr/begun/, "\\echo begun\nSELECT modal_remote('local:builtin/sleep', 30);\n");
	ok($node->poll_query_until('postgres', q{SELECT running_inputs = 1 FROM modal_function_stats('local:builtin/sleep')}),
		'a busy one');
	$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%builtin/sleep%'
		AND pid <> pg_backend_pid()});
	$sleeper->quit;
	result_is(q{SELECT modal_update_autoscaler('local:builtin/echo', min_containers => 1, max_containers => 5)},
		'{"max_containers": 5, "min_containers": 1}', 'settings that are given');
	result_is(q{SELECT modal_update_autoscaler('local:builtin/echo', buffer_containers => 2, scaledown_window => 60)},
		'{"max_containers": 5, "min_containers": 1, "scaledown_window": 60, "buffer_containers": 2}', 'change, others stay');
	result_is(q{SELECT modal_update_autoscaler('local:builtin/Counter{"name": "x"}.add', max_containers => 2)},
		'{"max_containers": 2}', 'of a class');
};

subtest 'function calls' => sub {
	my $id = sub {
		my ($job) = @_;
		$node->poll_query_until('postgres', "SELECT remote_call_id IS NOT NULL FROM modal_batch.jobs WHERE job = $job");
		return $node->safe_psql('postgres', "SELECT 'local:' || remote_call_id FROM modal_batch.jobs WHERE job = $job");
	};
	my $squares = $id->(job_of(
			q{modal_spawn_map('local:builtin/square', 'SELECT g FROM generate_series(0, 199) g')}, 'completed'));
	my $slow = $id->($node->safe_psql('postgres', q{SELECT modal_spawn('local:builtin/sleep', 60, 'late'::text)}));
	my $mixed = $id->(job_of(
			q{modal_spawn_map('local:builtin/square', $$SELECT CASE g WHEN 1 THEN '"x"'::jsonb ELSE '3' END FROM generate_series(0, 2) g$$)},
			'completed'));

	result_is("SELECT call_id = split_part('$squares', ':', 2), function_id LIKE 'fu-%', app_id LIKE 'ap-%',
			now() - created_at < '1 hour', inputs, pending, succeeded, failed, timed_out, cancelled,
			dashboard_url ~ ('^http://localhost:[0-9]+/console/call/' || call_id) FROM modal_function_call('$squares')",
		't|t|t|t|200|0|200|0|0|0|t', 'what is known of one');
	result_is("SELECT inputs, pending, succeeded, failed FROM modal_function_call('$mixed')", '3|0|2|1', 'of one with a failure');
	ok( $node->poll_query_until('postgres', "SELECT (inputs, pending) = (1, 1) FROM modal_function_call('$slow')"),
		'of one that runs');
	result_is("SELECT modal_function_call_get('$squares'), modal_function_call_get('$squares', 199)", '0|39601', 'a result by index');
	result_is("SELECT modal_function_call_get('$squares', 7, '0'), modal_function_call_get('$squares', 7, '10 s')", '49|49',
		'with a timeout');
	result_is("SELECT modal_function_call_get('$slow', timeout => '0') IS NULL,
			modal_function_call_get('$slow', timeout => '50 ms') IS NULL", 't|t', 'that is not there in time');
	result_is("SELECT count(*), sum(result::int), bool_and(result::int = ordinal * ordinal)
			FROM modal_function_call_results('$squares')", '200|2646700|t', 'all results');
	result_is("SELECT string_agg(ordinal || '=' || result, ' ') FROM modal_function_call_results('$squares', 48, 50)",
		'48=2304 49=2401 50=2500', 'some of them');
	$local->set_faults("FunctionGetOutputs unasked\n");
	result_is("SELECT count(*), sum(result::int) FROM modal_function_call_results('$squares', 48, 50)", '3|7205',
		'no others, when the service gives all of them');
	result_is("SELECT count(*), sum(result::int) FROM modal_function_call_results('$squares')", '200|2646700', 'and each one once');
	$local->set_faults('');
	result_is("SELECT count(*) FROM modal_function_call_results('$squares', wait => false)", '200', 'those that are there');
	result_is("SELECT count(*) FROM modal_function_call_results('$slow', wait => false)", '0', 'none, if none are');
	my $part = $id->($node->safe_psql('postgres', q{SELECT modal_spawn_map('local:builtin/sleep',
		$$SELECT CASE g WHEN 4 THEN 60 ELSE 0 END::float8, repeat('x', 3000000) FROM generate_series(0, 4) g$$)}));
	ok( $node->poll_query_until('postgres', "SELECT (inputs, pending) = (5, 1) FROM modal_function_call('$part')"),
		'of large ones');
	result_is("SELECT count(*), min(length(result::text)) FROM modal_function_call_results('$part', wait => false)", '4|3000002',
		'those that are there, with their blobs');
	result_is("SELECT ordinal, result, error->>'type' FROM modal_function_call_results('$mixed', on_error => 'return')",
		"0|9|\n1||TypeError\n2|9|", 'failures as rows');
	fails_like("SELECT modal_function_call_results('$mixed')", qr/38000: TypeError/, 'or as errors');
	result_is("SELECT call = '$squares', count(*), count(error)
			FROM modal_function_call_gather('$mixed', '$squares', '$mixed') GROUP BY 1 ORDER BY 1", "f|6|2\nt|200|0", 'several');
	result_is("SELECT count(DISTINCT input_id), min(call_id) = split_part('$mixed', ':', 2), min(module), min(function),
			string_agg(status, ',' ORDER BY input_id), count(parent_input_id)
			FROM modal_function_call_graph('$mixed')", '3|t|builtin|square|success,failure,success|0', 'the call graph');
	$local->set_faults("FunctionGetCallGraph repeat=100000\n");
	fails_like("SELECT count(*) FROM modal_function_call_graph('$mixed')", qr/54000: /, 'which is not of any size');
	$local->set_faults('');

	$node->safe_psql('postgres', "SELECT modal_function_call_cancel('$slow', terminate_containers => true)");
	is(($local->requests('FunctionCallCancel'))[-1]{terminate}, 1, 'cancelling');
	result_is("SELECT pending, cancelled FROM modal_function_call('$slow')", '0|1', 'ends its inputs');
	fails_like("SELECT modal_function_call_get('$slow')", qr/57014/, 'which have no results');

	fails_like("SELECT modal_function_call_get('$squares', 200)", qr/22023: remote call .* has no input 200/, 'no such index');
	fails_like("SELECT modal_function_call_get('$squares', -1)", qr/22023: index must not be negative/, 'a negative one');
	fails_like("SELECT modal_function_call_get('$squares', timeout => '-1 s')", qr/22023: timeout/, 'a negative timeout');
	fails_like("SELECT modal_function_call_results('$squares', 5, 4)", qr/22023: invalid range/, 'an empty range');
	fails_like("SELECT modal_function_call_results('$squares', on_error => 'x')", qr/22023: invalid value for on_error/, 'on_error');
	fails_like("SELECT modal_function_call_get(NULL)", qr/22004/, 'NULL');
	fails_like("SELECT modal_function_call('local:$_')", qr/22023: invalid id of a remote call/, "\"$_\" is no id")
	  for '', 'fc', 'xy-123', 'fc-1/2', 'builtin/echo';
	fails_like("SELECT $_", qr/HV00B: remote call "fc-unknown" does not exist/, "$_ is not there")
	  for map { "$_('local:fc-unknown')" }
	  qw(modal_function_call modal_function_call_get modal_function_call_results modal_function_call_gather
	  modal_function_call_cancel modal_function_call_graph);
	$node->safe_psql('postgres', q{CREATE SERVER web FOREIGN DATA WRAPPER modal_batch
		OPTIONS (protocol 'http', url 'https://localhost:1')});
	fails_like(q{SELECT modal_function_call('web:fc-1')}, qr/0A000: server "web" has no remote calls/, 'an HTTP server');
	$node->safe_psql('postgres', q{CREATE ROLE stranger LOGIN});
	fails_like("SET ROLE stranger; SELECT modal_function_call('$squares')", qr/42501/, 'somebody without USAGE');
};

$node->stop;
done_testing();
