# Copyright (c) 2026, modal_batch contributors

# Jobs at OpenAI's batch endpoint: uploaded, run, collected, each row with its own outcome; and no
# second batch, whatever dies at whatever step.  The service is test/http/batch_peer.py, which names
# the descriptions that it was written from.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use JobTest;
use JSON::PP qw(decode_json);
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $peer = HttpPeer->new(program => 'batch_peer.py');
my $node = modal_node('main');
my $path = 'v1/chat/completions';

sub sql { return $node->safe_psql('postgres', @_) }

sub fails { return sql_fails($node, @_) }

# What else happens at the service: see the peer.
sub control
{
	my ($name, $value) = @_;
	my $file = $peer->log_file . ".$name";

	unlink $file if !defined $value;
	append_to_file("$file.new", $value) if defined $value;
	rename "$file.new", $file if defined $value;
	return;
}

sub steps { return map { $_->{step} } $peer->requests }

# How often each step was done, but for looking whether it is ready.
sub counts
{
	my %n;

	$n{$_}++ for grep { $_ ne 'retrieve' } steps();
	return join ' ', map { "$_ $n{$_}" } sort keys %n;
}

sub batch_of { return sql("SELECT substring(remote_call_id FROM 'batch_(.*)') FROM modal_batch.jobs WHERE job = $_[0]") }

