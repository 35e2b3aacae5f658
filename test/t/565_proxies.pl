# Copyright (c) 2026, modal_batch contributors

# Every kind of proxy, for HTTP/1.1 and HTTP/2, plain and in TLS.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use ModalTest;
use Nginx;
use PostgreSQL::Test::Utils;
use Test::More;
use TestCertificates;

my $ca = TestCertificates->new;
# Who vouches for a proxy is known to the system.
my $node = modal_node('main');
my $log = PostgreSQL::Test::Utils::tempdir . '/proxy.log';
my $peer = HttpPeer->new;
my $h2 = HttpPeer->new(http2 => []);

$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');

sub sql { return $node->safe_psql('postgres', @_) }

# Its port; ends with the test.
my @pipes;
my @pids;
sub proxy
{
	push @pids, open(my $out, '-|', 'python3', "$ENV{MODAL_TOP}/test/http/proxy.py", $log, @_) || die $!;
	push @pipes, $out;
	chomp(my $port = readline $out);
	return $port;
}
END { local $?; kill 'KILL', @pids if @pids }

my $number = 0;
sub server
{
	my ($url, $proxy, $options, $credentials) = @_;
	my $name = 's' . ++$number;

	sql("CREATE SERVER $name FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', url '$url', allow_http 'on',
		args 'array', retry_budget '0', proxy '$proxy'$options)");
	sql("CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS (proxy_credentials '$credentials')")
	  if defined $credentials;
	return $name;
}

# What the proxy has noted since the last time.
my $seen = 0;
sub noted
{
	my @lines = split /\n/, slurp_file($log);
	my @new = @lines[ $seen .. $#lines ];

	$seen = @lines;
	# which of its addresses "localhost" is first differs from machine to machine
	return join '; ', map { s/ ::1 / 127.0.0.1 /r } @new;
}

my $plain = proxy();

# scheme, what is spoken where the URL is plain, and else; the host as a name may be given
for my $case (
	[ 'http', 'forward localhost', 'connect localhost' ],
	[ 'socks4', 'socks4 127.0.0.1', 'socks4 127.0.0.1' ],
	[ 'socks4a', 'socks4 localhost', 'socks4 localhost' ],
	[ 'socks5', 'socks5 127.0.0.1', 'socks5 127.0.0.1' ],
	[ 'socks5h', 'socks5 localhost', 'socks5 localhost' ])
{
	my ($scheme, $forward, $tunnel) = @$case;
	my $proxy = "$scheme://localhost:$plain";
	my $user = $scheme =~ /socks4/ ? 'me' : 'me:secret';

	for my $credentials (undef, 'me:secret')
	{
		my $who = defined $credentials ? $user : '-';
		my $name = server('http://localhost:' . $peer->port, $proxy, '', $credentials);
		is(sql("SELECT modal_remote('$name:echo', 1), modal_remote('$name:echo', 2)"), '[1]|[2]',
			"$scheme, HTTP/1.1, " . ($credentials // 'nobody'));
		is(noted(), "$forward $who", '... one connection');
		$name = server('http://localhost:' . $h2->port, $proxy, ", http_version '2'", $credentials);
		is(sql("SELECT modal_remote('$name:echo', 1)"), '[1]', "$scheme, HTTP/2");
		is(noted(), "$tunnel $who", '... through a tunnel');
	}
	SKIP:
	{
		skip 'nginx is not installed', 4 if !Nginx->program;
		my $nginx = Nginx->new(certificate => [ $ca->issue('localhost') ], http2 => 1,
			server => 'location / { return 200 "\"$server_protocol\""; }');
		for my $version ('1.1', '2')
		{
			my $name = server($nginx->url, $proxy, ", http_version '$version', ssl_ca_file '${\ $ca->file}'");
			like(sql("SELECT modal_remote('$name:x')"), qr/HTTP\/$version/, "$scheme, TLS, HTTP/$version");
			is(noted(), "$tunnel -", '... through a tunnel');
		}
	}
}

# What proxies refuse, and who is none.
my $target = 'http://127.0.0.1:' . $peer->port;
my @bad = (
	[ server($target, "socks5://localhost:$plain", '', 'me:wrong'), qr/08001: .*SOCKS5/ ],
	[ server("http://127.0.0.1:1", "socks5://localhost:$plain", ''), qr/08001: / ],
	[ server($target, "http://localhost:${\ $peer->port}", ", http_version '2'"), qr/08001: .*501/ ],
	[ server($target, "socks5://localhost:${\ $peer->port}", ", connect_timeout '1'"), qr/08001: / ],
	[ server($target, "gopher://localhost:$plain", ''), qr/(08001|08P01): .*proxy scheme/ ],
	[ server($target, 'http://localhost:1', ''), qr/08001: .*Failed to connect to (localhost|proxy)/ ]);
for my $bad (@bad)
{
	my ($name, $pattern) = @$bad;
	sql_fails($node, "SELECT modal_remote('$name:echo', 1)", $pattern, "refused: $pattern");
}
is(sql('SELECT requests_active FROM modal_batch.stat_dispatcher'), '0', 'nothing is left');

$node->stop;
done_testing();
