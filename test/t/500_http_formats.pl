# Copyright (c) 2026, modal_batch contributors

# HTTP functions in all formats: results, bad rows, retries, clear errors.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = $ENV{MODAL_TOP} // dirname(__FILE__) . '/../..';
my $pid = open my $out, '-|', 'python3', "$top/examples/http_endpoint.py", '0'
  or die "python3: $!";
chomp(my $port = <$out>);
my $node = modal_node('main');

$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');
for my $format (qw(json json-lines bigquery snowflake redshift))
{
	(my $name = $format) =~ s/-//;
	my $args = $format eq 'json' ? '' : ", format '$format'";
	$node->safe_psql('postgres',
		"CREATE SERVER $name FOREIGN DATA WRAPPER modal_batch OPTIONS
		(protocol 'http', url 'http://127.0.0.1:$port', allow_http 'on'$args)");
}

sub result_is { return sql_is($node, @_) }
sub error_like { return sql_fails($node, @_) }

result_is('SELECT reachable, authenticated FROM modal_ping($$json$$)', 't|t', 'ping');
result_is(q{SELECT modal_remote('json:json', 1, 'x'::text)},
	'{"arg1": 1, "arg2": "x"}', 'json: unnamed arguments');
result_is(q{SELECT modal_call('json:json', kwargs => '{"a": 12345678901234567890.5}')},
	'{"a": 12345678901234567890.5}', 'json: keyword arguments, every digit kept');
result_is(q{SELECT string_agg(result::text, ' ' ORDER BY ordinal)
		FROM modal_map('json:json', 'SELECT g AS id, NULL AS n FROM generate_series(1, 2) g')},
	'{"n": null, "id": 1} {"n": null, "id": 2}', 'json: columns are keys');

my $rows = 'SELECT g FROM generate_series(100, 5099) g';
result_is("SELECT count(*), sum((result->>0)::int) FROM modal_map('jsonlines:lines', '$rows')",
	'5000|12997500', 'json-lines');
result_is("SELECT count(*), sum(result::int) FROM modal_map('bigquery:bigquery', '$rows')",
	'5000|25995000', 'bigquery');
result_is("SELECT count(*), sum(result::int) FROM modal_map('snowflake:snowflake', '$rows')",
	'5000|13002500', 'snowflake');
result_is("SELECT modal_remote('redshift:redshift', 12)", '144',
	'redshift, with its JSON within a string');
result_is("SELECT count(*) FROM modal_map('json:flaky', 'SELECT g AS id FROM generate_series(1, 60) g')",
	'60', 'answers with 503 are retried');

my $with_bad = 'SELECT g FROM generate_series(1, 200) g';
result_is("SELECT count(*), count(error), min(ordinal) FILTER (WHERE error IS NOT NULL),
		min(error->>'code'), min(error->>'message')
		FROM modal_map('bigquery:bigquery', '$with_bad', on_error => 'return')",
	'200|1|12|38000|HTTP function answered with status 400: 13 is unlucky',
	'a refused batch is halved until the bad row stands alone');
result_is("SELECT count(error), min(error->>'type'), min(error->>'message')
		FROM modal_map('bigquery:rows', '$with_bad', on_error => 'return')",
	'1|UNLUCKY|13 is unlucky', 'a row error in a good reply');

error_like("SELECT modal_remote('bigquery:short', 1)",
	qr/invalid reply of the HTTP function: the reply has fewer results/, 'too few results');
error_like("SELECT modal_remote('json:denied', 1)",
	qr/status 401: who are you\?\n.*user mapping/s, 'credentials refused');
error_like("SELECT modal_remote('json:nowhere', 1)", qr/status 404/, 'no such path');

result_is('CREATE FUNCTION twice(int) RETURNS int LANGUAGE modal AS $$bigquery:bigquery$$;
		SELECT sum(twice(g)) FROM generate_series(100, 1099) g', '1199000', 'a typed function');
$node->safe_psql('postgres',
	"CREATE TABLE job AS SELECT modal_spawn_map('bigquery:bigquery', '$rows') AS id");
result_is("SELECT modal_wait(id, '60s') FROM job", 'completed', 'a durable job');
result_is('SELECT count(*), sum(result::int) FROM job, modal_results(id)', '5000|25995000',
	'with all its results');
result_is('SELECT calls, requests_active FROM modal_batch.stat_dispatcher', '0|0',
	'nothing is left in the dispatcher');

kill 'TERM', $pid;
error_like("SELECT modal_remote('json:json', 1)", qr/request to the HTTP function failed/,
	'a service that is gone');
$node->stop;
done_testing();
