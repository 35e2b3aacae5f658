# Copyright (c) 2026, modal_batch contributors

# Without the dispatcher, and without its other end: clear errors, and the
# next statement works.

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local);
my $slow_map =
  q{SELECT count(*) FROM modal_map('local:builtin/sleep', 'SELECT 60::float8, g FROM generate_series(1, 2000) g')};

# Runs a map and then a call in a session of its own, while $disturb is done;
# returns the session's output, its errors, and the seconds from then on.
sub map_disturbed
{
	my ($disturb) = @_;
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start(
		[
			'psql', '-XAtq', '-d', $node->connstr('postgres'),
			'-c', $slow_map, '-c', q{SELECT modal_remote('local:builtin/square', 4)}
		],
		'<', '/dev/null', '>', \$out, '2>', \$err);

	$node->poll_query_until('postgres',
		q{SELECT EXISTS (SELECT FROM modal_batch.activity WHERE sent > 0)});
	my $start = time;
	$disturb->();
	$run->finish;
	return ($out, $err, time - $start);
}

# the dispatcher is ended while a map runs
my $dispatcher = dispatcher_pid($node);
my ($out, $err, $seconds) = map_disturbed(
	sub { $node->safe_psql('postgres', "SELECT pg_terminate_backend($dispatcher)") });
like($err, qr/connection to the modal_batch dispatcher was lost/,
	'dispatcher ended: the map ends with a clear error');
is($out, "16\n", 'dispatcher ended: the next call waits for the new one and works');
cmp_ok($seconds, '<', 5, 'dispatcher ended: all that at once');
isnt(dispatcher_pid($node), $dispatcher, 'there is a new dispatcher');

# modal-local is restarted while a map runs: it has forgotten the call
($out, $err, $seconds) = map_disturbed(
	sub { $local->kill9; $local->start });
like($err, qr/ERROR:  \S+/, 'service restarted: the map that it has forgotten ends with an error');
is($out, "16\n", 'service restarted: the next call works');
$node->stop;

# no background worker can be had
my $alone = PostgreSQL::Test::Cluster->new('alone');
$alone->init;
$alone->append_conf('postgresql.conf', q{
shared_preload_libraries = 'modal_batch'
max_worker_processes = 0
});
$alone->start;
create_local_server($alone, $local);
my $status;
($status, $out, $err) =
  modal_psql($alone, q{SELECT modal_remote('local:builtin/square', 4)});
like($err, qr/55000: no modal_batch dispatcher is running\nHINT:/,
	'no dispatcher: error 55000 with a hint');
$alone->stop;

# not preloaded: everything that needs no call works
$alone->append_conf('postgresql.conf', q{shared_preload_libraries = ''});
$alone->start;
is($alone->safe_psql('postgres', q{SELECT modal_with_options('a/f', '{}')}),
	'a/f#{}', 'not preloaded: what needs no call works');
for my $call (
	q{modal_remote('local:builtin/square', 4)},
	q{modal_call('local:builtin/square', '[4]')},
	q{modal_map('local:builtin/square', 'VALUES (4)')},
	q{modal_for_each('local:builtin/square', 'VALUES (4)')},
	q{modal_spawn('local:builtin/square', 4)},
	q{modal_ping('local')})
{
	($status, $out, $err) = modal_psql($alone, "SELECT $call");
	like(
		$err,
		qr/55000: modal_batch must be loaded via "shared_preload_libraries"\nHINT:/,
		"not preloaded: $call");
}
$alone->stop;

done_testing();
