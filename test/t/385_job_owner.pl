# Copyright (c) 2026, modal_batch contributors

# Whose rights, search_path and settings a job has: those of its owner, wholly,
# and nobody else's; and what it leaves behind: nothing.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local);

sub sql { return $node->safe_psql('postgres', @_) }

# As that role, which logs in.
sub sql_as
{
	my ($role, $query) = @_;

	return $node->safe_psql('postgres', $query, extra_params => [ '-U', $role ]);
}

# A job of the role whose only purpose is its last statement.
sub completes_with
{
	my ($role, $on_complete) = @_;
	my $job = sql_as($role, qq{SELECT modal_spawn_map('local:builtin/square', 'SELECT 2', on_complete => \$\$$on_complete\$\$)});

	job_ends($node, $job, 'completed', "$role: $on_complete");
	return $job;
}

sub error_code { return job($node, $_[0], q{last_error->>'code'}) }

sub role
{
	my ($role, $options) = @_;

	sql(qq{
		CREATE ROLE $role $options;
		GRANT USAGE ON FOREIGN SERVER local TO $role;
		CREATE USER MAPPING FOR $role SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local');
		CREATE SCHEMA $role AUTHORIZATION $role});
	return;
}

role('alice', 'LOGIN');
role('bob', 'LOGIN');
role('crew', 'NOLOGIN');
# tests connect as them, whatever pg_hba.conf says of the user that made the cluster
unlink($node->data_dir . '/pg_hba.conf');
$node->append_conf('pg_hba.conf', "local all all trust\nlocal replication all trust\n");
$node->reload;
sql(q{CREATE TABLE seen (job bigint, who name, session name, path text, tag text);
	GRANT ALL ON seen TO PUBLIC});
my $see = q{INSERT INTO public.seen VALUES ($1, current_user, session_user, current_setting('search_path'), current_setting('work_mem'))};

note 'the owner, and its settings';
sql(q{ALTER ROLE alice SET work_mem = '5MB'; ALTER ROLE alice IN DATABASE postgres SET search_path = alice, public});
my $job = completes_with('alice', $see);
is(sql("SELECT who, session, path, tag FROM seen WHERE job = $job"), 'alice|alice|alice, public|5MB',
	'current_user, session_user and settings are the owner\'s');
is(sql(q{SELECT usename FROM pg_stat_activity WHERE backend_type = 'modal_batch runner' AND usename = 'alice'}),
	'alice', '... and pg_stat_activity says whose runner it is');

for my $statement ('SET SESSION AUTHORIZATION DEFAULT', 'RESET ROLE', 'SET ROLE NONE')
{
	$job = completes_with('alice', "DO 'BEGIN $statement; $see; END'" =~ s/\$1/0/r =~ s/'(search_path|work_mem)'/''$1''/gr);
	is(sql('SELECT DISTINCT who || session FROM seen WHERE job = 0'), 'alicealice', '... there is nobody else to become');
	sql('DELETE FROM seen WHERE job = 0');
}
completes_with('alice', 'SET ROLE bob');
isnt(error_code(sql('SELECT max(id) FROM modal_batch.job')), '', '... nor a role that one is not a member of');

note 'a search_path that others have a say in';
sql(q{
	CREATE TABLE numbers (id int PRIMARY KEY, n int, square int, touched timestamptz);
	CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.touched := now(); RETURN NEW; END';
	CREATE TRIGGER touch BEFORE UPDATE ON numbers FOR EACH ROW EXECUTE FUNCTION touch();
	CREATE TRIGGER square AFTER INSERT ON numbers FOR EACH ROW
		EXECUTE FUNCTION modal_trigger('local:builtin/square', 'n', 'square');
	GRANT INSERT ON numbers TO bob;
	CREATE FUNCTION on_behalf() RETURNS bigint SECURITY DEFINER LANGUAGE sql
		AS $$SELECT public.modal_spawn_map('local:builtin/square', 'SELECT 1', on_complete => 'SELECT now()')$$});
