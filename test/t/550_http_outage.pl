# Copyright (c) 2026, modal_batch contributors

# A service that is away: it is asked for by one request at a time, whoever
# waits for it is told or waits on, and all goes on when it is back.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use IO::Socket::INET;
use ModalSession;
use ModalTest;
use OsFaults;
use Socket qw(AF_INET6);
use Test::More;

my $os = OsFaults->new;
my $node = modal_node('main', env => $os->env);

# Nobody listens on this socket, and nobody else can have its port.
my $nobody = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'tcp') or die $!;
my $port = $nobody->sockport;

sub sql { return $node->safe_psql('postgres', @_) }
sub requests { return sql('SELECT sum(requests) FROM modal_batch.stat_dispatcher') }

sql(qq{CREATE EXTENSION IF NOT EXISTS modal_batch;
	CREATE SERVER away FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http',
		url 'http://127.0.0.1:$port', allow_http 'on', max_concurrency '4')});

# A job of many rows.
sql(q{CREATE TABLE job AS SELECT modal_spawn_map('away:echo', 'SELECT g AS id FROM generate_series(1, 1000) g') AS id});
ok($node->poll_query_until('postgres', 'SELECT sum(requests) >= 12 FROM modal_batch.stat_dispatcher'),
	'it is tried again and again');
cmp_ok(requests(), '<', 200, 'but not for each row');

# Calls beside it, which somebody waits for.
my $session = ModalSession->new($node);
is($session->outcome(q{SELECT modal_remote('away:echo', 1)}), '08001', 'a call is told');
is($session->outcome(q{SELECT count(*) FROM modal_map('away:echo', ARRAY[1, 2, 3])}), '08001', 'so is a map');
my @sessions = map { ModalSession->new($node) } 1 .. 5;
$_->begin(q{SELECT pg_temp.outcome('SELECT modal_remote(''away:echo'', 1)')}) for @sessions;
is(join(' ', map { $_->query('') } @sessions), '08001 ' x 4 . '08001', 'several at once: each is told');
$_->quit for @sessions;
is(sql('SELECT state FROM modal_batch.jobs JOIN job ON job = id'), 'running', 'the job waits');

# There it is.
close $nobody;
my $peer = HttpPeer->new(port => $port);
is(sql(q{SELECT modal_wait(id, '120s') FROM job}), 'completed', 'it is back: the job goes on');
is(sql('SELECT count(*) FROM job, modal_results(id) WHERE error IS NULL'), '1000', 'with all results');
is(scalar($peer->requests), 1000, 'each row was sent once');
is($session->outcome(q{SELECT modal_remote('away:echo', 1)}), '{"arg1": 1}', 'so does a call');

# It goes and comes while a map is under way.
$peer->forget;
$session->begin(q{SELECT count(DISTINCT result) FROM modal_map('away:sleep-20/echo', 'SELECT g FROM generate_series(1, 400) g')});
# More than are sent at once, so that the map has had answers.
my $seen = 0;
select undef, undef, undef, 0.05 until ($seen += () = $peer->requests) > 4;
my $before = requests();
undef $peer;
ok($node->poll_query_until('postgres', "SELECT sum(requests) > $before + 10 FROM modal_batch.stat_dispatcher"),
	'it is gone, and tried');
$peer = HttpPeer->new(port => $port);
is($session->query(''), '400', 'a map survives that');

# Nobody answers: the queue of those that want to be taken is full.  What has been
# tried is no connection any more.
my $full = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die $!;
my @queue = map { IO::Socket::INET->new(Blocking => 0, PeerAddr => '127.0.0.1', PeerPort => $full->sockport) } 1 .. 4;
my $connections = sql('SELECT connections FROM modal_batch.stat_dispatcher');
for my $version ('1.1', '2')
{
	my $name = 'full' . int $version;

	sql(qq{CREATE SERVER $name FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', retry_budget '0',
		url 'http://127.0.0.1:${\ $full->sockport}', allow_http 'on', http_version '$version', connect_timeout '0.3')});
	is($session->outcome(qq{SELECT modal_remote('$name:echo', 1)}), '08001', "no answer: HTTP $version")
	  for 1 .. 3;
}
is(sql('SELECT connections FROM modal_batch.stat_dispatcher'), $connections, 'no answer: nothing is left');

# There is no way to its address on this machine.
$os->lack(AF_INET6);
for my $version ('1.1', '2')
{
	my $name = 'lone' . int $version;

	sql(qq{CREATE SERVER $name FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http',
		url 'http://[::1]:$port', allow_http 'on', http_version '$version')});
	is($session->outcome(qq{SELECT modal_remote('$name:echo', 1)}), '08001', "no IPv6: HTTP $version");
}
$os->lack(0);

# The first of two addresses takes no connection: its queue is full.
my $h2 = HttpPeer->new(http2 => []);
my $hole = IO::Socket::INET->new(LocalAddr => '127.0.0.9', LocalPort => $h2->port, Listen => 1) or die $!;
my @waiting = map { IO::Socket::INET->new(PeerAddr => '127.0.0.9', PeerPort => $h2->port, Blocking => 0) } 1 .. 4;
sql(qq{CREATE SERVER two FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http',
	url 'http://two.test:${\ $h2->port}', allow_http 'on', http_version '2', connect_timeout '4', retry_budget '0', args 'array')});
is($session->outcome(q{SELECT modal_remote('two:echo', 1)}), '[1]', 'an address that swallows everything: the next one is tried');

$session->quit;
is(sql('SELECT calls, requests_active FROM modal_batch.stat_dispatcher'), '0|0',
	'nothing is left in the dispatcher');
$node->stop;
done_testing();
