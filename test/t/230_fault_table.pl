# Copyright (c) 2026, modal_batch contributors

# Every request of the protocol, failing in every way, before and after the
# service has applied it: what comes of it is what the protocol says.
#
# One line of the table is one kind of request and a statement that makes it.
# What is to come of a fault follows from the fault, but for the exceptions
# that the line names.  No input may reach the function twice.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalSession;
use ModalTest;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

use constant LANES => 8;

my @status = qw(CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND
  ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION
  ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS
  UNAUTHENTICATED);
my %sqlstate = (
	INVALID_ARGUMENT => '22023',
	NOT_FOUND => '42883',
	ALREADY_EXISTS => '55000',
	PERMISSION_DENIED => '42501',
	RESOURCE_EXHAUSTED => '53000',
	FAILED_PRECONDITION => '55000',
	ABORTED => '55000',
	OUT_OF_RANGE => '22023',
	UNIMPLEMENTED => '0A000',
	DATA_LOSS => '08P01',
	# once, with a new auth token
	UNAUTHENTICATED => 'ok');

# What is not about the one status that a service gives.
my %other = (
	# one more than there are retries
	'count=4 status=UNAVAILABLE' => '08006',
	# the service's own delays are no retries
	'count=4 status=RESOURCE_EXHAUSTED retry_after=0.1' => 'ok',
	'status=INVALID_ARGUMENT retry_after=0.1' => 'ok',
	'reset' => 'ok',
	'drop' => 'ok',
	'goaway' => 'ok',
	'truncate' => 'ok',
	'http=400' => 'ok',
	'http=401' => 'ok',
	'http=403' => '42501',
	'http=404' => '0A000',
	'http=429' => 'ok',
	'http=500' => 'ok',
	'http=502' => 'ok',
	'http=503' => 'ok',
	'http=504' => 'ok');

# Each statement has something of its own, where %d stands, so that nothing is
# known from the one before; %c is a call that is under way.  More faults that
# it takes for the request to be made may follow.
my %statements = (
	hello => [ q{SELECT reachable AND authenticated FROM modal_ping('%s')}, 'true' ],
	new_server => [ q{SELECT modal_remote('square:builtin/square', 3)}, '9' ],
	class => [ q{SELECT modal_remote('builtin/Counter{"name": "%d", "start": 4}.add', 3)}, '7' ],
	call => [ q{SELECT modal_remote('builtin/square', 3)}, '9' ],
	map => [ q{SELECT sum(result::int) FROM modal_map('builtin/square', ARRAY[1, 2, 3])}, '14' ],
	retry => [ q{SELECT modal_remote('builtin/crash', 5)}, '5' ],
	large_input => [ q{SELECT length(modal_remote('builtin/echo', repeat('x', 2200000))::text)}, '2200002' ],
	large_result => [ q{SELECT count(*) FROM modal_map('builtin/large', ARRAY[2200000])}, '1' ],
	generator => [ q{SELECT count(*) FROM modal_remote_gen('builtin/count', 3)}, '3' ],
	stats => [ q{SELECT runners FROM modal_function_stats('builtin/square')}, '1' ],
	autoscaler => [ q{SELECT modal_update_autoscaler('builtin/square', max_containers => 7)->>'max_containers'}, '7' ],
	environment => [ q{SELECT modal_remote(modal_with_options('builtin/square', '{"env": {"A": "%d"}}'), 3)}, '9' ],
	known_call => [ q{SELECT inputs FROM modal_function_call('%c')}, '1' ],
	call_graph => [ q{SELECT count(*) FROM modal_function_call_graph('%c')}, '1' ],
	call_logs => [ q{SELECT count(*) FROM modal_function_call_logs('%c')}, '0' ],
	# no volume has been made: that is the end of a request that works
	volume => [ q{SELECT modal_remote(modal_with_options('builtin/square', '{"volumes": {"/%d": "none"}}'), 3)}, '42883' ],
	stopped_early => [ q{SELECT result FROM modal_map('builtin/square', 'SELECT g FROM generate_series(1, 5000) g') LIMIT 1}, '1' ],
	call_on_plane => [ q{SELECT modal_remote('builtin/square_input_plane', 3)}, '9' ],
	map_on_plane => [ q{SELECT sum(result::int) FROM modal_map('builtin/square_input_plane', ARRAY[1, 2, 3])}, '14' ],
	retry_on_plane => [ q{SELECT modal_remote('builtin/crash_input_plane', 5)}, '5' ],
	lost_on_plane => [ q{SELECT sum(result::int) FROM modal_map('builtin/square_input_plane', ARRAY[1, 2, 3])}, '14',
		"input idx=1 attempt=0 lost\n" ],
	# ends with the number of inputs that succeeded, or the error of the job
	job => [ q{SELECT modal_spawn_map('builtin/sleep', 'SELECT 0.3::float8, g FROM generate_series(1, 3) g')}, '3' ]);