sql_as('bob', q{
	CREATE TABLE bob.witness (who name);
	GRANT INSERT ON bob.witness TO PUBLIC;
	GRANT USAGE ON SCHEMA bob TO PUBLIC;
	CREATE FUNCTION bob.now() RETURNS timestamptz LANGUAGE sql
		AS 'INSERT INTO bob.witness VALUES (current_user); SELECT pg_catalog.now()';
	SET search_path = bob, pg_catalog;
	INSERT INTO public.numbers VALUES (1, 5);
	SELECT public.on_behalf()});
sql(q{SELECT modal_wait(job) FROM modal_batch.jobs WHERE finished_at IS NULL});
is(sql('SELECT square FROM numbers'), '25', 'a trigger writes its result');
is(sql('SELECT count(*) FROM bob.witness'), '0', '... and runs nothing of who wrote the row, nor does a definer\'s job');
$job = sql_as('alice', qq{SET search_path = alice, public, pg_temp; SELECT modal_spawn_map('local:builtin/square', 'SELECT 2', on_complete => \$\$$see\$\$)});
job_ends($node, $job, 'completed', 'a search_path of one\'s own session');
is(sql("SELECT path FROM seen WHERE job = $job"), 'alice, public, pg_temp', '... is the job\'s');

note 'nothing is left behind';
completes_with('alice', $_)
  for 'SELECT pg_advisory_lock(4711)', 'CREATE TEMP TABLE left_over (i int)', 'LISTEN left_over', "SET work_mem = '7MB'",
  "SELECT set_config('modal_test.x', 'left', false)";
is(sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711}), '0', 'no advisory lock');
$job = completes_with('alice', q{INSERT INTO public.seen VALUES ($1, current_user, session_user,
	coalesce(to_regclass('pg_temp.left_over')::text, 'none') || (SELECT count(*) FROM pg_listening_channels()),
	current_setting('work_mem') || coalesce(nullif(current_setting('modal_test.x', true), ''), 'unset'))});
is(sql("SELECT path, tag FROM seen WHERE job = $job"), 'none0|5MBunset', 'no table, no channel, no setting');

note 'settings of a DBA do not keep the runner from its work';
sql(qq{ALTER ROLE bob SET $_}) for 'default_transaction_read_only = on', "default_transaction_isolation = 'serializable'",
  'default_transaction_deferrable = on', "lock_timeout = '1ms'", "idle_in_transaction_session_timeout = '1ms'",
  'session_replication_role = replica', "row_security = off", "role = crew", "enable_indexscan = off", "plan_cache_mode = force_custom_plan",
  "statement_timeout = '1s'", 'exit_on_error = on';
