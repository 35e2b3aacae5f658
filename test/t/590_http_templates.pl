# Copyright (c) 2026, modal_batch contributors

# Templates of requests, paths into replies, options of references; and replies
# that are wrong in every way.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $peer = HttpPeer->new(program => 'api_peer.py');
my $node = modal_node('main');

$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');
$peer->server($node, 'plain');
$peer->server($node, 'rows', q{request '{"input": "$rows"}', result '$.data[*].v',
	result_index '$.data[*].index', row_error '$.data[*].error', error '$.error.message',
	usage '$.usage.total'});

sub result_is { return sql_is($node, @_) }
sub error_like { return sql_fails($node, @_) }
sub bodies { return join ' ', map { $_->{body} } $peer->requests }
sub with { return "modal_with_options('$_[0]', \$o\$$_[1]\$o\$)" }

# --- what is sent ---------------------------------------------------------------

sub body_is
{
	my ($options, $call, $expected, $name) = @_;

	$peer->forget;
	$call =~ s/REF/with('plain:rest\/x', $options)/e;
	$node->safe_psql('postgres', $call);
	return is(bodies(), $expected, $name);
}

my $rows = '"request": {"input": "$rows"}, "result": "$"';

body_is('{"request": {"a": "$1", "b": ["$2", "$$1"], "c": null}}',
	'SELECT modal_remote(REF, 12345678901234567890.5, $$x"y$$::text)',
	'{"a":12345678901234567890.5,"b":["x\"y","$1"],"c":null}', 'arguments by number');
body_is('{"request": {"a": "$id", "b": "$t"}}',
	'SELECT modal_map(REF, $$SELECT 1 AS t, 2 AS other, NULL::int AS id$$)',
	'{"a":null,"b":1}', 'by the names of columns');
body_is('{"request": {"a": "$id", "m": "$model"}}',
	q{SELECT modal_call(REF, '[]', '{"id": {"x": 1}, "model": "m"}')},
	'{"a":{"x": 1},"m":"m"}', 'of keyword arguments');
body_is('{"request": {"a": "$row", "p": "$kwargs"}}', 'SELECT modal_remote(REF, 1, true)',
	'{"a":[1,true]}', 'the row, and a member that is left out');
body_is('{"request": {"p": "$kwargs", "a": "$row"}, "args": "object"}',
	q{SELECT modal_map(REF, 'SELECT 1 AS b, 2 AS a', kwargs => '{"k": 1}')},
	'{"a":{"b":1,"a":2},"p":{"k": 1}}', 'the row as an object');
body_is('{"request": {"a": "$1", "$kwargs": {"t": 0, "n": 1}}, "parameters": {"t": 5}}',
	q{SELECT modal_call(REF, '["x"]', '{"n": 7}')},
	'{"a":"x","n":7,"t":5}', 'keyword arguments as members, over their defaults');

error_like('SELECT modal_remote(' . with('plain:rest', '{"request": ["$2"]}') . ', 1)',
	qr/22023|the request template has "\$2", but a row has 1 arguments/, 'too few arguments');
error_like('SELECT modal_remote(' . with('plain:rest', '{"request": ["$x"]}') . ', 1)',
	qr/has "\$x", but there is no such argument/, 'an unknown name');
error_like('SELECT modal_call(' . with('plain:rest', '{"request": ["$1"]}') . q{, '[1]', '{"k": 1}')},
	qr/has no place for keyword argument "k"/, 'a keyword argument without a place');
error_like('SELECT modal_call('
	  . with('plain:rest', '{"request": {"a": "$1", "$kwargs": {}}}') . q{, '[1]', '{"a": 1}')},
	qr/argument "a" is given twice/, 'a keyword argument that is a constant of the template');
error_like(q{SELECT modal_map('rows:bad/same', 'SELECT 1', kwargs => '{"k": 1}')},
	qr/has no place for keyword argument "k"/, 'the same of a batch');
error_like(q{SELECT modal_spawn_map('rows:bad/same', 'SELECT 1', kwargs => '{"k": 1}')},
	qr/has no place for keyword argument "k"/, 'and of a job, before it is one');

# --- many rows ---------------------------------------------------------------------

my $many = 'SELECT g::text FROM generate_series(101, 1100) g';

$peer->forget;
result_is("SELECT count(*), sum((result->>0)::int) FROM modal_map('rows:bad/same', '$many')",
	'1000|600500', 'rows in batches');
