# Copyright (c) 2026, modal_batch contributors

# How typed functions are called from queries: many at a time, no more inputs
# than needed, bounded memory; and what happens when calls fail, are cancelled,
# or lose the function or server that a prepared plan holds.

use strict;
use warnings FATAL => 'all';

use FindBin;
use JSON::PP qw(decode_json);
use ModalLocal;
use ModalTest;
use Test::More;

my $local = ModalLocal->new(files => ["$FindBin::Bin/../typed/shapes.py"]);
my $node  = modal_node('main', local => $local);

$node->safe_psql('postgres', q{
	CREATE FUNCTION echo(int) RETURNS int LANGUAGE modal AS 'local:builtin/echo';
	CREATE FUNCTION stable_echo(int) RETURNS int STABLE LANGUAGE modal AS 'local:builtin/echo';
	CREATE FUNCTION square(int) RETURNS int LANGUAGE modal AS 'local:builtin/square';
	CREATE FUNCTION slow(float8, int) RETURNS int LANGUAGE modal AS 'local:builtin/sleep';
	CREATE FUNCTION other_slow(float8, int) RETURNS int LANGUAGE modal AS 'local:builtin/sleep';
	CREATE FUNCTION fail13(int) RETURNS int LANGUAGE modal AS 'local:shapes/fail13';
	CREATE FUNCTION large(int) RETURNS bytea LANGUAGE modal AS 'local:builtin/large';
	CREATE FUNCTION count(int) RETURNS SETOF int LANGUAGE modal AS 'local:builtin/count';
	CREATE FUNCTION elements(int[]) RETURNS SETOF int LANGUAGE modal AS 'local:builtin/echo';
	CREATE TABLE item AS SELECT g AS id, g % 7 AS k FROM generate_series(1, 1000) g;
	ANALYZE item;
});

# Inputs that the service has been sent since the log was cleared.
sub inputs_of
{
	my ($query) = @_;
	$local->clear_log;
	my $out = $node->safe_psql('postgres', $query);
	my @inputs = $local->inputs_put;
	return (scalar(@inputs), $out);
}

# The remote calls of a query's only apply node, as EXPLAIN ANALYZE counts them.
sub analyzed
{
	my ($query) = @_;
	my $plan = decode_json($node->safe_psql('postgres',
		"EXPLAIN (ANALYZE, VERBOSE, FORMAT JSON) $query"))->[0]{Plan};

	$plan = $plan->{Plans}[0] until exists $plan->{'Remote Calls'};
	return $plan;
}

sub activity_is
{
	my ($condition, $name) = @_;
	ok($node->poll_query_until('postgres',
			"SELECT $condition FROM modal_batch.activity"),
		$name);
	return;
}

# --- many at a time, and no more than needed ---------------------------------

{
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $cancel = 'SELECT pg_cancel_backend(pid) FROM modal_batch.activity LIMIT 1';

	$session->query_until(qr/sent/,
		"\\echo sent\nSELECT slow(600, id), other_slow(600, id) FROM item WHERE id <= 40;\n");
	activity_is('count(*) = 2 AND min(sent) = 40',
		'two functions in one list: all their inputs are in flight at once');
	$node->safe_psql('postgres', $cancel);
	activity_is('count(*) = 0', 'and cancelled together');
	is($local->requests('FunctionCallCancel'), 2, 'on the remote side too');

	$session->query_until(qr/sent/,
		"\\echo sent\nSELECT slow(600, echo(id)) FROM item WHERE id <= 40;\n");
	activity_is(q{max(sent) FILTER (WHERE function ~ 'sleep') = 40},
		'nested calls: the outer one is made as results of the inner one come');
	$node->safe_psql('postgres', $cancel);
	$session->query_until(qr/sent/,
		"\\echo sent\nSELECT sum(slow(600, id)) FROM item WHERE slow(600, id) > 0;\n");
	activity_is('max(sent) = 1000', 'a filter: the window is full');
	$node->safe_psql('postgres', $cancel);
	activity_is('count(*) = 0', 'nothing is left of it');
	is($session->query('SELECT square(3)'), '9', 'and the session goes on');
	$session->quit;
}

my ($inputs, $out) =
  inputs_of('SELECT echo(g) FROM (SELECT generate_series(1, 1000000) g) q LIMIT 10');