# Requests with inputs are repeated for ever.
my @put = (RESOURCE_EXHAUSTED => 'ok', 'count=4 status=UNAVAILABLE' => 'ok', NOT_FOUND => '08006');
# request => [statement, what differs from the rule]
my %requests = (
	ClientHello => ['hello', all => 'false'],
	AuthTokenGet => ['new_server', UNAUTHENTICATED => '28000', 'http=401' => '28000'],
	FunctionGet => ['class'],
	FunctionBindParams => ['class'],
	SecretGetOrCreate => ['environment'],
	# looked up again, as the function may have been deployed anew
	VolumeGetOrCreate => ['volume', NOT_FOUND => 'ok'],
	# a stream is opened again, where it ended, for want of anything better
	FunctionCallGetDataOut => ['generator', before_only => 1, NOT_FOUND => '08006',
		RESOURCE_EXHAUSTED => 'ok', ABORTED => 'ok', UNAUTHENTICATED => '28000',
		'count=4 status=UNAVAILABLE' => 'ok', 'http=401' => '28000',
		'status=INVALID_ARGUMENT retry_after=0.1' => '22023'],
	# in the background
	FunctionCallCancel => ['stopped_early', all => 'ok'],
	FunctionMap => ['call', NOT_FOUND => 'ok'],
	FunctionPutInputs => ['map', @put],
	FunctionRetryInputs => ['retry', @put],
	FunctionGetOutputs => ['call', NOT_FOUND => '08006'],
	BlobCreate => ['large_input'],
	BlobGet => ['large_result'],
	FunctionCallFromId => ['known_call', NOT_FOUND => 'HV00B'],
	FunctionCallGetInfo => ['known_call', NOT_FOUND => 'HV00B'],
	FunctionGetCallGraph => ['call_graph', NOT_FOUND => 'HV00B'],
	AppFetchLogs => ['call_logs', NOT_FOUND => 'HV00B'],
	FunctionGetCurrentStats => ['stats'],
	FunctionUpdateSchedulingParams => ['autoscaler'],
	AttemptStart => ['call_on_plane', NOT_FOUND => 'ok'],
	AttemptAwait => ['call_on_plane', NOT_FOUND => '08006'],
	AttemptRetry => ['retry_on_plane', NOT_FOUND => '08006'],
	# it starts the call: as FunctionMap
	MapStartOrContinue => ['map_on_plane', @put, NOT_FOUND => 'ok'],
	# asked again a second later
	MapCheckInputs => ['lost_on_plane', all => 'ok'],
	# for ever; and a job begins anew after what may pass
	FunctionFinishInputs => ['job', 'count=4 status=UNAVAILABLE' => 'ok',
		map { $_ => 'ok' } qw(RESOURCE_EXHAUSTED NOT_FOUND ALREADY_EXISTS FAILED_PRECONDITION ABORTED DATA_LOSS)],
	# 20 retries: too many to wait for
	MapAwait => ['map_on_plane', NOT_FOUND => '08006', 'count=4 status=UNAVAILABLE' => 'ok']);

my @local = map { ModalLocal->new } 1 .. LANES;
my $node = modal_node('main');

