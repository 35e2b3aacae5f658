# Copyright (c) 2026, modal_batch contributors

# Where calls go, and as whom: environments, versions, warnings of the service,
# the configuration of the server's operating system user, lists of URLs, and
# proxies.

use strict;
use warnings FATAL => 'all';

use IO::Select;
use IO::Socket::INET;
use MIME::Base64;
use ModalLocal;
use ModalTest;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

delete @ENV{ grep { /^MODAL_(?:TOKEN|PROFILE|ENVIRONMENT|SERVER|CONFIG|MAX)/ } keys %ENV };
my $config = PostgreSQL::Test::Utils::tempdir . '/modal.toml';
$ENV{MODAL_CONFIG_PATH} = $config;

my $local = ModalLocal->new;
my $node = modal_node('main', local => $local, conf => "statement_timeout = '${PostgreSQL::Test::Utils::timeout_default}s'\n");
my ($url, $ca) = ($local->url, $local->ca_file);

sub result_is { return sql_is($node, @_) }
sub fails_like
{
	my ($sql, $pattern, $name) = @_;
	my ($status, $out, $err) = modal_psql($node, $sql);
	unlike($err, qr/as-/, "$name: no secret is told");
	return like($err, $pattern, $name);
}

sub create_server
{
	my ($name, $options) = @_;
	return $node->safe_psql('postgres', qq{CREATE SERVER $name FOREIGN DATA WRAPPER modal_batch
		OPTIONS (ssl_ca_file '$ca', $options)});
}

sub create_mapped_server
{
	my ($name, $options) = @_;
	create_server($name, $options);
	return $node->safe_psql('postgres',
		"CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS (token_id 'ak-local', token_secret 'as-local')");
}

sub write_config
{
	my ($text) = @_;
	open my $file, '>', $config or die $!;
	print $file $text;
	close $file or die $!;
	return;
}

subtest 'environments and versions' => sub {
	$local->clear_log;
	result_is(q{SELECT modal_remote('local:builtin/echo@1', 1)}, '1', 'a version');
	is(($local->requests('FunctionGet'))[0]{version}, 1, 'is asked for');
	fails_like(q{SELECT modal_remote('local:builtin/echo@2', 1)}, qr/42883: remote function "builtin\/echo" does not exist/,
		'one that was never deployed');
	result_is(q{SELECT modal_remote('local:builtin/Counter{"name": "x"}.add@1', 2)}, '2', 'of a class');
	is(($local->requests('FunctionGet'))[-1]{version}, 1, 'too');
	create_mapped_server('main_env', "url '$url', environment 'main'");
	result_is(q{SELECT modal_remote('main_env:builtin/echo', 2)}, '2', 'an environment');
	is(($local->requests('FunctionGet'))[-1]{environment}, 'main', 'is asked for');
	create_mapped_server('other_env', "url '$url', environment 'other'");
	fails_like(q{SELECT modal_remote('other_env:builtin/echo', 2)},
		qr/42883: .*DETAIL: .*environment "other".*HINT: .*deployed in this environment/s, 'one that is not there');
};

subtest 'warnings' => sub {
	create_mapped_server('warned', "url '$url', client_version 'deprecated'");
	for my $call (q{modal_remote('warned:builtin/echo', 1)}, q{modal_ping('warned')})
	{
		my ($status, $out, $err) = modal_psql($node, "SELECT $call");
		like($err, qr/WARNING: .*This client version is deprecated\./, "$call warns");
		is($status, 0, 'and succeeds');
	}
};

