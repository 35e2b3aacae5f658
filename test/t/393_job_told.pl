# Copyright (c) 2026, modal_batch contributors

# What is told of a job that waits, that fails, or that somebody watches.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use JobTest;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub error_of
{
	my ($query) = @_;
	my (undef, undef, $err) = modal_psql($node, $query);
	return $err;
}

# --- what a job waits for ------------------------------------------------------

$local->set_faults("FunctionPutInputs count=1 status=RESOURCE_EXHAUSTED retry_after=5\n");
my $job = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT generate_series(1, 10)')});
ok(job_becomes($node, $job, q{waiting_for = 'rate limit' AND last_error->>'message' LIKE '%asks to wait%'}),
	'a job that a service lets wait says so');
like(error_of("SELECT modal_wait($job)"), qr/NOTICE:.*job $job waits.*asks to wait/, '... and so does modal_wait');
is(job($node, $job, 'state, waiting_for, last_error IS NULL, succeeded'), 'completed||t|10', '... until it is over');
$local->set_faults('');

sql('CREATE TABLE locked (id int PRIMARY KEY, result int)');
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE locked IN SHARE MODE');
$job = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT 1 AS id, 2', key => '{id}', into_table => 'locked')});
ok(job_becomes($node, $job, q{waiting_for = 'lock'}), 'a job that waits for a lock');
$locker->query_safe('COMMIT');
$locker->quit;
job_ends($node, $job, 'completed', '... gets it');
is(job($node, $job, 'waiting_for'), '', '... and waits for nothing');

$local->kill9;
$job = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT 1')});
ok(job_becomes($node, $job, q{waiting_for = 'service'}), 'a job that waits for its service');
$local->start;
job_ends($node, $job, 'completed', '... finds it');

# an HTTP service is waited for in the middle of the call
my $peer = HttpPeer->new;
$peer->server($node, 'peer');
$job = spawn($node, q{modal_spawn_map('peer:first-20-429/echo', 'SELECT 1 AS id')});
ok(job_becomes($node, $job, q{waiting_for = 'rate limit' AND last_error->>'message' LIKE '%asks to wait%429%'}),
	'a job that an HTTP service lets wait says so');
sql("SELECT modal_cancel($job)");
job_ends($node, $job, 'cancelled', '... and can be cancelled');
sql(q{CREATE SERVER away FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', url 'http://127.0.0.1:9', allow_http 'on')});
$job = spawn($node, q{modal_spawn_map('away:echo', 'SELECT 1 AS id')});
ok(job_becomes($node, $job, q{waiting_for = 'service' AND last_error->>'code' LIKE '08%'}),
	'a job whose HTTP service cannot be reached says so');
ok(job_becomes($node, $job, 'in_flight = 1'), '... and that its input is under way');
is(job($node, $job, 'waiting_for'), 'service', '... which says nothing of the service');
like(error_of("SELECT modal_wait($job, '10 s')"), qr/NOTICE:.*job $job waits.*cannot be reached/, '... and so does modal_wait');
sql("SELECT modal_cancel($job)");
job_ends($node, $job, 'cancelled', '... and it can be cancelled');

# --- what went wrong -------------------------------------------------------------

sql(q{CREATE TABLE picky (id int PRIMARY KEY, result int);
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		RAISE EXCEPTION 'not that one' USING DETAIL = 'It is ' || NEW.id, HINT = 'Take another.', ERRCODE = 'P7777';
	END $$;
	CREATE TRIGGER refuse BEFORE INSERT ON picky FOR EACH ROW WHEN (NEW.id = 2) EXECUTE FUNCTION refuse()});
$job = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT g AS id, g FROM generate_series(1, 3) g',
	key => '{id}', into_table => 'picky')});
like(error_of("SELECT modal_wait($job)"), qr/WARNING:.*1 of 3 inputs of job $job have failed.*\nDETAIL:  not that one\nIt is 2\n/, 'modal_wait warns of a failure');
my $said = q{error->>'code', error->>'message', error->>'detail', error->>'hint'};
(my $last = $said) =~ s/error/last_error/g;
is(job($node, $job, $last), 'P7777|not that one|It is 2|Take another.', '... of which the job keeps detail and hint');
is(sql("SELECT $said FROM modal_results($job) WHERE error IS NOT NULL"), 'P7777|not that one|It is 2|Take another.', '... and its results');
is(sql("SELECT key->>'id', code, message, detail, hint FROM modal_batch.failures WHERE job = $job"),
	'2|P7777|not that one|It is 2|Take another.', '... and the view of failures');
like(slurp_file($node->logfile), qr/job $job completed after .*\n.*DETAIL:  not that one\n\s*It is 2\n.*HINT:  Take another\./, '... and the log');

# an outage does not make the failure before it forgotten
$job = spawn($node, q{modal_spawn_map('local:builtin/sleep',
	$$SELECT CASE g WHEN 1 THEN '"x"'::jsonb ELSE '5' END FROM generate_series(1, 2) g$$)});
ok(job_becomes($node, $job, 'failed = 1'), 'one input of a job has failed');
$local->kill9;
ok(job_becomes($node, $job, q{waiting_for = 'service' AND last_error->>'code' LIKE '08%'}), '... and then the service is away');
$local->start;
job_ends($node, $job, 'completed', '... and comes back');
is(job($node, $job, q{failed, last_error->>'code'}), '1|38000', '... and the failure is the last error');

# --- watching -------------------------------------------------------------------------

$local->set_faults("FunctionGetOutputs delay=0.5\n");
sql(q{ALTER SERVER local OPTIONS (ADD max_in_flight '500')});
$job = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT generate_series(1, 5000)')});
my $watcher = $node->background_psql('postgres');
$watcher->query_until(qr/watching/, "\\echo watching\nCALL modal_watch($job, '0.2 s');\n\\echo seen\n");
ok($node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'CALL modal_watch%' AND wait_event_type = 'Extension'
			AND backend_xmin IS NULL AND backend_xid IS NULL}), 'who watches a job holds no snapshot');
is(sql(q{SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.query LIKE 'CALL modal_watch%' AND locktype = 'relation'}),
	'0', '... and no lock');
$watcher->query_until(qr/seen/, '');
like($watcher->{stderr}, qr/NOTICE:  job $job \[#+-+\] +\d+ %, \d+ of 5000, 0 failed, \d+\/s, \d+ s left/, '... and sees how far it is');
like($watcher->{stderr}, qr/NOTICE:  job $job \[#{20}\] 100 %, 5000 of 5000, 0 failed, \d+\/s, completed/, '... and its end');
$watcher->quit;
$local->set_faults('');
my $out = '';
$node->psql('postgres', "CALL modal_watch($job)", stderr => \$out);
like($out, qr/NOTICE:  job $job \[#{20}\] 100 %.*completed/, 'of an ended job, the end is shown');
sql(qq{DO \$\$ BEGIN CALL modal_watch($job); END \$\$});
like(error_of(qq{BEGIN; DO \$\$ BEGIN CALL modal_watch($job); END \$\$}), qr/25001: modal_watch\(\) cannot run inside a transaction block/,
	'... also in a procedure, but not in a transaction');

$node->stop;
done_testing();
