# Copyright (c) 2026, modal_batch contributors

# Maps and calls over a service that fails: every input has exactly one right
# result, and is executed as often as the protocol allows.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalSession;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $local = ModalLocal->new(args => [ '--max-part', 8_000_000 ]);
my $node = modal_node('main', local => $local);
my $session = ModalSession->new($node);
$session->query(q{SET modal_batch.server = 'local'});

sub result_is
{
	my ($statement, $expected, $name) = @_;
	return is($session->outcome($statement), $expected, $name);
}

# The call of the last map.  (The log may have the end of one before it.)
sub last_call
{
	my ($last) = grep { $_->{rpc} =~ /^(FunctionMap|MapStartOrContinue)$/ && defined $_->{call} }
	  reverse $local->requests;
	return $last->{call};
}

sub sum_of
{
	my ($field, @requests) = @_;
	my $sum = 0;
	$sum += $_->{$field} // 0 for @requests;
	return $sum;
}

# The last output may be here before the log has the last request.
sub wait_for_log
{
	my ($complete) = @_;
	my $until = time + 20;

	select undef, undef, undef, 0.02 while !$complete->() && time < $until;
	return;
}

# So many inputs were sent again.
sub retries_are
{
	my ($n, $name) = @_;
	my $retries = sub { sum_of('inputs', $local->requests('FunctionRetryInputs')) };

	wait_for_log(sub { $retries->() >= $n });
	return is($retries->(), $n, $name);
}

# A map of 1 .. $n by a function that returns its input, under these faults:
# in order and as completed, each result is there once and is the right one,
# and each input was taken once.  (On an input plane, inputs that are retried
# are no different in the log.)
sub map_is_right
{
	my ($name, $faults, %params) = @_;
	my $n = $params{n} // 500;
	my $function = $params{function} // 'builtin/echo';
	my $first = $function =~ /input_plane/ ? 1 : 0;

	for my $ordered ('true', 'false')
	{
		$local->clear_log;
		$local->set_faults($faults);
		result_is(
			qq{SELECT format('%s results, %s different, all right: %s', count(*),
				count(DISTINCT ordinal), bool_and(result::int = ordinal + 1))
				FROM modal_map('$function', 'SELECT g FROM generate_series(1, $n) g',
					ordered => $ordered)},
			"$n results, $n different, all right: t",
			"$name: each input has its result" . ($ordered eq 'true' ? ', in order' : ''));
		next if $params{retried};
		wait_for_log(sub { scalar $local->inputs_put(last_call()) >= $n });
		is_deeply([ $local->inputs_put(last_call()) ], [ $first .. $n - 1 + $first ],
			"$name: each input was taken once");
	}
	return;
}

# --- nothing fails: the shape of a map ---------------------------------------

map_is_right('no fault', '', n => 3000);
my @puts = $local->requests('FunctionPutInputs');
cmp_ok((sort { $b <=> $a } map { $_->{inputs} } @puts)[0], '<=', 49,
	'at most 49 inputs travel in one request');
my $call = last_call();
is( $local->wait_for_requests('FunctionGetOutputs', 1, sub { $_->{clear} && $_->{call} eq $call }),
	1, 'the service is told that all outputs have come');

# Never more inputs are out than the window allows.
$local->clear_log;
$session->query('SET modal_batch.max_in_flight = 100');
result_is(q{SELECT count(*) FROM modal_map('builtin/sleep', 'SELECT 0.01::float8, g FROM generate_series(1, 1000) g')},
	'1000', 'a small window');
