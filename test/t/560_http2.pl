# Copyright (c) 2026, modal_batch contributors

# HTTP/2 with a peer that somebody else's library speaks for: flow control,
# limits of streams, what a server may refuse, and what it may break.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use IO::Socket::INET;
use ModalSession;
use ModalTest;
use Nginx;
use PostgreSQL::Test::Utils;
use Test::More;
use TestCertificates;

my $peer = HttpPeer->new(http2 => [ '--window', 1000 ]);
my $narrow = HttpPeer->new(http2 => [ '--max-streams', 3 ]);
my $node = modal_node('main');
my $options = "args 'array', http_version '2', gzip 'on', max_reply_bytes '3000000', timeout '30'";

$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');
$peer->server($node, 'peer', "$options, retry_budget '0'");
$peer->server($node, 'patient', "$options, retry_budget '20', max_concurrency '16'");
$peer->server($node, 'hasty', "$options, retry_budget '0', first_byte_timeout '0.3'");
$narrow->server($node, 'narrow', "$options, retry_budget '0', max_concurrency '16'");

# Whether a dead server is noticed, though nothing limits the time: at the end.
my $long_dead = HttpPeer->new(http2 => []);
$long_dead->server($node, 'long_dead', "args 'array', http_version '2', timeout '0', retry_budget '0'");
my $waiting = ModalSession->new($node);
$waiting->begin(q{SELECT pg_temp.outcome('SELECT modal_remote(''long_dead:deaf'', 1)')});

sub sql { return $node->safe_psql('postgres', @_) }

sub error_like { return sql_fails($node, @_) }

