# Copyright (c) 2026, modal_batch contributors

# Ready-made formats, each against answers written from its provider's published
# description, which test/http/api_peer.py names.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use JSON::PP qw(decode_json);
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $peer = HttpPeer->new(program => 'api_peer.py');
my $node = modal_node('main');

$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');
$peer->server($node, $_->[0], $_->[1])
  for [ 'embeddings', q{format 'openai-embeddings', parameters '{"model": "m"}'} ],
  [ 'chat', q{format 'openai-chat', parameters '{"model": "gpt"}'} ],
  [ 'tei', q{format 'tei'} ], [ 'ollama', q{format 'ollama', parameters '{"model": "all-minilm"}'} ],
  [ 'vertex', q{format 'vertex'} ], [ 'kserve', q{format 'kserve-v2'} ], [ 'lambda', q{format 'lambda'} ];

sub result_is { return sql_is($node, @_) }
sub error_like { return sql_fails($node, @_) }
sub last_body { return decode_json((($peer->requests)[-1])->{body}) }

my $texts = q{SELECT chr(96 + g % 26) || g FROM generate_series(101, 350) g};
my $right = q{count(*), count(*) FILTER (WHERE result->>0 = '4'
	AND (result->>1)::int = 96 + (101 + ordinal) % 26 AND (result->>2)::int = 48 + (101 + ordinal) % 10)};
sub vectors_are
{
	my ($reference, $name) = @_;
	return result_is("SELECT $right FROM modal_map('$reference', '$texts')", '250|250', $name);
}
my $unlucky = q{SELECT g::text FROM generate_series(1, 30) g};
sub one_is_unlucky
{
	my ($reference, $message, $name) = @_;
	return result_is("SELECT count(result), min(ordinal) FILTER (WHERE error IS NOT NULL),
			min(error->>'message') FROM modal_map('$reference', '$unlucky', on_error => 'return')",
		"29|12|$message", $name);
}

# OpenAI, "Create embeddings"
vectors_are('embeddings:v1/embeddings', 'openai-embeddings: put in order by index');
result_is(q{SELECT modal_call('embeddings:v1/embeddings', '["abc"]', '{"dimensions": 2}')},
	'[3, 97]', 'openai-embeddings: dimensions');
is_deeply(last_body(), { model => 'm', input => ['abc'], dimensions => 2 }, 'openai-embeddings: a request');
one_is_unlucky('embeddings:v1/embeddings', 'HTTP function answered with status 400: 13 is unlucky',
	'openai-embeddings: the bad row alone fails');
error_like(q{SELECT modal_call('embeddings:v1/embeddings', '["a"]', '{"size": 2}')},
	qr/status 400: unrecognized request argument: size/, 'openai-embeddings: its message');
result_is(q{CREATE FUNCTION embed(text) RETURNS float4[] LANGUAGE modal AS 'embeddings:v1/embeddings';
		SELECT embed('xyz')}, '{3,120,122}', 'openai-embeddings: a typed function');

# OpenAI, "Create chat completion", "Structured Outputs", "JSON mode"
result_is(q{SELECT modal_remote('chat:v1/chat/completions', 'hi'::text)}, '"You said: hi"', 'openai-chat');
is_deeply(last_body(), { model => 'gpt', messages => [ { role => 'user', content => 'hi' } ] },
	'openai-chat: a request');
result_is(q{SELECT string_agg(error->>'type' || ': ' || (error->>'message'), ', ' ORDER BY ordinal), count(result)
		FROM modal_map('chat:v1/chat/completions', $$VALUES ('a'), ('refuse'), ('length'), ('content_filter')$$,
			on_error => 'return')},
	'refusal: I cannot help with that., finish_reason: finish_reason is length, finish_reason: finish_reason is content_filter|1',
	'openai-chat: refusals and unfinished answers are errors of their rows');
my $schema = q{{"type": "json_schema", "json_schema": {"name": "r", "strict": true,
	"schema": {"type": "object", "$defs": {}, "properties": {"n": {"type": "integer"}}}}}};
result_is(qq{SELECT result->>'n' FROM modal_map(modal_with_options('chat:v1/chat/completions',
		'{"result_type": "json-string"}'), \$\$VALUES ('four')\$\$, kwargs => '{"response_format": $schema}')},
	'4', 'openai-chat: structured output is JSON');
