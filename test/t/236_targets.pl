# Copyright (c) 2026, modal_batch contributors

# Targets, which are what the dispatcher knows of a server and a user: how long
# they stay, with their secrets.

use strict;
use warnings FATAL => 'all';
no warnings 'portable'; # addresses have 64 bits

use HttpPeer;
use ModalLocal;
use ModalSession;
use ModalTest;
use OsFaults;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $os = OsFaults->new;
my $node = modal_node('main', local => $local, env => $os->env);
my $peer = HttpPeer->new;
my $dispatcher = dispatcher_pid($node);

# How often there is such a text in memory that the dispatcher has for itself;
# undef: it cannot be read here.
sub copies_in_memory
{
	my ($pattern) = @_;
	my $n = 0;

	open my $maps, '<', "/proc/$dispatcher/maps" or return;
	open my $memory, '<:raw', "/proc/$dispatcher/mem" or return;
	while (my $line = <$maps>)
	{
		my ($from, $to, $what) = $line =~ /^(\S+)-(\S+) rw-p \S+ \S+ \S+\s*(.*)$/ or next;
		my $size = hex($to) - hex($from);
		my $bytes;

		# what is larger is a sanitizer's map of all addresses
		next if $size > 1 << 30;
		sysseek($memory, hex($from), 0) or next;
		sysread($memory, $bytes, $size) // next;
		$n += () = $bytes =~ /$pattern/g;
	}
	return $n;
}

# --- secrets -------------------------------------------------------------------

$peer->server($node, 'shop', q{args 'array'});
my $secret = 'hidden' . join '', map { chr(97 + int rand 26) } 1 .. 24;
$node->safe_psql('postgres',
	"CREATE USER MAPPING FOR CURRENT_USER SERVER shop OPTIONS (bearer_token '$secret')");
$node->safe_psql('postgres', q{SELECT modal_remote('shop:echo', 1)});

SKIP:
{
	# As an option of the server, from its key to what was made of it.  (What
	# libraries leave behind of a request is not ours to wipe.)
	my $option = qr/bearer_token.{1,8}\Q$secret\E/s;
	my $before = copies_in_memory($option);

	skip 'memory of other processes cannot be read here', 2 unless defined $before;
	cmp_ok($before, '>', 0, 'the dispatcher knows the token of a call');
	$node->safe_psql('postgres', 'DROP USER MAPPING FOR CURRENT_USER SERVER shop');
	my $left;
	for (1 .. 100)
	{
		last if ($left = copies_in_memory($option)) == 0;
		select undef, undef, undef, 0.05;
	}
	is($left, 0, 'and forgets it when the mapping goes');
}

# --- what is cancelled when a mapping has changed -------------------------------

{
	my $session = ModalSession->new($node);
	my $pid = $session->query('SELECT pg_backend_pid()');
	$session->begin(q{SELECT pg_temp.outcome('SELECT count(*) FROM modal_map(''local:builtin/sleep'', ''SELECT 60::float8'')')});
	$node->poll_query_until('postgres', 'SELECT sum(sent) = 1 FROM modal_batch.activity') or die 'nothing is sent';
	$node->safe_psql('postgres', q{CREATE USER MAPPING FOR CURRENT_USER SERVER shop OPTIONS (bearer_token 'x')});
	$local->clear_log;
	$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
	is($session->query('SELECT 1'), "57014\n1", 'a call whose target nobody else uses is cancelled');
	is($local->wait_for_requests('FunctionCallCancel', 1), 1, 'remotely, too');
	$session->quit;
}

# --- tokens --------------------------------------------------------------------

# With the clock ahead by more than a token lives, one is enough all the same.
$os->jump(7200);
$node->safe_psql('postgres',
	q{ALTER SERVER local OPTIONS (ADD connect_timeout '9')});
$local->clear_log;
$node->safe_psql('postgres', q{SELECT modal_remote('local:builtin/square', g) FROM generate_series(1, 20) g});
is(scalar(my @fetches = $local->requests('AuthTokenGet')), 1, 'a clock that is ahead: one token for many calls');

is(dispatcher_pid($node), $dispatcher, 'the dispatcher lives');
done_testing();
