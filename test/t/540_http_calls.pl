# Copyright (c) 2026, modal_batch contributors

# Every way of calling an HTTP function; how batches and concurrency grow.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use JobTest;
use ModalSession;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $peer = HttpPeer->new;
my $node = modal_node('main');

$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');
$peer->server($node, 'plain');
$peer->server($node, 'arrays', "args 'array'");
$peer->server($node, 'lines', "format 'json-lines'");
$peer->server($node, 'rows', "format 'bigquery'");
$peer->server($node, 'slow', "format 'bigquery', max_concurrency '4'");

sub sql { return $node->safe_psql('postgres', @_) }

sub error_like { return sql_fails($node, @_) }

sub rows_in
{
	return map { scalar(() = $_->{body} =~ /\n|\],\[|\]\]/g) } @_;
}

# Single calls and their arguments.
is(sql("SELECT modal_remote('plain:echo', 1, 'x'::text, NULL::int, true)"),
	'{"arg1": 1, "arg2": "x", "arg3": null, "arg4": true}', 'unnamed arguments');
is(sql("SELECT modal_remote('arrays:echo', 1, 'x'::text, NULL::int)"), '[1, "x", null]',
	"args 'array'");
is(sql("SELECT modal_call('plain:echo', kwargs => '{\"a\": 1, \"b\": [2]}')"),
	'{"a": 1, "b": [2]}', 'keyword arguments');
is(sql("SELECT modal_remote('rows:calls', 9007199254740993)"), '"9007199254740993"',
	'bigquery: large integers are text');
is(sql("SELECT modal_remote('lines:echo', 9007199254740993)"), '[9007199254740993]',
	'others: every digit');
is(sql("SELECT modal_remote('rows:calls', '2024-02-29'::date)"), '"2024-02-29"', 'a date');
is(sql("SELECT modal_remote('rows:calls', '\\x0102'::bytea)"), '"AQI="', 'bytes');
is(sql("SELECT modal_remote('rows:calls', ARRAY[1, NULL])"), '[1, null]', 'an array');
is(sql("SELECT modal_remote('rows:calls', '{\"k\": [1.5]}'::jsonb)"), '{"k": [1.5]}', 'jsonb');
is(sql("SELECT modal_remote('lines:echo', 'NaN'::float8)"), '["NaN"]', 'NaN is text in JSON');
error_like("SELECT * FROM modal_remote_gen('plain:echo', 1)", qr/0A000/, 'no generators');
$peer->forget;

# What the function is told of its caller.
sql("SELECT * FROM modal_map('rows:calls', 'SELECT 1', kwargs => '{\"mode\": \"score\"}')");
my ($request) = $peer->requests;
like($request->{body}, qr/"userDefinedContext":\{"mode": ?"score"\}/, 'bigquery: common arguments');
like($request->{body}, qr/"requestId":"$request->{headers}{'idempotency-key'}"/,
	'bigquery: the key is the request id');
