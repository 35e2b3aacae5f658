# Copyright (c) 2026, modal_batch contributors

# What HTTP requests are repeated, when, under which key, and what never is.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use JSON::PP qw(decode_json);
use ModalSession;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $peer = HttpPeer->new;
my $node = modal_node('main', conf => "max_files_per_process = 100\n");

$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');
$peer->server($node, 'one', "retry_budget '20'");
$peer->server($node, 'hasty', "retry_budget '0'");
$peer->server($node, 'once', "idempotent 'off'");
$peer->server($node, 'once_rows', "idempotent 'off', format 'bigquery'");
$peer->server($node, 'rows', "format 'bigquery'");
$peer->server($node, 'brief', "timeout '0.4'");
$peer->server($node, 'snow', "format 'snowflake'");
$peer->server($node, 'snow_once', "format 'snowflake', idempotent 'off'");

sub sql { return $node->safe_psql('postgres', @_) }

sub error_like { return sql_fails($node, @_) }

sub keys_of
{
	my %seen = map { $_->{headers}{'idempotency-key'} => 1 } @_;
	return scalar keys %seen;
}

# What is repeated, under one key.
for my $failure (408, 425, 429, 500, 502, 503, 504, 507, 521, 529, 599, 'close')
{
	$peer->forget;
	is(sql("SELECT modal_remote('one:first-2-$failure/echo', 1)"), '{"arg1": 1}',
		"$failure is tried again");
	my @requests = $peer->requests;
	is(scalar(@requests) . ' ' . keys_of(@requests), '3 1', "$failure: one key");
}
is(sql("SELECT modal_remote('brief:first-1-hang/echo', 1)"), '{"arg1": 1}', 'so is silence');
$peer->forget;

# What is not.
for my $status (400, 404, 413, 418, 501, 505)
{
	error_like("SELECT modal_remote('one:status-$status', 1)", qr/status $status: because/,
		"$status is final");
	is(scalar($peer->requests), 1, "$status: one request");
}

# No budget: no second request.  429 is no failure, and costs no budget.
error_like("SELECT modal_remote('hasty:first-1-503/echo', 1)", qr/status 503: not yet/,
	'retry_budget 0');
is(scalar($peer->requests), 1, 'one request');
is(sql("SELECT modal_remote('hasty:first-3-429/echo', 1)"), '{"arg1": 1}',
	'429 is waited out all the same');