sql(q{GRANT crew TO bob});
sql(qq{ALTER ROLE bob SET transaction_timeout = '10ms'})
  if sql(q{SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout'}) > 0;
sql_as('alice', 'GRANT USAGE ON SCHEMA alice TO bob');
$job = sql(qq{SET ROLE bob; SELECT modal_spawn_map('local:builtin/square', 'SELECT g FROM generate_series(1, 2000) g', on_complete => \$\$$see\$\$)});
job_ends($node, $job, 'completed', 'all of them at once');
is(sql("SELECT who, session FROM seen WHERE job = $job"), 'bob|bob', '... and the owner is who it was');
is(job($node, $job, 'succeeded'), '2000', '... with all results');
$job = sql(q{SET ROLE bob; SELECT modal_spawn_map('local:builtin/square', 'SELECT 1', on_complete => 'SELECT pg_sleep(600)')});
job_ends($node, $job, 'completed', 'the owner\'s statement_timeout ends on_complete');
is(error_code($job), '57014', '... and that is noted');

note 'a role without LOGIN';
# before 17 there is no session for it but one of the superuser that made the cluster
my $has_session = sql('SHOW server_version_num') >= 170000;
sql(q{ALTER ROLE crew SET work_mem = '6MB'; ALTER ROLE crew IN DATABASE postgres SET search_path = crew, public;
	ALTER ROLE CURRENT_USER SET work_mem = '9MB'; ALTER ROLE CURRENT_USER SET search_path = public});
$job = sql(qq{SET ROLE crew; SELECT modal_spawn_map('local:builtin/square', 'SELECT 3', on_complete => \$\$$see\$\$)});
job_ends($node, $job, 'completed', 'jobs of a role that only owns things');
is(sql("SELECT who, session FROM seen WHERE job = $job"), 'crew|crew', '... are its own, too');
sql(qq{CREATE FUNCTION of_crew() RETURNS bigint SECURITY DEFINER LANGUAGE sql
	AS \$f\$SELECT public.modal_spawn_map('local:builtin/square', 'SELECT 1', on_complete => \$\$$see\$\$)\$f\$;
	ALTER FUNCTION of_crew() OWNER TO crew});
$job = sql('SELECT of_crew()');
job_ends($node, $job, 'completed', '... with a path that it has not chosen in a session');
is(sql("SELECT who, session, path, tag FROM seen WHERE job = $job"),
	$has_session ? 'crew|crew|crew, public|6MB' : 'crew|crew|public|9MB', '... and the settings that are documented');
sql('DROP FUNCTION of_crew(); ALTER ROLE CURRENT_USER RESET ALL');
$job = sql(qq{SET ROLE crew; SELECT modal_spawn_map('local:builtin/square', 'SELECT 3', on_complete => 'SET SESSION AUTHORIZATION DEFAULT')});
job_ends($node, $job, 'completed', 'it has no way to another session user');
$has_session
	? is(error_code($job), '', '... for there is none')
	: isnt(error_code($job), '', '... which is an error');
my $become = "DO 'BEGIN SET SESSION AUTHORIZATION DEFAULT; $see; END'" =~ s/\$1/0/r =~ s/'(search_path|work_mem)'/''$1''/gr;
$job = sql(qq{SET ROLE crew; SELECT modal_spawn_map('local:builtin/square', 'SELECT 3', on_complete => \$\$$become\$\$)});
job_ends($node, $job, 'completed', $become);
is(sql('SELECT DISTINCT who || session FROM seen WHERE job = 0'), $has_session ? 'crewcrew' : '', '... nor anybody else to become');
sql('DELETE FROM seen WHERE job = 0');

note 'a role that may no longer log in, or connect';
my @locks = (
	[ 'ALTER ROLE alice NOLOGIN', 'ALTER ROLE alice LOGIN' ],
	[   'REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; REVOKE CONNECT ON DATABASE postgres FROM alice',
		'GRANT CONNECT ON DATABASE postgres TO PUBLIC' ],
	[   'ALTER ROLE alice CONNECTION LIMIT 0',
		q{ALTER ROLE alice CONNECTION LIMIT -1; GRANT crew TO alice; GRANT CONNECT ON DATABASE postgres TO crew;
			REVOKE CONNECT ON DATABASE postgres FROM PUBLIC} ],
	[ 'REVOKE crew FROM alice', 'GRANT crew TO alice' ],
	[ 'ALTER DATABASE postgres CONNECTION LIMIT 0', 'ALTER DATABASE postgres CONNECTION LIMIT -1' ]);
sql_as('alice', 'CREATE TABLE alice.squares (id int, result bigint)');
for my $lock (@locks)
{
	my ($out, $in) = @$lock;

	$local->set_faults("FunctionGetOutputs delay=0.05\n");
	my @busy = map { sql_as('alice', qq{SELECT modal_spawn_map('local:builtin/square', 'SELECT g AS id, g FROM generate_series(1, 100000) g',
		key => '{id}', max_in_flight => 50$_)}) } '', ", into_table => 'squares'";
	job_becomes($node, $_, 'succeeded > 0') for @busy;
	sql($out);
	ok(job_becomes($node, $_, q{last_error->>'code' = '42501'}), "$out: a job that runs stops, and says why") for @busy;
	sql("$in; SELECT modal_cancel(unnest('{$busy[0], $busy[1]}'::bigint[])); SELECT modal_batch.start_runner()");
	job_ends($node, $_, 'cancelled', '... and ends when it may') for @busy;
	$local->set_faults('');

	$job = sql_as('alice', qq{SELECT modal_pause(modal_spawn_map('local:builtin/square', 'SELECT 4', on_complete => \$\$$see\$\$)); SELECT max(job) FROM modal_batch.jobs});
	($job) = $job =~ /(\d+)\s*$/;
	sql("$out; SELECT modal_resume($job)");
	ok(job_becomes($node, $job, q{last_error->>'code' = '42501'}), "$out: its job waits, and says why");
	is(sql("SELECT count(*) FROM seen WHERE job = $job"), '0', '... having run nothing');
	sql("$in; SELECT modal_batch.start_runner()");
	job_ends($node, $job, 'completed', '... and goes on when it may');
	is(sql("SELECT who, session FROM seen WHERE job = $job"), 'alice|alice', '... as before');
}

sql('REVOKE crew FROM alice; GRANT CONNECT ON DATABASE postgres TO PUBLIC');

note 'partitions that belong to others';
role('dave', 'LOGIN');
sql_as('alice', q{
	CREATE TABLE alice.parted (id int PRIMARY KEY, n int, square int, cube int, list jsonb) PARTITION BY RANGE (id);
	CREATE TABLE alice.p1 PARTITION OF alice.parted FOR VALUES FROM (0) TO (100);
	CREATE TABLE alice.p2 PARTITION OF alice.parted FOR VALUES FROM (100) TO (200);
	SELECT modal_generate_column('alice.parted', 'cube', 'local:builtin/echo', '{n}');
	GRANT USAGE ON SCHEMA alice TO dave});
sql('ALTER TABLE alice.p1 OWNER TO dave');

# The owners and target tables of the jobs that a statement makes.
sub makes_jobs_of
{
	my ($role, $statement, $owners, $name) = @_;
	my $last = sql('SELECT max(id) FROM modal_batch.job');

	sql_as($role, $statement);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(sql("SELECT DISTINCT owner || ' ' || coalesce(source_table, into_table)::text FROM modal_batch.job WHERE id > $last ORDER BY 1"), $owners, $name);
	is(sql("SELECT DISTINCT modal_wait(id) FROM modal_batch.job WHERE id > $last"), 'completed', '... which completes');
	return;
}

sub refused_to
{
	my ($role, $statement, $name) = @_;
	my (undef, undef, $err) = modal_psql($node, $statement, extra_params => [ '-U', $role ]);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return like($err, qr/42501/, $name);
}

makes_jobs_of('dave', q{
	CREATE TRIGGER square AFTER INSERT OR UPDATE ON alice.p1 FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/square', 'n', 'square');
	INSERT INTO alice.p1 VALUES (1, 5)}, "alice alice.parted\ndave alice.p1", 'a trigger makes jobs of the owner of the table that it was made on');
makes_jobs_of('alice', 'INSERT INTO alice.parted VALUES (2, 6), (102, 7)', "alice alice.parted\ndave alice.p1", '... whoever fires it');
is(sql('SELECT id, n, square, cube FROM alice.parted ORDER BY id'), "1|5|25|5\n2|6|36|6\n102|7||7", '... and both write their results');
makes_jobs_of('dave', q{SELECT modal_regenerate('alice.p1', 'square', 'all')}, 'dave alice.p1', 'who declares it for a partition makes it anew there');
refused_to('dave', $_, $_) for q{SELECT modal_regenerate('alice.p1', 'cube', 'all')},
  q{SELECT * FROM modal_batch.generated_column_counts('alice.p1', 'cube')}, q{SELECT modal_drop_generated_column('alice.p1', 'cube')};
sql_as('dave', q{
	CREATE TABLE dave.p3 (id int PRIMARY KEY, n int, square int, cube int, list jsonb);
	CREATE TABLE dave.rows (id int, n bigint, result text, PRIMARY KEY (id, n));
	SELECT modal_generate_rows('dave.p3', 'dave.rows', 'local:builtin/echo', '{list}', '{id}', ordinality_column => 'n')});
sql('ALTER TABLE alice.parted ATTACH PARTITION dave.p3 FOR VALUES FROM (200) TO (300)');
makes_jobs_of('dave', q{INSERT INTO dave.p3 VALUES (200, 8, NULL, NULL, '["a"]')}, "alice alice.parted\ndave dave.p3", 'a table that is attached with its trigger');
is(sql('SELECT id, result FROM dave.rows'), '200|a', '... whose rows become others as before');
sql_as('alice', q{
	CREATE TABLE alice.keyless (id int, n int, square int) PARTITION BY RANGE (id);
	CREATE TABLE alice.k1 PARTITION OF alice.keyless (PRIMARY KEY (id)) FOR VALUES FROM (0) TO (100);
	CREATE TRIGGER square AFTER INSERT ON alice.keyless FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/square', 'n', 'square')});
makes_jobs_of('alice', q{INSERT INTO alice.keyless VALUES (1, 5)}, 'alice alice.k1', 'where a partition alone has a primary key');
sql('ALTER TABLE alice.k1 OWNER TO dave');
refused_to('alice', q{INSERT INTO alice.keyless VALUES (2, 5)}, '... its next owner makes no jobs for somebody else\'s trigger');

note 'a job that gets another owner while the runner of the one before is in a step';
role('erin', 'LOGIN');
role('frank', 'LOGIN');
sql(q{
	CREATE TABLE shared (id int, result bigint);
	CREATE TABLE shared_too (id int, result bigint);
	GRANT INSERT, SELECT ON shared, shared_too TO erin, frank;
	CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF session_user = 'erin' THEN
			PERFORM pg_sleep(3);
			IF tg_nargs > 0 THEN EXECUTE 'SELECT no_such_function()'; END IF;
		END IF;
		RETURN NULL;
	END $$;
	CREATE TRIGGER slow BEFORE INSERT ON shared FOR EACH STATEMENT EXECUTE FUNCTION slow();
	CREATE TRIGGER slow BEFORE INSERT ON shared_too FOR EACH STATEMENT EXECUTE FUNCTION slow('and fails')});
for my $table ('shared', 'shared_too')
{
	$local->set_faults("FunctionGetOutputs delay=0.5\n");
	$job = sql_as('erin', qq{SELECT modal_spawn_map('local:builtin/square', 'SELECT g AS id, g AS n FROM generate_series(0, 9999) g', key => '{id}', into_table => '$table')});
	$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'erin' AND wait_event = 'PgSleep')});
	sql("SELECT modal_pause($job); REASSIGN OWNED BY erin TO frank; REVOKE INSERT ON $table FROM erin; SELECT modal_resume($job)");
	job_becomes($node, $job, q{state = 'running' AND owner = 'frank'::regrole});
	$node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'erin' AND wait_event = 'PgSleep')});
	$local->set_faults('');
	job_ends($node, $job, 'completed', "$table: its new owner's runner completes it");
	sink_is($node, $table, 10000, '... with one result for each input');
	is(job($node, $job, 'succeeded, last_error'), '10000|', '... and nothing of the step that was under way');
}