is($inputs, 10, 'LIMIT 10 over a million rows sends ten inputs');
($inputs) = inputs_of('SELECT id FROM item WHERE square(k) >= 0 LIMIT 10');
is($inputs, 10, 'the same over a filter that passes all');
($inputs) = inputs_of('SELECT CASE WHEN k = 3 THEN echo(id) END FROM item');
is($inputs, 143, 'inputs are sent where CASE comes to the call only');
($inputs, $out) = inputs_of('SELECT sum(stable_echo(k)) FROM item');
is("$inputs, $out", '7, 3003', 'equal inputs of a STABLE function are sent once');
($inputs) = inputs_of('SELECT sum(echo(k)) FROM item');
is($inputs, 1000, 'those of a VOLATILE one each time');
($inputs) = inputs_of('SELECT sum(stable_echo(k)) FROM item, generate_series(1, 5)');
cmp_ok($inputs, '<', 500, 'sharing goes on as the window moves');

$local->clear_log;
is($node->safe_psql('postgres', 'SELECT sum(e) FROM count(4) e'), 6, 'a generator as a set');
is($node->safe_psql('postgres', 'SELECT sum(e) FROM elements(ARRAY[1, 2]), elements(ARRAY[3, 4]) e'),
	14, 'a list as a set');
is(scalar($local->requests('FunctionPutInputs')), 0,
	'each input went with the request that opened its call');

# --- EXPLAIN -----------------------------------------------------------------

($inputs) = inputs_of('EXPLAIN (VERBOSE) SELECT echo(id), count(k) FROM item');
# the end of a call before may still be on its way
is(scalar($local->requests('FunctionMap')), 0, 'EXPLAIN sends nothing');

# The planner asks for the value of what is stable: PostgreSQL's way, and documented.
for ([ 'id = stable_echo(5)', 1 ], [ 'id = (SELECT stable_echo(5))', 0 ], [ 'id = echo(5)', 0 ])
{
	($inputs) = inputs_of("EXPLAIN SELECT * FROM item WHERE $_->[0]");
	is($inputs, $_->[1], "EXPLAIN of $_->[0]: inputs");
}
($inputs) = inputs_of('EXPLAIN SELECT * FROM item LIMIT stable_echo(1)');
is($inputs, 1, 'EXPLAIN of LIMIT: inputs');
($inputs) = inputs_of('EXPLAIN SELECT * FROM item LIMIT (SELECT stable_echo(1))');
is($inputs, 0, 'EXPLAIN of LIMIT of a query: inputs');

{
	my $plan = analyzed('SELECT sum(stable_echo(k)) FROM item');
	my ($call) = @{ $plan->{'Remote Calls'} };

	is($plan->{'Custom Plan Provider'}, 'ModalApply', 'EXPLAIN names the node');
	is($plan->{Window}, 1000, 'the window');
	is($call->{'Remote Call'}, 'stable_echo(item.k)', 'the arguments');
	is($call->{Function}, 'local:builtin/echo', 'server and function');
	is("$call->{Calls} $call->{'Inputs Sent'} $call->{'Inputs Shared'}",
		'1000 7 993', 'how many calls, sent and shared');
	cmp_ok($call->{Batches}, '>', 0, 'batches');
	cmp_ok($call->{'Bytes Sent'}, '>', 7 * 3, 'bytes sent');
	cmp_ok($call->{'Bytes Received'}, '>=', 7, 'bytes received');

	$plan = analyzed('SELECT slow(0.2, id) FROM item WHERE id <= 9');
	($call) = @{ $plan->{'Remote Calls'} };
	is($call->{'Most In Flight'}, 9, 'most in flight');
	cmp_ok($call->{'Time Waiting'}, '>=', 200, 'time waiting');
	cmp_ok($call->{'Remote Time p50'}, '>=', 175, 'median of the remote time');
	cmp_ok($call->{'Remote Time Max'}, '>=', $call->{'Remote Time p50'}, 'and the most');
}
like(
	$node->safe_psql('postgres',
		'EXPLAIN (ANALYZE, VERBOSE) SELECT id, slow(0.001, k) FROM item WHERE id <= 5'),
	qr/^\s*Custom\ Scan\ \(ModalApply\).*?
	   Remote\ Call:\ slow\('0.001'::double\ precision,\ item.k\)\n
	   \s*Function:\ local:builtin\/sleep\n
	   \s*Calls:\ 5\ \ Inputs:\ 5\ sent,\ 0\ shared\n
	   \s*Most\ In\ Flight:\ [1-5]\ \ Batches:\ [1-5]\ \ Bytes:\ \d+\ sent,\ \d+\ received\n
	   \s*Time:\ [\d.]+\ ms\ waiting,\ remote\ p50\ [\d.]+\ ms,\ max\ [\d.]+\ ms\n
	   \s*Window:\ 1000$/msx,
	'the same in text');
