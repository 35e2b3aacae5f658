# Copyright (c) 2026, modal_batch contributors

# HTTP functions: methods, arguments in paths and queries, bodies that are no
# JSON, limits of tokens; and triggers whose references have options.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $peer = HttpPeer->new(program => 'api_peer.py');
my $node = modal_node('main');

$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');
$peer->server($node, 'rest');
$peer->server($node, 'embed', q{format 'openai-embeddings', parameters '{"model": "m"}'});

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub result_is { return sql_is($node, @_) }
sub error_like { return sql_fails($node, @_) }
sub with { return "modal_with_options('$_[0]', \$o\$$_[1]\$o\$)" }

# What the peer has seen of one request, without its host.
sub request_is
{
	my ($sql, $expected, $name) = @_;

	$peer->forget;
	sql($sql);
	my ($r) = $peer->requests;
	my $type = $r->{headers}{'content-type'} // '-';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is("$r->{method} $r->{path} $type $r->{body}", $expected, $name);
}

# --- paths and queries -------------------------------------------------------------

my $get = '{"method": "GET"}';
request_is('SELECT modal_remote(' . with('rest:rest/{1}/x-{2}', $get) . q{, 'a/b c?#%', 7)},
	'GET /rest/a%2Fb%20c%3F%23%25/x-7 - ', 'arguments in the path are percent-encoded');
request_is('SELECT modal_map(' . with('rest:rest', $get) . q{, $$SELECT 1 AS n, 'x&y=z' AS "my name", NULL AS none,
		true AS t, array[1,2] AS a$$)}, 'GET /rest?n=1&my%20name=x%26y%3Dz&t=true&a=%5B1%2C2%5D - ',
	'others in the query, NULL left out');
request_is('SELECT modal_call(' . with('rest:rest/{id}?v=1', '{"method": "DELETE", "parameters": {"dry": true}}')
	  . q{, kwargs => '{"id": "a", "why": null}')}, 'DELETE /rest/a?v=1&dry=true - ', 'keyword arguments, too');
request_is('SELECT modal_remote(' . with('rest:rest/all', $get) . ')', 'GET /rest/all - ', 'none at all');
request_is('SELECT modal_map(' . with('rest:rest/{id}?q={q}', '{"method": "PATCH"}')
	  . q{, $$SELECT 1 AS id, 'a+b' AS q, 2 AS x$$)}, 'PATCH /rest/1?q=a%2Bb application/json {"x":2}',
	'what is in the path is not in the body');
request_is('SELECT modal_map(' . with('rest:rest/{id}', '{"method": "PUT", "request": {"v": "$x", "id": "$id"}}')
	  . q{, $$SELECT 1 AS id, 2 AS x$$)}, 'PUT /rest/1 application/json {"v":2,"id":1}', 'unless a template says so');
request_is('SELECT modal_remote(' . with('rest:rest/{1}', $get) . q{, E'\u00fc')}, 'GET /rest/%C3%BC - ', 'UTF-8')
  if $node->safe_psql('postgres', 'SHOW server_encoding') eq 'UTF8';

my $path = with('rest:rest/users/{1}', $get);
error_like("SELECT modal_remote($path, '$_->[0]'::text)", $_->[1], "in the path: '$_->[0]'")
  for [ '..', qr/22023: path in function reference must not contain "\."/ ], [ '.', qr/22023/ ],
  [ '', qr/22023: argument "arg1", which is in the path of the function reference, must not be null or empty/ ],
  [ '%2e%2e', qr/22023: .*encoded twice/ ], [ "a\nb", qr/22023: .*control characters/ ];
error_like("SELECT modal_remote($path, NULL::text)", qr/22004: argument "arg1"/, 'in the path: NULL');
error_like("SELECT modal_remote($path)", qr/22023: .*\{1\}, but there is no such argument/, 'in the path: nothing');
error_like(q{SELECT modal_map('rest:rest/{idd}', 'SELECT 1 AS id')}, qr/\{idd\}, but there is no such argument/,
	'in the path: an unknown name');
error_like(q{SELECT modal_remote('embed:v1/{1}', 'x'::text)}, qr/22023: a path with arguments is for requests of one row/,
	'a batch has one path');
