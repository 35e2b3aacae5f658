# Copyright (c) 2026, modal_batch contributors

# Every option of an HTTP server and its user mappings, as the service sees it.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use IPC::Run ();
use IO::Socket::INET;
use JSON::PP qw(decode_json);
use ModalTest;
use Nginx;
use PostgreSQL::Test::Utils;
use Test::More;
use TestCertificates;

my $peer = HttpPeer->new;
my $node = modal_node('main');

$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');

sub sql { return $node->safe_psql('postgres', @_) }

sub error_like { return sql_fails($node, @_) }

sub headers_of
{
	my ($server) = @_;
	return decode_json(sql("SELECT modal_remote('$server:headers')"));
}

# What every request carries.
$peer->server($node, 'plain');
my $headers = headers_of('plain');
is($headers->{'content-type'}, 'application/json', 'content type');
like($headers->{'user-agent'}, qr/^modal_batch\/\d/, 'user agent');
like($headers->{'idempotency-key'}, qr/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f-]{17}/, 'a key');
ok(!exists $headers->{authorization}, 'no credentials unless given');
ok(!exists $headers->{'accept-encoding'}, 'no compression unless asked for');

# Method, headers, user agent.
$peer->server($node, 'put', "method 'PUT', user_agent 'shop/1', headers
	E'X-One: 1\nX-Two: a: b\nContent-Type: application/vnd.shop+json'");
$headers = headers_of('put');
is(($peer->requests)[-1]{method}, 'PUT', 'method');
is($headers->{'user-agent'}, 'shop/1', 'option user_agent');
is("$headers->{'x-one'} $headers->{'x-two'}", '1 a: b', 'option headers');
is($headers->{'content-type'}, 'application/vnd.shop+json', 'which replace ours');

# Credentials are in the user mapping.
sql("CREATE USER MAPPING FOR CURRENT_USER SERVER put OPTIONS (bearer_token 'tok-s3cret')");
is(headers_of('put')->{authorization}, 'Bearer tok-s3cret', 'bearer token');
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER put
	OPTIONS (DROP bearer_token, ADD basic_credentials 'dXNlcjpwYXNz')");
is(headers_of('put')->{authorization}, 'Basic dXNlcjpwYXNz', 'basic credentials');
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER put
	OPTIONS (DROP basic_credentials, ADD modal_key 'wk-1', ADD modal_secret 'ws-s3cret')");
$headers = headers_of('put');
is("$headers->{'modal-key'} $headers->{'modal-secret'}", 'wk-1 ws-s3cret',
	'Modal proxy token');
error_like("CREATE SERVER bad FOREIGN DATA WRAPPER modal_batch
	OPTIONS (protocol 'http', url 'https://x', bearer_token 'x')",
	qr/HV00D.*option of user mappings/s, 'no secrets in a server');

# A service that shows the secret: it does not get far.
$peer->server($node, 'telltale', "method 'PUT'");
sql("CREATE USER MAPPING FOR CURRENT_USER SERVER telltale OPTIONS (bearer_token 'tok-s3cret')");
error_like("SELECT modal_remote('telltale:tell')", qr/status 400: .*Bearer/, 'an error');
my ($status, $out, $err) = modal_psql($node, "SELECT modal_remote('telltale:tell')");
unlike($err, qr/tok-s3cret/, 'has no secret, though the service gave it back');

$peer->server($node, 'telltale_rows', "format 'bigquery'");
sql("CREATE USER MAPPING FOR PUBLIC SERVER telltale_rows OPTIONS (bearer_token 'tok-s3cret')");
my $told = "FROM modal_map('telltale_rows:tell-code', 'SELECT 1', on_error => 'return')";
like(sql("SELECT error->>'type' $told"), qr/^I got Bearer \*\*\* x+$/, "nor has a row error's code");
is(sql("SELECT length(error->>'type') $told"), 256, 'which may not be long');
for (['basic', "basic_credentials 'bWU6PHMzY3JldCAmIDEwMT4='"], ['proxied', "proxy_credentials 'me:%3Cs3cret%20%26%20101%3E'"])
{
	my ($name, $mapping) = @$_;
	$peer->server($node, "tells_$name", $name eq 'proxied' ? "proxy '${\ $peer->url}'" : ());
	sql("CREATE USER MAPPING FOR CURRENT_USER SERVER tells_$name OPTIONS ($mapping)");
	$err = (modal_psql($node, "SELECT modal_remote('tells_$name:tell-page', 1)"))[2];
	like($err, qr/status 400: wrong: me:\*\*\*\n/, "$name: nor has a page the password");
}

# Compression, both ways.
$peer->server($node, 'packed', "gzip 'on', format 'json-lines'");
$peer->server($node, 'packed_one', "gzip 'on'");
is(sql("SELECT count(*), max(length(result->>0)) FROM modal_map('packed:echo',
	'SELECT repeat(''x'', 1000) FROM generate_series(1, 300)')"), '300|1000',
	'compressed requests');
ok((grep { ($_->{headers}{'content-encoding'} // '') eq 'gzip' } $peer->requests) > 0,
	'they were');
is(sql("SELECT modal_remote('packed_one:raw-gzip')"), '"packed"', 'compressed replies');
is(sql("SELECT modal_remote('packed_one:raw-members')"), '"two members"', 'of several gzip members');

# Timeouts.
$peer->server($node, 'slow', "timeout '0.3', retry_budget '0'");
error_like("SELECT modal_remote('slow:sleep-2000/echo', 1)", qr/57014: .*timed out/, 'timeout');
error_like("SELECT modal_remote('slow:raw-drip', 1)", qr/57014: .*timed out/, 'a slow drip');
$peer->server($node, 'first', "first_byte_timeout '0.3', retry_budget '0'");
error_like("SELECT modal_remote('first:sleep-2000/echo', 1)",
	qr/57014: .*did not answer in time/, 'first_byte_timeout');

# An address that answers nobody: a listener whose queue is full.
my $deaf = IO::Socket::INET->new(Listen => 0, LocalAddr => '127.0.0.1', Proto => 'tcp');
my @queue;
for (1 .. 10)
{
	push @queue, IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $deaf->sockport,
		Timeout => 0.3) // last;
}
SKIP:
{
	skip 'no way to fill a queue of connections', 1 if @queue == 10;
	sql("CREATE SERVER deaf FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http',
		url 'http://127.0.0.1:${\ $deaf->sockport}', allow_http 'on', connect_timeout '0.2',
		timeout '5', retry_budget '0')");
	error_like("SELECT modal_remote('deaf:echo', 1)", qr/08001: .*failed/, 'connect_timeout');
}

# Limits of a batch.
$peer->server($node, 'rows', "format 'json-lines', max_batch_rows '7'");
sql("SELECT count(*) FROM modal_map('rows:echo', 'SELECT g FROM generate_series(1, 500) g')");
my @sizes = map { scalar(split /\n/, $_->{body}) } $peer->requests;
ok((grep { $_ > 7 } @sizes) == 0 && (grep { $_ == 7 } @sizes) > 30, 'max_batch_rows');
$peer->server($node, 'bytes', "format 'json-lines', max_batch_bytes '2000'");
sql("SELECT count(*) FROM modal_map('bytes:echo',
	'SELECT repeat(''x'', 400) FROM generate_series(1, 300)')");
ok((grep { length($_->{body}) > 2100 } $peer->requests) == 0, 'max_batch_bytes');
sql("SELECT modal_remote('bytes:echo', repeat('x', 5000))");
is(length(($peer->requests)[-1]{body}), 5005, 'a larger row goes alone');

# Requests at once: the peer refuses more than it may get.
$peer->server($node, 'three', "max_concurrency '3'");
is(sql("SELECT count(*) FROM modal_map('three:throttle-3/echo',
	'SELECT g FROM generate_series(1, 100) g')"), '100', 'max_concurrency');
is(scalar($peer->requests), 100, 'never more at once than that');
error_like("ALTER SERVER three OPTIONS (SET max_concurrency '$_')", qr/HV024: .*whole number from 1 to 10000, in digits/s,
	"max_concurrency '$_'") for '0.3e1', '3.0', '3.';
error_like("ALTER SERVER three OPTIONS (ADD max_failures '1e9')", qr/HV024: .*from 0 to 1000000000, in digits/s, 'max_failures');
# It holds also where the validator has once taken such a value.
sql(q{UPDATE pg_foreign_server SET srvoptions = array_replace(srvoptions, 'max_concurrency=3', 'max_concurrency=0.3e1') WHERE srvname = 'three'});
is(sql("SELECT count(*) FROM modal_map('three:throttle-3/echo',
	'SELECT g FROM generate_series(1, 100) g')"), '100', 'max_concurrency, written otherwise');
is(scalar($peer->requests), 100, 'nor more than that');

# Requests per second.
$peer->server($node, 'paced', "requests_per_second '20'");
sql("SELECT count(*) FROM modal_map('paced:echo', 'SELECT g FROM generate_series(1, 15) g')");
my @paced = $peer->requests;
cmp_ok($paced[-1]{time} - $paced[0]{time}, '>', 0.6, 'requests_per_second');

# Both hold for the server, however many roles call.
$peer->server($node, 'shared', "requests_per_second '20'");
$peer->server($node, 'narrow', "max_concurrency '3'");
sql("CREATE ROLE caller$_ LOGIN; GRANT USAGE ON FOREIGN SERVER shared, narrow TO caller$_") for 1 .. 3;

sub as_three_roles
{
	my ($query) = @_;
	my @runs = map {
		my $out = '';
		my $run = IPC::Run::start(
			[ 'psql', '-XAtq', '-d', $node->connstr('postgres') . " user=caller$_", '-c', $query ],
			'<', '/dev/null', '>', \$out);
		[ $run, \$out ];
	} 1 .. 3;
	$_->[0]->finish for @runs;
	return join ' ', map { ${ $_->[1] } =~ s/\n//r } @runs;
}

$peer->forget;
is(as_three_roles("SELECT count(*) FROM modal_map('shared:echo', 'SELECT g FROM generate_series(1, 8) g')"),
	'8 8 8', 'three roles at one server');
@paced = $peer->requests;
cmp_ok($paced[-1]{time} - $paced[0]{time}, '>', 1.0, 'requests_per_second, of all roles together');
is(as_three_roles("SELECT count(*) FROM modal_map('narrow:throttle-3/echo', 'SELECT g FROM generate_series(1, 50) g')"),
	'50 50 50', 'three roles, at once');
is(scalar($peer->requests), 150, 'max_concurrency, of all roles together');

# TLS, HTTP/2, certificates, with nginx.
SKIP:
{
	skip 'nginx is not installed', 17 if !Nginx->program;
	my $ca = TestCertificates->new;
	my $other_ca = TestCertificates->new;
	my ($client_cert, $client_key) = $ca->issue('client');
	my $nginx = Nginx->new(
		certificate => [ $ca->issue('localhost') ],
		http2 => 1,
		http => 'log_format v "$server_protocol $ssl_client_verify";',
		server => "
			ssl_client_certificate ${\ $ca->file};
			ssl_verify_client optional;
			access_log logs.txt v;
			client_max_body_size 1k;
			location /version { return 200 '\"\$server_protocol\"'; }
			location /client { if (\$ssl_client_verify != SUCCESS) { return 403; }
				return 200 '\"welcome\"'; }
			location / { proxy_pass ${\ $peer->url}; proxy_http_version 1.1;
				proxy_set_header Connection ''; }");
	my $tls = sub {
		my ($name, $options) = @_;
		sql("CREATE SERVER $name FOREIGN DATA WRAPPER modal_batch OPTIONS
			(protocol 'http', url '${\ $nginx->url}', $options)");
	};

	$tls->('h2', "ssl_ca_file '${\ $ca->file}'");
	is(sql("SELECT modal_remote('h2:version')"), '"HTTP/2.0"', 'HTTP/2 over TLS');
	$tls->('h1', "ssl_ca_file '${\ $ca->file}', http_version '1.1'");
	is(sql("SELECT modal_remote('h1:version')"), '"HTTP/1.1"', "http_version '1.1'");
	is(sql("SELECT detail FROM modal_ping('h2')"), 'HTTP/2 status 404', 'ping tells which');
	is(sql("SELECT count(*) FROM modal_map('h2:echo', 'SELECT g FROM generate_series(1, 300) g')"),
		'300', 'many streams of one connection');
	cmp_ok(sql('SELECT connections FROM modal_batch.stat_dispatcher'), '<', 80,
		'which are kept');

	$tls->('unknown', "ssl_ca_file '${\ $other_ca->file}'");
	error_like("SELECT modal_remote('unknown:version')",
		qr/08001: .*certificate.*ssl_ca_file/s, 'an unknown authority');
	$tls->('unverified', "ssl_verify 'off'");
	is(sql("SELECT modal_remote('unverified:version')"), '"HTTP/2.0"', 'ssl_verify off');
	error_like("SELECT modal_remote('h2:client')", qr/28000: .*status 403/, 'no client certificate');
	$tls->('client', "ssl_ca_file '${\ $ca->file}', ssl_cert_file '$client_cert',
		ssl_key_file '$client_key'");
	is(sql("SELECT modal_remote('client:client')"), '"welcome"', 'a client certificate');
	error_like("SELECT modal_remote('h2:echo', repeat('x', 2000))",
		qr/38000: .*status 413/, 'a body that nginx finds too large');

	my $locked = "$client_key.locked";
	system('openssl', 'pkey', '-aes256', '-passout', 'pass:secret', '-in', $client_key, '-out', $locked) == 0
	  or die 'openssl';
	chmod 0644, $locked;
	for my $version ('1.1', '2')
	{
		my $name = 'locked' . int $version;
		$tls->($name, "ssl_ca_file '${\ $ca->file}', ssl_cert_file '$client_cert',
			ssl_key_file '$locked', http_version '$version'");
		error_like("SELECT modal_remote('$name:client')", qr/08001: .*(must have no passphrase|private key)/,
			"a key with a passphrase, HTTP/$version");
	}

	# A session is resumed by the next connection; what comes with it is no answer.
	my $brief = Nginx->new(certificate => [ $ca->issue('localhost') ], http2 => 1,
		server => 'keepalive_requests 2; location / { return 200 "[\"$ssl_session_reused\", $connection]"; }');
	sql("CREATE SERVER brief FOREIGN DATA WRAPPER modal_batch OPTIONS
		(protocol 'http', url '${\ $brief->url}', ssl_ca_file '${\ $ca->file}')");
	my @answers = map { sql("SELECT modal_remote('brief:x')") } 1 .. 4;
	my @numbers = map { /(\d+)/ } @answers;
	is("$numbers[0] $numbers[2]", "$numbers[1] $numbers[3]", 'TLS: a connection is used again');
	like($answers[2], qr/"r"/, 'TLS: the next one resumes the session');

	my $proxy = Nginx->new(server =>
		"location / { proxy_pass ${\ $peer->url}; proxy_set_header X-Proxy yes; }");
	$peer->server($node, 'proxied', "proxy '${\ $proxy->url}'");
	is(headers_of('proxied')->{'x-proxy'}, 'yes', 'through a proxy');

	my $plain2 = Nginx->new(http2 => 1,
		server => 'location / { return 200 "[\"$server_protocol\", $connection]"; }');
	sql("CREATE SERVER h2c FOREIGN DATA WRAPPER modal_batch OPTIONS
		(protocol 'http', url '${\ $plain2->url}', allow_http 'on', http_version '2')");
	is(sql("SELECT modal_remote('h2c:x')->0"), '"HTTP/2.0"', 'HTTP/2 without TLS');
	my %connections = map { sql("SELECT modal_remote('h2c:x')->1") => 1 } 1 .. 5;
	is(keys %connections, 1, 'five calls over the same connection');
}

# What the validator says.
error_like("CREATE SERVER bad FOREIGN DATA WRAPPER modal_batch
	OPTIONS (protocol 'http', url 'https://x', max_concurency '3')",
	qr/HV00D.*Perhaps you meant the option "max_concurrency"/s, 'a typing error');
error_like("CREATE SERVER bad FOREIGN DATA WRAPPER modal_batch
	OPTIONS (protocol 'http', url 'http://x')", qr/needs option "allow_http"/, 'plain text');
error_like("CREATE SERVER bad FOREIGN DATA WRAPPER modal_batch
	OPTIONS (protocol 'http', url 'https://x', headers 'Authorization: Bearer x')",
	qr/belong into the user mapping/, 'a secret among the headers');

$node->stop;
done_testing();
