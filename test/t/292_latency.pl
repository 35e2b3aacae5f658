# Copyright (c) 2026, modal_batch contributors

# Percentiles in modal_batch.stat_functions: of the time of single inputs, and
# exact to an eighth.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use ModalLocal;
use ModalTest;
use Test::More;

my $local = ModalLocal->new;
my $node = modal_node('main', local => $local);

sub sql { return $node->safe_psql('postgres', shift); }

# What has ended is counted shortly after the caller has its result.
sub counted
{
	my ($function, $inputs) = @_;
	return $node->poll_query_until('postgres',
		"SELECT coalesce(sum(inputs), 0) = $inputs FROM modal_batch.stat_functions WHERE function = '$function'");
}

# --- inputs of one call ---------------------------------------------------------------

# Ten of 100 sleep for a second and more; the machine may add what it likes.
is(sql(q{SELECT count(*) FROM modal_map('local:builtin/sleep', 'SELECT CASE WHEN i % 10 = 0 THEN 1 ELSE 0 END FROM generate_series(1, 100) i')}),
	'100', 'a map, of which some inputs are slow');
ok(counted('local:builtin/sleep', 100), 'and its inputs are counted');
my ($p50, $p95, $p99, $mean) = split /\|/,
  sql(q{SELECT p50_ms, p95_ms, p99_ms, remote_ms / inputs FROM modal_batch.stat_functions WHERE function = 'local:builtin/sleep'});
cmp_ok($p50, '<', 875, 'half of them were quick');
cmp_ok($p95, '>', 875, '95 of 100 were not: the second is there to an eighth');
cmp_ok($p99, '>=', $p95, 'percentiles rise');
cmp_ok($mean, '>=', 100, 'the mean has the seconds, too');
is(sql(q{SELECT abs(e.remote_seconds - s.p50_ms) < 1e-6, abs(e.seconds - s.p50_ms * s.total_ms / s.remote_ms) < 1e-6
	FROM modal_estimate('local:builtin/sleep', 'SELECT generate_series(1, 1000)') e, modal_batch.stat_functions s
	WHERE s.function = 'local:builtin/sleep'}), 't|t', 'an estimate is not misled by a few slow ones');
is(sql(q{SELECT seconds IS NULL, remote_seconds IS NULL FROM modal_estimate('local:builtin/square', 'SELECT 1')}), 't|t',
	'... and none where nothing is known');

# --- calls of one input ---------------------------------------------------------------

sql(q{SELECT modal_stat_reset()});
is(sql(q{SELECT count(*) FROM modal_batch.stat_functions}), '0', 'a reset forgets them');
sql(q{SELECT modal_remote('local:builtin/sleep', 1)});
sql(q{SELECT modal_remote('local:builtin/sleep', 0)}) for 1 .. 3;
ok(counted('local:builtin/sleep', 4), 'single calls');
is(sql(q{SELECT p50_ms < 875, p95_ms > 875, p95_ms = p99_ms FROM modal_batch.stat_functions}), 't|t|t', 'are inputs of one function');

# --- over HTTP ------------------------------------------------------------------------

my $peer = HttpPeer->new;
sql("CREATE SERVER h FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', url '" . $peer->url . "', allow_http 'on')");
sql(q{SELECT modal_remote('h:echo', 1)});
ok(counted('h:echo', 1), 'an HTTP function');
is(sql(q{SELECT p50_ms > 0 AND p50_ms <= remote_ms AND p50_ms * 1.125 >= remote_ms FROM modal_batch.stat_functions WHERE function = 'h:echo'}),
	't', 'has the time of its request');

$node->stop;
done_testing();