like($request->{body}, qr/"caller":"rows:calls","sessionUser":"/, 'bigquery: caller and user');

error_like("SELECT * FROM modal_map('lines:echo', 'SELECT 1', kwargs => '{\"mode\": \"score\"}')",
	qr/0A000: .*no place for common keyword arguments/, 'other formats have no place for them');
is(sql("SELECT result FROM modal_map('plain:echo', 'SELECT 1 AS a', kwargs => '{\"mode\": \"score\"}')"),
	'{"a": 1, "mode": "score"}', 'json: among the others');

my $job = sql("SELECT modal_spawn_map('plain:echo', 'SELECT 1 AS a', kwargs => '{\"mode\": \"score\"}')");
is(sql("SELECT modal_wait($job, '20 s')"),
	'completed', 'json: also in a job');
is(($peer->requests)[-1]{body}, '{"a":1,"mode":"score"}', 'its request');
sql("SELECT modal_call('rows:calls', '[1]', '{\"mode\": \"call\"}')");
like(($peer->requests)[-1]{body}, qr/"userDefinedContext":\{"mode": ?"call"\}/, 'bigquery: those of a call');
error_like("SELECT modal_call('arrays:echo', '[1]', '{\"mode\": \"call\"}')",
	qr/0A000: .*no place for common keyword arguments/, 'an array has no place for them');

# What comes behind an answer is nobody's, above all not the next one's.
$peer->server($node, 'pairs', "retry_budget '0', idempotent 'off'");
$peer->forget;
my $session = ModalSession->new($node);
for my $surplus ('another', 'bytes', 'late-another', 'late-bytes', 'late-408')
{
	is($session->outcome("SELECT modal_remote('pairs:then-$surplus', 'one')"), '{"arg1": "one"}',
		"an answer with more behind it: $surplus");
	my $connection = ($peer->requests)[-1]{connection};
	ok(wait_until('its end', sub { $peer->has_ended($connection) }), '... which ends the connection');
	is($session->outcome("SELECT modal_remote('pairs:echo', 'two')"), '{"arg1": "two"}', '... and is not the next one');
}
sql("SELECT modal_remote('pairs:then-late-another', 0), pg_sleep(0.3)");
is( sql("SELECT count(*) FILTER (WHERE result->>'arg1' = input->>'k') FROM modal_map('pairs:echo',
		'SELECT g::text AS arg1, g::text AS k FROM generate_series(1, 20) g', key => '{k}')"),
	'20', 'nor that of any row of a map');
$peer->server($node, 'kept', "retry_budget '0'");
$peer->forget;
is(sql("SELECT modal_remote('kept:tired/echo', 1), modal_remote('kept:tired/echo', 2)"),
	'{"arg1": 1}|{"arg1": 2}', 'a connection that was idle for too long is no answer');
is(join(' ', map { $_->{body} } $peer->requests), '{"arg1":1} {"arg1":2} {"arg1":2}', '... the request is sent again');
error_like("SELECT modal_remote('pairs:tired/echo', 1), modal_remote('pairs:tired/echo', 2)",
	qr/38000: .*status 408/, '... but not where it may be executed once only');

# Maps.
is( sql("SELECT string_agg(ordinal || ':' || (input->>'id') || '=' || result, ' ' ORDER BY ordinal)
		FROM modal_map('rows:calls', 'SELECT g * 10 AS v, g AS id FROM generate_series(1, 3) g',
		key => '{id}')"),
	'0:1=10 1:2=20 2:3=30', 'keys are carried, not sent');
is(sql("SELECT sum(result::int) FROM modal_map('rows:calls', ARRAY[1, 2, 3])"), '6', 'of an array');
is(sql("SELECT modal_for_each('rows:calls', 'SELECT g FROM generate_series(1, 3000) g')"), '3000',
	'modal_for_each');
is( sql("SELECT count(*) FROM modal_map('rows:sleep-20/calls',
		'SELECT g FROM generate_series(1, 2000) g', ordered => false)"),
	'2000', 'in any order');
$peer->forget;

# Batches start small, and grow where that pays.
sql("SELECT count(*) FROM modal_map('slow:sleep-20/calls', 'SELECT g FROM generate_series(1, 20000) g')");
my @requests = $peer->requests;
my @sizes = rows_in(@requests);
cmp_ok($sizes[0], '<=', 16, 'the first batch is small');
cmp_ok((sort { $a <=> $b } @sizes)[-1], '>=', 500, 'later ones are large');
cmp_ok(scalar(@requests), '<', 300, 'so there are few requests');
$peer->server($node, 'limited', "format 'bigquery'");
sql('CREATE FUNCTION id(int) RETURNS int LANGUAGE modal AS $$limited:calls$$');
is(sql('SELECT string_agg(v::text, $$ $$) FROM (SELECT id(g) AS v FROM generate_series(1, 100000) g
	LIMIT 3) s'), '1 2 3', 'a typed function under LIMIT');
my $sent = 0;
$sent += $_ for rows_in($peer->requests);
cmp_ok($sent, '<', 1000, 'sends few rows');
is(sql('SELECT sum(id(g)) FROM generate_series(1, 5000) g'), '12502500', 'a typed function');

# 429 makes it slower, not wrong; a service that can do much gets much.
$peer->server($node, 'few', "max_concurrency '64'");
is(sql("SELECT count(*) FROM modal_map('few:throttle-4/echo', 'SELECT g FROM generate_series(1, 300) g')"),
	'300', 'a service with four places');
$peer->server($node, 'wide', "max_concurrency '40'");
my $begin = time;
sql("SELECT count(*) FROM modal_map('wide:sleep-200/echo', 'SELECT g FROM generate_series(1, 400) g')");
cmp_ok(time - $begin, '<', 400 * 0.2 / 8, 'more than the first eight at once');

# A dead target beside a good one.
sql("CREATE SERVER dead FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http',
	url 'http://127.0.0.1:1', allow_http 'on')");
sql("CREATE TABLE dead_job AS SELECT modal_spawn_map('dead:echo', 'SELECT g FROM generate_series(1, 500) g') id");
is(sql("SELECT count(*) FROM modal_map('rows:calls', 'SELECT g FROM generate_series(1, 5000) g')"), '5000',
	'a target that is dead holds up no other');
is(sql('SELECT state FROM modal_batch.jobs JOIN dead_job ON job = id'), 'running', 'its job waits');
sql('SELECT modal_cancel(id) FROM dead_job');

# Jobs and triggers.
sql('CREATE TABLE doubled (id int PRIMARY KEY, result jsonb, failed jsonb)');
sql("CREATE TABLE job AS SELECT modal_spawn_map('rows:bad-calls',
	'SELECT g AS v, g AS id FROM generate_series(1, 500) g', key => '{id}',
	into_table => 'doubled', error_column => 'failed') AS id");
sql("SELECT modal_wait(id, '120s') FROM job");
is(sql('SELECT count(*), count(failed), sum(result::int) FROM doubled'), '500|1|125237',
	'a job writes into a table');
sql('CREATE TABLE notes (id int PRIMARY KEY, body text, answer jsonb)');
sql(q{CREATE TRIGGER answer AFTER INSERT OR UPDATE OF body ON notes FOR EACH ROW
	EXECUTE FUNCTION modal_trigger('rows:calls', 'body', 'answer')});
sql(q{INSERT INTO notes SELECT g, 'note ' || g FROM generate_series(1, 50) g});
ok( $node->poll_query_until('postgres', 'SELECT count(answer) = 50 FROM notes'),
	'a trigger writes into its rows');
is(sql("SELECT count(*) FROM notes WHERE answer = to_jsonb(body)"), '50', 'what belongs there');
ok( $node->poll_query_until('postgres', q{SELECT bool_and(state IN ('completed', 'cancelled'))
	FROM modal_batch.jobs}), 'all jobs end');

# Results that cannot be written yet are not asked for again.
sql('CREATE TABLE kept (id int PRIMARY KEY, result jsonb); INSERT INTO kept SELECT generate_series(1, 50)');
my $kept = q{modal_spawn_map('plain:echo', 'SELECT g AS id, g AS n FROM generate_series(1, 50) g', key => '{id}',
	into_table => 'kept', mode => 'update'};
my $holder = $node->background_psql('postgres');
$peer->forget;
$holder->query_safe('BEGIN; SELECT FROM kept WHERE id = 7 FOR UPDATE');
$job = spawn($node, "$kept)");
ok(job_becomes($node, $job, q{retry_at IS NOT NULL AND waiting_for = 'lock'}), 'a row is locked: the job waits, and says so');
wait_until('some tries', sub { sql("SELECT tries FROM modal_batch.job WHERE id = $job") > 1 });
$holder->query_safe('COMMIT');
job_ends($node, $job, 'completed', '... and goes on');
is(sql('SELECT count(*) FROM kept WHERE (result->>\'n\')::int = id'), '50', '... with all results');
is(scalar(my @once = $peer->requests), 50, '... each of which was asked for once');

sql('CREATE TABLE held ()');
$holder->query_safe('BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE');
$job = spawn($node, "$kept, on_complete => 'SELECT FROM held')");
ok(job_becomes($node, $job, q{waiting_for = 'lock'}), 'on_complete meets a lock');
sql('ALTER TABLE kept RENAME TO kept_on; ALTER TABLE kept_on ALTER result TYPE json');
wait_until('some tries', sub { sql("SELECT tries FROM modal_batch.job WHERE id = $job") > 1 });
$holder->query_safe('COMMIT');
job_ends($node, $job, 'completed', '... and its table gets another name and type');
is(sql('SELECT count(*) FROM kept_on WHERE (result->>\'n\')::int = id'), '50', '... which has all results');
is(scalar(@once = $peer->requests), 50, '... each of which was asked for once');

$holder->query_safe('BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE');
$kept =~ s{'kept'}{'kept_on'};
for my $end ([ 'cancel', 'cancelled', '' ], [ 'pause', 'paused', '' ], [ '', 'failed', ", deadline => '3 s'" ])
{
	my ($do, $state, $more) = @$end;
	$job = spawn($node, "$kept, on_complete => 'SELECT FROM held'$more)");
	job_becomes($node, $job, q{waiting_for = 'lock'});
	sql("SELECT modal_$do($job)") if $do ne '';
	ok(job_becomes($node, $job, "state = '$state'"), "results in hand do not keep a job from being $state");
}
$holder->query_safe('COMMIT');
sql("SELECT modal_cancel(job) FROM modal_batch.jobs WHERE state = 'paused'");
$holder->quit;

# Statistics count each row once.
is(sql("SELECT inputs FROM modal_batch.stat_functions WHERE function = 'wide:sleep-200/echo'"), '400',
	'inputs are counted');
is(sql("SELECT errors FROM modal_batch.stat_functions WHERE function = 'rows:bad-calls'"), '1',
	'so is an error, once');

# Cancelling takes effect at once.
$begin = time;
error_like("SET statement_timeout = '500ms';
	SELECT count(*) FROM modal_map('plain:sleep-20000/echo', 'SELECT g FROM generate_series(1, 100) g')",
	qr/57014: .*statement timeout/, 'a cancelled map');
cmp_ok(time - $begin, '<', 15, 'ends at once');
ok($node->poll_query_until('postgres',
	'SELECT calls = 0 AND requests_active = 0 FROM modal_batch.stat_dispatcher'),
	'nothing is left in the dispatcher');
$node->stop;
done_testing();