unlike(
	$node->safe_psql('postgres', q{
		SET jit_above_cost = 1000; SET jit = on;
		EXPLAIN (ANALYZE) SELECT sum(echo(id)) FROM item}),
	qr/JIT/,
	'what remote calls cost is no reason to compile');

# --- failures ----------------------------------------------------------------

{
	my ($status, $out, $err) = modal_psql($node, q{
		BEGIN;
		DECLARE c CURSOR FOR SELECT id, fail13(id) FROM item ORDER BY id;
		FETCH 12 FROM c;
		FETCH 1 FROM c;});
	is(scalar(my @rows = $out =~ /^\d+\|\d+$/mg), 12,
		'rows before the one that fails are returned');
	like($err, qr/ERROR:  38000: ValueError\('failed for 13'\)/, 'then the error is raised');
	like($err, qr/CONTEXT:  .*"local:shapes\/fail13", input 12$/m, 'which tells the input');
	unlike($err, qr/WARNING|PANIC/, 'and nothing else');
}

$local->clear_log;
my ($status, undef, $err) = modal_psql($node, q{
	SELECT fail13(id), slow(CASE WHEN id < 13 THEN 0 ELSE 600 END, id) FROM item ORDER BY id});
like($err, qr/failed for 13/, 'an error in the middle of a window is raised at once');
activity_is('count(*) = 0', 'what is in flight is given up');
cmp_ok(scalar($local->requests('FunctionCallCancel')), '>=', 1, 'and cancelled on the remote side');

$local->clear_log;
($status, undef, $err) = modal_psql($node,
	q{SET statement_timeout = '500ms'; SELECT slow(600, id) FROM item});
like($err, qr/57014: canceling statement due to statement timeout/, 'statement_timeout');
activity_is('count(*) = 0', 'cancels');
is($node->safe_psql('postgres', q{
	DO $$ BEGIN
		PERFORM fail13(id), slow(CASE WHEN id < 13 THEN 0 ELSE 600 END, id) FROM item;
	EXCEPTION WHEN external_routine_exception THEN
		PERFORM set_config('typed.sum', sum(echo(id))::text, false) FROM item;
	END $$;
	SELECT current_setting('typed.sum')}),
	500500, 'a block that catches the error, and goes on with calls');

my @misfits = (
	[ 'int', q{'five'::text}, qr/22P02: invalid input syntax for type integer: "five"/ ],
	[ 'date', q{true}, qr/boolean.* fit|date/ ],
	[ 'int[]', q{'{"a": 1}'::jsonb}, qr/4280.: result of the remote function does not fit/ ],
	[ 'smallint', q{40000}, qr/22003: result of the remote function does not fit type smallint/ ],
	[ 'bool', q{'[1]'::jsonb}, qr/4280.: result of the remote function does not fit type boolean/ ]);
for my $case (@misfits)
{
	my ($type, $value, $message) = @$case;
	my ($status, undef, $err) = modal_psql($node, qq{
		CREATE FUNCTION misfit(anything jsonb) RETURNS $type LANGUAGE modal AS 'local:builtin/echo';
		SELECT misfit(CASE WHEN id = 3 THEN to_jsonb($value) END) FROM item WHERE id < 5;});
	like($err, $message, "a result that is no $type: what came");
	like($err, qr/CONTEXT:  result of input 2 of .*"local:builtin\/echo", which misfit\(jsonb\) declares as /,
		"a result that is no $type: which input, and what was declared");
	$node->safe_psql('postgres', 'DROP FUNCTION misfit(jsonb)');
}