sub spawn_texts
{
	my ($texts, $more, $server) = @_;

	return spawn($node, 'modal_spawn_map(' . "'" . ($server // 'ai') . ":$path', \$\$$texts\$\$"
		  . (defined $more ? ", $more" : '') . ')');
}

sub results
{
	my ($job, $columns) = @_;

	$columns //= q{coalesce(result #>> '{}', (error->>'code') || ' ' || coalesce(error->>'type' || ' ', '') || (error->>'message'))};
	return sql("SELECT string_agg($columns, '; ' ORDER BY ordinal) FROM modal_results($job)");
}

$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');
$peer->server($node, 'ai', q{format 'openai-batch', parameters '{"model": "gpt"}'});
sql(q{CREATE USER MAPPING FOR CURRENT_USER SERVER ai OPTIONS (bearer_token 'sk-secret-1')});

# From end to end.
my $job = spawn_texts(q{VALUES ('a'), ('b'), ('refuse'), ('length')});
job_ends($node, $job, 'completed', 'a job');
is(results($job), 'You said: a; You said: b; 38000 refusal I cannot help with that.; '
	  . '38000 finish_reason finish_reason is length', 'each row has its outcome');
my @requests = $peer->requests;
my @names = grep { $_ ne 'retrieve' } map { $_->{step} } @requests;
is("@names", 'list upload create output', 'what was asked for');
my ($upload) = grep { $_->{step} eq 'upload' } @requests;
my @lines = map { decode_json($_) } grep { /^\{/ } split /\r?\n/, $upload->{body};
is_deeply($lines[1], { custom_id => '1', method => 'POST', url => "/$path",
	body => { model => 'gpt', messages => [ { role => 'user', content => 'b' } ] } }, 'a line of the file');
my ($create) = grep { $_->{step} eq 'create' } @requests;
my $body = decode_json($create->{body});
is("$body->{endpoint} $body->{completion_window}", "/$path 24h", 'the batch');
is($create->{headers}{'idempotency-key'}, $body->{metadata}{modal_batch_run}, 'has a key');
is(sql("SELECT remote_call_id, usage > 0, in_flight, waiting FROM modal_batch.jobs WHERE job = $job"),
	'v1/batches/batch_1|t|0|0', 'and an id, and what it has cost');

# Errors are of their rows.
$job = spawn_texts(q{VALUES ('a'), ('13'), ('busy'), ('lost'), ('twice'), ('tell'), ('z')});
job_ends($node, $job, 'completed', 'a job with errors');
is(results($job), join('; ', 'You said: a', '38000 HTTP function answered with status 400: 13 is unlucky',
		'38000 HTTP function answered with status 429: too many', '38000 the batch has no result for this input',
		'You said: twice', '38000 HTTP function answered with status 400: you sent Bearer ***', 'You said: z'),
	'errors are those of their rows, without secrets');
is(sql("SELECT succeeded, failed FROM modal_batch.jobs WHERE job = $job"), '3|4', 'and counted');
$peer->forget;
is(sql("SELECT modal_retry($job)"), 4, 'failed rows are tried again');
job_ends($node, $job, 'completed', '... in a batch');
is(counts(), 'create 1 errors 1 list 1 upload 1', '... of their own');
for ([ expire => '57014 batch_expired This request could not be executed before the completion window expired.' ],
	[ stop => '57014 batch_cancelled This request was cancelled.' ])
{
	my ($text, $error) = @$_;
	$job = spawn_texts("VALUES ('a'), ('$text'), ('lost')");
	job_ends($node, $job, 'completed', $text);
	like(results($job), qr/^You said: a; \Q$error\E; 57014 \w+ the batch (has expired before this input was run|was cancelled)/,
		"$text: what was not run fails");
}

# A file that is refused: for some lines, and as a whole.
$peer->forget;
$job = spawn_texts(q{SELECT CASE WHEN g IN (3, 5) THEN 'badline' ELSE 'x' || g END FROM generate_series(1, 6) g});
job_ends($node, $job, 'completed', 'refused in part');
is(results($job), 'You said: x1; You said: x2; 38000 invalid_request this line is bad; You said: x4; '
	  . '38000 invalid_request this line is bad; You said: x6', 'the bad lines alone fail');
is(counts(), 'create 2 list 2 output 1 upload 2', 'the others go again');
$job = spawn_texts(q{VALUES ('a'), ('wrong')});
job_ends($node, $job, 'completed', 'refused as a whole');
is(results($job), join('; ', ('38000 invalid_file this file is wrong') x 2), 'all of its rows fail');

# For which there is no room at first.
$peer->forget;
control(full => '1');
$job = spawn_texts(q{VALUES ('a'), ('b')});
ok(job_becomes($node, $job, q{last_error->>'message' ~ 'asks to wait: too many tokens'}), 'a job that waits for room');
control('full');
job_ends($node, $job, 'completed', 'waits for room');
is(results($job), 'You said: a; You said: b', 'all is right');
my %done = map { $_ => 0 } 'create', 'upload';
$done{$_}++ for steps();
cmp_ok($done{create}, '>', 1, 'in another batch');
is($done{upload}, 1, 'of the same file');
my $last = spawn_texts(q{VALUES ('a')});
job_ends($node, $last, 'completed', 'the next one');
is(batch_of($job), batch_of($last) - 1, 'and has its id');

# A batch that says something else of its rows, when it is looked at again.
control(full => '');
$job = spawn_texts(q{VALUES ('a'), ('lost')});
wait_until('waits', sub { sql("SELECT last_error->>'message' FROM modal_batch.jobs WHERE job = $job") =~ /enqueued/ });
control(rows => 90000);
control('full');
job_ends($node, $job, 'completed', 'the batch claims to have other rows');
is(results($job), 'You said: a; 38000 the batch has no result for this input', 'all is right');
control('rows');

# A page, of whoever is between, is no file of results.
$peer->forget;
control(page => "<html>\n<h1>Sign in</h1>\n</html>");
$job = spawn_texts(q{VALUES ('a'), ('13')});
ok(job_becomes($node, $job, q{last_error->>'message' ~ 'no line of the file'}), 'a page instead of results');
control('page');
job_ends($node, $job, 'completed', 'is not the last word');
like(results($job), qr/^You said: a; .*13 is unlucky$/, 'all is right');
like(counts(), qr/^create 1 /, 'with one batch');

# Nor is what is said of another batch, whose results are those of other rows.
$peer->forget;
control(swap => 'batch_1');
$job = spawn_texts(q{VALUES ('mine')});
ok(job_becomes($node, $job, q{last_error->>'message' ~ 'another batch'}), 'another batch');
control('swap');
control(mark => '1');
job_ends($node, $job, 'completed', 'the right one in the end');
control('mark');
is(results($job), 'You said: mine', 'has the right results, behind a byte order mark');

# More than a file may have; other requests; typed results; a trigger.
$peer->forget;
sql(q{ALTER SERVER ai OPTIONS (ADD max_batch_rows '10')});
$job = spawn_texts(q{SELECT 'n' || g FROM generate_series(1, 25) g});
job_ends($node, $job, 'completed', 'three batches');
is(sql("SELECT count(*), bool_and(result #>> '{}' = 'You said: n' || (ordinal + 1)) FROM modal_results($job)"), '25|t', 'all is right');
is(counts(), 'create 3 list 3 output 3 upload 3', 'one after the other');
sql(q{ALTER SERVER ai OPTIONS (DROP max_batch_rows, ADD max_batch_bytes '1024')});
$job = spawn_texts(q{SELECT repeat('y', 200) FROM generate_series(1, 6)});
job_ends($node, $job, 'completed', 'limited by bytes');
is(sql("SELECT succeeded FROM modal_batch.jobs WHERE job = $job"), 6, 'all is right');
sql(q{ALTER SERVER ai OPTIONS (DROP max_batch_bytes)});
$job = spawn($node, q{modal_spawn_map('ai:v1/embeddings#{"request": {"model": "m", "input": "$1"}, "result": "$.data[0].embedding"}',
	$$VALUES ('abc')$$)});
job_ends($node, $job, 'completed', 'embeddings');
is(sql("SELECT result FROM modal_results($job)"), '[3, 97, 99]', 'another API');
sql(qq{CREATE TABLE page (id int PRIMARY KEY, body text, said text);
	CREATE TRIGGER say AFTER INSERT ON page FOR EACH ROW EXECUTE FUNCTION modal_trigger('ai:$path', 'body', 'said');
	INSERT INTO page VALUES (1, 'p')});
ok($node->poll_query_until('postgres', q{SELECT said = '"You said: p"' OR said = 'You said: p' FROM page}), 'a trigger');

# Where it cannot be.
fails("SELECT modal_remote('ai:$path', 'x'::text)", qr/0A000: .*for background jobs alone.*modal_spawn_map/s, 'a call');
fails("SELECT * FROM modal_map('ai:$path', 'SELECT 1')", qr/0A000: .*for background jobs alone/, 'a map');
fails(q{ALTER SERVER ai OPTIONS (ADD request '{"input": "$rows"}')}, qr/HV00D: .*"request" is not possible with format "openai-batch"/,
	'many rows in a line');
fails(q{ALTER SERVER ai OPTIONS (ADD method 'GET')}, qr/HV00D/, 'another method');
$job = spawn($node, q{modal_spawn_map('ai:chat', $$VALUES ('a')$$)});
job_ends($node, $job, 'failed', 'a path of one step');
like(job($node, $job, 'last_error'), qr/has two steps or more/, 'is an error');
sql(q{CREATE SERVER wrong FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', allow_http 'on', format 'openai-batch',
	url '} . $peer->url . q{'); CREATE USER MAPPING FOR CURRENT_USER SERVER wrong OPTIONS (bearer_token 'sk-wrong-77')});
$job = spawn_texts(q{VALUES ('a')}, undef, 'wrong');
job_ends($node, $job, 'failed', 'a wrong key');
like(job($node, $job, 'last_error'), qr/"28000".*status 401: Incorrect API key provided: Bearer \*\*\*/, 'without the secret');
is(sql(q{SELECT authenticated FROM modal_ping('ai')}), 't', 'ping');

# The service has trouble: it is waited for, and no batch is made twice.
$job = spawn_texts(q{VALUES ('a')});
job_ends($node, $job, 'completed', 'without trouble');
for my $fault ('upload 503 2', 'list 500 2', 'create 500 2', 'create 500 1 done', 'retrieve 429 2', 'retrieve 522 2', 'output 502 2', 'errors 500 1')
{
	my $before = batch_of($job);
	control(fail => $fault);
	$job = spawn_texts(q{VALUES ('a'), ('13'), ('b')});
	job_ends($node, $job, 'completed', $fault);
	is(results($job), 'You said: a; 38000 HTTP function answered with status 400: 13 is unlucky; You said: b', "$fault: the results");
	is(batch_of($job), $before + 1, "$fault: one batch");
	control('fail');
}

# Processes die while the service is at a step, which it does, or has done.
sub wait_held { return wait_until("step $_[0]", sub { -e $peer->log_file . '.held' }) }

sub kill_one
{
	my ($victim) = @_;

	if ($victim eq 'server')
	{
		kill_postmaster($node);
		return $node->start;
	}
	my $pid = worker_pid($node, $victim);
	kill 'KILL', $pid;
	wait_gone($pid);
	return wait_up($node);
}

for my $step ('list', 'upload', 'create', 'retrieve', 'output', 'errors')
{
	for my $victim ('runner', 'dispatcher', 'server')
	{
		my $name = "$victim dies at $step";

		unlink $peer->log_file . '.held';
		$peer->forget;
		control(hold => $step);
		$job = spawn_texts(q{SELECT CASE WHEN g % 10 = 0 THEN '13' ELSE 'k' || g END FROM generate_series(1, 100) g});
		wait_held($step);
		kill_one($victim);
		control('hold');
		job_ends($node, $job, 'completed', $name);
		is(sql("SELECT count(*), count(result), bool_and(result #>> '{}' = 'You said: k' || (ordinal + 1)) FROM modal_results($job)"),
			'100|90|t', "$name: each row has its result");
		my %done = (create => 0, upload => 0);
		$done{$_}++ for steps();
		is($done{create}, 1, "$name: in one batch");
		is($done{upload}, 1, "$name: which goes on by its id") if $step =~ /retrieve|output|errors/;
	}
}

# ... and the runner, between the making of a batch and the storing of its id, and just after that.
for my $case ([ 'runner-bulk-made', 1 ], [ 'runner-bulk-stored', 1 ], [ 'runner-before-commit', 1 ],
	[ 'runner-bulk-made', 2 ])
{
	my ($point, $nth) = @$case;

	$peer->forget;
	control(full => '1') if $nth > 1;
	arm_point($node, $point, 'crash', $nth);
	$job = spawn_texts(q{VALUES ('a'), ('b')});
	point_passed($node, $point);
	control('full');
	wait_up($node);
	job_ends($node, $job, 'completed', $point);
	is(results($job), 'You said: a; You said: b', "$point: the results");
	my %step = map { $_ => 0 } 'create', 'upload';
	$step{$_}++ for steps();
	cmp_ok($step{create}, '<=', $nth + 1, "$point: no batch too many");
	is($step{upload}, 1, "$point: of one file");
	is(sql("SELECT count(*) FROM modal_batch.chunk WHERE job = $job"), 0, "$point: no chunk is left");
}

# Cancelled, with an id and without one.
control(slow => '1');
$peer->forget;
$job = spawn_texts(q{VALUES ('a')});
job_becomes($node, $job, 'remote_call_id IS NOT NULL');
is(sql("SELECT waiting_for FROM modal_batch.jobs WHERE job = $job"), 'batch', 'it is said what is waited for');
sql("SELECT modal_cancel($job)");
job_ends($node, $job, 'cancelled', 'cancelled');
is(scalar(grep { $_ eq 'cancel' } steps()), 1, 'at the service, too');
for my $victim ('runner', 'dispatcher', 'server')
{
	$job = spawn_texts(q{VALUES ('a')});
	job_becomes($node, $job, 'remote_call_id IS NOT NULL');
	unlink $peer->log_file . '.held';
	control(hold => 'cancel');
	sql("SELECT modal_cancel($job)");
	wait_held('cancel');
	kill_one($victim);
	control('hold');
	job_ends($node, $job, 'cancelled', "$victim dies at cancel");
}
$peer->forget;
unlink $peer->log_file . '.held';
control(hold => 'create');
$job = spawn_texts(q{VALUES ('a')});
wait_held('create');
sql("SELECT modal_cancel($job)");
job_ends($node, $job, 'cancelled', 'cancelled while it was made');
control('hold');
is(scalar(grep { $_ eq 'cancel' } steps()), 1, 'it is found, and cancelled');
$job = spawn_texts(q{VALUES ('a')}, q{deadline => '300 ms'});
job_ends($node, $job, 'failed', 'a deadline');
is(scalar(grep { $_ eq 'cancel' } steps()), 1, 'cancels it');
control('slow');

# The service names times that are beyond what anybody would wait for.
$peer->server($node, 'hasty', q{format 'openai-batch', parameters '{"model": "gpt"}', retry_budget '1'});
sql(q{CREATE USER MAPPING FOR CURRENT_USER SERVER hasty OPTIONS (bearer_token 'sk-secret-1')});
control(later => '500');
control(fail => 'create 429 1');
$job = spawn_texts(q{VALUES ('a')}, undef, 'hasty');
job_ends($node, $job, 'completed', 'a service that asks to come again much later');
control('fail');
control('later');

# Paused and resumed; and what the service no longer has is run again.
control(slow => '1');
$job = spawn_texts(q{VALUES ('a')});
job_becomes($node, $job, 'remote_call_id IS NOT NULL');
sql("SELECT modal_pause($job)");
control('slow');
sql("SELECT modal_resume($job)");
job_ends($node, $job, 'completed', 'paused and resumed');
$peer->forget;
control(fail => 'retrieve 404 1');
$job = spawn_texts(q{VALUES ('a')});
job_ends($node, $job, 'completed', 'a batch that is gone');
is(results($job), 'You said: a', 'is made anew');
control('fail');

$node->stop;
done_testing();
