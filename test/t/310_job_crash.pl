# Copyright (c) 2026, modal_batch contributors

# Jobs and crashes at exact places; a service that has faults, goes away, comes
# back, or forgets.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local);

# outputs at a pace
$node->safe_psql('postgres', q{ALTER SERVER local OPTIONS (ADD max_in_flight '1000')});

# --- crashes at exact places -------------------------------------------------

for my $point (
	'runner-before-open', 'runner-opened',
	'runner-id-stored',   'runner-sink-written',
	'runner-before-commit', 'runner-after-commit')
{
	(my $table = $point) =~ tr/-/_/;

	$local->clear_log;
	arm_point($node, $point, 'crash');
	my $job = map_into($node, $table, 3000);
	point_passed($node, $point);
	wait_up($node);
	job_ends($node, $job, 'completed', "crash at $point: the job completes");
	sink_is($node, $table, 3000, '... with one result for each input');
	# An incomplete batch, sent because the runner was slow, is sent again as a
	# part of a whole one, which the service does not know as the same.
	inputs_are($local, 3000, '... each of which was executed once',
		$point =~ /sink|commit/ ? 128 : 0);
	is(scalar(grep { !$_->{replayed} } $local->requests('FunctionMap')), 1, '... in one remote call');
}

# a session that dies before its commit
$local->clear_log;
arm_point($node, 'enqueue-before-commit', 'crash');
$node->psql('postgres', q{SELECT modal_spawn_map('local:builtin/square', 'SELECT 1')});
point_passed($node, 'enqueue-before-commit');
wait_up($node);
is( $node->safe_psql('postgres', q{SELECT count(*) FROM modal_batch.jobs WHERE state <> 'completed'}),
	'0', 'a crash before the commit: there is no job');
is(scalar $local->requests('FunctionMap'), 0, '... and nothing was sent');

# immediate shutdown
$local->set_faults("FunctionGetOutputs delay=0.2\n");
$local->clear_log;
my $job = map_into($node, 'immediate', 20000);
job_becomes($node, $job, 'succeeded > 0');
$node->stop('immediate');
$local->set_faults('');
$node->start;
job_ends($node, $job, 'completed', 'immediate shutdown: the job goes on');
sink_is($node, 'immediate', 20000, '... with one result for each input');

# fast shutdown, while a job runs
$local->set_faults("FunctionGetOutputs delay=0.2\n");
$job = map_into($node, 'fast', 20000);
job_becomes($node, $job, 'succeeded > 0');
$node->restart;
$local->set_faults('');
job_ends($node, $job, 'completed', 'fast shutdown: the job goes on');
sink_is($node, 'fast', 20000, '... with one result for each input');

# a worker that ends by itself, or is told to, without a crash of the server
for my $worker (qw(dispatcher runner launcher))
{
	$local->set_faults("FunctionGetOutputs delay=0.2\n");
	$local->clear_log;
	my $job = map_into($node, "without_$worker", 10000);
	job_becomes($node, $job, 'succeeded > 0');
	my $pid = worker_pid($node, $worker);
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)") if $worker ne 'dispatcher';
	arm_point($node, 'dispatcher-loop', 'exit') if $worker eq 'dispatcher';
	ok(wait_gone($pid), "the $worker ends");
	disarm_point($node, 'dispatcher-loop') if $worker eq 'dispatcher';
	$local->set_faults('');
	job_ends($node, $job, 'completed', '... the job completes');
	sink_is($node, "without_$worker", 10000, '... with one result for each input');
	inputs_are($local, 10000, '... each of which was sent once');
}

# --- faults of the service ---------------------------------------------------

my %faults = (
	unavailable => 'status=UNAVAILABLE',
	applied     => 'status=UNAVAILABLE after',
	exhausted   => 'status=RESOURCE_EXHAUSTED',
	told        => 'status=RESOURCE_EXHAUSTED retry_after=0.1',
	internal    => 'status=INTERNAL after',
	deadline    => 'status=DEADLINE_EXCEEDED after',
	aborted     => 'status=ABORTED',
	unknown     => 'status=UNKNOWN after',
	reset       => 'reset after',
	dropped     => 'drop after',
	goaway      => 'goaway after',
	trailers    => 'no_trailers',
	truncated   => 'truncate',
	http        => 'http=502',
	slow        => 'delay=0.3',
);
my %jobs;
for my $fault (sort keys %faults)
{
	$local->set_faults(join '',
		map { "$_ nth=1 $faults{$fault}\n" }
		  qw(FunctionMap FunctionPutInputs FunctionGetOutputs FunctionFinishInputs));
	my $job = map_into($node, "fault_$fault", 1500);
	job_ends($node, $job, 'completed', "$faults{$fault}: the job completes");
	sink_is($node, "fault_$fault", 1500, '... with one result for each input');
}

