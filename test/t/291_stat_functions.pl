# Copyright (c) 2026, modal_batch contributors

# modal_batch.stat_functions: reading it holds up nobody's calls, and it says
# when it is full.

use strict;
use warnings FATAL => 'all';

use IPC::Run;
use ModalLocal;
use ModalSession;
use ModalTest;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local);
my $calls = ModalSession->new($node);

$node->safe_psql('postgres', q{CREATE ROLE reader LOGIN; CREATE ROLE monitor LOGIN IN ROLE pg_monitor});
is($calls->query(q{SELECT modal_remote('local:builtin/square', 2)}), '4', 'a call');
$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM modal_batch.stat_functions');

# Whose rights a role has is in a catalog, for whose lock the reader waits.
my $holder = ModalSession->new($node);
$holder->query('BEGIN; LOCK TABLE pg_auth_members IN ACCESS EXCLUSIVE MODE');
my ($out, $err) = ('', '');
my $reader = IPC::Run::start(
	[ 'psql', '-XAtq', '-U', 'reader', '-d', $node->connstr('postgres'), '-c', 'SELECT count(*) FROM modal_batch.stat_functions()' ],
	'>', \$out, '2>', \$err);
$calls->query(q{DO $$BEGIN
	WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'reader' AND wait_event_type = 'Lock') LOOP
		PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
	END LOOP; END$$});
is($calls->query(q{SELECT modal_remote('local:builtin/square', 3)}), '9', 'a call goes through meanwhile');
is($calls->query(q{SELECT count(*) FROM modal_batch.stat_functions()}), '1', 'and another reader');
$calls->query(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'});
$reader->finish;
like($err, qr/canceling statement due to user request/, 'the one that waits can be cancelled');
$holder->query('ROLLBACK');

# Who sees what.
sub seen
{
	my ($role) = @_;
	return $node->safe_psql('postgres', 'SELECT count(*) FROM modal_batch.stat_functions()', extra_params => [ '-U', $role ]);
}
is(seen('reader'), '0', 'nothing of others');
is(seen('monitor'), '1', 'all, for pg_monitor');
my $slow = ModalSession->new($node);
my $at_work = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', q{SELECT modal_remote('local:builtin/sleep', 60)} ],
	'>', \my $ignored, '2>', \my $ignored_too);
$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM modal_batch.activity');
is($node->safe_psql('postgres', 'SELECT count(*) FROM modal_batch.activity', extra_params => [ '-U', 'reader' ]), '0', 'no calls of others');
is($node->safe_psql('postgres', 'SELECT count(*) FROM modal_batch.activity', extra_params => [ '-U', 'monitor' ]), '1', 'all calls, for pg_monitor');
$slow->query('SELECT pg_cancel_backend(pid) FROM modal_batch.activity');
$at_work->finish;

# Full: calls of more functions than there is room for are counted as such.
my $many = q{DO $$BEGIN
	FOR i IN 1..2100 LOOP
		BEGIN PERFORM modal_remote('local:no/f' || i); EXCEPTION WHEN undefined_function THEN END;
	END LOOP; END$$};
$calls->query($many);
my ($rc, $stdout, $stderr) = $node->psql('postgres', 'SELECT count(*) FROM modal_batch.stat_functions');
is($stdout, '2048', 'as many as there is room for');
like($stderr, qr/WARNING:  \d+ calls are not counted/, 'and it says that it is full');
$node->safe_psql('postgres', 'SELECT modal_stat_reset()');
($rc, $stdout, $stderr) = $node->psql('postgres', 'SELECT count(*) FROM modal_batch.stat_functions');
is("$stdout$stderr", '0', 'until it is emptied');

$node->stop;
done_testing();