note 'a table that gets another owner while a job of its trigger runs';
sql(q{
	CREATE TABLE handed (id int PRIMARY KEY, n int, square bigint);
	ALTER TABLE handed OWNER TO erin;
	SELECT modal_generate_column('handed', 'square', 'local:builtin/square', '{n}')});
$local->set_faults("FunctionGetOutputs delay=2\n");
$local->clear_log;
sql('INSERT INTO handed SELECT g, g FROM generate_series(1, 3000) g');
$job = sql('SELECT max(job) FROM modal_batch.jobs');
job_becomes($node, $job, q{state = 'running' AND owner = 'erin'::regrole AND in_flight > 0});
sql('ALTER TABLE handed OWNER TO frank');
$local->set_faults('');
job_ends($node, $job, 'completed', 'it goes on as the new owner\'s');
is(job($node, $job, 'owner, succeeded, last_error'), 'frank|3000|', '... to its end');
is(sql('SELECT count(*) FROM handed WHERE square = n::bigint * n'), '3000', '... with all results');
inputs_are($local, 3000, '... of inputs that were sent once');

note 'rights on the tables of jobs do not make a job';
sql(q{CREATE ROLE admin LOGIN BYPASSRLS; GRANT pg_write_all_data, pg_read_all_data TO admin;
	GRANT TRUNCATE ON ALL TABLES IN SCHEMA modal_batch TO admin});
