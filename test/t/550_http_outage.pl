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
my %sent;
push @{ $sent{$_->{body}} }, $_ for $peer->requests;
my @twice = grep { @$_ > 1 } values %sent;
is(join(' ', map { $_->[0]{body} } @twice), '', 'no row was sent twice')
  or diag explain [ map { +{ %$_{qw(time connection body)}, key => $_->{headers}{'idempotency-key'} } } map { @$_ } @twice ];
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

# Name servers that do not answer: who asks for such a name is told in time, and
# other names are found nevertheless, as soon as a thread is free.
my $well = HttpPeer->new;
my $name_server = sub {
	my ($name, $host, $seconds) = @_;
	sql(qq{CREATE SERVER $name FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http',
		url 'http://$host:${\ $well->port}', allow_http 'on', connect_timeout '$seconds', retry_budget '0', args 'array')});
};
my $number = 0;
my @asking = map { ModalSession->new($node) } 1 .. 20;
for my $i (1 .. 20)
{
	$name_server->("lost$i", "n$i.hangs.test", 1);
	$asking[ $i - 1 ]->begin(qq{SELECT pg_temp.outcome('SELECT modal_remote(''lost$i:echo'', 1)')});
}
is(join(' ', map { $_->query('') } @asking), join(' ', ('08001') x 20), 'names that nobody tells');
$name_server->('found', 'a.well.test', 20);
is($session->outcome(q{SELECT modal_remote('found:echo', 1)}), '[1]', 'other names are found');
# Now it is known whose names take long.
$asking[$_]->begin(qq{SELECT pg_temp.outcome('SELECT modal_remote(''lost@{[ $_ + 1 ]}:echo'', 1)')}) for 0 .. 9;
$name_server->('next', 'b.well.test', 3);
is($session->outcome(q{SELECT modal_remote('next:echo', 1)}), '[1]', '... at once, beside those that were slow before');
is(join(' ', map { $_->query('') } @asking[ 0 .. 9 ]), join(' ', ('08001') x 10), '... which are told in time again');
# A name that has been found is found again, however many new ones there are.
sql(qq{CREATE SERVER closed FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http',
	url 'http://b.well.test:1', allow_http 'on', retry_budget '0')});
is($session->outcome(q{SELECT modal_remote('closed:x', 1)}), '08001', 'an address that is distrusted');
$name_server->("new$_", "new$_.hangs.test", 1) for 1 .. 20;
sql(q{ALTER SERVER next OPTIONS (SET connect_timeout '20')}); # another connection
$session->query(q{SET statement_timeout = '3s'});
$asking[ $_ - 1 ]->begin(qq{SELECT pg_temp.outcome('SELECT modal_remote(''new$_:echo'', 1)')}) for 1 .. 20;
select undef, undef, undef, 0.5;
is($session->outcome(q{SELECT modal_remote('next:echo', 1)}), '[1]', 'a name that is known, beside many new ones');
$session->query('RESET statement_timeout');
is(join(' ', map { $_->query('') } @asking), join(' ', ('08001') x 20), '... which nobody tells');
my $pid = dispatcher_pid($node);
ok($node->poll_query_until('postgres', 'SELECT true') && (() = glob "/proc/$pid/task/*") <= 17,
	'and there are not many threads');
$_->quit for @asking;

# Who does not want to wait any longer need not, whatever it is that takes so long.
my $mute = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 50) or die $!;
for my $case (
	[ 'a name', 'http', 'z.hangs.test', 1, '1.1' ],
	[ 'a TLS handshake', 'https', '127.0.0.1', $mute->sockport, '1.1' ],
	[ 'a TLS handshake for HTTP/2', 'https', '127.0.0.1', $mute->sockport, '2' ],
	[ 'settings of HTTP/2', 'http', '127.0.0.1', $mute->sockport, '2' ],
	[ 'an answer', 'http', '127.0.0.1', $mute->sockport, '1.1' ])
{
	my ($what, $scheme, $host, $at, $version) = @$case;
	my $name = 'slow' . ++$number;

	sql(qq{CREATE SERVER $name FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', url '$scheme://$host:$at',
		allow_http 'on', ssl_verify 'off', http_version '$version', connect_timeout '60', retry_budget '0')});
	is($session->outcome(qq{SELECT modal_remote('$name:x', 1)}), '57014', "$what: cancelled")
	  if $session->query(q{SET statement_timeout = '300ms'}) eq '';
	$session->query('RESET statement_timeout');
	next if $what eq 'an answer';
	sql(qq{ALTER SERVER $name OPTIONS (SET connect_timeout '0.5')});
	is($session->outcome(qq{SELECT modal_remote('$name:x', 1)}), '08001', "$what: connect_timeout");
}
$name_server->('no_tls', 'localhost', 5);
sql(q{ALTER SERVER no_tls OPTIONS (SET url 'https://localhost:} . $well->port . q{')});
is($session->outcome(q{SELECT modal_remote('no_tls:x', 1)}), '08001', 'a server that does not speak TLS');

$session->quit;
is(sql('SELECT calls, requests_active FROM modal_batch.stat_dispatcher'), '0|0',
	'nothing is left in the dispatcher');
$node->stop;
done_testing();
