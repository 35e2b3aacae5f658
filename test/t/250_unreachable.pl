# Copyright (c) 2026, modal_batch contributors

# Services that cannot be reached, are not to be trusted, or do not speak: a
# clear error in good time, which shows no secret; and those that speak plain
# HTTP/2, which work.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use IO::Socket::INET;
use IPC::Open2;
use ModalLocal;
use ModalSession;
use ModalTest;
use Nginx;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TestCertificates;
use Time::HiRes qw(time);

use constant SECRET => 'as-very-secret';

my $ca = TestCertificates->new;
my $local = ModalLocal->new;
my $node = modal_node('main', local => $local);
my $servers = 0;

# Creates a server with these options, and returns its name.
sub server
{
	my ($url, @options) = @_;
	my $name = 's' . ++$servers;
	my $options = join ', ', "url '$url'", @options;

	$node->safe_psql('postgres', qq{
		CREATE SERVER $name FOREIGN DATA WRAPPER modal_batch OPTIONS ($options);
		CREATE USER MAPPING FOR CURRENT_USER SERVER $name
			OPTIONS (token_id 'ak-local', token_secret '${\SECRET}');});
	return $name;
}

sub call
{
	my ($server) = @_;
	my ($status, $out, $err) =
	  modal_psql($node, "SELECT modal_remote('$server:builtin/square', 3)");
	return $out . $err;
}

# A call of such a service fails with this SQLSTATE, and words of explanation.
sub fails
{
	my ($name, $server, $sqlstate, $detail, $hint) = @_;
	my $said = call($server);

	like($said, qr/ERROR:  $sqlstate: \S/, "$name: SQLSTATE $sqlstate");
	like($said, qr/DETAIL:  .*$detail/i, "$name: why");
	like($said, qr/HINT:  .*$hint/, "$name: what to do") if defined $hint;
	unlike($said, qr/${\SECRET}/, "$name: no secret is shown");
	is($node->safe_psql('postgres', "SELECT reachable, authenticated FROM modal_ping('$server')"),
		'f|f', "$name: a ping says so")
	  if $sqlstate eq '08001';
	return;
}

my $local_ca = 'ssl_ca_file ' . "'" . $local->ca_file . "'";
my $test_ca = 'ssl_ca_file ' . "'" . $ca->file . "'";
my $free_port = PostgreSQL::Test::Cluster::get_free_port();

# --- no connection -----------------------------------------------------------

fails('unknown host', server('https://no-such-host.invalid'), '08001',
	'resolve', 'url');
fails('refused', server("https://localhost:$free_port"), '08001', 'connect', 'url');
# Nobody accepts what this socket takes, so there is no TLS handshake.
my $mute = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 50) or die $!;
my $start = time;
fails('accepts, and says nothing',
	server('https://localhost:' . $mute->sockport, "connect_timeout '0.3'"),
	'08001', 'timed? ?out|time', 'url');
cmp_ok(time - $start, '<', 30, 'accepts, and says nothing: known soon');

# A dead service does not keep others waiting.
my $session = ModalSession->new($node);
my $run = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
		"SELECT modal_remote('s3:builtin/square', 3)" ],
	'<', '/dev/null', '&>', \my $said);
$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM modal_batch.activity');
is($session->outcome(q{SELECT modal_remote('local:builtin/square', 3)}), '9',
	'another service answers meanwhile');
is($session->query('SELECT count(*) FROM modal_batch.activity'), '1', 'it was meanwhile');
$run->finish;
like($said, qr/ERROR/, 'the dead one fails');

# --- TLS ---------------------------------------------------------------------

fails('a certificate of an unknown authority', server($local->url, $test_ca),
	'08001', 'certificate', 'ssl_ca_file');
fails('no such file of authorities', server($local->url, "ssl_ca_file '/nowhere/ca.pem'"),
	'08001', 'could not read file "/nowhere/ca.pem" as operating system user', 'ssl_ca_file');
SKIP:
{
	skip 'nginx is not installed', 1 if !Nginx->program;

	my $answer = 'location / { return 200 "{}"; }';
	my $nginx = Nginx->new(certificate => [ $ca->issue('elsewhere.example') ],
		http2 => 1, server => $answer);
	fails('a certificate for another host', server($nginx->url, $test_ca), '08001',
		'does not match|match', 'certificate');
	is(scalar $nginx->requests, 0, 'a certificate for another host: nothing is sent');

	my @old = $ca->issue('localhost', from => '20200101000000Z', until => '20200201000000Z');
	$nginx = Nginx->new(certificate => \@old, http2 => 1, server => $answer);
	fails('an expired certificate', server($nginx->url, $test_ca), '08001',
		'expired', 'certificate');

	my @good = $ca->issue('localhost');
	$nginx = Nginx->new(certificate => \@good, server => $answer);
	fails('no HTTP/2 offered', server($nginx->url, $test_ca), '08001', 'HTTP/2');

	$nginx = Nginx->new(server => $answer);
	fails('TLS to a server without', server($nginx->url =~ s/^http:/https:/r), '08001', 'SSL|TLS');

	$nginx = Nginx->new(certificate => \@good, http2 => 1, server => $answer);
	fails('no TLS to a server with it', server($nginx->url =~ s/^https:/http:/r, "allow_http 'on'"),
		'080..', '.');
	fails('an HTTP/2 service that is no gRPC service', server($nginx->url, $test_ca), '08006', 'gRPC');

	$nginx = Nginx->new(certificate => \@good, http2 => 1, server => 'location / { return 301 http://localhost/; }');
	fails('a redirection', server($nginx->url, $test_ca), '08006', 'gRPC');
}

