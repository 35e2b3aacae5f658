# Copyright (c) 2026, modal_batch contributors

# The same statement again and again must not make a process grow: neither the
# session, nor the dispatcher, nor the runner.
#
# MODAL_LEAK_CALLS says how often (default 8000; jobs: a twentieth of it).  A leak
# of 96 bytes for each statement is seen with the default; allocators' own
# noise is below that.  The more calls, the smaller a leak that is seen.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $calls    = $ENV{MODAL_LEAK_CALLS} // 8_000;
my $warm_up  = 2_000;
my $chunk    = 500;
my $limit_kb = 750;

my $local = ModalLocal->new;
my $node  = modal_node(
	'main',
	local => $local,
	conf  => "modal_batch.runner_idle_timeout = '1h'\nmodal_batch.result_retention = -1\n");
my $dispatcher = dispatcher_pid($node);

my $http = open my $port_of_http, '-|', 'python3',
  "$ENV{MODAL_TOP}/examples/http_endpoint.py", '0'
  or die "python3: $!";
chomp(my $port = <$port_of_http>);

$node->safe_psql(
	'postgres', qq{
	CREATE SERVER json FOREIGN DATA WRAPPER modal_batch
		OPTIONS (protocol 'http', url 'http://127.0.0.1:$port', allow_http 'on');
	CREATE FUNCTION square(int) RETURNS int LANGUAGE modal AS 'local:builtin/square'});

my %statements = (
	'one call'   => q{SELECT modal_remote('local:builtin/echo', 'text', 1.5, NULL)},
	'small map'  => q{SELECT count(*) FROM modal_map('local:builtin/square', 'VALUES (1), (2), (3)')},
	'map not read to its end' =>
	  q{SELECT * FROM modal_map('local:builtin/square', 'VALUES (1), (2), (3)') LIMIT 1},
	'remote exception' => q{SELECT modal_remote('local:builtin/fail', 'on purpose')},
	'unknown function' => q{SELECT modal_remote('local:builtin/no_such_function')},
	'unknown server'   => q{SELECT modal_remote('nowhere:builtin/echo')},
	'typed function'   => q{SELECT sum(square(g)) FROM generate_series(1, 3) g},
	'HTTP function'    => q{SELECT modal_remote('json:json', 1, 'x'::text)},
);

# Run a statement a number of times; errors are expected of some.
sub repeat
{
	my ($session, $statement, $times) = @_;

	for (my $left = $times; $left > 0; $left -= $chunk)
	{
		$session->query("$statement;\n" x ($left < $chunk ? $left : $chunk));
		$session->{stderr} = '';
	}
	return;
}

sub does_not_grow
{
	my ($pid, $before_kb, $name) = @_;
	my $grown = private_memory_kb($pid) - $before_kb;

	cmp_ok($grown, '<', $limit_kb, $name);
	note("$name: $grown kB");
	return;
}

for my $name (sort keys %statements)
{
	my $session =
	  $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');

	repeat($session, $statements{$name}, $warm_up);
	my ($session_kb, $dispatcher_kb) =
	  map { private_memory_kb($_) } ($pid, $dispatcher);
	repeat($session, $statements{$name}, $calls);
	does_not_grow($pid, $session_kb, "$name: the session does not grow");
	does_not_grow($dispatcher, $dispatcher_kb,
		"$name: the dispatcher does not grow");
	$session->quit;
}

# --- jobs ---------------------------------------------------------------------

my $session = $node->background_psql('postgres', on_error_stop => 0);
my $job = q{SELECT modal_spawn_map('local:builtin/square', 'SELECT generate_series(1, 3)') AS job \gset
SELECT modal_wait(:job)};
my $pid = $session->query_safe('SELECT pg_backend_pid()');

# One job after another: the peak of many at a time would be taken for growth.
sub run_jobs
{
	my ($times) = @_;

	repeat($session, $job, $times);
	$session->query(q{SELECT count(modal_forget(id)) FROM modal_batch.job});
	return;
}

run_jobs(200);
my $runner = $node->safe_psql('postgres',
	q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'modal_batch runner'});
like($runner, qr/^\d+$/, 'a runner runs');
my %before = map { $_ => private_memory_kb($_) } ($pid, $runner, $dispatcher);
run_jobs($calls / 20);
is( $node->safe_psql('postgres',
		q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'modal_batch runner'}),
	$runner,
	'it is still the same');
does_not_grow($pid, $before{$pid}, 'jobs: the session does not grow');
does_not_grow($runner, $before{$runner}, 'jobs: the runner does not grow');
does_not_grow($dispatcher, $before{$dispatcher}, 'jobs: the dispatcher does not grow');
$session->quit;

kill 'TERM', $http;
$node->stop;
done_testing();