is( sql("SELECT attempts FROM modal_batch.stat_functions, LATERAL (SELECT retries AS attempts) r
		WHERE function LIKE 'hasty:first-3-429%'"),
	'0', 'and is not counted as a retry');
$peer->forget;

# Retry-After is obeyed, and its nonsense is not.
my $begin = time;
sql("SELECT modal_remote('one:after-1/first-1-503/echo', 1)");
cmp_ok(time - $begin, '>=', 0.95, 'Retry-After');
for my $nonsense ('inf', 'nan', '-5', 'soon', '0x1000', '1e3', '9%209', 'past')
{
	is(sql("SELECT modal_remote('one:after-$nonsense/first-1-503/echo', 1)"), '{"arg1": 1}',
		"Retry-After: $nonsense");
}
$peer->forget;

# It makes no pause shorter, and none longer than the budget.
$peer->server($node, 'hot', "retry_budget '1'");
for my $after ('0', '0.0', 'past', '-1')
{
	sql_fails($node, "SET statement_timeout = '1s'; SELECT modal_remote('hot:after-$after/status-429', 1)",
		qr/57014/, "Retry-After: $after, again and again");
	cmp_ok(scalar($peer->requests), '<', 40, 'pauses grow all the same');
}
$begin = time;
for my $after (1000, '9' x 30, 'Fri,%2031%20Dec%209999%2023:59:59%20GMT')
{
	error_like("SELECT modal_remote('hot:after-$after/status-503', 1)", qr/status 503/,
		"Retry-After: $after");
	is(sql("SELECT modal_remote('hot:echo', 1)"), '{"arg1": 1}', 'others wait no longer than that');
	is(sql("SELECT modal_remote('hot:after-$after/first-1-429/echo', 1)"), '{"arg1": 1}',
		'nor does a row that was rejected');
}
cmp_ok(time - $begin, '<', 60, 'all that within the budget');

# It is one function's affair.
my $waiting = ModalSession->new($node);
$peer->forget;
$waiting->begin("SELECT modal_remote('one:after-3000/status-503', 1)");
my $told = 0;
for (1 .. 600)
{
	last if $told += $peer->requests;
	select undef, undef, undef, 0.05;
}
$begin = time;
is(sql("SELECT modal_remote('one:echo', 1)"), '{"arg1": 1}', 'another function need not wait');
cmp_ok(time - $begin, '<', 15, 'for the budget of 20 s');
$waiting->quit;
$peer->forget;

# Nobody pays for another: neighbours of a bad row are tried as often as they need.
is( sql("SELECT count(*), sum(result::int) FROM modal_map('rows:first-1-500/calls',
		'SELECT g FROM generate_series(1, 100) g')"),
	'100|5050', 'every batch fails once');
my @requests = $peer->requests;
cmp_ok(scalar(@requests), '<=', 2.5 * keys_of(@requests), 'and is sent again as it was');

# idempotent off: what may have reached the function is not sent again.
for my $failure (500, 503, 'close')
{
	error_like("SELECT modal_remote('once:first-1-$failure/echo', 1)",
		qr/ERROR:  (38000|08006): /, "idempotent off: $failure is final");
	is(scalar($peer->requests), 1, 'one request');
}
is(sql("SELECT modal_remote('once:first-1-429/echo', 1)"), '{"arg1": 1}',
	'idempotent off: 429 was not executed');
$peer->forget;
is( sql("SELECT count(error), min(error->>'message') FROM modal_map('once_rows:bad-calls',
		'SELECT 13 FROM generate_series(1, 5)', on_error => 'return')"),
	'5|HTTP function answered with status 400: 13 is unlucky', 'nor is a batch halved');
$peer->forget;
# A kept connection that the service closes: curl would send the request again.
sql("SELECT modal_remote('once:echo', 1)");
$peer->forget;
error_like("SELECT modal_remote('once:first-9-close/echo', 2)", qr/08006: /,
	'a kept connection is lost');
is(scalar($peer->requests), 1, 'and the request is not repeated on another');

# Snowflake's asynchronous form.
is(sql("SELECT modal_remote('snow:async-2/data', 5)"), '5', '202 is polled');
@requests = $peer->requests;
is(join(' ', map { $_->{method} } @requests), 'POST GET GET GET', 'with GET');
my %ids = map { $_->{headers}{'sf-external-function-query-batch-id'} => 1 } @requests;
is(keys(%ids) . ' ' . keys_of(@requests), '1 1', 'under one batch id');
is(length(join '', map { $_->{body} } @requests[ 1 .. 3 ]), 0, 'without a body');
is(sql("SELECT modal_remote('snow_once:async-1/data', 6)"), '6', 'also with idempotent off');

# Work that was accepted is not begun anew, whatever becomes of the questions
# about it.
$peer->server($node, 'snow_brief', "format 'snowflake', retry_budget '1'");
for my $status (500, 503, 408)
{
	$peer->forget;
	is( sql("SELECT count(*), sum(result::int) FROM modal_map('snow:astray-4-$status/data',
			'SELECT g FROM generate_series(1, 20) g')"),
		'20|210', "$status for questions");
	my @posts = grep { $_->{method} eq 'POST' } $peer->requests;
	is(scalar(map { @{ decode_json($_->{body})->{data} } } @posts), 20, 'no row was sent twice');
}
is( sql("SELECT count(*), min(error->>'message') FROM modal_map('snow_brief:astray-99999-500/data',
		'SELECT g FROM generate_series(1, 20) g', on_error => 'return')"),
	'20|HTTP function answered with status 500', 'questions that are never answered');
is( scalar(map { @{ decode_json($_->{body})->{data} } } grep { $_->{method} eq 'POST' } $peer->requests),
	20, 'no row was sent twice');

# A service that is not there, and one that comes back.
sql("CREATE SERVER gone FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http',
	url 'http://127.0.0.1:1', allow_http 'on')");
$begin = time;
error_like("SELECT modal_remote('gone:echo', 1)", qr/08001: .*failed/, 'nobody listens');
cmp_ok(time - $begin, '<', 30, 'which is said soon');

# Connections that one service keeps are closed when another needs some.
$peer->server($node, 'crowd', "max_concurrency '64'");
$peer->server($node, 'late', "max_concurrency '64'");
for my $server ('crowd', 'late', 'crowd')
{
	is( sql("SELECT count(*) FROM modal_map('$server:sleep-50/echo',
			'SELECT g AS id FROM generate_series(1, 300) g')"),
		'300', "many requests of $server with few descriptors");
}

# Each service that was called keeps a connection; there are more services than descriptors.
for my $i (1 .. 60)
{
	$peer->server($node, "one_of_many$i");
}
is( join(' ', map { sql("SELECT modal_remote('one_of_many$_:echo', $_)->>'arg1'") } 1 .. 60), join(' ', 1 .. 60),
	'more services than descriptors');

# Those that there are, are used in turns.
my $count = 'SELECT sum(requests) FROM modal_batch.stat_dispatcher';
my $before = sql($count);
is( sql("SELECT count(*) FROM modal_map('crowd:sleep-20/echo',
		'SELECT g AS id FROM generate_series(1, 2000) g')"),
	'2000', 'many rows with few descriptors');
cmp_ok(sql($count) - $before, '<', 4000, 'and few requests that get none');

# A job: its keys survive everything.
$peer->forget;
@requests = ();
sql("CREATE TABLE job AS SELECT modal_spawn_map('one:first-1-hang/echo',
	'SELECT g AS id FROM generate_series(1, 20) g') AS id");
for (1 .. 600)
{
	push @requests, $peer->requests;
	last if keys_of(@requests) >= 20;
	select undef, undef, undef, 0.1;
}
is(keys_of(@requests), 20, 'requests that hang hold up no others');
$node->stop('immediate');
$node->start;
is(sql("SELECT modal_wait(id, '120s') FROM job"), 'completed', 'a job after a crash');
is(sql('SELECT count(*) FROM job, modal_results(id) WHERE error IS NULL'), '20', 'with all results');
my %key_of;
my $changed = 0;
for my $request (@requests, $peer->requests)
{
	my $key = $request->{headers}{'idempotency-key'};
	$changed++ if ($key_of{ $request->{body} } //= $key) ne $key;
}
is($changed, 0, 'sent again under the same keys');
is(scalar(keys %key_of), 20, 'one for each row');

is(sql('SELECT calls, requests_active FROM modal_batch.stat_dispatcher'), '0|0',
	'nothing is left in the dispatcher');
$node->stop;
done_testing();