# The handshake fails for a reason that is not the server's certificate, which is
# not looked at.
my ($certificate, $key) = $ca->issue('localhost');
my $strict = open2(my $out, my $in, 'openssl', 's_server', '-accept', 0, '-tls1_2',
	'-cert', $certificate, '-key', $key, '-Verify', 1, '-verify_return_error');
my $port;
while (!defined $port && defined(my $line = readline $out))
{
	($port) = $line =~ /^ACCEPT .*:(\d+)$/;
}
fails('a server that wants a certificate', server("https://localhost:$port", "ssl_verify 'off'"),
	'08001', 'TLS handshake failed');
kill TERM => $strict;
waitpid $strict, 0;

# The service shows the token that it has given.
my $peer = HttpPeer->new(http2 => []);
like(call(server($peer->url, "allow_http 'on'")), qr/PERMISSION_DENIED: not with \*\*\*/, 'no token of the service is shown');

# --- plain HTTP/2 ------------------------------------------------------------

$node->safe_psql('postgres', qq{
	CREATE SERVER plain FOREIGN DATA WRAPPER modal_batch
		OPTIONS (url '${\ $local->http_url}', allow_http 'on');
	CREATE USER MAPPING FOR CURRENT_USER SERVER plain
		OPTIONS (token_id 'ak-local', token_secret 'as-local');});
is( $session->query(q{SELECT sum(modal_remote('plain:builtin/square', g)::int) FROM generate_series(1, 100) g}),
	'338350', 'plain HTTP/2: one call after another');
cmp_ok($session->query('SELECT connections FROM modal_batch.stat_dispatcher'), '<', 20,
	'plain HTTP/2: over the same connection');
is( $session->query(q{SELECT count(*), sum(result::int) FROM modal_map('plain:builtin/echo', 'SELECT g FROM generate_series(1, 5000) g')}),
	'5000|12502500', 'plain HTTP/2: a map');
is( $session->query(q{SELECT length(modal_remote('plain:builtin/echo', repeat('x', 3000000))::text)}),
	'3000002', 'plain HTTP/2: blobs');
is($session->query(q{SELECT count(*) FROM modal_remote_gen('plain:builtin/count', 1000)}), '1000',
	'plain HTTP/2: a generator');

# --- silence -----------------------------------------------------------------

# Known is the service, and connected; then it stops.
my $quiet = server($local->url, $local_ca, "response_timeout '0.5'", "connect_timeout '0.5'");
$node->safe_psql('postgres', "ALTER USER MAPPING FOR CURRENT_USER SERVER $quiet OPTIONS (SET token_secret 'as-local')");
is($session->outcome("SELECT modal_remote('$quiet:builtin/square', 3)"), '9', 'a service that answers');
kill 'STOP', $local->pid;
$start = time;
is($session->outcome("SELECT modal_remote('$quiet:builtin/square', 3)"), '08001', 'and then falls silent, for new connections too');
cmp_ok(time - $start, '<', 30, 'is known to be silent soon');
# Who does not want to wait for it, need not.
$session->query("SET statement_timeout = '500ms'");
$start = time;
is($session->outcome(q{SELECT modal_remote('local:builtin/square', 3)}), '57014', 'silence: a call can be cancelled');
is($session->outcome(q{SELECT count(*) FROM modal_map('local:builtin/square', ARRAY[1, 2])}), '57014', 'silence: so can a map');
cmp_ok(time - $start, '<', 10, 'silence: the session is free at once');
$session->query("SET statement_timeout = '60s'");
ok( $node->poll_query_until('postgres', 'SELECT sum(calls) = 0 FROM modal_batch.stat_dispatcher'),
	'silence: the dispatcher has nothing of them');
kill 'CONT', $local->pid;
is($session->outcome("SELECT modal_remote('$quiet:builtin/square', 3)"), '9', 'it comes back');
is($session->outcome(q{SELECT modal_remote('local:builtin/square', 3)}), '9', 'for others as well');

# A request is repeated, on another connection.
$local->set_faults("FunctionMap nth=1 delay=8\n");
is($session->outcome("SELECT modal_remote('$quiet:builtin/square', 3)"), '9', 'one request is never answered');
$local->set_faults("FunctionPutInputs nth=2 delay=8\nFunctionGetOutputs nth=2 delay=8\n");
is($session->outcome("SELECT count(DISTINCT result) FROM modal_map('$quiet:builtin/echo', 'SELECT g FROM generate_series(1, 1000) g')"),
	'1000', 'nor are two of a map');
ok( $node->poll_query_until('postgres', 'SELECT sum(calls) = 0 FROM modal_batch.stat_dispatcher'),
	'nothing is left in the dispatcher');

$session->quit;
$node->stop;
done_testing();
