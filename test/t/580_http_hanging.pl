# Copyright (c) 2026, modal_batch contributors

# A function that never answers does not hold up the others of its server,
# however many of its rows there are, and whatever is known of the server.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use ModalSession;
use ModalTest;
use Test::More;

my $peer = HttpPeer->new;
my $node = modal_node('main');

sub sql { return $node->safe_psql('postgres', @_) }

# Until so many requests of functions that hang have come.
sub wait_for_hanging
{
	my ($n) = @_;
	my $seen = 0;

	for (1 .. 600)
	{
		$seen += grep { $_->{path} =~ /hang/ } $peer->requests;
		return pass("$n requests hang") if $seen >= $n;
		select undef, undef, undef, 0.1;
	}
	return is($seen, $n, 'requests that hang');
}

sub hang
{
	my ($server, $rows) = @_;
	my $session = ModalSession->new($node);

	$session->query('SET statement_timeout = 0');
	$session->begin("SELECT count(*) FROM modal_map('$server:first-99-hang/echo', 'SELECT generate_series(1, $rows)')");
	return $session;
}

sub others_go_on
{
	my ($server, $name) = @_;
	my $session = ModalSession->new($node);

	is($session->query("SELECT modal_remote('$server:echo', 1)"), '{"arg1": 1}', "$name: a call");
	is($session->query("SELECT count(*) FROM modal_map('$server:echo', 'SELECT generate_series(1, 100)')"),
		'100', "$name: a map");
	$session->quit;
	return;
}

sql('CREATE EXTENSION IF NOT EXISTS modal_batch');
# Servers with the same options are one for the dispatcher.
$peer->server($node, 'fresh', "max_concurrency '16'");
$peer->server($node, 'known', "max_concurrency '16', retry_budget '61'");

# The first thing that a server is asked for.
my @hanging = hang('fresh', 100);
wait_for_hanging(15);
others_go_on('fresh', 'nothing is known');

# A server that takes as many as it may.
is( sql("SELECT count(*) FROM modal_map('known:sleep-20/echo', 'SELECT generate_series(1, 3000)')"),
	'3000', 'many rows');
push @hanging, hang('known', 1000);
wait_for_hanging(15);
others_go_on('known', 'all places are taken');

# Two of the kind.
push @hanging, hang('known', 1000);
others_go_on('known', 'twice');

$node->stop('immediate');
done_testing();