error_like("SELECT modal_remote('rest:rest/{1')", qr/22023: .*ends with "\}"/, 'a brace that is not closed');
is(scalar(my @none = $peer->requests), 0, 'nothing of this was sent');

result_is(q{SELECT string_agg(result->>'path', ' ' ORDER BY ordinal)
		FROM modal_map(} . with('rest:rest/{g}', $get) . q{, 'SELECT g FROM generate_series(1, 3) g')},
	'/rest/1 /rest/2 /rest/3', 'each row has its path');
result_is('CREATE FUNCTION fetched(id int, q text) RETURNS text LANGUAGE modal AS $f$rest:rest/{id}#'
	  . '{"method": "GET", "result": "$.path"}$f$; SELECT fetched(5, $$z$$)', '/rest/5?q=z', 'a typed function');

# What is refused is what a row has asked for.
for my $options ($get, '{"method": "PUT"}')
{
	my $statuses = with('rest:rest/status-{s}', $options);
	my $rows = 'SELECT unnest(array[200, 301, 403, 404, 405, 410]) AS s';
	my $seen = '200:- 301:08006 403:28000 404:42883 405:42883 410:42883';
	result_is("SELECT string_agg((array[200, 301, 403, 404, 405, 410])[ordinal + 1] || ':' || coalesce(error->>'code', '-'), ' '
		ORDER BY ordinal) FROM modal_map($statuses, '$rows', on_error => 'return')", $seen, "statuses are of their rows: $options");
	my $job = sql("SELECT modal_spawn_map($statuses, '$rows')");
	result_is("SELECT modal_wait($job); SELECT succeeded, failed FROM modal_batch.jobs WHERE job = $job",
		"completed\n1|5", 'in a job, too');
}
error_like("SELECT modal_map(" . with('rest:rest/status-{s}', $get) . qq{, 'SELECT $_ AS s', on_error => 'return')},
	qr/28000: .*status $_/, "$_ is of all rows") for 401, 407;
error_like('SELECT modal_map(' . with('rest:rest/status-404', '{"method": "POST"}') . q{, 'SELECT 1 AS s', on_error => 'return')},
	qr/42883: /, 'so is 404 of a path that all have');
error_like('SELECT modal_remote(' . with('rest:rest/status-{1}', $get) . ', 404)', qr/42883: .*status 404/, 'a single call');

# --- bodies ---------------------------------------------------------------------------

my $text = '{"content_type": "text/plain; charset=utf-8", "result_type": "text"}';
request_is('SELECT modal_remote(' . with('rest:rest/echo', $text) . q{, 'a "b"')},
	'POST /rest/echo text/plain; charset=utf-8 a "b"', 'a text');
result_is('SELECT modal_remote(' . with('rest:rest/echo', $text) . q{, 'a "b"')}, '"a \"b\""', 'and back');
result_is('CREATE FUNCTION bytes(bytea) RETURNS bytea LANGUAGE modal AS $f$rest:rest/echo#'
	  . '{"content_type": "application/octet-stream", "result_type": "bytes"}$f$; SELECT bytes($$\xff00fe$$)',
	'\xff00fe', 'bytes, and back');
my $json = '{"content_type": "text/plain", "result_type": "json"}';
result_is("CREATE FUNCTION \"as $_->[0]\"(text) RETURNS $_->[0] LANGUAGE modal AS \$f\$rest:rest/echo#$json\$f\$; "
	  . "SELECT \"as $_->[0]\"('$_->[1]')", $_->[2], "$_->[1] as $_->[0]")
  for [ 'numeric', '1.10', '1.10' ], [ 'text', '0.00001', '0.00001' ], [ 'numeric[]', '[1.50, 0.0]', '{1.50,0.0}' ],
  [ 'jsonb', '1.10', '1.10' ], [ 'float8', '1.10', '1.1' ], [ 'int', '5.0', '5' ], [ 'varchar', '-0.000010', '-0.000010' ];
result_is('SELECT string_agg(coalesce(error, result)::text, $$ $$ ORDER BY ordinal) FROM (SELECT ordinal, error->>$$code$$ AS error, '
	  . 'result->>0 AS result FROM modal_map(' . with('rest:rest/echo', $json)
	  . q~, $$VALUES ('[1' || repeat(',1', 16777216) || ']'), ('["a,[\\"{"]')$$, on_error => 'return')) m~, '54000 a,["{',
	'a list that is too long for jsonb');
