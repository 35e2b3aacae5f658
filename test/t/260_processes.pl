# Copyright (c) 2026, modal_batch contributors

# Processes that end at bad moments: the dispatcher, sessions, the service;
# and many sessions that are cancelled at random.

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use ModalLocal;
use ModalSession;
use ModalTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

my $local = ModalLocal->new;
my $node = modal_node('main', local => $local, conf => qq{
max_connections = 60
});
my $slow_map =
  q{SELECT count(*) FROM modal_map('local:builtin/sleep', 'SELECT 60::float8, g FROM generate_series(1, 2000) g')};
my $square = q{SELECT modal_remote('local:builtin/square', 4)};

sub start_psql
{
	my (@statements) = @_;
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), map { ('-c', $_) } @statements ],
		'<', '/dev/null', '>', \$out, '2>', \$err);
	return { run => $run, out => \$out, err => \$err };
}

# A session whose map is under way.
sub start_map
{
	my $psql = start_psql($slow_map, $square);

	$node->poll_query_until('postgres',
		q{SELECT EXISTS (SELECT FROM modal_batch.activity WHERE sent > 0)});
	return $psql;
}

sub dispatcher_is_clean
{
	my ($name) = @_;
	return ok( $node->poll_query_until(
			'postgres', q{
			SELECT sum(calls) = 0 AND NOT EXISTS (SELECT FROM modal_batch.activity)
			FROM modal_batch.stat_dispatcher}),
		"$name: the dispatcher has nothing of it");
}

# Every process is ended by the server, which starts anew.
sub server_recovers
{
	my ($name) = @_;

	ok($node->poll_query_until('postgres', 'SELECT 1', '1'), "$name: the server comes back");
	is($node->safe_psql('postgres', $square), '16', "$name: calls work");
	dispatcher_is_clean($name);
	return;
}

# --- kill -9 -----------------------------------------------------------------

my $psql = start_map();
my $dispatcher = dispatcher_pid($node);
my $start = time;
kill 'KILL', $dispatcher;
$psql->{run}->finish;
cmp_ok(time - $start, '<', 5, 'dispatcher killed: the session ends at once');
like(${ $psql->{err} }, qr/crash of another server process|server closed the connection/,
	'dispatcher killed: with a clear error');
server_recovers('dispatcher killed');

$psql = start_map();
kill 'KILL', $node->safe_psql('postgres', 'SELECT pid FROM modal_batch.activity LIMIT 1');
$psql->{run}->finish;
server_recovers('session killed');

# --- the service -------------------------------------------------------------

# Synchronous calls live in the service's memory: it has forgotten them.
$psql = start_map();
$local->kill9;
$local->start;
$psql->{run}->finish;
like(${ $psql->{err} }, qr/ERROR:  call of "local:builtin\/sleep" failed in .*\nDETAIL:  .*\nHINT:  /,
	'service killed and started: the map ends with a clear error');
is(${ $psql->{out} }, "16\n", 'service killed and started: the next call works');
dispatcher_is_clean('service killed and started');

# Before it has begun, a map can wait for the service, but not for a second:
# where that took longer to start, it is tried again.
for (1 .. 20)
{
	$local->stop;
	$psql = start_psql(
		q{SELECT sum(result::int) FROM modal_map('local:builtin/square', ARRAY[1, 2, 3])});
	while ($psql->{run}->pumpable)
	{
		last if $node->safe_psql('postgres', 'SELECT count(*) FROM modal_batch.activity') > 0;
		$psql->{run}->pump_nb;
	}
	$local->start;
	$psql->{run}->finish;
	last if ${ $psql->{err} } !~ /Failed to connect/;
}
is(${ $psql->{out} }, "14\n", 'service not there yet: the map waits for it');

# Idle connections that the service has closed are no trouble.
$local->stop;
$local->start;
is($node->safe_psql('postgres', $square), '16', 'service restarted: the next call connects anew');

# --- many sessions, cancelled at random --------------------------------------

# Each times out by itself, again and again, in every phase of a call.
srand($ENV{MODAL_SEED} // time);
note 'seed: ' . srand;
my @kinds = (
	q{SELECT modal_remote('local:builtin/sleep', 0.02::float8, 1);},
	q{SELECT count(*) FROM modal_map('local:builtin/sleep', 'SELECT 0.01::float8, g FROM generate_series(1, 300) g');},
	q{SELECT count(*) FROM modal_map('local:builtin/echo', 'SELECT repeat(md5(g::text), 500) FROM generate_series(1, 100) g');},
	q{SELECT modal_remote('local:builtin/Counter{"name": "x"}.add', 1);});
my @impatient = map
{
	start_psql(
		(map {
			('SET statement_timeout = ' . int(1 + rand(80)), $kinds[ rand @kinds ],
				'RESET statement_timeout')
		} 1 .. 25),
		$square)
} 1 .. 50;
$_->{run}->finish for @impatient;
is(scalar(grep { ${ $_->{out} } =~ /^16$/m } @impatient), 50,
	'50 sessions that time out at random: all go on');
# (PostgreSQL takes a timeout for a user's request if the statement that it ends
# is still being parsed, or is the RESET: it then starts the clock anew.)
is( scalar(grep { /ERROR/ && !/canceling statement due to (?:statement timeout|user request)/ }
		  map { split /\n/, ${ $_->{err} } } @impatient), 0,
	'50 sessions that time out at random: nothing else fails');
cmp_ok(scalar(grep { /canceling statement/ } map { split /\n/, ${ $_->{err} } } @impatient),
	'>', 50, '50 sessions that time out at random: they did');
dispatcher_is_clean('50 sessions that time out at random');
is($node->safe_psql('postgres', $square), '16', '50 sessions that time out at random: calls work');

# Others are cancelled, terminated, or lose their client.
my @sessions = map { start_psql($slow_map) } 1 .. 40;
$node->poll_query_until('postgres', 'SELECT count(*) = 40 FROM modal_batch.activity WHERE sent > 0');
my $n = 0;
for my $pid (split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM modal_batch.activity'))
{
	my $function = $n++ % 2 ? 'pg_cancel_backend' : 'pg_terminate_backend';
	$node->safe_psql('postgres', "SELECT $function($pid)");
}
$_->{run}->finish for @sessions;
is( scalar(grep { ${ $_->{err} } =~ /canceling statement|terminating connection/ } @sessions),
	40, '40 sessions ended: each as it was told');
dispatcher_is_clean('40 sessions ended');
is($node->safe_psql('postgres', 'SELECT sum(channels) FROM modal_batch.stat_dispatcher'), '0',
	'40 sessions ended: no channel is left');

# Every connection that there may be can make calls at the same time.
my $file = PostgreSQL::Test::Utils::tempdir() . '/call.sql';
append_to_file($file, "$square;\n");
ok( IPC::Run::run(
		[ 'pgbench', '-n', '-c', '55', '-j', '2', '-T', '3', '-f', $file, $node->connstr('postgres') ],
		'>', \my $done, '2>', \my $failed),
	'as many sessions as connections make calls');
dispatcher_is_clean('as many sessions as connections');

$node->stop;
done_testing();