result_is(q{CREATE FUNCTION said(text, OUT said text, OUT n int) LANGUAGE modal AS
		$f$chat:v1/chat/completions#{"result_type": "json-string", "parameters": {"model": "gpt", "response_format":
			{"type": "json_object"}}}$f$; SELECT said FROM said('five')}, 'five', 'openai-chat: JSON mode, into columns');
error_like(q{SELECT modal_remote(modal_with_options('chat:v1/chat/completions', '{"result_type": "json-string"}'),
		'broken'::text)}, qr/a string, but not with JSON in it/, 'openai-chat: what is no JSON');
result_is(q{SELECT usage > 0 FROM modal_batch.stat_functions WHERE function = 'chat:v1/chat/completions'},
	't', 'openai-chat: tokens');

# Hugging Face, Text Embeddings Inference, /embed
vectors_are('tei:embed', 'tei, no more than 32 at once');
one_is_unlucky('tei:embed', 'HTTP function answered with status 413: Input validation error: 13 is unlucky', 'tei: errors');
result_is(q{SELECT modal_call('tei:embed', '["ab"]', '{"truncate": true}')}, '[2, 97, 98]', 'tei: parameters');

# Ollama, "Generate Embeddings"
vectors_are('ollama:api/embed', 'ollama');
result_is(q{SELECT usage FROM modal_batch.stat_functions WHERE function = 'ollama:api/embed'}, '1000', 'ollama: tokens');
error_like(q{SELECT modal_call('ollama:api/embed', '["a"]', '{"model": "none"}')},
	qr/status 404: model 'none' not found/, 'ollama: errors');

# Google, Vertex AI "predict"; TensorFlow Serving, "RESTful API"
result_is(q{SELECT result->'row', result->'score' FROM modal_map('vertex:v1/projects/p/locations/l/endpoints/1:predict',
		'SELECT 1.5::float8 AS x, 2 AS y', kwargs => '{"scale": 10}')}, '[1.5, 2]|80', 'vertex: parameters');
result_is(q{SELECT result->'row' FROM modal_map(modal_with_options('vertex:v1/projects/p/endpoints/1:predict',
		'{"args": "object"}'), 'SELECT 1 AS x')}, '{"x": 1}', 'vertex: instances that are objects');
one_is_unlucky('vertex:v1/projects/p/endpoints/1:predict',
	'HTTP function answered with status 400: 13 is unlucky', 'vertex: errors');
one_is_unlucky('vertex:v1/models/m:predict', 'HTTP function answered with status 400: 13 is unlucky',
	'vertex: those of TensorFlow Serving');
is_deeply([ sort keys %{ last_body() } ], ['instances'], 'vertex: no parameters, no member');

# Open Inference Protocol 2, "Inference Request JSON Object"
vectors_are('kserve:v2/models/m/infer', 'kserve-v2: texts, rows of three numbers');
result_is(q{SELECT string_agg(result::text, ' ' ORDER BY ordinal) FROM modal_map(modal_with_options(
		'kserve:v2/models/double/infer', '{"parameters": {"datatype": "FP32", "name": "x"}}'),
		'SELECT array[g, g * 10]::float4[] FROM generate_series(1, 3) g')},
	'[2, 20] [4, 40] [6, 60]', 'kserve-v2: arrays have their shape');
is_deeply([ @{ last_body()->{inputs}[0] }{qw(name datatype)} ], [ 'x', 'FP32' ], 'kserve-v2: parameters');

# AWS, Lambda "Invoke"
result_is(q{SELECT result FROM modal_map('lambda:2015-03-31/functions/f/invocations', 'SELECT 1 AS a, NULL AS b')},
	'{"got": {"a": 1, "b": null}, "errorMessage": "is a key like any other"}', 'lambda: the event and the result');
error_like(q{SELECT modal_call('lambda:2015-03-31/functions/f/invocations', kwargs => '{"fail": true}')},
	qr/keyword argument|13 is unlucky/, 'lambda: what the function raised');
result_is(q{SELECT count(result), min(error->>'message') FROM modal_map('lambda:2015-03-31/functions/f/invocations',
		'SELECT g = 2 AS fail FROM generate_series(1, 3) g', on_error => 'return')},
	'2|13 is unlucky', 'lambda: it fails its row');
error_like(q{SELECT modal_map('lambda:2015-03-31/functions/f/invocations', 'SELECT true AS busy')},
	qr/status 400: request is malformed/, 'lambda: what the service says');

$node->stop;
done_testing();