subtest 'the configuration of the operating system user' => sub {
	my $good = "server_url = \"$url\"\ntoken_id = \"ak-local\"\ntoken_secret = \"as-local\"\n";
	write_config("[default]\n$good");
	create_server('os', q{use_os_config 'on'});
	create_server('plain', "url '$url'");
	result_is(q{SELECT modal_remote('os:builtin/echo', 1)}, '1', 'file with default profile');
	fails_like(q{SELECT modal_remote('plain:builtin/echo', 1)}, qr/28000: user .* has no user mapping/, 'only with the option');
	write_config("[work]\n$good\nactive = true\n[home]\ntoken_id = \"ak-home\"\n");
	result_is(q{SELECT modal_remote('os:builtin/echo', 2)}, '2', 'the active profile');
	write_config("[default]\n$good" =~ s/as-local/as-wrong/r);
	fails_like(q{SELECT modal_remote('os:builtin/echo', 3)}, qr/28000/, 'a change counts at once');
	$node->safe_psql('postgres',
		q{CREATE USER MAPPING FOR CURRENT_USER SERVER os OPTIONS (token_id 'ak-local', token_secret 'as-local')});
	result_is(q{SELECT modal_remote('os:builtin/echo', 4)}, '4', 'a user mapping comes first');
	$node->safe_psql('postgres', q{DROP USER MAPPING FOR CURRENT_USER SERVER os});
	write_config("[default]\n$good" . "environment = 'other'\n");
	fails_like(q{SELECT modal_remote('os:builtin/echo', 5)}, qr/42883: .*environment "other"/s, 'its environment');
	$node->safe_psql('postgres', q{ALTER SERVER os OPTIONS (ADD environment 'main')});
	result_is(q{SELECT modal_remote('os:builtin/echo', 5)}, '5', 'an option of the server comes first');
	$node->safe_psql('postgres', q{ALTER SERVER os OPTIONS (DROP environment)});
	write_config("[a]\nactive = true\n[b]\nactive = true\n");
	fails_like(q{SELECT modal_remote('os:builtin/echo', 6)}, qr/F0000: file ".*modal\.toml" cannot be used.*several profiles/s,
		'two active profiles');
	write_config("[default]\ntoken_id = \"ak\n");
	fails_like(q{SELECT modal_remote('os:builtin/echo', 6)}, qr/F0000: .*DETAIL:  Line 2: a string does not end/s, 'bad syntax');
	write_config("[default]\n$good" =~ s/https:/ftp:/r);
	fails_like(q{SELECT modal_remote('os:builtin/echo', 6)}, qr/HV024: invalid value for option "url"/, 'a bad value');
	write_config('x' x 70000);
	fails_like(q{SELECT modal_remote('os:builtin/echo', 6)}, qr/F0000: file .* is larger than/, 'a huge file');
	unlink $config;
	fails_like(q{SELECT modal_remote('os:builtin/echo', 6)}, qr/28000: .*has no token/, 'no file');
	{
		my $home = PostgreSQL::Test::Utils::tempdir;
		local $ENV{HOME} = $home;
		delete local $ENV{MODAL_CONFIG_PATH};
		append_to_file("$home/.modal.toml", "[default]\n$good");
		$node->restart;
		result_is(q{SELECT modal_remote('os:builtin/echo', 6)}, '6', 'the file in the home directory');
	}
	$node->restart;

	$node->safe_psql('postgres', q{CREATE ROLE owner LOGIN; GRANT USAGE ON FOREIGN DATA WRAPPER modal_batch TO owner;
		ALTER SERVER os OWNER TO owner});
	fails_like(q{SET ROLE owner; CREATE SERVER mine FOREIGN DATA WRAPPER modal_batch OPTIONS (use_os_config 'on')},
		qr/42501: permission denied to set option "use_os_config"/, 'only superusers may ask for it');
	fails_like(q{SET ROLE owner; ALTER SERVER os OPTIONS (ADD url 'https://elsewhere.example')},
		qr/42501/, 'nor may others send its token elsewhere');

	write_config("[default]\n$good" =~ s/as-local/as-wrong/r . "\n[third]\nactive = true\ntoken_id = 'ak-x'\n");
	local $ENV{MODAL_TOKEN_ID} = 'ak-local';
	local $ENV{MODAL_TOKEN_SECRET} = 'as-local';
	local $ENV{MODAL_PROFILE} = 'default';
	$node->restart;
	result_is(q{SELECT modal_remote('os:builtin/echo', 7)}, '7', 'variables come before the file, $MODAL_PROFILE chooses');
};

