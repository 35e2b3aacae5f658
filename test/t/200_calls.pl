# Copyright (c) 2026, modal_batch contributors

# Calls of every kind over a modal-local, from SQL to the wire and back.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main');

$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');
create_local_server($node, $local, dbname => 'postgres');

sub result_is { return sql_is($node, @_) }

result_is(q{SELECT reachable, authenticated FROM modal_ping('local')}, 't|t', 'ping');
result_is(q{SELECT modal_remote('local:builtin/types', 1::int8, 'x'::text, 2.50, NULL::int,
		'\x00ff'::bytea, ARRAY[[1,2],[3,4]], DATE '2024-02-29', true)->'args'},
	'[["int", 1], ["str", "x"], ["Decimal", 2.50], ["NoneType", null], '
	  . '["bytes", "AP8="], ["list", [[1, 2], [3, 4]]], ["date", "2024-02-29"], ["bool", true]]',
	'arguments arrive with their types');
for my $value ("'NaN'::float8", '123456789012345678901234567890::numeric', "''::text",
	"'-9223372036854775808'::int8", '0.1::float8', "'{\"a\": [1, null]}'::jsonb")
{
	my $expected = $node->safe_psql('postgres', "SELECT to_jsonb($value)");
	result_is("SELECT modal_remote('local:builtin/echo', $value)", $expected,
		"round trip of $value");
}
result_is(q{SELECT count(*), sum(result::int), bool_and(ordinal + 1 = result::int)
		FROM modal_map('local:builtin/echo', 'SELECT g FROM generate_series(1, 20000) g')},
	'20000|200010000|t', 'a map keeps its order');
# A response that was overlooked would time out, and be asked for again.
result_is(q{SELECT count(*) FROM modal_map('local:builtin/sleep',
		'SELECT 0.05::float8, g FROM generate_series(1, 20000) g')},
	'20000', 'a map whose responses overlap');
result_is(q{SELECT sum(retries) = 0 FROM modal_batch.stat_functions WHERE function = 'local:builtin/sleep'},
	't', 'gets every response at once');
result_is(q{SELECT string_agg(input->>'k', ',' ORDER BY ordinal), sum(result::int)
		FROM modal_map('local:builtin/square', 'SELECT chr(96 + g) AS k, g FROM generate_series(1, 3) g',
			key => '{k}', ordered => false)},
	'a,b,c|14', 'key columns are carried, not sent');
result_is(q{SELECT string_agg(result::text, ',' ORDER BY ordinal)
		FROM modal_map('local:builtin/square', ARRAY[2, 3])}, '4,9', 'an array');
result_is(q{SELECT modal_remote('local:builtin/square', x) FROM unnest('{-1.25, 1e-7, 9999999.5}'::numeric[]) x},
	"1.5625\n0.00000000000001\n99999990000000.25", 'decimal numbers are multiplied as such');
result_is(q{SELECT modal_remote('local:builtin/sleep', 0.001, 5)}, '5', 'and are numbers of seconds');
result_is(q{SELECT modal_for_each('local:builtin/echo', 'SELECT g FROM generate_series(1, 100) g')},
	'100', 'results dropped');

my ($status, $stdout, $stderr) =
  $node->psql('postgres', q{\set VERBOSITY verbose
	SELECT modal_remote('local:builtin/fail', 'boom'::text)});
like($stderr, qr/38000: ValueError\('boom'\).*traceback.*input 0/s, 'a remote exception');
($status, $stdout, $stderr) =
  $node->psql('postgres', q{SELECT modal_remote('local:builtin/nothing')});
like($stderr, qr/builtin.*nothing|nothing.*builtin/s, 'an unknown function');
($status, $stdout, $stderr) = $node->psql('postgres',
	q{SELECT * FROM modal_map('local:builtin/echo', 'DELETE FROM pg_class')});
like($stderr, qr/must come from one SELECT/, 'a query that is not a SELECT');
($status, $stdout, $stderr) = $node->psql('postgres',
	q{SET statement_timeout = '200ms';
	SELECT count(*) FROM modal_map('local:builtin/sleep', 'SELECT 30 FROM generate_series(1, 10)')});
like($stderr, qr/statement timeout/, 'a statement timeout');
ok( $node->poll_query_until(
		'postgres', 'SELECT calls = 0 FROM modal_batch.stat_dispatcher'),
	'leaves nothing in the dispatcher');
is($local->requests('FunctionCallCancel'), 1, 'and cancels the remote call');

result_is('CREATE FUNCTION square(int) RETURNS int LANGUAGE modal AS $$local:builtin/square$$;
		SELECT sum(square(g)) FROM generate_series(1, 1000) g', '333833500', 'a typed function');
result_is('CREATE FUNCTION elements(int[]) RETURNS SETOF int LANGUAGE modal AS $$local:builtin/echo$$;
		SELECT count(*), sum(e) FROM elements(ARRAY[1, 2, 3]) e', '3|6', 'a list as a set');
$node->safe_psql('postgres', q{CREATE TABLE job AS
	SELECT modal_spawn_map('local:builtin/square', 'SELECT g FROM generate_series(1, 1000) g') AS id});
result_is("SELECT modal_wait(id, '60s') FROM job", 'completed', 'a durable job');
result_is('SELECT count(*), sum(result::int) FROM job, modal_results(id)', '1000|333833500',
	'with all its results');

$node->stop;
done_testing();