my $database = sql('SELECT modal_batch.this_database()');
for my $write (
	q{INSERT INTO modal_batch.job (owner, function, format, inputs, mode) VALUES ('postgres', 'local:builtin/square', 'cbor', 0, 'discard')},
	q{UPDATE modal_batch.job SET on_complete = 'SELECT 1', state = 'pending', finished_at = NULL},
	q{UPDATE modal_batch.result SET payload = NULL},
	q{DELETE FROM modal_batch.chunk},
	q{INSERT INTO modal_batch.chunk VALUES (1, 0, 1, '')},
	q{INSERT INTO modal_batch.joined_job VALUES (1, 2)},
	q{UPDATE modal_batch.trigger_total SET jobs = 0},
	q{UPDATE modal_batch.database_id SET id = gen_random_uuid()},
	q{INSERT INTO modal_batch.database_id DEFAULT VALUES},
	q{DELETE FROM modal_batch.database_id},
	(map { "TRUNCATE modal_batch.$_" } qw(job chunk result joined_job trigger_total database_id)))
{
	my (undef, undef, $err) = modal_psql($node, $write, extra_params => [ '-U', 'admin' ]);
	like($err, qr/42501/, $write);
}
is(sql('SELECT modal_batch.this_database()'), $database, '... and the database is the one that it was');