cmp_ok(scalar(my @all = $peer->requests), '<', 900, 'of more than one');
result_is(q{SELECT result FROM modal_map(} . with('plain:bad/same',
		'{"request": {"input": {"$rows": "$b"}}, "result": "$.data[*]"}')
	  . q{, 'SELECT 1 AS a, 2 AS b')}, '{"v": 2, "index": 0}', 'a description of the rows');
result_is("CREATE FUNCTION same(text) RETURNS text LANGUAGE modal AS 'rows:bad/same';
		SELECT count(*) FILTER (WHERE same(g) = g) FROM ($many) AS q(g)", '1000', 'a typed function');
result_is('CREATE FUNCTION chat(prompt text) RETURNS text LANGUAGE modal AS $f$plain:rest/x#'
	  . '{"request": {"q": "$prompt"}, "result": "$.body"}$f$; SELECT chat($$hi$$)',
	'{"q":"hi"}', 'one whose reference has options');

# --- jobs, triggers, generated columns -------------------------------------------------

$node->safe_psql('postgres', 'CREATE TABLE docs (id int PRIMARY KEY, t text);
	CREATE TABLE job (id bigint)');
sub job_is
{
	my ($spawn, $check, $expected, $name) = @_;
	$node->safe_psql('postgres', "INSERT INTO job SELECT $spawn");
	result_is('SELECT modal_wait(max(id), $$120s$$) FROM job', 'completed', "$name: it ends");
	return result_is($check, $expected, $name);
}

job_is(q{modal_spawn_map('rows:bad/rows', 'SELECT g::text FROM generate_series(11, 15) g')},
	q{SELECT string_agg(coalesce(result::text, (error->>'type') || '/' || (error->>'message')), ' ' ORDER BY ordinal)
		FROM modal_results((SELECT max(id) FROM job))},
	'"11" "12" UNLUCKY/13 is unlucky "14" error/no 15', 'a job with rows that fail alone');
result_is('SELECT succeeded, failed, usage >= 5 FROM modal_batch.jobs WHERE job = (SELECT max(id) FROM job)',
	'3|2|t', 'and its usage');
result_is(q{SELECT usage >= 5 FROM modal_batch.stat_functions WHERE function = 'rows:bad/rows'},
	't', 'which is in the statistics, too');
job_is('modal_spawn_map(' . with('plain:rest/users/{id}', '{"method": "PUT", "result": "$.path"}')
	  . q{, 'SELECT g AS id, g * 2 AS x FROM generate_series(1, 2) g')},
	q{SELECT string_agg(result::text, ' ' ORDER BY ordinal) FROM modal_results((SELECT max(id) FROM job))},
	'"/rest/users/1" "/rest/users/2"', 'a job with arguments in the path');

# --- replies that are wrong ----------------------------------------------------------------

sub bad_is
{
	my ($path, $pattern, $name) = @_;
	return error_like("SELECT modal_remote('rows:bad/$path', 'x'::text)", $pattern, $name);
}

bad_is('none', qr/invalid reply .*nothing at \$\.data\[\*\]\.v; it begins with: \{"answer"/, 'no such path');
bad_is('few', qr/nothing at \$\.data/, 'too few items');
bad_is('many', qr/more results than the request has rows/, 'too many items');
bad_is('far', qr/an index in the reply is not one of the request's rows/, 'an index out of range');
bad_is('unnumbered', qr/a result of the reply has no index at/, 'no index');
bad_is('usage', qr/usage is not a number: \$\.usage\.total/, 'usage that is no number');
bad_is('huge-usage', qr/usage is not a number/, 'negative usage');
bad_is('error', qr/ERROR:  38000: model not loaded/, 'an error with a good status');
result_is(q{SELECT string_agg(coalesce(result::text, error->>'code'), ' ' ORDER BY ordinal)
		FROM modal_map('rows:bad/twice', 'SELECT g::text FROM generate_series(1, 2) g', on_error => 'return')},
	'"1" "2"', 'an index twice: each row alone has one');

my $shaped = '"request": {"input": "$rows"}, "result": "$.outputs[0].data", "result_shape": "$.outputs[0].shape"';
error_like('SELECT modal_remote(' . with('plain:bad/shape', "{$shaped}") . ', 1)',
	qr/shape in the reply is not that of the request's rows/, 'a shape of other rows');
error_like('SELECT modal_remote(' . with('plain:bad/fewer-elements', "{$shaped}") . ', 1)',
	qr/fewer elements than its shape says/, 'a shape that is too large');

# --- references cannot do everything --------------------------------------------------------

error_like('SELECT modal_remote(' . with('plain:rest', '{"url": "http://other"}') . ', 1)',
	qr/invalid option "url" in function reference\n.*\n.*option of servers/, 'where it goes is for the server');
error_like('SELECT modal_remote(' . with('plain:rest', '{"requst": "x"}') . ', 1)',
	qr/invalid option "requst".*\n.*\n.*you meant the option "request"/, 'a misspelt option');
error_like('SELECT modal_remote($$plain:rest/x#{"result": "$.a."}$$, 1)',
	qr/invalid value for option "result"\n.*key is expected.*at byte 5/, 'a fault says where');
result_is(q{SELECT function FROM modal_batch.stat_functions WHERE function LIKE 'plain:rest/users%'},
	'plain:rest/users/{id}', 'a function is called by its path, without arguments');

result_is('SELECT calls, requests_active FROM modal_batch.stat_dispatcher', '0|0',
	'nothing is left in the dispatcher');
# --- options of a reference, call after call --------------------------------------------

my $body = '$modal$plain:rest/x#{"request": {"a": "$1"}, "result": "$"}$modal$';
$node->safe_psql('postgres', "CREATE FUNCTION with_options(int) RETURNS jsonb LANGUAGE modal AS $body;
	CREATE FUNCTION without(int) RETURNS jsonb LANGUAGE modal AS 'plain:rest/x'");
for my $call ('with_options(i)', 'without(i)')
{
	is($node->safe_psql('postgres', qq{
		CREATE OR REPLACE FUNCTION grown(calls int) RETURNS bigint LANGUAGE plpgsql AS \$\$
		DECLARE j jsonb; before bigint; BEGIN
			FOR i IN 1..calls LOOP
				IF i = 10 THEN SELECT sum(total_bytes) INTO before FROM pg_backend_memory_contexts WHERE name LIKE 'modal call site%'; END IF;
				j := $call;
			END LOOP;
			RETURN (SELECT sum(total_bytes) - before FROM pg_backend_memory_contexts WHERE name LIKE 'modal call site%');
		END \$\$; SELECT grown(110)}), '0', "memory of a place that calls does not grow: $call");
}

# what is kept of them is what was said last
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $say = sub { $peer->forget; $session->query('SELECT with_options(1)'); return join ' ', map { "$_->{path} $_->{body}" } $peer->requests };
	my $url = $node->safe_psql('postgres', q{SELECT option_value FROM pg_foreign_server, pg_options_to_table(srvoptions) WHERE srvname = 'plain' AND option_name = 'url'});

	is($say->(), '/rest/x {"a":1}', 'a call with options of its reference');
	$node->safe_psql('postgres', "ALTER SERVER plain OPTIONS (SET url '$url/elsewhere')");
	is($say->(), '/elsewhere/rest/x {"a":1}', '... after ALTER SERVER');
	$body =~ s/"a"/"b"/;
	$node->safe_psql('postgres', "CREATE OR REPLACE FUNCTION with_options(int) RETURNS jsonb LANGUAGE modal AS $body");
	is($say->(), '/elsewhere/rest/x {"b":1}', '... and another function');
	$node->safe_psql('postgres', "ALTER SERVER plain OPTIONS (SET url '$url')");
	is($say->(), '/rest/x {"b":1}', '... and back');
	$node->safe_psql('postgres', q{CREATE ROLE guest; GRANT USAGE ON FOREIGN SERVER plain TO guest});
	$session->query('SET ROLE guest');
	is($say->(), '/rest/x {"b":1}', '... by another role');
	$node->safe_psql('postgres', q{REVOKE USAGE ON FOREIGN SERVER plain FROM guest});
	is($say->(), '', '... which has lost the right to it');
	$session->query('RESET ROLE');
	$session->query(q{SELECT count(modal_remote(modal_with_options('plain:rest/x', jsonb_build_object('request', jsonb_build_array(i), 'result', '$'))))
		FROM generate_series(1, 300) i});
	is($say->(), '/rest/x {"b":1}', '... after many others');
	$session->quit;
}

$node->stop;
done_testing();