$session->query('RESET modal_batch.max_in_flight');
my ($out, $most) = (0, 0);
for my $request (grep { ($_->{call} // '') eq last_call() && !$_->{clear} } $local->requests)
{
	$out += $request->{inputs} // 0 if $request->{rpc} eq 'FunctionPutInputs';
	$most = $out if $out > $most;
	$out -= $request->{outputs} // 0;
}
is($out, 0, 'what went out came back');
cmp_ok($most, '<=', 100, 'no more is out at a time than the window allows');

# Waiting costs no requests.
$local->clear_log;
result_is(q{SELECT count(*) FROM modal_map('builtin/sleep', 'SELECT 1.5::float8, g FROM generate_series(1, 10) g')},
	'10', 'a slow function');
cmp_ok(scalar $local->requests('FunctionGetOutputs'), '<=', 5,
	'is waited for with long polls');

# --- requests that fail ------------------------------------------------------

map_is_right('chunks refused before', "FunctionPutInputs every=3 count=4 status=UNAVAILABLE\n");
map_is_right('chunks refused after', "FunctionPutInputs every=3 count=4 status=INTERNAL after\n");
ok((grep { $_->{replayed} } $local->requests('FunctionPutInputs')),
	'a chunk that was applied is recognized when it comes again');
map_is_right('connections lost before', "FunctionPutInputs every=4 count=3 drop\n");
map_is_right('connections lost after', "FunctionPutInputs every=4 count=3 drop after\n");
map_is_right('streams reset', "FunctionPutInputs every=4 count=3 reset\nFunctionGetOutputs nth=2 reset after\n");
map_is_right('service goes away before', "FunctionPutInputs nth=2 goaway\n");
map_is_right('service goes away after', "FunctionPutInputs nth=2 goaway after\n");
map_is_right('outputs refused', "FunctionGetOutputs every=2 count=4 status=UNKNOWN\n");
map_is_right('outputs lost on the way', "FunctionGetOutputs every=2 count=4 drop after\n");
map_is_right('outputs truncated', "FunctionGetOutputs every=2 count=4 truncate\n");
map_is_right('trailers missing', "FunctionPutInputs nth=2 no_trailers\nFunctionGetOutputs nth=2 no_trailers\n");
map_is_right('start refused after', "FunctionMap nth=1 status=UNAVAILABLE after\n");
map_is_right('a proxy in trouble', "* every=5 count=6 http=502\n");
# (Requests that are repeated often enough for any chance.)
map_is_right('anything, at random', join '', map {
	"$_ probability=0.1 count=5 drop\n$_ probability=0.1 count=5 reset after\n"
	  . "$_ probability=0.1 count=5 status=UNAVAILABLE after\n$_ probability=0.1 count=5 truncate\n"
} qw(FunctionPutInputs FunctionGetOutputs));
map_is_right('input plane: chunks lost after', "MapStartOrContinue every=3 count=3 drop after\n",
	function => 'builtin/echo_input_plane');
map_is_right('input plane: outputs lost', "MapAwait every=2 count=3 reset after\n",
	function => 'builtin/echo_input_plane');

# --- backpressure ------------------------------------------------------------

map_is_right('no room', "FunctionPutInputs count=4 status=RESOURCE_EXHAUSTED\n");
map_is_right('no room, with a delay', "* every=3 count=6 status=RESOURCE_EXHAUSTED retry_after=0.2\n");
my $start = time;
$local->set_faults("FunctionMap nth=1 status=RESOURCE_EXHAUSTED retry_after=0.7\n");
result_is(q{SELECT modal_remote('builtin/square', 3)}, '9', 'a delay that the service wants');
cmp_ok(time - $start, '>=', 0.7, 'is kept');
$session->query(q{ALTER SERVER local OPTIONS (ADD max_throttle_wait '1')});
$local->set_faults("FunctionMap status=RESOURCE_EXHAUSTED retry_after=30\n");
result_is(q{SELECT modal_remote('builtin/square', 3)}, '53000', 'unless it is longer than the server option max_throttle_wait allows');
$session->query(q{ALTER SERVER local OPTIONS (DROP max_throttle_wait)});

# --- inputs that fail --------------------------------------------------------

map_is_right('inputs fail inside the service', "input every=7 internal_failure\n");
cmp_ok(sum_of('inputs', $local->requests('FunctionRetryInputs')), '>', 500 / 8, 'they are sent again');
map_is_right('outputs come twice', "input every=5 duplicate\n");
map_is_right('outputs come out of order', "input every=3 reorder\n");
map_is_right('an input is lost', "input idx=5 attempt=0 lost\n");
cmp_ok(sum_of('jwts', $local->requests('FunctionGetOutputs')), '>', 0,
	'the service is asked for the inputs that it should have');
map_is_right('input plane: an input is lost', "input idx=5 attempt=0 lost\n",
	function => 'builtin/echo_input_plane', retried => 1);
cmp_ok(scalar $local->requests('MapCheckInputs'), '>', 0, 'it is asked for there too');
map_is_right('input plane: the question fails', "input idx=5 attempt=0 lost\nMapCheckInputs nth=1 status=NOT_FOUND\n",
	function => 'builtin/echo_input_plane', retried => 1);
map_is_right('input plane: inputs fail inside the service', "input every=7 internal_failure\n",
	function => 'builtin/echo_input_plane', retried => 1);

# Retries by the function's policy: three, and failures of the service are not
# among them.
$local->clear_log;
$local->set_faults("input attempt=0 internal_failure\n");
result_is(q{SELECT sum(result::int) FROM modal_map('builtin/flaky', 'SELECT 3, g FROM generate_series(1, 10) g')},
	'55', 'inputs are retried as the function wants, and once more for the service');
retries_are(30, 'each as often as needed');
$local->set_faults('');
$local->clear_log;
result_is(q{SELECT modal_remote('builtin/flaky', 4, 1)}, '38000', 'and no more often than the function wants');
retries_are(3, 'three times');
$local->clear_log;
result_is(q{SELECT modal_remote('builtin/flaky_server', 4, 1)}, '38000', 'nor when the service retries by itself');
is(scalar $local->requests('FunctionRetryInputs'), 0, 'then it is left to it');
$local->set_faults("input idx=3 internal_failure\n");
$local->clear_log;
result_is(q{SELECT string_agg(error->>'code', ',') FROM modal_map('builtin/echo', 'SELECT g FROM generate_series(1, 10) g', on_error => 'return')},
	'08006', 'an input that the service never manages fails, alone');
retries_are(8, 'after eight more attempts');

# --- payloads of their own ---------------------------------------------------

my $large_input = q{SELECT length(modal_remote('builtin/echo', repeat('x', %d))::text)};
my $large_result = q{SELECT length(result::text) FROM modal_map('builtin/large', ARRAY[3000000])};
my $several_parts = sprintf $large_input, 20_000_000;

$large_input = sprintf $large_input, 3_000_000;
for my $fault ('http=503', 'http=500', 'drop')
{
	$local->set_faults("PUT nth=1 $fault\n");
	result_is($large_input, '3000002', "upload: $fault");
	$local->set_faults("PUT nth=2 $fault\nPOST nth=1 $fault\n");
	result_is($several_parts, '20000002', "upload in parts: $fault");
	$local->set_faults("GET nth=1 $fault\n");
	result_is($large_result, '4000002', "download: $fault");
}
$local->set_faults("GET nth=1 truncate\n");
result_is($large_result, '4000002', 'download: truncated');
$local->set_faults("BlobCreate nth=1 drop after\n");
result_is($large_input, '3000002', 'upload: its place lost on the way');
$local->set_faults("PUT drop\n");
result_is($large_input, '08006', 'an upload that always fails');
$local->set_faults("GET drop\n");
result_is($large_result, '08006', 'a download that always fails');

# --- replies without what they should have -----------------------------------

my %empty = (
	FunctionGet => [ q{modal_remote('builtin/Counter{"name": "empty"}.add', 1)}, '08P01' ],
	FunctionMap => [ q{modal_remote('builtin/square', 3)}, '08P01' ],
	AuthTokenGet => [ q{modal_remote('builtin/square', 3)}, '08006' ],
	BlobCreate => [ q{length(modal_remote('builtin/echo', repeat('x', 3000000))::text)}, '08P01' ],
	BlobGet => [ q{modal_remote('builtin/large', 3000000)}, '08P01' ],
	AttemptStart => [ q{modal_remote('builtin/square_input_plane', 3)}, '08P01' ],
	AttemptAwait => [ q{modal_remote('builtin/square_input_plane', 3)}, '9' ],
	FunctionGetOutputs => [ q{modal_for_each('builtin/square', 'VALUES (3)')}, '1' ],
	FunctionPutInputs => [ q{modal_for_each('builtin/sleep', 'VALUES (10)')}, '53000' ],
	MapStartOrContinue => [ q{modal_for_each('builtin/square_input_plane', 'VALUES (3)')}, '08P01' ],
	FunctionRetryInputs => [ q{modal_remote('builtin/crash', 3)}, '53000' ],
	FunctionGetCurrentStats => [ q{runners FROM modal_function_stats('builtin/square')}, '0' ]);
for my $rpc (sort keys %empty)
{
	my ($what, $expected) = @{ $empty{$rpc} };

	# another auth token
	$session->query(q{ALTER SERVER local OPTIONS (ADD libmodal_version 'test')})
	  if $rpc eq 'AuthTokenGet';
	$local->set_faults("$rpc nth=1 empty\n");
	result_is("SELECT $what", $expected, "$rpc: an empty reply");
	$session->query(q{ALTER SERVER local OPTIONS (DROP libmodal_version)})
	  if $rpc eq 'AuthTokenGet';
}

# A list in a reply is as long as the service makes it, and the reply only so large.
$local->set_faults("FunctionGet nth=1 repeat=100000\n");
result_is(q{SELECT modal_remote('builtin/Counter{"name": "long"}.add', 1)}, '54000', 'FunctionGet: a reply of many megabytes');

# A service that never waits is not asked without pause.
$local->set_faults("FunctionGetOutputs empty\n");
$local->clear_log;
$session->query(q{SET statement_timeout = '1s'});
result_is(q{SELECT modal_remote('builtin/square', 3)}, '57014', 'a service that only says that there is nothing');
$session->query(q{SET statement_timeout = '60s'});
cmp_ok(scalar $local->requests('FunctionGetOutputs'), '<=', 11, 'is asked now and then');

# So it is for results that others wait for: those of a job, and by id.
$local->set_faults("FunctionGetOutputs hasty\n");
my $job = $session->outcome(q{SELECT modal_spawn_map('builtin/sleep', 'SELECT 1.5::float8, g FROM generate_series(1, 2) g')});
$node->poll_query_until('postgres', "SELECT remote_call_id IS NOT NULL FROM modal_batch.jobs WHERE job = $job")
  or die 'the job does not begin';
$local->clear_log;
$node->poll_query_until('postgres', "SELECT state = 'completed' FROM modal_batch.jobs WHERE job = $job")
  or die 'the job does not end';
cmp_ok(scalar $local->requests('FunctionGetOutputs'), '<=', 25, 'so it is for the results of a job');
$job = $session->outcome(q{SELECT modal_spawn('local:builtin/sleep', 60, 'late'::text)});
$node->poll_query_until('postgres', "SELECT remote_call_id IS NOT NULL FROM modal_batch.jobs WHERE job = $job")
  or die 'the job does not begin';
my $slow = $node->safe_psql('postgres', "SELECT 'local:' || remote_call_id FROM modal_batch.jobs WHERE job = $job");
$session->query(q{SET statement_timeout = '1s'});
$local->clear_log;
result_is("SELECT modal_function_call_get('$slow')", '57014', 'and for one that is waited for by its id');
$session->query(q{SET statement_timeout = '60s'});
cmp_ok(scalar $local->requests('FunctionGetOutputs'), '<=', 30, 'beside its job');
$session->query("SELECT modal_cancel($job)");

# Nor is one that gives again and again what it has given before.
$local->set_faults("FunctionGetOutputs unasked\n");
$local->clear_log;
result_is(q{SELECT count(*) FROM modal_map('builtin/sleep', 'SELECT (g % 2)::float8, g FROM generate_series(1, 10) g')}, '10',
	'a service that repeats all results');
cmp_ok(scalar $local->requests('FunctionGetOutputs'), '<=', 20, 'is not asked without pause either');

# --- the end -----------------------------------------------------------------

# A call that is given up before it has an id is cancelled once it has one.
$local->set_faults("FunctionMap nth=1 delay_after=1.5\n");
$local->clear_log;
$session->query(q{SET statement_timeout = 300});
result_is(q{SELECT count(*) FROM modal_map('builtin/sleep', 'SELECT 60::float8, g FROM generate_series(1, 10) g')},
	'57014', 'cancelled while it starts');
$session->query(q{SET statement_timeout = '60s'});
ok($node->poll_query_until('postgres', q{SELECT sum(calls) = 0 FROM modal_batch.stat_dispatcher}),
	'the dispatcher has nothing of it');
is($local->wait_for_requests('FunctionCallCancel', 1), 1, 'and is cancelled remotely');

$local->set_faults('');
result_is(q{SELECT modal_remote('builtin/square', 4)}, '16', 'all is well again');
$session->quit;
$node->stop;
done_testing();