$node->safe_psql('postgres', 'CREATE EXTENSION modal_batch');
for my $lane (0 .. $#local)
{
	my ($url, $ca) = ($local[$lane]->url, $local[$lane]->ca_file);

	$node->safe_psql('postgres', qq{
		CREATE SERVER lane$lane FOREIGN DATA WRAPPER modal_batch
			OPTIONS (url '$url', ssl_ca_file '$ca', client_version '1.0.0');
		CREATE USER MAPPING FOR CURRENT_USER SERVER lane$lane
			OPTIONS (token_id 'ak-local', token_secret 'as-local');});
}

my $serial = 0;
my $known_call;

sub job_outcome
{
	my ($session, $statement) = @_;
	my $job = $session->query($statement);

	$session->query("SELECT modal_wait($job, '50 s')");
	return $session->query("SELECT CASE state WHEN 'completed' THEN succeeded::text
		WHEN 'failed' THEN last_error->>'code' ELSE state END
		FROM modal_batch.jobs WHERE job = $job");
}

# One statement under these faults: "ok", an SQLSTATE, or what else it returned.
sub run_case
{
	my ($lane, $session, $name, $faults) = @_;
	my ($statement, $right, $more_faults) = @{ $statements{$name} };

	$serial++;
	# Another target: nothing is known about this server.
	$session->query("ALTER SERVER lane$lane OPTIONS (SET client_version '1.0.$serial')")
	  if $name eq 'new_server';
	$statement =~ s/%d/$serial/;
	$statement =~ s/%s/lane$lane/;
	$statement =~ s/square:/lane$lane:/;
	$statement =~ s/%c/$known_call/;
	$local[$lane]->clear_log;
	$local[$lane]->set_faults($faults . ($more_faults // ''));
	my $got = $name eq 'job' ? job_outcome($session, $statement) : $session->outcome($statement);
	my %inputs;
	$inputs{$_}++ for map { my $call = $_; map { "$call $_" } $local[$lane]->inputs_put($call) }
	  $local[$lane]->calls;
	# what the service has lost, it is given again
	my $most = ($more_faults // '') =~ /lost/ ? 2 : 1;
	return 'input taken twice' if grep { $_ > $most } values %inputs;
	return $got eq $right ? 'ok' : $got;
}

# Runs $code with a call under way in another session.
sub with_call
{
	my ($lane, $session, $code) = @_;
	my $other = ModalSession->new($node);
	my $pid = $other->query('SET statement_timeout = 0; SELECT pg_backend_pid()');

	$local[$lane]->set_faults('');
	$local[$lane]->clear_log;
	$other->begin("SELECT modal_remote('lane$lane:builtin/sleep', 3600)");
	$local[$lane]->wait_for_requests('FunctionMap', 1);
	($known_call) = $local[$lane]->calls;
	my @results = $code->();
	$session->query("SELECT pg_terminate_backend($pid)");
	$other->quit;
	return @results;
}

# All cases of one kind of request in one phase; returns [name, got, expected].
sub run_request
{
	my ($lane, $session, $rpc, $phase) = @_;
	my ($name, %special) = @{ $requests{$rpc} };
	my (@got, @expected);

	for my $fault (@status, sort keys %other)
	{
		my $action = $fault =~ /^[A-Z]/ ? "status=$fault" : $fault;
		$action = "nth=1 $action" if $action !~ /count=/;
		my $expected = $special{$fault} // $sqlstate{$fault} // $other{$fault} // 'ok';

		$expected = $special{all} if $special{all} && $expected ne 'ok';
		push @got, "$fault " . run_case($lane, $session, $name, "$rpc $action$phase\n");
		push @expected, "$fault $expected";
	}
	return [ "$rpc fails" . ($phase || ' before'),
		join("\n", @got), join("\n", @expected) ];
}

sub run_lane
{
	my ($lane, @share) = @_;
	my $session = ModalSession->new($node);
	my @results;

	$session->query("SET modal_batch.server = lane$lane");
	for my $part (@share)
	{
		my ($rpc) = @$part;
		my $run = sub { run_request($lane, $session, @$part) };
		push @results, $statements{ $requests{$rpc}[0] }[0] =~ /%c/
		  ? with_call($lane, $session, $run)
		  : $run->();
	}
	$session->quit;
	return @results;
}

# --- lanes side by side, as most of the time is waited -----------------------

my @parts;
for my $rpc (sort keys %requests)
{
	my (undef, %special) = @{ $requests{$rpc} };
	push @parts, map { [ $rpc, $_ ] } '', $special{before_only} ? () : ' after';
}
my @pipes;
for my $lane (0 .. $#local)
{
	my @share = map { $parts[$_] } grep { $_ % LANES == $lane } 0 .. $#parts;
	my $pid = open(my $pipe, '-|') // die "fork: $!";
	if ($pid == 0)
	{
		my $ok = eval {
			for my $result (run_lane($lane, @share))
			{
				print STDOUT join("\x01", @$result) . "\x02";
			}
			1;
		};
		print STDOUT join("\x01", "lane $lane", $@, '') . "\x02" if !$ok;
		STDOUT->flush;
		POSIX::_exit(0);
	}
	push @pipes, $pipe;
}
for my $pipe (@pipes)
{
	local $/ = "\x02";
	while (my $result = <$pipe>)
	{
		chomp $result;
		my ($name, $got, $expected) = split /\x01/, $result;
		is($got, $expected, $name);
	}
	close $pipe;
}

$node->stop;
done_testing();
