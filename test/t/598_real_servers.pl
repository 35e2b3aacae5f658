# Copyright (c) 2026, modal_batch contributors

# HTTP formats and credentials against servers that others wrote: llama.cpp's, with a model of random
# numbers, for OpenAI's formats and templates; moto's AWS Lambda, which checks signatures.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use HTTP::Tiny;
use JobTest;
use JSON::PP qw(decode_json encode_json);
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $llama = system('command -v llama-server >/dev/null && python3 -c "import gguf" 2>/dev/null') == 0;
my $moto = system('python3 -c "import boto3, moto.server" 2>/dev/null') == 0;
plan skip_all => 'NOT TESTED: servers that others wrote, for there is neither llama.cpp nor moto'
  if !$llama && !$moto;

# what is sent is to be of many scripts
$ENV{MODAL_TEST_ENCODING} = 'UTF8';
my $node = modal_node('main');
$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');

sub sql { return $node->safe_psql('postgres', @_) }
sub result_is { return sql_is($node, @_) }
sub error_like { return sql_fails($node, @_) }

SKIP:
{
	skip 'NOT TESTED: llama.cpp is not installed', 1 if !$llama;
	my $peer = HttpPeer->new(program => 'llama_peer.py');

	# What the server says to a client that does no more than ask.
	my $direct = sub {
		my ($path, $body) = @_;
		my $reply = HTTP::Tiny->new->post($peer->url . "/$path",
			{ headers => { 'Content-Type' => 'application/json' }, content => encode_json($body) });
		$reply->{success} or die "$path: $reply->{status} $reply->{content}";
		return decode_json($reply->{content});
	};
	my $embedding = sub { return $direct->('v1/embeddings', { input => [ $_[0] ] })->{data}[0]{embedding} };
	my $far = sub {
		my ($vector, $text) = @_;
		my $as_array = '{' . join(',', @{ $embedding->($text) }) . '}';
		return "(SELECT max(abs(a - b)) FROM unnest($vector, '$as_array'::float8[]) u(a, b))";
	};

	# openai-embeddings
	# its status for a text that is too long is 500, which may pass
	$peer->server($node, 'llama', q{format 'openai-embeddings', parameters '{"model": "m"}', retry_budget '1'});
	sql(q{CREATE FUNCTION embed(text) RETURNS float4[] LANGUAGE modal AS 'llama:v1/embeddings';
		CREATE TABLE note (id int PRIMARY KEY, body text, vector float4[]);
		INSERT INTO note SELECT g, 'note ' || g FROM generate_series(1, 300) g;
		INSERT INTO note VALUES (301, E'na\u00efve \u4e16\U0001F600'), (302, ' ')});
	result_is('SELECT count(*), min(cardinality(v)), max(cardinality(v)), count(DISTINCT v)
			FROM (SELECT embed(body) FROM note) q(v)', '302|32|32|302', 'llama.cpp: embeddings');
	result_is('SELECT ' . $far->(q{embed('note 217')}, 'note 217') . ' < 1e-5', 't', 'llama.cpp: each its own');
	sql(q{SELECT modal_generate_column('note', 'vector', 'llama:v1/embeddings', '{body}', backfill => false)});
	my $job = sql(q{SELECT modal_regenerate('note', 'vector')});
	result_is("SELECT modal_wait($job)", 'completed', 'llama.cpp: a job');
	result_is('SELECT count(*), bool_and(' . $far->('vector', 'note 42') . q{ < 1e-5) FILTER (WHERE id = 42)
			FROM note WHERE cardinality(vector) = 32}, '302|t', 'llama.cpp: a generated column');
	result_is(q{SELECT count(result), min(ordinal) FILTER (WHERE error IS NOT NULL),
			min(error->>'message') LIKE '%status 4__: %too large%' OR min(error->>'message') LIKE '%status 5__: %too large%'
			FROM modal_map('llama:v1/embeddings', $$SELECT repeat('x', CASE g WHEN 7 THEN 2000 ELSE g END)
				FROM generate_series(1, 40) g$$, on_error => 'return')},
		'39|6|t', 'llama.cpp: a text that is too long fails alone');
	result_is(q{SELECT usage >= 302 * 2 * 6 FROM modal_batch.stat_functions WHERE function = 'llama:v1/embeddings'},
		't', 'llama.cpp: tokens of embeddings');

	# openai-chat: what a model of random numbers says is what it has to say
	$peer->server($node, 'chat', q{format 'openai-chat', parameters '{"model": "m", "max_tokens": 200}'});
	result_is(q{SELECT string_agg(result #>> '{}', ' ' ORDER BY ordinal) FROM modal_map('chat:v1/chat/completions',
			$$SELECT 'say' FROM generate_series(1, 3)$$, kwargs => '{"grammar": "root ::= \"yes\""}')},
		'yes yes yes', 'llama.cpp: chat');
	result_is(q{SELECT count(result), min(error->>'type'), min(error->>'message') FROM modal_map('chat:v1/chat/completions',
			$$VALUES ('one'), ('two')$$, kwargs => '{"max_tokens": 1, "grammar": "root ::= \"yes\""}', on_error => 'return')},
		'0|finish_reason|finish_reason is length', 'llama.cpp: an answer that was cut');
	sql(q{CREATE FUNCTION rate(text, OUT stars int, OUT fair bool) LANGUAGE modal AS
		$f$chat:v1/chat/completions#{"result_type": "json-string", "parameters": {"model": "m", "max_tokens": 500,
			"response_format": {"type": "json_schema", "json_schema": {"name": "rating", "strict": true, "schema":
				{"type": "object", "additionalProperties": false, "required": ["stars", "fair"], "properties":
					{"stars": {"type": "integer", "minimum": 1, "maximum": 5}, "fair": {"type": "boolean"}}}}}}}$f$});
	result_is(q{SELECT count(*) FILTER (WHERE r.stars BETWEEN 1 AND 5 AND r.fair IS NOT NULL)
			FROM note, rate(body) r WHERE id <= 10}, '10', 'llama.cpp: structured output, into columns');
	error_like(q{SELECT modal_call('chat:v1/chat/completions', '["x"]', '{"response_format": {"type": "odd"}}')},
		qr/status [45]\d\d: .*response_format/s, 'llama.cpp: what it refuses');
	result_is(q{SELECT usage > 0 FROM modal_batch.stat_functions WHERE function = 'chat:v1/chat/completions'},
		't', 'llama.cpp: tokens of chat');

	# templates, for what no format is ready-made
	$peer->server($node, 'api', undef);
	result_is(q{SELECT modal_remote(modal_with_options('api:tokenize',
			'{"request": {"content": "$1", "add_special": false}, "result": "$.tokens"}'), 'AB'::text)},
		encode_json($direct->('tokenize', { content => 'AB', add_special => JSON::PP::false })->{tokens}) =~ s/,/, /gr,
		'llama.cpp: a template of one row');
	sql(q{CREATE FUNCTION native(text) RETURNS float8[] LANGUAGE modal AS
		'api:embeddings#{"request": {"content": "$rows"}, "result": "$[*].embedding[0]", "result_index": "$[*].index"}'});
	result_is('SELECT count(*), bool_and(' . $far->('v', 'note 9') . q{ < 1e-5) FILTER (WHERE id = 9)
			FROM (SELECT id, native(body) FROM note) q(id, v)}, '302|t', 'llama.cpp: a template of many rows');
	result_is(q{SELECT modal_call(modal_with_options('api:v1/models', '{"method": "GET", "result": "$.object"}'))},
		'"list"', 'llama.cpp: GET');
}

