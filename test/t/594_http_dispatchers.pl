# Copyright (c) 2026, modal_batch contributors

# Several dispatchers serve one server: its limits hold for all of them, and
# none is left without its part.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use ModalSession;
use ModalTest;
use Test::More;

my $peer = HttpPeer->new;
my $node = modal_node('main', conf => "modal_batch.dispatchers = 2\n");

sub sql { return $node->safe_psql('postgres', @_) }

sub becomes
{
	my ($condition, $name) = @_;

	return ok($node->poll_query_until('postgres', "SELECT $condition"), $name);
}

sql('CREATE EXTENSION IF NOT EXISTS modal_batch');
$peer->server($node, 'spread', "dispatchers '2', max_concurrency '3'");
$peer->server($node, 'paced', "dispatchers '2', requests_per_second '20'");
$peer->server($node, 'small', "dispatchers '2', max_concurrency '2'");

my @sessions = map { ModalSession->new($node) } 1 .. 6;

# The same in all sessions at the same time; what each returns.
sub everywhere
{
	my ($query) = @_;

	$_->begin($query) for @sessions;
	return join ' ', map { $_->query('SELECT NULL WHERE false') } @sessions;
}

is(everywhere("SELECT count(*) FROM modal_map('spread:throttle-3/echo', 'SELECT generate_series(1, 40)')"),
	'40 40 40 40 40 40', 'six sessions');
is(scalar($peer->requests), 240, 'max_concurrency, of both dispatchers together');
is(sql('SELECT count(*) FROM modal_batch.stat_dispatcher WHERE requests > 0'), '2', 'both have worked');

is(everywhere("SELECT count(*) FROM modal_map('paced:echo', 'SELECT generate_series(1, 5)')"),
	'5 5 5 5 5 5', 'as many requests as there may be in a second and a half');
my @paced = $peer->requests;
cmp_ok($paced[-1]{time} - $paced[0]{time}, '>', 1.3, 'requests_per_second, of both dispatchers together');

# One dispatcher, which has limits of its own, and then two.
$peer->server($node, 'grown', "max_concurrency '3'");
is($_->query("SELECT modal_remote('grown:echo', 1)"), '{"arg1": 1}', 'one dispatcher') for @sessions;
sql("ALTER SERVER grown OPTIONS (ADD dispatchers '2')");
$peer->forget;
is(everywhere("SELECT count(*) FROM modal_map('grown:throttle-3/echo', 'SELECT generate_series(1, 40)')"),
	'40 40 40 40 40 40', 'a server that has got two');
is(scalar($peer->requests), 240, 'max_concurrency, of both dispatchers together');

# One dispatcher has much to do, and the other little.
my $busy = $sessions[0];
$busy->begin("SELECT count(*) FROM modal_map('small:sleep-20/echo', 'SELECT generate_series(1, 100000)')");
becomes('sum(requests_active) = 2 FROM modal_batch.stat_dispatcher', 'all places are taken');
is($_->query("SELECT modal_remote('small:echo', 1)"), '{"arg1": 1}', 'another call gets one') for @sessions[ 1 .. 5 ];
sql("SELECT pg_cancel_backend(pid) FROM modal_batch.activity");
becomes('NOT EXISTS (SELECT FROM modal_batch.activity)', 'it is over');

# The one that has all places goes away.
my @hanging = map { ModalSession->new($node) } 1 .. 2;
$_->begin("SELECT modal_remote('small:first-99-hang/echo', 1)") for @hanging;
becomes('sum(requests_active) = 2 FROM modal_batch.stat_dispatcher', 'two calls hang');
my @waiting = map { ModalSession->new($node) } 1 .. 2;
$_->begin("SELECT modal_remote('small:echo', 1)") for @waiting;
becomes('count(*) = 4 FROM modal_batch.activity', 'two others wait');
sql('SELECT pg_terminate_backend(pid) FROM modal_batch.activity WHERE function LIKE \'%hang%\'');
is($_->query('SELECT NULL WHERE false'), '{"arg1": 1}', 'they go on when places are free again') for @waiting;

# Dispatchers end, with requests under way.
@hanging = map { ModalSession->new($node) } 1 .. 4;
$_->begin("SELECT pg_temp.outcome('SELECT modal_remote(''small:first-99-hang/echo'', 1)')") for @hanging;
becomes('sum(requests_active) = 2 FROM modal_batch.stat_dispatcher', 'two calls hang');
sql('SELECT pg_terminate_backend(pid) FROM modal_batch.stat_dispatcher');
is($_->query('SELECT NULL WHERE false'), '08006', 'its caller is told') for @hanging;
is(sql("SELECT modal_remote('small:echo', 1)"), '{"arg1": 1}', 'their places are free again');

# There is room for the shared limits of so many servers at once.
my $made = join '', map { "CREATE SERVER many$_ FOREIGN DATA WRAPPER modal_batch
	OPTIONS (protocol 'http', url '${\ $peer->url}', allow_http 'on', dispatchers '2');\n" } 1 .. 300;
sql($made);
my (undef, $answers, $refused) = $node->psql('postgres',
	join('', map { "SELECT modal_remote('many$_:echo', 1);\n" } 1 .. 300), on_error_stop => 0);
my $answered = () = $answers =~ /^\{"arg1": 1\}$/mg;
my $told = () = $refused =~ /too many servers are served by several dispatchers at once/g;
cmp_ok($answered, '>=', 250, 'many servers are served by several dispatchers');
is($answered + $told, 300, 'the others are told why they are not');
is(sql("SELECT modal_remote('small:echo', 1)"), '{"arg1": 1}', 'which is nothing to those that were');

$node->stop('immediate');
done_testing();
