# Copyright (c) 2026, modal_batch contributors

# A lock that a session holds keeps waiting whoever needs it: one job, while
# the others go on.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local);
my $holder = $node->background_psql('postgres');
my $others = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub job_midway { return map_midway($node, $local, @_) }

# While a lock is held, which the job has met and meets again.
sub others_go_on
{
	my ($job) = @_;
	my $offset = -s $node->logfile;

	$local->set_faults('');
	ok(job_becomes($node, $job, q{last_error->>'code' = '55P03' AND state <> 'completed'}),
		'... the job waits, and says why');
	wait_until('it to be tried again', sub {
		my @tries = slurp_file($node->logfile, $offset) =~ /job $job will be tried again/g;
		@tries >= 2 });
	my $other = map_into($node, 'other' . ++$others, 100);
	job_ends($node, $other, 'completed', '... others go on');
	return;
}

$node->safe_psql('postgres', q{ALTER SERVER local OPTIONS (ADD max_in_flight '1000')});

note 'the table of results is locked';
my $job = job_midway('locked');
$holder->query_safe('BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE');
others_go_on($job);
$holder->query_safe('COMMIT');
job_ends($node, $job, 'completed', '... and so does it afterwards');
sink_is($node, 'locked', 10000, '... with one result for each input');

note 'a row of it is';
sql('CREATE TABLE row_locked (id int PRIMARY KEY, result bigint); INSERT INTO row_locked VALUES (9999)');
$job = job_midway('row_locked', more => q{mode => 'upsert'});
$holder->query_safe('BEGIN; SELECT FROM row_locked WHERE id = 9999 FOR UPDATE');
others_go_on($job);
$holder->query_safe('COMMIT');
job_ends($node, $job, 'completed', '... and so does it afterwards');
sink_is($node, 'row_locked', 10000, '... with one result for each input');

note 'what is to be done at the end of a job meets a lock';
sql('CREATE TABLE ended (job bigint)');
$holder->query_safe('BEGIN; LOCK TABLE ended IN ACCESS EXCLUSIVE MODE');
$job = map_into($node, 'ends', 100, more => q{on_complete => 'INSERT INTO ended VALUES ($1)'});
others_go_on($job);
$holder->query_safe('COMMIT');
job_ends($node, $job, 'completed', '... it ends afterwards');
is(sql('SELECT * FROM ended'), $job, '... and that is done, once');
is(job($node, $job, 'last_error'), '', '... without an error');
sink_is($node, 'ends', 100, '... with one result for each input');

note 'a transaction that pauses a job stays open';
$job = job_midway('paused');
$holder->query_safe("BEGIN; SELECT modal_pause($job)");
$local->set_faults('');
my $runner = worker_pid($node, 'runner');
for my $try (1 .. 2)
{
	my $other = map_into($node, 'beside', 100);
	job_ends($node, $other, 'completed', '... others go on');
}
$holder->query_safe('ROLLBACK');
job_ends($node, $job, 'completed', '... and so does it afterwards');
sink_is($node, 'paused', 10000, '... with one result for each input');

note 'jobs that were made elsewhere go while start_runner moves them in';
for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	my $other = $node->background_psql('postgres', on_error_stop => 0);
	my @jobs = map { sql(q{SELECT modal_spawn_map('local:builtin/square', 'SELECT 7', start_after => '1 h') AS job}) } 1 .. 4;

	sql(q{UPDATE modal_batch.job SET home = gen_random_uuid(), state = 'paused', set_aside = true WHERE finished_at IS NULL});
	$other->query("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM modal_batch.jobs");
	sql("DELETE FROM modal_batch.job WHERE id = $jobs[0]");
	$holder->query_safe("BEGIN; DELETE FROM modal_batch.job WHERE id = $jobs[1]");
	# what has changed meanwhile, and is there, is an error for other levels
	$holder->query_safe("SELECT modal_cancel($jobs[2])") if $level eq 'READ COMMITTED';
	$other->query_until(qr/asked/, "\\echo asked\nSELECT modal_batch.start_runner();\n");
	wait_until('it to wait', sub {
		sql(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'start_runner'}) eq '1' });
	$holder->query_safe('COMMIT');
	like($other->query('SELECT 1'), qr{^1$}m, "$level: it does not fail for them");
	$other->query('COMMIT');
	is(sql("SELECT string_agg(state, ' ') FROM modal_batch.job WHERE id IN ($jobs[0], $jobs[1], $jobs[3])"),
		'pending', '... and moves in those that are there');
	job_ends($node, $jobs[2], 'cancelled', '... but not one that is cancelled') if $level eq 'READ COMMITTED';
	sql('DELETE FROM modal_batch.job WHERE finished_at IS NULL; DELETE FROM modal_batch.chunk');
	$other->quit;
}

note 'the tables of jobs are locked themselves';
$holder->query_safe('BEGIN; LOCK TABLE modal_batch.job IN ACCESS EXCLUSIVE MODE');
sql('SELECT modal_batch.start_runner()');
ok($node->poll_query_until('postgres',
		qq{SELECT pg_read_file('@{[$node->logfile]}') ~ 'could not use the tables of jobs'}),
	'the runner cannot read them, and says so');
$holder->query_safe('COMMIT');
$job = map_into($node, 'later', 100);
job_ends($node, $job, 'completed', '... and does so when it can');
is(worker_pid($node, 'runner'), $runner, '... being the same runner all the time');

$holder->quit;
$node->stop;
done_testing();