SKIP:
{
	skip 'NOT TESTED: moto is not installed', 1 if !$moto;
	my $peer = HttpPeer->new(program => 'moto_peer.py');
	my $keys = decode_json(slurp_file($peer->log_file));
	my $user = sub {
		my ($name, $id, $secret) = @_;
		$peer->server($node, $name, q{format 'lambda', aws_region 'eu-west-1', aws_service 'lambda'});
		sql("CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS
			(aws_access_key_id '$id', aws_secret_access_key '$secret')");
	};

	$user->('lambda', $keys->{id}, $keys->{secret});
	$user->('forged', $keys->{id}, $keys->{other_secret});
	$user->('stranger', 'AKIAIOSFODNN7EXAMPLE', $keys->{secret});
	$user->('other', $keys->{other_id}, $keys->{other_secret});
	my $call = sub { return "SELECT result FROM modal_map('$_[0]:2015-03-31/functions/f/invocations', \$\$$_[1]\$\$)" };
	error_like($call->('forged', 'SELECT 1 AS a'), qr/28000: .*status 403 .*SignatureDoesNotMatch The request signature/s,
		'moto: a wrong secret is seen');
	error_like($call->('stranger', 'SELECT 1 AS a'), qr/28000: .*status 403 .*InvalidClientTokenId The security token/s,
		'moto: an unknown key, too');
	error_like($call->('other', 'SELECT 1 AS a'), qr/status 403 .*is not authorized to perform/s,
		'moto: a good signature of one who may not');
	result_is($call->('lambda', q{SELECT chr(252) || '+ &' AS q, NULL AS n}), "{\"n\": null, \"q\": \"\x{c3}\x{bc}+ &\"}",
		'moto: signed, and answered');
	result_is($call->('lambda', 'SELECT g FROM generate_series(1, 3) g'), join("\n", map { "{\"g\": $_}" } 1 .. 3),
		'moto: one request a row');
}

$node->stop;
done_testing();
