# Copyright (c) 2026, modal_batch contributors

# How many requests are under way at a service that says nothing of it: as many
# as bring more rows a second, as far as descriptors go; and what keeps a call
# from more, as modal_batch.activity says it.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use ModalSession;
use ModalTest;
use Test::More;

my $peer = HttpPeer->new;
# a process may have a hundred and some connections
my $node = modal_node('main', conf => 'max_files_per_process = 400');
my $watching = ModalSession->new($node);

sub sql { return $node->safe_psql('postgres', @_) }

# A map of many rows, which goes on until the session is left.
sub map_at
{
	my ($path, $rows) = @_;
	my $session = ModalSession->new($node);

	$session->query('SET statement_timeout = 0');
	$session->begin("SELECT count(*) FROM modal_map('$path', 'SELECT generate_series(1, $rows)')");
	return $session;
}

# Ends the map, and waits until the dispatcher knows it.
sub leave
{
	my ($session) = @_;

	$watching->query('SELECT pg_cancel_backend(pid) FROM modal_batch.activity');
	$session->quit;
	return becomes('NOT EXISTS (SELECT FROM modal_batch.activity)', 'it is over');
}

sub becomes
{
	my ($condition, $name) = @_;

	for (1 .. 600)
	{
		return pass($name) if $watching->query("SELECT $condition") eq 't';
		select undef, undef, undef, 0.05;
	}
	diag($watching->query('SELECT * FROM modal_batch.activity'));
	diag($watching->query('SELECT * FROM modal_batch.stat_dispatcher'));
	return fail($name);
}

sub limited_by
{
	my ($what, $path, $rows) = @_;
	my $session = map_at($path, $rows);

	becomes("EXISTS (SELECT FROM modal_batch.activity WHERE limited_by = '$what')", "limited by $what");
	return $session;
}

sql('CREATE EXTENSION IF NOT EXISTS modal_batch');
$peer->server($node, 'open');
$peer->server($node, 'narrow', "max_concurrency '2'");
$peer->server($node, 'paced', "requests_per_second '20'");
$peer->server($node, 'other', "retry_budget '61'");

my $session = limited_by('descriptors', 'open:sleep-300/echo', 20000);
becomes('sum(connections) > 64 FROM modal_batch.stat_dispatcher', 'more than 64 at once');
is(sql("SELECT modal_remote('other:echo', 1)"), '{"arg1": 1}', 'another service gets a connection meanwhile');
leave($session);

leave(limited_by('max_concurrency', 'narrow:sleep-20/echo', 10000));
leave(limited_by('requests_per_second', 'paced:echo', 10000));
leave(limited_by('service', 'other:queue-2/echo', 10000));
leave(limited_by('pause', 'open:after-60/first-99-503/echo', 10000));

$session = map_at('open:sleep-3000/echo', 5);
becomes('EXISTS (SELECT FROM modal_batch.activity WHERE sent = 5 AND limited_by IS NULL)', 'by nothing but its caller');
leave($session);

# Limits are what the options say when a call begins, also when they have said it before; who waits hears of it.
sub spread
{
	$peer->forget;
	is(sql("SELECT count(*) FROM modal_map('turned:echo', 'SELECT generate_series(1, 5)')"), '5', 'five rows');
	my @times = map { $_->{time} } $peer->requests;
	return $times[-1] - $times[0];
}

$peer->server($node, 'turned', "requests_per_second '2'");
cmp_ok(spread(), '>', 1.3, 'two requests a second');
sql("ALTER SERVER turned OPTIONS (SET requests_per_second '1000')");
spread();
sql("ALTER SERVER turned OPTIONS (SET requests_per_second '2')");
cmp_ok(spread(), '>', 1.3, 'two again, after other numbers');
sql("ALTER SERVER turned OPTIONS (SET requests_per_second '0.001')");
$session = limited_by('requests_per_second', 'turned:echo', 3);
sql("ALTER SERVER turned OPTIONS (SET requests_per_second '1000')");
is(sql("SELECT modal_remote('turned:echo', 1)"), '{"arg1": 1}', 'more than before, and another call waits');
is($session->query('SELECT NULL WHERE false'), '3', 'which goes on, too');

# Requests that begin while curl is called for those that connect: none is lost.
$peer->server($node, 'lively', "max_concurrency '32', retry_budget '62'");
$peer->forget;
is(sql("SELECT count(*), count(DISTINCT result) FROM modal_map('lively:sleep-10/echo', 'SELECT generate_series(1, 8000)')"),
	'8000|8000', 'many requests, one after another');
# of earlier calls, some may come to be seen only now
my %times;
$times{ $_->{body} }++ for grep { $_->{path} eq '/sleep-10/echo' } $peer->requests;
is(scalar(keys %times), 8000, 'each is sent');
is_deeply([ grep { $times{$_} > 1 } keys %times ], [], 'once');

$node->stop('immediate');
done_testing();