for my $arguments ('int, int', '')
{
	my $call = $arguments eq '' ? 'wrong()' : 'wrong(id, id)';
	my ($status, undef, $err) = modal_psql($node, qq{
		CREATE FUNCTION wrong($arguments) RETURNS int LANGUAGE modal AS 'local:shapes/vol';
		SELECT $call FROM item LIMIT 1; DROP FUNCTION wrong;}, on_error_stop => 0);
	like($err, qr/38000: TypeError\(.*argument/, "a wrong number of arguments: ($arguments)");
}
($status, undef, $err) = modal_psql($node, q{
	CREATE FUNCTION wrong_type(text) RETURNS int LANGUAGE modal AS 'local:shapes/odd';
	SELECT wrong_type(id::text) FROM item LIMIT 1});
like($err, qr/38000: TypeError/, 'an argument of a wrong type');

# --- memory --------------------------------------------------------------------

{
	my $session = $node->background_psql('postgres');
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$session->query_safe(q{SET modal_batch.window_bytes = '16MB'});
	$session->query_safe('SELECT sum(length(large(1000))) FROM item WHERE id < 5');
	my $before = private_memory_kb($pid);
	my $peak   = $before;

	# looked at while results of 200 MB pass through
	$session->query_until(qr/sent/,
		"\\echo sent\nSELECT sum(length(large(10000000))) FROM item WHERE id <= 20;\n");
	my $state = 'active';
	while ($state eq 'active')
	{
		my $now = private_memory_kb($pid);
		$peak  = $now if $now > $peak;
		$state = $node->safe_psql('postgres',
			"SELECT state FROM pg_stat_activity WHERE pid = $pid");
	}
	like($session->query_safe('\echo end'), qr/200000000/, 'results of 10 MB');
	# and a result, and the one being read, twice; all would be over 180 MB
	cmp_ok($peak - $before, '<', 64 * 1024,
		'are held as far as modal_batch.window_bytes goes');
	$session->quit;
}

# --- a child that is slow --------------------------------------------------------

# Seconds from the start of the query to its first row and to its last one.
sub first_and_last
{
	my ($call, $pause, $rows) = @_;
	return split /\|/, $node->safe_psql('postgres', qq{
		SELECT min(t), max(t) FROM
			(SELECT extract(epoch FROM clock_timestamp() - statement_timestamp()) AS t FROM
				(SELECT $call AS r FROM (SELECT g FROM generate_series(1, $rows) g
					WHERE pg_sleep($pause)::text = '' OFFSET 0) child OFFSET 0) calls WHERE r > 0 OFFSET 0) times});
}

{
	my ($first, $last) = first_and_last('echo(g)', 0.4, 6);
	cmp_ok($first, '<', 1.6, 'a row is not held back by the rows after it');
	cmp_ok($last, '<', 4, 'nor by the calls');
	($first, $last) = first_and_last('slow(0.5, g)', 0.01, 60);
	cmp_ok($last, '<', 6, 'the rows after it are read while it is under way');
}

# --- what a prepared plan holds ------------------------------------------------

$node->safe_psql('postgres', q{
	CREATE FUNCTION held(int) RETURNS int LANGUAGE modal AS 'local:builtin/echo';
	CREATE SERVER spare FOREIGN DATA WRAPPER modal_batch OPTIONS (url 'https://localhost:1')});
my $held = $node->background_psql('postgres', on_error_stop => 0);
$held->query('SET plan_cache_mode = force_generic_plan');
$held->query('PREPARE p AS SELECT sum(held(id)) FROM item WHERE id <= 10');
$held->query('PREPARE one AS SELECT held(10)');

sub held_gives
{
	my ($change, $expected, $name) = @_;
	$node->safe_psql('postgres', $change) if $change ne '';
	for my $statement ('p', 'one')
	{
		my $out = $held->query("EXECUTE $statement");
		my $err = $held->{stderr};
		$held->{stderr} = '';
		my $want = ref $expected eq 'HASH' ? $expected->{$statement} : $expected;
		ref $want
		  ? like($err, $want, "$name ($statement)")
		  : is($out, $want, "$name ($statement)");
	}
	return;
}

held_gives('', { p => '55', one => '10' }, 'a prepared plan');
held_gives(
	q{CREATE OR REPLACE FUNCTION held(int) RETURNS int LANGUAGE modal AS 'local:builtin/square'},
	{ p => '385', one => '100' }, 'function replaced');
held_gives(
	q{CREATE OR REPLACE FUNCTION held(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1 + 1; END'},
	{ p => '65', one => '11' }, 'function moved to another language');
held_gives(
	q{CREATE OR REPLACE FUNCTION held(int) RETURNS int LANGUAGE modal AS 'spare:builtin/echo'},
	qr/no user mapping|could not connect|user mapping/i, 'function moved to a server without credentials');
held_gives('DROP SERVER spare', qr/server "spare" does not exist/, 'server dropped');
held_gives(
	q{CREATE OR REPLACE FUNCTION held(int) RETURNS int LANGUAGE modal AS 'local:builtin/echo'},
	{ p => '55', one => '10' }, 'function put right');
held_gives(q{ALTER SERVER local OPTIONS (ADD max_in_flight '2')},
	{ p => '55', one => '10' }, 'server changed');
is(analyzed('SELECT echo(id) FROM item WHERE id < 10')->{Window}, 2, 'its window is used');
held_gives('DROP FUNCTION held(int)', qr/function held\(integer\) does not exist/,
	'function dropped');
$held->quit;

$node->stop;
done_testing();
