# Copyright (c) 2026, modal_batch contributors

# A job that crashes whoever touches it does not keep the server down.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use OsFaults;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $os    = OsFaults->new;
my $node  = modal_node('main', local => $local, env => $os->env);

# Though the server may be away meanwhile.
sub ends_anyhow
{
	my ($job, $state, $name) = @_;
	my ($seen, $err);

	wait_until("job $job to end", sub {
		$node->psql('postgres', "SELECT state FROM modal_batch.job WHERE id = $job AND finished_at IS NOT NULL",
			stdout => \$seen, stderr => \$err);
		return $seen });
	return is($seen, $state, $name);
}

$node->safe_psql('postgres', q{
	CREATE ROLE bob LOGIN;
	GRANT USAGE ON FOREIGN SERVER local TO bob;
	CREATE USER MAPPING FOR bob SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local')});
my $from = -s $node->logfile;
# the shell's parent is the runner
my $jobs = $node->safe_psql('postgres', q{
	SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', on_complete => $$COPY (SELECT 1) TO PROGRAM 'kill -9 $PPID'$$),
		modal_spawn_map('local:builtin/square', 'SELECT g FROM generate_series(1, 100) g');
	SET ROLE bob;
	SELECT modal_spawn('local:builtin/square', 4)});
my ($poison, $neighbour, $other) = $jobs =~ /(\d+)/g;

ends_anyhow($poison, 'failed', 'the job is set aside');
wait_up($node);
my @crashes = slurp_file($node->logfile, $from) =~ /terminated by signal 9/g;
is(scalar @crashes, 3, '... after three crashes');
like(job($node, $poison, q{last_error->>'message'}), qr/crashed 3 times with this job/, '... and says why');
ends_anyhow($neighbour, 'completed', 'another job of its owner completes');
ends_anyhow($other, 'completed', '... and one of another role');
is(job($node, $neighbour, 'succeeded'), '100', '... with all results');

$node->safe_psql('postgres', "UPDATE modal_batch.job SET on_complete = NULL WHERE id = $poison; SELECT modal_retry($poison)");
job_ends($node, $poison, 'completed', 'mended, it goes on');
is(job($node, $poison, 'succeeded'), '1', '... to its result');

# One that only ends its runner, which nothing takes for a crash.
($poison, $neighbour) = $node->safe_psql('postgres', q{SET ROLE bob;
	SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', on_complete => 'SELECT pg_terminate_backend(pg_backend_pid())', priority => 1),
		modal_spawn_map('local:builtin/sleep', 'SELECT 0.1 FROM generate_series(1, 10)')}) =~ /(\d+)/g;
job_ends($node, $poison, 'failed', 'a job that ends its runner is set aside');
like(job($node, $poison, q{last_error->>'message'}), qr/crashed 3 times with this job/, '... and says why');
job_ends($node, $neighbour, 'completed', '... and another job of its owner completes');
my $sleep = spawn($node, q{modal_spawn('local:builtin/sleep', 3)});
for (1 .. 3)
{
	job_becomes($node, $sleep, q{state = 'running'});
	$node->poll_query_until('postgres', q{SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity
		WHERE backend_type = 'modal_batch runner' AND usename = current_user});
}
job_ends($node, $sleep, 'completed', 'ended by others while it waits, a job goes on');

# The job in hand is in a file of the runner's.
$node->safe_psql('postgres', q{
	CREATE ROLE carol LOGIN;
	GRANT USAGE ON FOREIGN SERVER local TO carol;
	CREATE USER MAPPING FOR carol SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local')});
$os->fill('pgdata/modal_batch/');
$from = -s $node->logfile;
job_ends($node, spawn($node, q{modal_spawn('local:builtin/square', 5) FROM set_config('role', 'carol', false)}), 'completed', $_)
  for 'a disk that is full keeps no job from running', '... nor the next one';
my @told = slurp_file($node->logfile, $from) =~ /could not write file "modal_batch\/.*No space left/g;
is(scalar @told, 1, '... and is told once');

$node->stop;
done_testing();
