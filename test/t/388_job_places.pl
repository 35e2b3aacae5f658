# Copyright (c) 2026, modal_batch contributors

# What waits holds up nobody: places among active jobs, among runners, and
# wake-ups of many databases at once.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local,
	conf => "max_worker_processes = 24\nmodal_batch.runner_idle_timeout = '1h'\n");

sub sql { return $node->safe_psql('postgres', @_) }

note 'more jobs than places, of a service that is not there';
sql(q{CREATE SERVER dead FOREIGN DATA WRAPPER modal_batch OPTIONS (url 'https://localhost:9', connect_timeout '1');
	CREATE USER MAPPING FOR CURRENT_USER SERVER dead OPTIONS (token_id 'ak-local', token_secret 'as-local')});
my $some = sql(q{SELECT min(j) FROM (SELECT modal_spawn_map('dead:builtin/square', 'SELECT 1') AS j FROM generate_series(1, 1200)) s});
ok(job_becomes($node, $some, 'last_error IS NOT NULL AND retry_at IS NOT NULL'), 'they wait, and say what for and until when');
my ($status, $out, $err) = modal_psql($node, "SELECT modal_wait($some, '1 s')");
is(() = $err =~ /NOTICE: .*job $some waits, and will be tried again: /g, 1, 'whoever waits for one is told, once');
my $job = spawn($node, q{modal_spawn('local:builtin/square', 3)});
job_ends($node, $job, 'completed', 'a job of another service completes meanwhile');

note 'cancelling does not wait for the next try';
sql("SELECT modal_pause($some)");
sql("UPDATE modal_batch.job SET state = 'pending', tries = 9, retry_at = clock_timestamp() + interval '60 s' WHERE id = $some");
sql("CREATE TABLE until AS SELECT clock_timestamp() + interval '55 s' AS t; SELECT modal_cancel($some)");
job_ends($node, $some, 'cancelled', 'the job is cancelled');
is(sql("SELECT finished_at < t FROM modal_batch.job, until WHERE id = $some"), 't', '... before it would have been tried');
sql(q{SELECT count(modal_cancel(job)) FROM modal_batch.jobs WHERE finished_at IS NULL});
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM modal_batch.job WHERE finished_at IS NULL'), 'and so are all');

note 'more jobs than places, of a function that takes long';
sql(q{SELECT count(modal_spawn_map('local:builtin/sleep', 'SELECT 600.0', priority => 7)) FROM generate_series(1, 1100)});
$job = spawn($node, q{modal_spawn('local:builtin/square', 3)});
job_ends($node, $job, 'completed', 'a job behind them completes');
sql(q{SELECT count(modal_cancel(job)) FROM modal_batch.jobs WHERE finished_at IS NULL});
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM modal_batch.job WHERE finished_at IS NULL'), 'they are cancelled');

note 'jobs of many databases at the same time, when no runner leaves';
my @names = map { "many$_" } 1 .. 6;
for my $name (@names)
{
	sql("CREATE DATABASE $name");
	create_local_server($node, $local, dbname => $name);
}
my @sessions = map { $node->background_psql($_) } @names;
$_->query_safe(q{BEGIN; SELECT modal_spawn('local:builtin/square', 3)}) for @sessions;
$_->query_safe('COMMIT') for @sessions;
$_->quit for @sessions;
for my $name (@names)
{
	job_ends($node, 1, 'completed', "the job of database $name", dbname => $name);
}

note 'turns, when there is one place for all';
sql(q{CREATE ROLE alice LOGIN; GRANT USAGE ON FOREIGN SERVER local TO alice;
	CREATE USER MAPPING FOR alice SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local')});
$node->append_conf('postgresql.conf', "modal_batch.max_runners = 1\n");
$node->restart;
my $long = spawn($node, q{modal_spawn('local:builtin/sleep', 600.0, 1)});
job_becomes($node, $long, q{state = 'running'});
$job = sql(q{SET ROLE alice; SELECT modal_spawn('local:builtin/square', 5)});
job_ends($node, $job, 'completed', 'a role whose turn it is');
is(job($node, $long, 'state'), 'running', '... while the other job goes on at the service');
sql("SELECT modal_cancel($long)");
job_ends($node, $long, 'cancelled', '... and has its turn again');

$node->stop;
done_testing();
