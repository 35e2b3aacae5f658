# Copyright (c) 2026, modal_batch contributors

# What stands behind "server:" is a path below the server's URL.  It cannot
# choose another host, nor leave that URL, and what is no path is refused
# before anything is sent.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $peer = HttpPeer->new;
my $modern = HttpPeer->new(http2 => []);
my $elsewhere = HttpPeer->new;
my $other = '127.0.0.1:' . $elsewhere->port;
my $node = modal_node('main');

$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');

sub sql { return $node->safe_psql('postgres', @_) }

sub below
{
	my ($name, $url, $options) = @_;

	sql("CREATE SERVER $name FOREIGN DATA WRAPPER modal_batch OPTIONS
		(protocol 'http', url '$url/only/this', allow_http 'on', retry_budget '0'$options);
		CREATE USER MAPPING FOR PUBLIC SERVER $name OPTIONS (bearer_token 'for-one-host')");
	return;
}

below('one', $peer->url, '');
below('two', $modern->url, ", http_version '2'");

# Each of them over both carriers, and before there is a connection.
my @hosts = ("//$other/steal", "//$other/steal?x=://", "http://$other/steal", "x://$other/",
	"HTTP://$other/", "\@$other/steal?://", ":1\@$other/", ":99999/x", "\\\\$other/?://", "///$other/");
my @steps = ('..', '../../admin', 'fn/../../admin', './x', 'a/.', '%2e%2e/admin', '%2E./admin', '.%2e',
	'..%2fadmin', '..%5cadmin', '..\\admin', '%252e%252e/admin', '%25252e%25252e/admin', '..%252fadmin',
	'..;/admin', '/..?x=1', 'a%00', 'a%0d%0aX:%201');
my @others = ('a b', ' a', 'a ', "a\tb", "a\nX-Header: 1", 'a#b', '#', '?a#b', 'a?b c', 'a{}', 'a<b>', 'a%', 'a%2',
	'a%zz?', "a\x7f", 'a#{"cpu": 2}');

for my $server ('one', 'two')
{
	for my $reference (@hosts, @steps, @others)
	{
		(my $shown = $reference) =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
		my $text = join ' || ', map { /[^ -~]/ ? 'chr(' . ord($_) . ')' : "'$_'" } split /([^ -~])/, "$server:$reference";

		sql_fails($node, "SELECT modal_remote($text, 1)", qr/ERROR:  22023: .*function reference/, "$server:$shown");
	}
}
sql_fails($node, 'SELECT modal_remote(chr(252) || $$:x$$, 1)', qr/42704/, 'a letter in the name of a server');
sql_fails($node, 'SELECT modal_remote($$one:$$ || chr(252), 1)', qr/22023/, 'a letter in a path');

# Whoever asks.
for my $call ("modal_call('REF', 'null'::jsonb)", "modal_spawn_map('REF', 'SELECT 1')",
	"modal_spawn('REF', 1)", "count(*) FROM modal_map('REF', 'SELECT 1')")
{
	(my $bad = "SELECT $call") =~ s/REF/one:..%2fadmin/;
	sql_fails($node, $bad, qr/22023/, $bad);
}
sql_fails($node, "CREATE FUNCTION f(int) RETURNS int LANGUAGE modal AS 'one:a/../b'", qr/invalid function reference/,
	'a typed function');
is(sql('SELECT count(*) FROM modal_batch.jobs'), '0', 'no job is made');

is(scalar($peer->requests) + $modern->requests + $elsewhere->requests, 0, 'nothing has been sent');

# What is legal goes out as it is, at the first call and later.
my %legal = (
	'echo' => '/only/this/echo',
	'/echo' => '/only/this/echo',
	'/a/b/echo' => '/only/this/a/b/echo',
	'x?next=https://user@hooks.example:99999/../%0aecho/echo' =>
	  '/only/this/x?next=https://user@hooks.example:99999/../%0aecho/echo',
	'/@scope/a:b;c=..,d/echo' => '/only/this/@scope/a:b;c=..,d/echo',
	'a%2fb%20c/.../..d/echo' => '/only/this/a%2fb%20c/.../..d/echo');

for my $pair ([ one => $peer ], [ two => $modern ])
{
	my ($server, $at) = @$pair;

	for my $reference (sort keys %legal)
	{
		# The first peer says 404 where the query has its steps.
		modal_psql($node, "SELECT modal_remote('$server:$reference', 1)");
		# Newer libcurl writes the digits of percent-encoding in capitals.
		is(join(' ', map { $_->{path} =~ s/(%\w\w)/\L$1/gr } $at->requests), $legal{$reference}, "$server:$reference");
	}
}
is(sql("SELECT modal_remote('one:echo?next=https://hooks.example/y', 1)"), '{"arg1": 1}', 'and is answered');
is(sql("SELECT count(*) FROM modal_batch.stat_functions WHERE function LIKE '%?%'"),
	'0', 'what is shown of it has no query');
is(scalar($elsewhere->requests), 0, 'nobody else was asked');

is(sql('SELECT calls, requests_active FROM modal_batch.stat_dispatcher'), '0|0',
	'nothing is left in the dispatcher');
$node->stop;
done_testing();