result_is('SELECT length(decode(modal_remote(' . with('rest:rest/bytes', '{"result_type": "bytes"}')
	  . q{)#>>'{}', 'base64'))}, '256', 'bytes as base64 in jsonb');
error_like('SELECT modal_remote(' . with('rest:rest/bytes', '{"result_type": "text"}') . ')',
	qr/08P01: invalid reply .*utf-8/, 'bytes that are no text');
request_is('SELECT modal_map(' . with('rest:rest/x', '{"content_type": "application/x-www-form-urlencoded"}')
	  . q{, $$SELECT 1 AS a, 'x y' AS b$$)}, 'POST /rest/x application/x-www-form-urlencoded a=1&b=x%20y', 'a form');
error_like('SELECT modal_remote(' . with('rest:rest/echo', $text) . ', 1, 2)',
	qr/22023: a request whose content_type is not JSON has one argument/, 'two texts');
request_is('SELECT modal_remote(' . with('rest:rest/echo', $text) . q{, NULL::text)},
	'POST /rest/echo text/plain; charset=utf-8 ', 'NULL is an empty body');

# A format in a reference: nothing holds that the server says of requests.
$peer->server($node, 'own', q{args 'array', content_type 'application/vnd.x+json', parameters '{"model": "m"}', method 'PUT'});
request_is('SELECT modal_map(' . with('own:rest/x', $_) . q{, 'SELECT 1 AS a')}, 'POST /rest/x application/json {"a":1}', $_)
  for '{"format": "json"}', '{"format": "lambda"}';
request_is('SELECT modal_map(' . with('own:rest/x', '{"result": "$.body"}') . q{, 'SELECT 1 AS a')},
	'PUT /rest/x application/vnd.x+json [1]', 'without one, all of it');
error_like('SELECT modal_remote(' . with('embed:v1/chat/completions', '{"format": "openai-chat"}') . q{, 'hi'::text)},
	qr/you must provide a model parameter/, 'the model of another format is not asked');

# --- tokens ----------------------------------------------------------------------------

# 20 characters are 5 tokens: no more than 3 rows at once.
my $twenty = q{SELECT repeat(chr(96 + g), 20) FROM generate_series(1, 20) g};
sub most_rows
{
	my ($options, $query) = @_;
	my $most = 0;

	$peer->forget;
	sql('SELECT modal_map(' . with('embed:v1/embeddings', $options) . ", '$query')");
	for my $request ($peer->requests)
	{
		my $n = () = $request->{body} =~ /"[a-z]{20}"/g;
		$most = $n if $n > $most;
	}
	return $most;
}
# How many rows are at hand when a request is made is a matter of time.
cmp_ok(most_rows('{"max_batch_tokens": 15}', $twenty), '<=', 3, 'max_batch_tokens');
cmp_ok(most_rows('{"max_batch_tokens": 15, "chars_per_token": 10}', $twenty), '<=', 7, 'chars_per_token');
is(most_rows('{"max_batch_tokens": 1}', $twenty), 1, 'a row that is larger goes alone');

# --- triggers ----------------------------------------------------------------------------

sql(q{CREATE TABLE docs (id int PRIMARY KEY, body text, v float4[]);
	CREATE TRIGGER embed AFTER INSERT OR UPDATE ON docs FOR EACH ROW EXECUTE FUNCTION
		modal_trigger('embed:v1/embeddings#{"parameters": {"model": "m", "dimensions": 2}}', 'body', 'v');
	INSERT INTO docs SELECT g, 'ab' || g FROM generate_series(1, 200) g});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 200 FROM docs WHERE v[1] = length(body) AND array_length(v, 1) = 2}),
	'a trigger whose reference has options');
ok($node->poll_query_until('postgres', q{SELECT usage = (SELECT sum(length(body)) FROM docs) FROM modal_batch.jobs ORDER BY job DESC LIMIT 1}),
	'and what it cost');

result_is('SELECT calls, requests_active FROM modal_batch.stat_dispatcher', '0|0',
	'nothing is left in the dispatcher');
$node->stop;
done_testing();
