# Copyright (c) 2026, modal_batch contributors

# How much memory large results take, in sessions, runners and the dispatcher:
# what modal_batch.window_bytes says and a few results more, however many
# results there are and whatever way they come.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use IPC::Run ();
use JobTest;
use ModalLocal;
use ModalSession;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

# The result of the first one comes when the one with 100 has run, but not for
# ever later.
my $dir = PostgreSQL::Test::Utils::tempdir;
append_to_file("$dir/order.py", <<'PYTHON');
import os, time

def first_comes_last(n, size, marker):
    if n == 100:
        open(marker, "w").close()
    for _ in range(600):
        if n > 1 or os.path.exists(marker):
            break
        time.sleep(0.1)
    return bytes(size)
PYTHON
my $local = ModalLocal->new(files => ["$dir/order.py"]);
my $peer  = HttpPeer->new;
my $node  = modal_node('main', local => $local,
	conf => "modal_batch.window_bytes = '16MB'");
my $inline = 1_000_000;
my $blob   = 10_000_000;

$peer->server($node, 'peer');
$node->safe_psql('postgres', q{
	CREATE FUNCTION large(int) RETURNS bytea LANGUAGE modal AS 'local:builtin/large';
	CREATE TABLE item AS SELECT g AS id, NULL::bytea AS result FROM generate_series(1, 1000) g;
	ANALYZE item});

# The text of a JSON string with so many bytes in base64.
sub text_length
{
	my ($bytes) = @_;
	return 4 * int(($bytes + 2) / 3) + 2;
}

# Most MB that processes take beyond what they had at first, while $run runs.
my %at_first;

sub peaks
{
	my ($run, @pids) = @_;

	$at_first{$_} //= private_memory_kb($_) for @pids;
	forget_peak_memory($_) for @pids;
	$run->();
	return map { int((peak_memory_kb($_) - $at_first{$_}) / 1024) } @pids;
}

sub at_most
{
	my ($got, $most, $name) = @_;
	cmp_ok($got, '<=', $most, "$name: $most MB at most") and note "$got MB";
	return;
}

# A query in a session that has called before, and what it and the dispatcher
# take.
sub query_takes
{
	my ($name, $query, $expected, $in_session, $in_dispatcher, %params) = @_;
	my $session    = $node->background_psql('postgres');
	my $pid        = $session->query_safe('SELECT pg_backend_pid()');
	my $dispatcher = dispatcher_pid($node);
	my $result;

	$session->query_safe("SET modal_batch.window_bytes = '$params{window_bytes}'")
	  if exists $params{window_bytes};
	$session->query_safe(q{SELECT count(large(10)) FROM item WHERE id < 10;
		SELECT * FROM modal_map('local:builtin/large', 'SELECT 10')});
	my ($session_mb, $dispatcher_mb) =
	  peaks(sub { $result = $session->query_safe($query) }, $pid, $dispatcher);
	is($result, $expected, $name);
	at_most($session_mb,    $in_session,    "$name, in the session");
	at_most($dispatcher_mb, $in_dispatcher, "$name, in the dispatcher");
	$session->quit;
	return;
}

sub map_query
{
	my ($n, $bytes, $more) = @_;
	return "SELECT sum(length(result::text)) FROM modal_map('local:builtin/large',
		'SELECT $bytes FROM generate_series(1, $n)'$more)";
}

# --- sessions ------------------------------------------------------------------

# A result of a map is in memory some six times while it is made a jsonb.
query_takes('a map with results of 1 MB', map_query(200, $inline, ''),
	200 * text_length($inline), 40, 40);
query_takes('in any order',
	map_query(200, $inline, ', ordered => false'),
	200 * text_length($inline), 40, 40);
query_takes('a map without results',
	"SELECT modal_for_each('local:builtin/large', 'SELECT $inline FROM generate_series(1, 200)')",
	200, 8, 40);
query_takes('a typed function with results of 1 MB',
	"SELECT sum(length(large($inline))) FROM item WHERE id <= 200",
	200 * $inline, 40, 40);
query_takes('a map with results of 10 MB', map_query(20, $blob, ''),
	20 * text_length($blob), 120, 60);