subtest 'lists of URLs' => sub {
	my $dead = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die $!;
	my $port = $dead->sockport;
	close $dead;
	create_mapped_server('several', "url 'https://localhost:$port,$url'");
	result_is(q{SELECT modal_remote('several:builtin/echo', 1)}, '1', 'the second URL when the first cannot be reached');
	result_is(q{SELECT sum(result::int) FROM modal_map('several:builtin/echo', 'SELECT g FROM generate_series(1, 500) g')},
		'125250', 'a map');
	create_mapped_server('silent', "url 'https://localhost:$port', connect_timeout '1'");
	fails_like(q{SELECT modal_remote('silent:builtin/echo', 1)}, qr/08001/, 'nobody there');
	result_is(q{SELECT reachable, authenticated FROM modal_ping('silent')}, 'f|f', 'which modal_ping tells');
};

# CONNECT, and bytes back and forth; logs a line for each connection.
sub serve_proxy
{
	my ($listener, $log) = @_;
	my $select = IO::Select->new($listener);
	my %peer;

	while (my @ready = $select->can_read)
	{
		for my $socket (@ready)
		{
			if ($socket == $listener)
			{
				my $client = $listener->accept or next;
				my $head = '';
				while ($head !~ /\r\n\r\n/)
				{
					sysread($client, $head, 1, length $head) or last;
				}
				my ($target) = $head =~ /^CONNECT (\S+)/ or next;
				my $server = IO::Socket::INET->new(PeerAddr => $target) or next;
				syswrite $client, "HTTP/1.1 200 Connected\r\n\r\n";
				my ($credentials) = $head =~ /^Proxy-Authorization: Basic (\S+)/mi;
				append_to_file($log, "$target " . decode_base64($credentials // '') . "\n");
				$peer{$client} = $server;
				$peer{$server} = $client;
				$select->add($client, $server);
				next;
			}
			my $other = $peer{$socket} or next;
			my $n = sysread $socket, my $bytes, 65536;
			if ($n)
			{
				my $at = 0;
				while ($at < $n)
				{
					my $written = syswrite $other, $bytes, $n - $at, $at;
					last if !defined $written;
					$at += $written;
				}
				next;
			}
			$select->remove($socket, $other);
			delete @peer{ $socket, $other };
			close $_ for $socket, $other;
		}
	}
	return;
}

subtest 'proxies' => sub {
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 10) or die $!;
	my $port = $listener->sockport;
	my $log = PostgreSQL::Test::Utils::tempdir . '/proxy.log';
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		$SIG{PIPE} = 'IGNORE';
		serve_proxy($listener, $log);
		POSIX::_exit(0);
	}
	create_mapped_server('proxied', "url '$url', proxy 'http://127.0.0.1:$port'");
	result_is(q{SELECT modal_remote('proxied:builtin/echo', 1)}, '1', 'a call through a proxy');
	like(slurp_file($log), qr/^localhost:\d+ $/m, 'which has seen it');
	$node->safe_psql('postgres',
		q{ALTER USER MAPPING FOR CURRENT_USER SERVER proxied OPTIONS (ADD proxy_credentials 'me:a%3Ab')});
	result_is(q{SELECT modal_remote('proxied:builtin/echo', 1)}, '1', 'with a name and a password');
	like(slurp_file($log), qr/^localhost:\d+ me:a:b$/m, '... which it got');
	fails_like(q{ALTER SERVER proxied OPTIONS (SET proxy 'http://me:secret@127.0.0.1:1')},
		qr/^(?!.*me:secret).*HV024.*"proxy_credentials" of user mappings/s, 'not where all can see them');
	kill 'KILL', $pid;
	waitpid $pid, 0;
	local $ENV{HTTPS_PROXY} = 'http://127.0.0.1:1';
	$node->restart;
	result_is(q{SELECT modal_remote('local:builtin/echo', 1)}, '1', 'the environment of the server names none');
	fails_like(q{SET ROLE owner; CREATE SERVER p FOREIGN DATA WRAPPER modal_batch OPTIONS (proxy 'http://x')},
		qr/42501/, 'nor do ordinary users');
};

$node->stop;
done_testing();