note 'nor a trigger on them, whose function would have the rights of their owner';
role('eve', 'LOGIN');
sql('GRANT ALL ON ALL TABLES IN SCHEMA modal_batch TO eve');
sql_as('eve', q{
	CREATE FUNCTION eve.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
	CREATE TABLE eve.t (job bigint)});
for my $make (
	(map { "CREATE TRIGGER t BEFORE UPDATE ON modal_batch.$_ FOR EACH ROW EXECUTE FUNCTION eve.f()" }
		  qw(job chunk result joined_job trigger_total database_id)),
	'CREATE CONSTRAINT TRIGGER t AFTER INSERT ON modal_batch.job FOR EACH ROW EXECUTE FUNCTION eve.f()',
	'CREATE OR REPLACE TRIGGER refuse_write BEFORE INSERT ON modal_batch.job FOR EACH STATEMENT EXECUTE FUNCTION eve.f()',
	'CREATE TRIGGER t INSTEAD OF INSERT ON modal_batch.jobs FOR EACH ROW EXECUTE FUNCTION eve.f()',
	'CREATE TABLE eve.u (job bigint REFERENCES modal_batch.job)',
	'ALTER TABLE eve.t ADD FOREIGN KEY (job) REFERENCES modal_batch.joined_job')
{
	my (undef, undef, $err) = modal_psql($node, $make, extra_params => [ '-U', 'eve' ]);
	like($err, qr/42501/, $make);
}
is(sql(q{SELECT count(*) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
		WHERE p.proname = 'f' OR tgname LIKE 'RI_%' AND tgrelid::regclass::text LIKE 'modal_batch.%'}),
	'0', '... and none has been made');

note 'COMMIT PREPARED wakes the runner, and waits for nobody then';
$node->append_conf('postgresql.conf', "max_prepared_transactions = 5\n");
$node->restart;
$job = sql(q{BEGIN; SELECT modal_spawn('local:builtin/square', 3); PREPARE TRANSACTION 'p'});
my $locker = $node->background_psql('postgres');
$locker->query_until(qr/begun/, "\\echo begun\nBEGIN; LOCK TABLE modal_batch.job IN ACCESS EXCLUSIVE MODE;\n");
ok($node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'modal_batch.job'::regclass)}),
	'somebody waits for the table');
sql(q{SET statement_timeout = '20s'; COMMIT PREPARED 'p'});
pass('the commit is over while that one has it');
$locker->query_safe('COMMIT');
$locker->quit;
job_ends($node, $job, 'completed', 'and the job runs');

$node->stop;
done_testing();
