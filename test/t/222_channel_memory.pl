# Copyright (c) 2026, modal_batch contributors

# Where the queues of channels are: 32 places in shared memory, which are used
# again whatever has ended their users, and segments for what is beyond them.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalSession;
use ModalTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $places = 32;
my $local = ModalLocal->new;
my $node = modal_node('main', local => $local, conf => qq{
max_connections = 80
modal_batch.dispatchers = 1
});

# How many segments of channels a dispatcher has mapped.  Those of the server's
# statistics are larger, and come when they must.
sub segments
{
	my $maps = slurp_file('/proc/' . dispatcher_pid($node) . '/maps');
	my $n = 0;

	no warnings 'portable';
	while ($maps =~ m{^([0-9a-f]+)-([0-9a-f]+) .*/dev/shm/PostgreSQL\.}mg)
	{
		$n++ if hex($2) - hex($1) < 1 << 20;
	}
	return $n;
}

# Sessions that have all called at once, each for an answer of its own.
sub sessions
{
	my ($n) = @_;
	my @sessions = map { ModalSession->new($node) } 1 .. $n;

	$sessions[$_]->begin("SELECT modal_remote('local:builtin/sleep', 0.05::float8), modal_remote('local:builtin/echo', $_)")
	  for 0 .. $#sessions;
	my @wrong = grep { $sessions[$_]->query('') !~ /\|$_$/ } 0 .. $#sessions;
	is("@wrong", '', "$n sessions: each has its own answer");
	return @sessions;
}

sub all_are_gone
{
	# of a place, both the dispatcher and the session have let go
	return $node->poll_query_until('postgres', q{SELECT sum(channels) = 0
		AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())
		FROM modal_batch.stat_dispatcher});
}

my $none = segments();

{
	my @sessions = sessions($places);
	is(segments(), $none, 'as many as there are places: no segment');
	$_->quit for @sessions;
}
all_are_gone();
{
	my @sessions = sessions($places + 5);
	is(segments(), $none + 5, 'five more: as many segments');
	$_->quit for @sessions;
}
all_are_gone();
is(segments(), $none, 'they go with their sessions');

# Sessions that are ended while they call, and before anybody has looked.
for (1 .. 3)
{
	my @sessions = map { ModalSession->new($node) } 1 .. 10;

	$_->begin(q{SELECT modal_remote('local:builtin/sleep', 60::float8)}) for @sessions;
	$node->poll_query_until('postgres', 'SELECT count(*) > 2 FROM modal_batch.activity');
	$node->safe_psql('postgres',
		q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT modal_remote(%'});
	eval { $_->quit } for @sessions;
}
all_are_gone();

# The dispatcher ends, and finds offers when it is back.
for (1 .. 3)
{
	my @sessions = sessions(5);

	my $dispatcher = dispatcher_pid($node);
	kill 'TERM', $dispatcher;
	# what one that ends has taken fails; what is offered to none does not
	wait_until('its end', sub { !kill 0, $dispatcher });
	is(join(' ', map { $_->outcome(q{SELECT modal_remote('local:builtin/echo', 7)}) } @sessions), '7 7 7 7 7',
		'the dispatcher ends: calls after that');
	$_->quit for @sessions;
}
all_are_gone();

{
	my @sessions = sessions($places);
	is(segments(), $none, 'after all that every place can be used');
	$_->quit for @sessions;
}

# Nothing of what was in a place is left for the next one.
all_are_gone();
my $seed = rand;
my $session = ModalSession->new($node);
(my $text = $session->query("SELECT modal_remote('local:builtin/echo', md5('$seed'))")) =~ tr/"//d;
like($text, qr/^[0-9a-f]{32}$/, 'a text that is in no statement');

sub copies_in_shared_memory
{
	my $pid = dispatcher_pid($node);
	my $found = 0;

	no warnings 'portable';
	open my $memory, '<:raw', "/proc/$pid/mem" or return;
	for (split /\n/, slurp_file("/proc/$pid/maps"))
	{
		my ($from, $to, $shared) = /^([0-9a-f]+)-([0-9a-f]+) rw-(.)/ or next;
		next if $shared ne 's';
		my $at = hex $from;
		while ($at < hex $to)
		{
			my $part = hex($to) - $at < 1 << 20 ? hex($to) - $at : 1 << 20;
			sysseek($memory, $at, 0);
			last if !sysread($memory, my $bytes, $part);
			$found++ while $bytes =~ /\Q$text\E/g;
			$at += $part;
		}
	}
	return $found;
}

SKIP:
{
	my $copies = copies_in_shared_memory();
	skip 'memory of other processes cannot be read here', 2 unless defined $copies;
	cmp_ok($copies, '>=', 2, 'while its session is there, argument and result are in shared memory');
	$session->quit;
	all_are_gone();
	is(copies_in_shared_memory(), 0, 'nothing is left for the next one');
}

$node->stop;
done_testing();