query_takes('a typed function with results of 10 MB',
	"SELECT sum(length(large($blob))) FROM item WHERE id <= 20",
	20 * $blob, 70, 60);
# Forty may be under way when results are small, as these were so far.
{
	my $job = spawn($node, q{modal_spawn_map('local:builtin/large',
		'SELECT CASE WHEN id <= 4 THEN 3000000 ELSE 30000000 END AS n FROM item WHERE id <= 14 ORDER BY id')});
	job_ends($node, $job, 'completed', 'results of 30 MB after those of 3 MB');
	my $call = $node->safe_psql('postgres', "SELECT remote_call_id FROM modal_batch.jobs WHERE job = $job");
	query_takes('all of them at once',
		"SELECT sum(length(result::text)) FROM modal_function_call_results('local:$call')",
		4 * text_length(3_000_000) + 10 * text_length(30_000_000), 400, 200, window_bytes => '64MB');
}
query_takes('a result that is larger than the session takes',
	"SET modal_batch.max_payload = '1MB';
	SELECT error->>'code' FROM modal_map('local:builtin/large', ARRAY[100000000], on_error => 'return')",
	'54000', 8, 20);
# The first eight requests are under way before it is known what comes of them.
# Four times window_bytes, as docs/http.md says, and the one that is decoded, twice.
query_takes('an HTTP function with results of 5 MB',
	q{SELECT sum(length(result #>> '{}')) FROM modal_map('peer:raw-large',
		'SELECT g FROM generate_series(1, 40) g')},
	40 * 5_000_000, 75, 100);
# However many are under way when they become large, and nobody has expected it.
$peer->server($node, 'wide', "max_concurrency '128'");
query_takes('results of an HTTP function that become large',
	q{SELECT count(*), sum(length(result::text)) FROM modal_map('wide:swell-2000',
		'SELECT g FROM generate_series(1, 2120) g', ordered => false)},
	'2120|' . (2000 + 120 * 5_000_002), 100, 260);
# A reader who does not read gets no more of them.
{
	my $session = ModalSession->new($node);
	my ($mb) = peaks(
		sub {
			$session->query(q{BEGIN; DECLARE c CURSOR FOR SELECT length(result::text) FROM modal_map('wide:swell-2001',
				'SELECT g FROM generate_series(1, 2120) g')});
			is($session->query('FETCH 1 FROM c'), '1', 'the first of such results');
			is($session->query('SELECT count(*) FROM (SELECT pg_sleep(5)) s'), '1', 'and then nothing is read');
		},
		dispatcher_pid($node));
	at_most($mb, 200, 'what is not read, in the dispatcher');
	is($session->query('FETCH 3000 FROM c') =~ tr/\n//, 2118, 'the others come when they are wanted');
	$session->quit;
}
$peer->server($node, 'dear', "max_concurrency '128', idempotent 'off'");
is($node->safe_psql('postgres', q{
		SELECT sum(length(result::text)) / 5000002 + count(*) FILTER (WHERE error->>'code' = '54000'),
			count(*) FILTER (WHERE error->>'code' = '54000') > 0
		FROM modal_map('dear:swell-2002', 'SELECT g FROM generate_series(1, 2120) g', on_error => 'return')}),
	'118|t', 'what may not be sent twice fails');

# Rows come one by one: what there is of them at a time is the window's.
{
	my $session = ModalSession->new($node);
	my $pid = $session->query('SELECT pg_backend_pid()');
	my $peak = sub {
		my ($rows) = @_;

		forget_peak_memory($pid);
		is( $session->query(
				"SELECT count(*), sum(length(result::text)) FROM modal_map('local:builtin/echo',
				\$\$SELECT repeat('x', 200) FROM (SELECT generate_series(1, $rows)) g\$\$)"),
			$rows . '|' . $rows * 202,
			"a map of $rows rows");
		return peak_memory_kb($pid);
	};

	$peak->(5_000);
	my $small = $peak->(5_000);
	my $large = $peak->(100_000);
	cmp_ok($large - $small, '<', 8 * 1024, "memory does not grow with the rows: $small kB, $large kB");
	$session->quit;
}

# --- inputs ----------------------------------------------------------------------

my $wide = q{SELECT 0.1::float8, 1, repeat('x', 1000000) FROM generate_series(1, 200)};

# They are in memory once more while they are in a request.
query_takes('a map with inputs of 1 MB',
	"SELECT sum(result::int) FROM modal_map('local:builtin/sleep', \$\$$wide\$\$)",
	200, 40, 60);

# Many maps share what the dispatcher has.
{
	$node->safe_psql('postgres', q{ALTER SYSTEM SET modal_batch.dispatcher_memory = '16MB'});
	$node->reload;
	my @maps;
	my ($mb) = peaks(
		sub {
			@maps = map {
				my ($out, $err) = ('', '');
				my $run = IPC::Run::start(
					[
						'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
						"SELECT sum(result::int) FROM modal_map('local:builtin/sleep', \$\$$wide\$\$)"
					],
					'<', '/dev/null', '>', \$out, '2>', \$err);
				[ $run, \$out, \$err ];
			} 1 .. 6;
			$_->[0]->finish for @maps;
		},
		dispatcher_pid($node));
	is(join(' ', map { ${ $_->[1] } =~ s/\n//r . ${ $_->[2] } } @maps),
		'200 200 200 200 200 200', 'six maps with inputs of 1 MB');
	at_most($mb, 100, 'together, in the dispatcher');
	$node->safe_psql('postgres', q{ALTER SYSTEM RESET modal_batch.dispatcher_memory});
	$node->reload;
}

# So do small items of a generator, whose reader sleeps.
{
	my $session = ModalSession->new($node);
	my $dispatcher = dispatcher_pid($node);
	my $fetch = sub {
		my ($n, $seconds) = @_;
		$session->query(qq{SET modal_batch.window_bytes = '1MB'; BEGIN;
			DECLARE c CURSOR FOR SELECT modal_remote_gen('local:builtin/count', $n)});
		is($session->query('FETCH 1 FROM c'), '0', 'the first item of a generator');
		sleep $seconds;
		return $session->query('COMMIT');
	};
	my ($before) = peaks(sub { $fetch->(100, 0) }, $dispatcher);
	my ($mb) = peaks(sub { $fetch->(2_000_000, 5) }, $dispatcher);
	at_most($mb - $before, 8, 'two million items that nobody reads');
	$session->quit;
}

# Nor do items that a service gives again and again.
{
	my $pouring = HttpPeer->new(program => 'modal_peer.py');
	$node->safe_psql('postgres', "CREATE SERVER pouring FOREIGN DATA WRAPPER modal_batch OPTIONS (url '${\ $pouring->url}', allow_http 'on');
		CREATE USER MAPPING FOR CURRENT_USER SERVER pouring OPTIONS (token_id 'ak-known', token_secret 'for-this-peer-alone')");
	my ($mb) = peaks(
		sub {
			sql_fails($node, "SET statement_timeout = '5s'; SELECT count(*) FROM modal_remote_gen('pouring:app/again')",
				qr/57014: .*statement timeout/, 'one item, again and again');
		},
		dispatcher_pid($node));
	at_most($mb, 30, 'one item, again and again');
}

# A session that reads nothing is not told of every change.
{
	$node->safe_psql('postgres', q{ALTER SYSTEM SET modal_batch.dispatcher_memory = '16MB'});
	$node->reload;
	my $idle = ModalSession->new($node);
	$idle->query(q{BEGIN; DECLARE c CURSOR FOR SELECT result FROM modal_map('local:builtin/sleep',
		'SELECT CASE g WHEN 1 THEN 0 ELSE 600 END::float8, g FROM generate_series(1, 3) g')});
	is($idle->query('FETCH 1 FROM c'), '1', 'an idle cursor');
	my $session = ModalSession->new($node);
	my $maps = sub {
		my ($n) = @_;
		$session->query(qq{DO \$\$BEGIN FOR i IN 1 .. $n LOOP
			PERFORM * FROM modal_map('local:builtin/echo', ARRAY[i]); END LOOP; END\$\$});
	};
	my ($before) = peaks(sub { $maps->(10) }, dispatcher_pid($node));
	my ($mb) = peaks(sub { $maps->(1_000) for 1 .. 12 }, dispatcher_pid($node));
	at_most($mb - $before, 3, 'beside an idle cursor, 12,000 maps that change its share');
	$session->quit;
	$idle->quit;
	$node->safe_psql('postgres', q{ALTER SYSTEM RESET modal_batch.dispatcher_memory});
	$node->reload;
}

# --- jobs ------------------------------------------------------------------------

{
	my $dispatcher = dispatcher_pid($node);
	my $job = sub {
		my ($n) = @_;
		my $id = spawn($node, qq{modal_spawn_map('local:builtin/large',
			'SELECT $blob AS n, id FROM item WHERE id <= $n',
			into_table => 'item', key => '{id}', mode => 'update')});
		job_ends($node, $id, 'completed', "a job with $n results of 10 MB");
	};

	$job->(1);
	my $runner = worker_pid($node, 'runner');
	my ($runner_mb, $dispatcher_mb) =
	  peaks(sub { $job->(20) }, $runner, $dispatcher);
	at_most($runner_mb,     150, 'in the runner');
	at_most($dispatcher_mb, 60,  'in the dispatcher');
	is($node->safe_psql('postgres', 'SELECT sum(length(result)) FROM item'),
		20 * $blob, 'all were stored');
}

# --- one result that the reader waits for -------------------------------------------

# Each request fails at first and is sent again after a random while.
query_takes('a result that is tried again while others fill the memory',
	q{SELECT sum(length(result #>> '{}')) FROM modal_map('peer:first-1-503/raw-large',
		'SELECT g FROM generate_series(1, 12) g')},
	12 * 5_000_000, 100, 100, window_bytes => '64kB');
query_takes('blobs, of which none fits', map_query(5, $blob, ''),
	5 * text_length($blob), 120, 60, window_bytes => '64kB');
query_takes('results within replies, of which none fits', map_query(40, $inline, ''),
	40 * text_length($inline), 40, 40, window_bytes => '64kB');

# Results that the service gives out before the one that comes first.
sub first_comes_last
{
	my ($last, $marker) = @_;
	return "SELECT sum(length(first_comes_last(n, $inline, '$dir/$marker')))
		FROM generate_series(1, $last) n";
}

$node->safe_psql('postgres', q{
	CREATE FUNCTION first_comes_last(int, int, text) RETURNS bytea
		LANGUAGE modal AS 'local:order/first_comes_last'});
query_takes('a first result that comes last', first_comes_last(100, 'all'),
	100 * $inline, 40, 40);
{
	my ($status, undef, $err) = modal_psql($node,
		"SET temp_file_limit = '10MB';" . first_comes_last(100, 'limited'));
	like($err, qr/53400: temporary file size exceeds "?temp_file_limit/,
		'the others are in a temporary file');

	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $files = 'SELECT count(*) FROM pg_ls_tmpdir()';
	$session->query_until(qr/sent/, "\\echo sent\n" . first_comes_last(99, 'never') . ";\n");
	ok($node->poll_query_until('postgres', $files, '1'), 'while it is missing');
	$node->safe_psql('postgres', q{
		SELECT pg_cancel_backend(pid) FROM modal_batch.activity});
	ok($node->poll_query_until('postgres', $files, '0'),
		'which is gone when the statement is cancelled');
	$session->query('SELECT 1');
	unlike($session->{stderr}, qr/WARNING/, 'without a warning');
	$session->quit;
}

# What statements have left to the dispatcher is for the next ones, but not for ever.
{
	my $dispatcher = dispatcher_pid($node);
	my $left;

	$node->safe_psql('postgres', map_query(40, $inline, ''));
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		$left = int((private_memory_kb($dispatcher) - $at_first{$dispatcher}) / 1024);
		last if $left <= 10;
		usleep(100_000);
	}
	cmp_ok($left, '<=', 10, 'memory goes back when nothing is open: 10 MB at most, of pools, are left');
}

$node->stop;
done_testing();