$local->set_faults(<<'FAULTS');
input idx=0-99 attempt=0 internal_failure
input every=3 duplicate
input every=5 reorder
FAULTS
$job = map_into($node, 'fault_inputs', 3000);
job_ends($node, $job, 'completed', 'inputs fail, outputs are doubled and late: the job completes');
sink_is($node, 'fault_inputs', 3000, '... with one result for each input');

# what no retry can mend
$local->set_faults("FunctionPutInputs status=PERMISSION_DENIED\n");
$job = map_into($node, 'denied', 1000);
job_ends($node, $job, 'failed', 'a refusal fails the job');
is(job($node, $job, q{last_error->>'code', waiting + in_flight}), '42501|1000', '... and says why');
$local->set_faults('');
is($node->safe_psql('postgres', "SELECT modal_retry($job)"), '1000', '... until it is retried');
job_ends($node, $job, 'completed', '... and then it completes');
sink_is($node, 'denied', 1000, '... with one result for each input');

# --- modal-local goes away, comes back, forgets --------------------------------

sub stopped_midway
{
	my ($table, $inputs, $stop) = @_;

	$local->set_faults("FunctionGetOutputs delay=0.2\n");
	my $job = map_into($node, $table, $inputs);
	job_becomes($node, $job, 'succeeded > 0');
	$stop->();
	$local->set_faults('') if $local->pid;
	return $job;
}

$local->clear_log;
$job = stopped_midway('restarted', 30000, sub { $local->kill9; $local->start });
job_ends($node, $job, 'completed', 'modal-local is killed and started: the job completes');
sink_is($node, 'restarted', 30000, '... with one result for each input');
inputs_are($local, 30000, '... each of which was sent once');

$job = stopped_midway('away', 30000, sub { $local->kill9 });
ok(job_becomes($node, $job, q{last_error->>'code' LIKE '08%' AND state = 'running'}),
	'modal-local is gone: the job waits, and says why');
$local->write_faults('');
$local->start;
job_ends($node, $job, 'completed', 'modal-local is back: the job completes');
sink_is($node, 'away', 30000, '... with one result for each input');
is(job($node, $job, 'last_error IS NULL'), 't', '... and no error is left');

$job = stopped_midway('forgotten', 30000, sub { $local->kill9; $local->forget; $local->start });
job_ends($node, $job, 'completed', 'modal-local has lost the call: the job completes in another');
sink_is($node, 'forgotten', 30000, '... with one result for each input');

$local->set_faults("input idx=100-149 count=50 expired\n");
$local->clear_log;
$job = map_into($node, 'expired', 2000);
job_ends($node, $job, 'completed', 'results have expired: the job completes');
sink_is($node, 'expired', 2000, '... with one result for each input');
is(scalar $local->inputs_put, 2050, '... after only what was missing was sent again');

$local->set_faults("input expired\n");
$job = map_into($node, 'never', 100);
job_ends($node, $job, 'failed', 'results expire again and again: the job fails');
is(job($node, $job, q{last_error->>'code'}), 'HV00B', '... and says why');
$local->set_faults('');
$node->safe_psql('postgres', "SELECT modal_retry($job)");
job_ends($node, $job, 'completed', '... and can be retried');
sink_is($node, 'never', 100, '... with one result for each input');

# --- HTTP functions, which remember nothing --------------------------------------

my $http = open my $out, '-|', 'python3', "$ENV{MODAL_TOP}/examples/http_endpoint.py", '0'
  or die "python3: $!";
# However the test ends: closing the pipe waits for the process.
END { local $?; kill 'TERM', $http if $http; close $out if $out }
chomp(my $port = <$out>);
$node->safe_psql('postgres', qq{
	CREATE SERVER web FOREIGN DATA WRAPPER modal_batch
		OPTIONS (protocol 'http', url 'http://127.0.0.1:$port', allow_http 'on', format 'bigquery');
	CREATE TABLE doubled (id int, result bigint)});
for my $point ('runner-opened', 'runner-sink-written', 'runner-after-commit')
{
	arm_point($node, $point, 'crash');
	$job = spawn($node, q{modal_spawn_map('web:bigquery', 'SELECT g AS id, g FROM generate_series(100, 5099) g',
		key => '{id}', into_table => 'doubled')});
	point_passed($node, $point);
	wait_up($node);
	job_ends($node, $job, 'completed', "HTTP, crash at $point: the job completes");
	is( $node->safe_psql('postgres',
			'SELECT count(*), count(DISTINCT id), bool_and(result = 2 * id) FROM doubled'),
		'5000|5000|t',
		'... with one result for each input');
	$node->safe_psql('postgres', 'TRUNCATE doubled');
}
$node->stop;
done_testing();
