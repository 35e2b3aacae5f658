# Copyright (c) 2026, modal_batch contributors

# modal_batch.allowed_hosts: to which addresses connections are made, whatever name leads there.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $peer = HttpPeer->new;
my $node = modal_node('main');
my $port = $peer->port;

$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');

sub sql { return $node->safe_psql('postgres', @_) }

sub server
{
	my ($name, $host, $options) = @_;
	sql("CREATE SERVER $name FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http',
		url 'http://$host', allow_http 'on', retry_budget '0', connect_timeout '3'${\ ($options // '')})");
	return;
}

# The setting of a running server, as the dispatcher has it.
my $marks = 0;

sub allow
{
	my ($list) = @_;
	my $log = -s $node->logfile;
	$node->safe_psql('postgres', "ALTER SYSTEM SET modal_batch.allowed_hosts = '$list'");
	sql('SELECT pg_reload_conf()');
	$node->poll_query_until('postgres', "SHOW modal_batch.allowed_hosts", $list)
	  or die "the setting is not '$list'";
	return;
}

# The dispatcher reads it in its next turn, so what is asked may come first.
sub becomes
{
	my ($query, $like, $name) = @_;
	my ($status, $out, $err);
	for (1 .. 600)
	{
		($status, $out, $err) = modal_psql($node, $query);
		return pass($name) if "$out$err" =~ $like;
		select undef, undef, undef, 0.1;
	}
	return is("$out$err", "$like", $name);
}

my $refused = qr/42501: .*connections to this host are not allowed.*modal_batch\.allowed_hosts/s;

server('literal', "127.0.0.1:$port");
server('by_name', "localhost:$port");
server('new_http', "127.0.0.1:$port", ", http_version '2'");
server('metadata', "169.254.169.254:$port");
server('mapped', "[::ffff:169.254.169.254]:$port");
server('decimal', "2852039166:$port");
server('link', "[fe80::1]:$port");
server('old_metadata', "169.254.169.254:$port", ", http_version '2'");

# Empty: everything but where clouds keep credentials.
is(sql("SELECT modal_remote('literal:echo', 1)"), '{"arg1": 1}', 'an address');
sql_fails($node, "SELECT modal_remote('$_:echo', 1)", $refused, "refused by itself: $_")
  for qw(metadata mapped decimal link old_metadata);
sql_fails($node, "SELECT modal_ping('metadata')", qr/connections to this host are not allowed/, 'ping');

# A list. Connections that are kept would do without asking: new ones are asked for by new targets.
allow('*.example.com, 10.0.0.0/8');
$peer->forget;
server('fresh', "127.0.0.1:$port", ", user_agent 'fresh'");
server('fresh_name', "localhost:$port", ", user_agent 'fresh'");
becomes("SELECT modal_remote('fresh:echo', 1)", $refused, 'an address that is not listed');
sql_fails($node, "SELECT modal_remote('fresh_name:echo', 1)", $refused, 'a name that is not listed');
sql_fails($node, "SELECT modal_remote('new_http:echo', 1)", $refused, 'HTTP/2');
is(scalar($peer->requests), 0, 'nothing has been sent');

allow('localhost');
becomes("SELECT modal_remote('fresh_name:echo', 1)", qr/\{"arg1": 1\}/, 'a name that is listed');
sql_fails($node, "SELECT modal_remote('fresh:echo', 1)", $refused, 'is not its address');
allow('127.0.0.0/8');
becomes("SELECT modal_remote('fresh:echo', 1)", qr/\{"arg1": 1\}/, 'a range');
server('again_name', "localhost:$port", ", user_agent 'again'");
is(sql("SELECT modal_remote('again_name:echo', 1)"), '{"arg1": 1}',
	'of several addresses of a name the one that is allowed');

# Names and wide ranges lead to no metadata.
allow('*, 0.0.0.0/0, ::/0');
becomes("SELECT modal_remote('fresh:echo', 1)", qr/\{"arg1": 1\}/, 'everything');
sql_fails($node, "SELECT modal_remote('$_:echo', 1)", $refused, "but $_") for qw(metadata mapped decimal link);

# Through a proxy, which looks names up: the name counts, or the address in its place.
server('proxied', "127.0.0.1:$port", ", proxy '${\ $peer->url}'");
server('proxied_metadata', '169.254.169.254', ", proxy '${\ $peer->url}'");
server('proxied_dot', '169.254.169.254.', ", proxy '${\ $peer->url}'");
server('proxied_name', 'metadata.internal', ", proxy '${\ $peer->url}'");
allow('example.com');
becomes("SELECT modal_remote('proxied:echo', 1)", $refused, 'an address, through a proxy');
sql_fails($node, "SELECT modal_remote('proxied_name:echo', 1)", $refused, 'a name, through a proxy');
allow('');
becomes("SELECT modal_remote('proxied_name:echo', 1)", qr/\{"arg1": 1\}/, 'a name that is allowed');
sql_fails($node, "SELECT modal_remote('proxied_metadata:echo', 1)", $refused, 'metadata, through a proxy');
sql_fails($node, "SELECT modal_remote('proxied_dot:echo', 1)", $refused, 'with a dot at the end');
sql_fails($node, "CREATE SERVER bad FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', allow_http 'on',
	url 'http://%31%36%39.254.169.254', proxy '${\ $peer->url}')", qr/HV024: .*without escapes/s, 'a host that would be decoded');

# Large inputs and results of Modal, where the service says: the connection for requests is kept.
my $local = ModalLocal->new;
create_local_server($node, $local);
allow('localhost, 127.0.0.1');
becomes("SELECT modal_remote('local:builtin/echo', 1)", qr/^1$/m, 'a service that is listed');
allow('10.0.0.0/8');
server('late', "127.0.0.1:$port", ", user_agent 'late'");
becomes("SELECT modal_remote('late:echo', 1)", $refused, 'nothing is listed any more');
sql_fails($node, "SELECT modal_remote('local:builtin/large', 3000000) IS NULL",
	qr/42501: .*could not download a result: connections to this host are not allowed/s, 'a result elsewhere');
sql_fails($node, "SELECT modal_remote('local:builtin/echo', repeat('x', 3000000))",
	qr/42501: .*could not upload an input.*not allowed.*modal_batch\.allowed_hosts/s, 'an input elsewhere');
allow('');

# Who may say so, and what.
sql('CREATE ROLE plain LOGIN');
sql_fails($node, 'SET modal_batch.allowed_hosts = \'*\'', qr/55P02|cannot be changed now/, 'no session sets it');
for my $bad ('a, https://b', '10.0.0.1/8', 'a:80', '10.0.0.0/33', 'a,,b')
{
	sql_fails($node, "ALTER SYSTEM SET modal_batch.allowed_hosts = '$bad'",
		qr/22023: .*invalid value for parameter "modal_batch.allowed_hosts".*Entry/s, "bad: $bad");
}

$node->stop;
done_testing();
