# Copyright (c) 2026, modal_batch contributors

# The same statement again and again must not make a process grow: neither the
# session, nor the dispatcher, nor the runner.
#
# MODAL_LEAK_CALLS and MODAL_LEAK_JOBS say how often.  A leak of 96 bytes for
# each statement is seen with the default, one of 8 bytes, for jobs too, with
# the 100,000 of `./check --leak`; allocators' own noise is below that.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $calls    = $ENV{MODAL_LEAK_CALLS} // 8_000;
my $jobs     = $ENV{MODAL_LEAK_JOBS} // 500;
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
	'generator'        => q{SELECT count(*) FROM modal_remote_gen('local:builtin/count', 3)},
	'HTTP function'    => q{SELECT modal_remote('json:json', 1, 'x'::text)},
	'HTTP map' => q{SELECT count(*) FROM modal_map('json:json', 'VALUES (1), (2), (3)')},
);
my $file = PostgreSQL::Test::Utils::tempdir() . '/statements.sql';

sub new_session
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);

	$session->set_query_timer_restart;
	return ($session, $session->query_safe('SELECT pg_backend_pid()'));
}

# Run a statement a number of times; errors are expected of some.
sub repeat
{
	my ($session, $statement, $times) = @_;

	# From a file, lest the log of this test has each of them.
	unlink $file;
	append_to_file($file, "$statement;\n" x $chunk);
	for (my $left = $times; $left > 0; $left -= $chunk)
	{
		$session->query("\\o /dev/null\n\\i $file\n\\o");
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
	my ($session, $pid) = new_session();

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

$node->safe_psql('postgres', 'CREATE TABLE squares (g int, result int)');
my %job = (
	'results' => q{modal_spawn_map('local:builtin/square', 'SELECT generate_series(1, 3)')},
	'results into a table' =>
	  q{modal_spawn_map('local:builtin/square', 'SELECT g, g AS n FROM generate_series(1, 3) g', into_table => 'squares')},
	'results over HTTP' => q{modal_spawn_map('json:json', 'SELECT generate_series(1, 3)')},
	'exceptions'        => q{modal_spawn('local:builtin/fail', 'on purpose')},
);
my $runner_of = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'modal_batch runner'};

# One job after another: the peak of many at a time would be taken for growth.
sub run_jobs
{
	my ($session, $job, $times) = @_;

	for (my $left = $times; $left > 0; $left -= $chunk)
	{
		repeat($session, "SELECT $job AS job \\gset\nSELECT modal_wait(:job)", $chunk);
		$session->query(
			q{SELECT count(modal_forget(id)) FROM modal_batch.job; TRUNCATE squares});
	}
	return;
}

for my $name (sort keys %job)
{
	my ($session, $pid) = new_session();

	run_jobs($session, $job{$name}, $chunk);
	my $runner = $node->safe_psql('postgres', $runner_of);
	like($runner, qr/^\d+$/, "jobs, $name: a runner runs");
	my %before = map { $_ => private_memory_kb($_) } ($pid, $runner, $dispatcher);
	run_jobs($session, $job{$name}, $jobs);
	is($node->safe_psql('postgres', $runner_of), $runner, "jobs, $name: it is still the same");
	does_not_grow($pid, $before{$pid}, "jobs, $name: the session does not grow");
	does_not_grow($runner, $before{$runner}, "jobs, $name: the runner does not grow");
	does_not_grow($dispatcher, $before{$dispatcher},
		"jobs, $name: the dispatcher does not grow");
	$session->quit;
}

kill 'TERM', $http;
$node->stop;
done_testing();
