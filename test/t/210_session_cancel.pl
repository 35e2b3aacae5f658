# Copyright (c) 2026, modal_batch contributors

# A session that is cancelled, times out or goes away leaves at once, its
# remote call is cancelled, and nothing of it stays in the dispatcher.

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

# Asked for are 100 ms; a loaded machine gets more time, but never as much as
# the calls themselves would take.
my $limit = $ENV{MODAL_CANCEL_LIMIT_S} // 1;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local);

# Inputs that nobody waits for to the end.
my $slow_map =
  q{SELECT count(*) FROM modal_map('local:builtin/sleep', 'SELECT 60::float8, g FROM generate_series(1, 5000) g')};
my %statements = (
	'map'            => $slow_map,
	'map as completed' => $slow_map =~ s/'\)$/', ordered => false)/r,
	'for_each'       =>
	  q{SELECT modal_for_each('local:builtin/sleep', 'SELECT 60::float8, g FROM generate_series(1, 5000) g')},
	'one call'       => q{SELECT modal_remote('local:builtin/sleep', 60::float8, 1)},
	# more than the queue to the dispatcher holds: cancelled half sent
	'map of large inputs' =>
	  q{SELECT count(*) FROM modal_map('local:builtin/sleep', 'SELECT 60::float8, repeat(md5(g::text), 20000) FROM generate_series(1, 200) g')},
);

sub dispatcher_clean
{
	return $node->poll_query_until(
		'postgres', q{
		SELECT (SELECT sum(calls) FROM modal_batch.stat_dispatcher) = 0
			AND NOT EXISTS (SELECT FROM modal_batch.activity)});
}

# The request for it is sent on its own, so it may come later than all else.
sub cancelled_remotely
{
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if $local->requests('FunctionCallCancel') > 0;
		sleep(0.1);
	}
	return 0;
}

# Wait until the call of another session is on its way.
sub wait_for_call
{
	return $node->poll_query_until('postgres',
		q{SELECT EXISTS (SELECT FROM modal_batch.activity WHERE sent > 0)});
}

# A session that runs statements on its own; see finish().
sub start_psql
{
	my @statements = @_;
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), map { ('-c', $_) } @statements ],
		'<', '/dev/null', '>', \$out, '2>', \$err);
	return { run => $run, out => \$out, err => \$err };
}

sub finish
{
	my ($psql) = @_;
	$psql->{run}->finish;
	return (${ $psql->{out} }, ${ $psql->{err} });
}

for my $name (sort keys %statements)
{
	$local->clear_log;
	my $psql = start_psql($statements{$name},
		q{SELECT modal_remote('local:builtin/square', 4)});
	ok(wait_for_call(), "$name: the call has begun");
	my $start = time;
	$node->safe_psql('postgres',
		'SELECT pg_cancel_backend(pid) FROM modal_batch.activity');
	my ($out, $err) = finish($psql);
	cmp_ok(time - $start, '<', $limit, "$name: the session is free at once");
	like($err, qr/canceling statement due to user request/, "$name: cancelled");
	is($out, "16\n", "$name: the next call of the session works");
	ok(dispatcher_clean(), "$name: the dispatcher has nothing of it");
	ok(cancelled_remotely(), "$name: the call is cancelled remotely");
}

# statement_timeout
$local->clear_log;
my $start = time;
my ($status, $out, $err) =
  modal_psql($node, "SET statement_timeout = 500; $slow_map");
like($err, qr/57014: canceling statement due to statement timeout/, 'statement_timeout');
cmp_ok(time - $start, '<', 0.5 + $limit + 1, 'statement_timeout ends the map');
ok(dispatcher_clean(), 'statement_timeout: the dispatcher has nothing of it');
ok(cancelled_remotely(), 'statement_timeout: the call is cancelled remotely');

# a transaction that goes on after a cancelled call
($status, $out, $err) = modal_psql(
	$node, q{
	BEGIN;
	SAVEPOINT s;
	SET LOCAL statement_timeout = 300;
	SELECT modal_remote('local:builtin/sleep', 60::float8, 1);
	ROLLBACK TO s;
	SELECT modal_remote('local:builtin/square', 6);
	COMMIT;}, on_error_stop => 0);
like($out, qr/^36$/m, 'a call works after a rollback to a savepoint');
ok(dispatcher_clean(), 'savepoint: the dispatcher has nothing of it');

# the session is terminated
$local->clear_log;
my $psql = start_psql($slow_map);
ok(wait_for_call(), 'terminated session: the call has begun');
$node->safe_psql('postgres',
	'SELECT pg_terminate_backend(pid) FROM modal_batch.activity');
finish($psql);
ok(dispatcher_clean(), 'terminated session: the dispatcher has nothing of it');
ok(cancelled_remotely(), 'terminated session: the call is cancelled remotely');

# the client goes away, and the server looks for that
$node->safe_psql('postgres',
	q{ALTER SYSTEM SET client_connection_check_interval = '100ms'});
$node->reload;
$local->clear_log;
$psql = start_psql($slow_map);
ok(wait_for_call(), 'closed connection: the call has begun');
$psql->{run}->kill_kill;
ok(dispatcher_clean(), 'closed connection: the dispatcher has nothing of it');
ok(cancelled_remotely(), 'closed connection: the call is cancelled remotely');
ok( $node->poll_query_until(
		'postgres',
		q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%builtin/sleep%' AND pid <> pg_backend_pid())}),
	'closed connection: the session is gone');

# LIMIT: what is not read is not waited for longer than the map itself
is( $node->safe_psql(
		'postgres',
		q{SELECT result FROM modal_map('local:builtin/square', 'SELECT g FROM generate_series(1, 5000) g') LIMIT 1}),
	'1',
	'LIMIT');
ok(dispatcher_clean(), 'LIMIT: the dispatcher has nothing of it');

# an error in the reader of results
($status, $out, $err) = modal_psql($node,
	q{SELECT 1 / (result::int - 4) FROM modal_map('local:builtin/square', 'SELECT g FROM generate_series(1, 5000) g')});
like($err, qr/22012: division by zero/, 'an error in the reader');
ok(dispatcher_clean(), 'an error in the reader: the dispatcher has nothing of it');

done_testing();