# The answer to $n characters, which compress badly, is themselves.
sub echoes
{
	my ($path, $n, $name) = @_;
	return is(sql("WITH t AS (SELECT left(string_agg(md5(g::text), ''), $n) t FROM generate_series(0, $n / 32) g)
		SELECT modal_remote('$path', t) = jsonb_build_array(t) FROM t"), 't', $name);
}

# --- what works --------------------------------------------------------------

echoes('peer:echo', 3, 'a small body');
echoes('peer:echo', 1_000_000, 'a body through a window of 1,000 bytes');
echoes('peer:ping', 3, 'PINGs and unknown frames');
echoes('peer:pieces', 300, 'a byte at a time');
echoes('peer:gzip', 500_000, 'a compressed body');
echoes('peer:gzip-members', 3000, 'compressed in two members');
echoes('peer:gzip-shout', 30, 'a compressed body, in capital letters');
is(sql("SELECT modal_remote('peer:gzip-empty')"), 'null', 'no body, said to be compressed');
is(sql("SELECT modal_remote('peer:authority')"), '"127.0.0.1:' . $peer->port . '"', 'the authority');
is(sql("SELECT modal_remote('peer:connection') = modal_remote('peer:connection')"), 't',
	'plain connections are used again');
my @first = $peer->requests;
is((grep { $_->{headers}{'accept-encoding'} // '' eq 'gzip' } @first), @first, 'compression is asked for');

is(sql("SELECT count(*), sum((result->>0)::int) FROM modal_map('narrow:echo', 'SELECT g FROM generate_series(1, 500) g')"),
	'500|125250', 'three streams at a time: a map');
my %connections = map { $_->{connection} => 1 } $narrow->requests;
cmp_ok(keys %connections, '>', 1, 'three streams at a time: more than one connection');
cmp_ok(keys %connections, '<', 9, 'three streams at a time: no more than it takes');

# --- what a server does not want to do, others or the next may ---------------

is(sql("SELECT modal_remote('peer:refuse-2', 1)"), '[1]', 'a refused stream is sent again');
is(scalar(grep { $_->{path} =~ /refuse/ } $peer->requests), 3, 'a refused stream: three times in all');
error_like("SELECT modal_remote('peer:refuse-100', 1)", qr/08006: .*REFUSED_STREAM/, 'but not for ever');
is(sql("SELECT modal_remote('peer:goaway-1', 1)"), '[1]', 'GOAWAY before the stream');
is(sql("SELECT modal_remote('peer:last', 1), modal_remote('peer:echo', 2)"), '"last"|[2]',
	'GOAWAY after the stream');
is(sql("SELECT count(*) FROM modal_map('patient:last', 'SELECT g FROM generate_series(1, 20) g')"),
	'20', 'GOAWAY all the time');
$peer->server($node, 'once', "$options, retry_budget '20', idempotent 'off', max_concurrency '16'");
is(sql("SELECT count(*) FROM modal_map('once:last', 'SELECT g FROM generate_series(1, 60) g')"),
	'60', 'GOAWAY all the time, where nothing may be sent twice');
$peer->forget;
is(sql("SELECT modal_remote('once:refuse-7', 1)"), '[1]', 'what was surely not begun is sent again while there is a budget');
is(scalar(grep { $_->{path} =~ /refuse-7/ } $peer->requests), 8, '... so often');
error_like("SELECT modal_remote('once:recant', 1)", qr/08006: .*REFUSED_STREAM/, 'refused when its answer had begun');
is(scalar(grep { $_->{path} =~ /recant/ } $peer->requests), 1, '... was begun, whatever is said');
my $long = "(SELECT string_agg(md5(g::text), '') FROM generate_series(1, 3000) g)";
is(sql("SELECT modal_remote('peer:early', $long)"), '"early"',
	'an answer before the body has gone');
is(sql("SELECT modal_remote('peer:over', $long)"), '"over"',
	'an answer before the body has gone, and nobody says that it need not go');
is(sql("SELECT modal_remote('peer:bye', $long)"), '"bye"',
	'an answer before the body has gone, and the end of the connection');
is(sql("SELECT modal_remote('peer:drain', 1), modal_remote('peer:echo', 2)"), '[1]|[2]',
	'GOAWAY while a request waits for a stream');

# A connection that ends with its last stream takes no place of others.
$peer->server($node, 'narrowest', "$options, max_connections '1'");
my $leaving = ModalSession->new($node);
$leaving->begin(q{SELECT modal_remote('narrowest:leave', 1)});
$node->poll_query_until('postgres', q{SELECT sum(sent) = 1 FROM modal_batch.activity WHERE function LIKE 'narrowest:%'})
  or die 'the request is not sent';
sleep 1; # and GOAWAY comes
is(sql("SET statement_timeout = '2s'; SELECT modal_remote('narrowest:echo', 2)"), '[2]',
	'GOAWAY from the only connection that there may be, while it is in use');
is($leaving->query('SELECT 1'), qq{"left"\n1}, 'where what is under way goes on');
$leaving->quit;

# --- what it may break -------------------------------------------------------

error_like("SELECT modal_remote('peer:reset', 1)", qr/08006: .*INTERNAL_ERROR/, 'a reset');
error_like("SELECT modal_remote('peer:drop', 1)", qr/08006: /, 'a lost connection');
error_like("SELECT modal_remote('peer:half', repeat('x', 100))", qr/08006: /, 'half an answer');
error_like("SELECT modal_remote('peer:part', 1)", qr/08006: /, 'a part of an answer');
error_like("SELECT modal_remote('peer:fault', 1)", qr/08006: /, 'a frame that is not allowed');
error_like("SELECT modal_remote('peer:gzip-cut', 'xx')", qr/08P01: .*truncated/, 'a truncated compressed body');
error_like("SELECT modal_remote('peer:gzip-bad', 'xx')", qr/08P01: .*compressed body cannot be read/,
	'a body that is not compressed');
error_like("SELECT modal_remote('peer:gzip-bomb', 'xx')", qr/54000: .*body is too large/, 'a bomb');
# Many at once that unpack to 64 MB each hold up nobody for a large part of the time that they take.
my $bomber = HttpPeer->new(http2 => []);
$bomber->server($node, 'bombs', "args 'array', http_version '2', gzip 'on', retry_budget '0', timeout '60', max_concurrency '24',
	max_reply_bytes '64000000'");
error_like("SELECT modal_remote('bombs:gzip-bomb', 'xx')", qr/54000: .*body is too large/, 'a bomb of more than 64 MB');
my $bombs = ModalSession->new($node);
my $measuring = ModalSession->new($node);
# 5 GB to unpack, perhaps on a busy machine
$_->query("SET statement_timeout = '180s'") for $bombs, $measuring;
$bombs->begin(q{SELECT count(error) FROM modal_map('bombs:gzip-bomb', 'SELECT generate_series(1, 72)', on_error => 'return')});
cmp_ok($measuring->query(q{
	CREATE FUNCTION held_up() RETURNS numeric LANGUAGE plpgsql AS $$
	DECLARE
		began timestamptz;
		slowest interval := '0';
	BEGIN
		WHILE (SELECT count(*) > 0 FROM modal_batch.activity WHERE function LIKE 'bombs:%') LOOP
			began := clock_timestamp();
			PERFORM modal_remote('peer:echo', 1);
			slowest := greatest(slowest, clock_timestamp() - began);
		END LOOP;
		RETURN round((extract(epoch FROM slowest) / extract(epoch FROM clock_timestamp() - now()))::numeric, 3);
	END $$;
	SELECT held_up()}), '<', 0.25, 'many bombs: others go on');
is($bombs->query('SELECT 1'), "72\n1", 'many bombs');
$_->quit for $bombs, $measuring;
echoes('peer:head-100', 10, '100 kB of headers');
error_like("SELECT modal_remote('peer:head-300', 1)", qr/54000: .*headers are too large|08006: /, '300 kB of headers');
error_like("SELECT modal_remote('hasty:silent', 1)", qr/57014: .*did not answer in time/, 'silence');
is(sql("SELECT modal_remote('hasty:echo', 1)"), '[1]', 'silence: a new connection');

# A statement that is cancelled has its stream reset, and leaves nothing.
error_like("SET statement_timeout = '300ms'; SELECT modal_remote('peer:silent', 1)", qr/57014: /, 'cancelled');
ok($node->poll_query_until('postgres', 'SELECT requests_active = 0 FROM modal_batch.stat_dispatcher'),
	'cancelled: nothing is left');
is(sql("SELECT modal_remote('peer:echo', 1)"), '[1]', 'cancelled: the connection goes on');

# The only connection is busy, another one cannot be made, and then it is lost: who
# waits for it gets the next one.
my $single = HttpPeer->new(http2 => [ '--max-streams', 1 ]);
$single->server($node, 'single', "$options, retry_budget '20', max_concurrency '2'");
is(sql("SET statement_timeout = '20s';
	SELECT count(*) FROM modal_map('single:late-1', 'SELECT g FROM generate_series(1, 2) g')"),
	'2', 'the last connection is lost');

# The same when the other one goes on: it need not end first.
$single->server($node, 'pair', "$options, retry_budget '20', max_concurrency '2'");
is(sql("SELECT count(*) FROM modal_map('pair:meet', 'SELECT g FROM generate_series(1, 2) g') WHERE result = '\"met\"'"),
	'2', 'a connection that cannot be made is tried again');

# A connection that is dead, beside one that is not.
$single->server($node, 'lame', "args 'array', http_version '2', retry_budget '0', max_concurrency '2', timeout '3'");
my $session = ModalSession->new($node);
$session->begin(q{SELECT pg_temp.outcome('SELECT modal_remote(''lame:deaf'', 1)')});
do
{
	sql("SELECT modal_remote('lame:echo', 1)");
} until sql("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%lame:deaf%' AND pid <> pg_backend_pid()") == 0;
is($session->query(''), '57014', 'a dead connection');
is($session->outcome(q{SELECT count(*) FROM modal_map('lame:echo', 'SELECT g FROM generate_series(1, 4) g')}), '4',
	'a dead connection is not used again');

# A server that stops reading holds up nobody but the one who sends there.
my $wide = HttpPeer->new(http2 => [ '--window', 100_000_000 ]);
$wide->server($node, 'wide', "args 'array', http_version '2', retry_budget '0', connect_timeout '3'");
my $connections = sql('SELECT connections FROM modal_batch.stat_dispatcher');
$session->begin(q{SELECT pg_temp.outcome('SELECT modal_remote(''wide:deaf'', repeat(''x'', 10000000))')});
select undef, undef, undef, 0.05 until $wide->requests;
sleep 1;
sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%wide:deaf%' AND pid <> pg_backend_pid()");
is($session->query(''), '57014', 'a deaf server: cancelled');
is($session->outcome(q{SELECT modal_remote('wide:echo', 1)}), '[1]', 'a deaf server: another connection');
error_like("SET statement_timeout = '2s'; SELECT modal_remote('wide:deaf', 1)", qr/57014: /, 'silence: cancelled');
is($session->outcome(q{SELECT modal_remote('wide:echo', 1)}), '[1]', 'silence: another connection');
is(sql('SELECT connections FROM modal_batch.stat_dispatcher'), $connections + 1, 'the others are closed');

# A server that takes connections, and says nothing: one request finds out for all.
my $mute = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 50) or die $!;
sql("CREATE SERVER mute FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', allow_http 'on',
	url 'http://127.0.0.1:${\ $mute->sockport}', http_version '2', timeout '0', connect_timeout '3', retry_budget '0')");
my $start = time;
error_like("SELECT count(*) FROM modal_map('mute:x', 'SELECT g FROM generate_series(1, 8) g')",
	qr/08001: .*server does not answer/, 'a mute server');
cmp_ok(time - $start, '<', 20, 'a mute server: one timeout, not one after another');
$mute->blocking(0);
my @asked;
while (my $client = $mute->accept)
{
	$client->recv(my $said, 65536);
	push @asked, length $said;
}
is(@asked, 1, 'a mute server: one connection');

# --- what would keep others waiting ------------------------------------------

$peer->server($node, 'hose', "args 'array', http_version '2', timeout '60', retry_budget '0', max_reply_bytes '1000000000'");
for my $kind ('data', 'ping', 'settings', 'window', 'priority', 'unknown')
{
	error_like("SELECT modal_remote('hose:flood-$kind', 1)", qr/08006: .*(flood|without end|connection was ended)/i, "a flood: $kind");
}
$session->begin(q{SELECT pg_temp.outcome('SELECT modal_remote(''hose:trickle'', 1)')});
select undef, undef, undef, 0.05 until grep { $_->{path} =~ /trickle/ } $peer->requests;
is(sql("SET statement_timeout = '20s';
	SELECT count(modal_remote('narrow:echo', g)) FROM generate_series(1, 1000) g"), '1000',
	'bytes one by one hold up nobody else');
sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%hose:trickle%' AND pid <> pg_backend_pid()");
is($session->query(''), '57014', '... and can be cancelled');

# --- which HTTP --------------------------------------------------------------

$peer->server($node, 'modern', "$options, retry_budget '0'");
is(sql("SELECT modal_remote('modern:echo', 1), modal_remote('modern:required', 2), modal_remote('modern:echo', 3)"),
	'[1]|"old"|"old"', 'HTTP/1.1, where the server says so');
is(scalar(grep { $_->{path} =~ /required/ } $peer->requests), 1, '... and not once more HTTP/2');

my $h1 = HttpPeer->new;
$h1->server($node, 'h1', "http_version '2', retry_budget '0'");
error_like("SELECT modal_remote('h1:echo', 1)", qr/08001: .*does not offer HTTP\/2/s,
	'no HTTP/2 where it is demanded');
SKIP:
{
	skip 'nginx is not installed', 1 if !Nginx->program;

	my $ca = TestCertificates->new;
	my $nginx = Nginx->new(certificate => [ $ca->issue('localhost') ],
		server => "location / { proxy_pass ${\ $h1->url}; proxy_pass_request_headers on; }");
	sql("CREATE SERVER either FOREIGN DATA WRAPPER modal_batch OPTIONS
		(protocol 'http', url '${\ $nginx->url}/', args 'array', ssl_ca_file '${\ $ca->file}', headers 'X-Kept: yes')");
	is(sql("SELECT modal_remote('either:echo', 5)"), '[5]', 'HTTP/1.1, where nothing else is offered');
	is(($h1->requests)[-1]{headers}{'x-kept'}, 'yes', 'with its headers');
	is(sql("SELECT count(*) FROM modal_map('either:echo', 'SELECT g FROM generate_series(1, 50) g')"), '50',
		'and so from then on');
}

is($waiting->query(''), '08006', 'a dead server is noticed, without any timeout');

$node->stop;
done_testing();
