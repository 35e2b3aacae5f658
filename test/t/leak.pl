# Copyright (c) 2026, modal_batch contributors

# The same statement again and again must not make a process grow.
#
# MODAL_LEAK_CALLS says how often (default 15000).  A leak of 64 bytes for each
# statement is seen with the default; allocators' own noise is below that.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $calls     = $ENV{MODAL_LEAK_CALLS} // 15_000;
my $warm_up   = 3_000;
my $chunk     = 500;
my $limit_kb  = $calls * 64 / 1024;

my $local      = ModalLocal->new;
my $node       = modal_node('main', local => $local);
my $dispatcher = dispatcher_pid($node);

my %statements = (
	'one call'   => q{SELECT modal_remote('local:builtin/echo', 'text', 1.5, NULL)},
	'small map'  => q{SELECT count(*) FROM modal_map('local:builtin/square', 'VALUES (1), (2), (3)')},
	'map not read to its end' =>
	  q{SELECT * FROM modal_map('local:builtin/square', 'VALUES (1), (2), (3)') LIMIT 1},
	'remote exception' => q{SELECT modal_remote('local:builtin/fail', 'on purpose')},
	'unknown function' => q{SELECT modal_remote('local:builtin/no_such_function')},
	'unknown server'   => q{SELECT modal_remote('nowhere:builtin/echo')},
);

for my $name (sort keys %statements)
{
	my $session =
	  $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	my $repeat = sub {
		my ($times) = @_;
		for (1 .. $times / $chunk)
		{
			$session->query("$statements{$name};\n" x $chunk);
			# errors are expected of some; keep them from piling up
			$session->{stderr} = '';
		}
	};

	$repeat->($warm_up);
	my ($session_kb, $dispatcher_kb) =
	  map { private_memory_kb($_) } ($pid, $dispatcher);
	$repeat->($calls);
	cmp_ok(private_memory_kb($pid) - $session_kb,
		'<', $limit_kb, "$name: the session does not grow");
	cmp_ok(private_memory_kb($dispatcher) - $dispatcher_kb,
		'<', $limit_kb, "$name: the dispatcher does not grow");
	$session->quit;
}

$node->stop;
done_testing();
