# Copyright (c) 2026, modal_batch contributors

# A campaign against durability: for some minutes, sessions of several roles
# commit and roll back jobs in databases of several encodings, under changing
# settings, while processes are killed at random and services misbehave.  Then
# the account is checked.
#
# Every input is a number that is used once.  A writer's transaction notes it
# in the table ledger beside making the job, so that the ledger holds just what
# was committed, whatever became of the writer.  The account:
#
# * each number of the ledger has one result, and the right one, or one failure,
#   and never both; in tables without a unique key a second one would be seen;
# * no other number was ever sent to a function;
# * each row of a table with a trigger has the result of what it holds now.
#
# usage: ./check --only campaign [--minutes N] [--seed N]
#
# The seed decides what each process does, though not when the machine lets it.

use strict;
use warnings FATAL => 'all';

use FindBin;
use HttpPeer;
use JobTest;
use ModalLocal;
use ModalTest;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $minutes = $ENV{CAMPAIGN_MINUTES} // 10;
my $seed = $ENV{CAMPAIGN_SEED} // int(rand(2**31));
my $deadline;

my %databases = (
	utf8 => 'UTF8', latin1 => 'LATIN1', euc_jp => 'EUC_JP', ascii => 'SQL_ASCII');
my @databases = sort keys %databases;
my @roles = qw(alice bob);
my $writers = 4;
my $settle_seconds = 600; # for the jobs that are left, in all databases

my $files = PostgreSQL::Test::Utils::tempdir;
chmod 0755, $files;
my $seen_file = "$files/seen";
my $local = ModalLocal->new(
	files => ["$FindBin::Bin/score.py"],
	args => [ '--workers', 2 ],
	env => { CAMPAIGN_SEEN => $seen_file });
my $peer = HttpPeer->new;
my $node = modal_node('main', conf => "max_worker_processes = 24\nmax_connections = 60\n");

diag("seed $seed, $minutes minutes");

# --- what is there before ------------------------------------------------------

sub prepare_role
{
	my ($db, $role) = @_;

	$node->safe_psql($db, qq{
		CREATE SCHEMA $role AUTHORIZATION $role;
		SET ROLE $role;
		CREATE TABLE $role.ledger (n bigint PRIMARY KEY, kind text NOT NULL, job bigint);
		CREATE TABLE $role.rows (n bigint, result bigint);
		CREATE TABLE $role.answers (n bigint, result bigint);
		CREATE TABLE $role.merged (n bigint PRIMARY KEY, result bigint);
		CREATE TABLE $role.docs (id int PRIMARY KEY, body bigint, vec bigint);
		CREATE TRIGGER embed AFTER INSERT OR UPDATE ON $role.docs
			FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:score/score', 'body', 'vec')});
	return;
}

sub prepare
{
	my $hostile = $peer->url;

	$node->safe_psql('postgres', join '', map { "CREATE ROLE $_ LOGIN;" } @roles);
	for my $db (@databases)
	{
		$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0
			ENCODING '$databases{$db}' LC_COLLATE 'C' LC_CTYPE 'C'");
		create_local_server($node, $local, dbname => $db);
		$node->safe_psql($db, "
			CREATE USER MAPPING FOR PUBLIC SERVER local
				OPTIONS (token_id 'ak-local', token_secret 'as-local');
			CREATE SERVER peer FOREIGN DATA WRAPPER modal_batch OPTIONS
				(protocol 'http', url '$hostile', allow_http 'on', format 'bigquery');
			GRANT USAGE ON FOREIGN SERVER local, peer TO PUBLIC");
		prepare_role($db, $_) for @roles;
	}
	return;
}

# --- writers -------------------------------------------------------------------

sub one_of { return $_[ int rand @_ ] }

# Statements of a session that come before its transaction.
sub session_settings
{
	my @settings = (
		"SET statement_timeout = '${\ one_of(5, 50, 500)}ms'",
		"SET lock_timeout = '${\ one_of(1, 100)}ms'",
		"SET idle_in_transaction_session_timeout = '200ms'",
		"SET DateStyle = 'German'", "SET TimeZone = 'Asia/Kathmandu'",
		"SET extra_float_digits = -3", 'SET row_security = off',
		"SET work_mem = '64kB'", 'SET synchronous_commit = off',
		'SET session_replication_role = origin', '');
	return one_of(@settings);
}

# What a writer puts into one transaction: its statements, given a function that
# makes numbers which were never used.
my %kinds = (
	rows => sub { my ($next) = @_;
		return spawn_sql('rows', 'local:score/score', $next,
			"key => '{n}', into_table => 'rows'") },
	merged => sub { my ($next) = @_;
		return spawn_sql('merged', 'local:score/score', $next,
			"key => '{n}', into_table => 'merged', mode => 'upsert'") },
	kept => sub { my ($next) = @_;
		return spawn_sql('kept', 'local:score/score', $next, "key => '{n}'") },
	answers => sub { my ($next) = @_;
		my $path = one_of('', 'first-1-503/', 'first-1-close/', 'sleep-30/', 'throttle-2/');
		return spawn_sql('answers', "peer:${path}calls", $next, "key => '{n}', into_table => 'answers'") },
	nonsense => sub { my ($next) = @_;
		my $path = one_of(qw(raw-not-json raw-half raw-nothing raw-two raw-nul raw-not-http));
		return spawn_sql('answers', "peer:$path/calls", $next, "key => '{n}', into_table => 'answers'", 1) },
	docs => \&docs_sql);

sub spawn_sql
{
	my ($kind, $function, $next, $more, $count) = @_;
	my $from = $next->($count // one_of(1, 5, 100, 1000));
	my $to = $next->(0) - 1;

	return "INSERT INTO ledger SELECT n, '$kind' FROM generate_series($from, $to) n;
		UPDATE ledger SET job = j FROM (SELECT modal_spawn_map('$function',
			'SELECT n, n AS argument FROM generate_series($from, $to) n', $more) j) s
			WHERE n BETWEEN $from AND $to;";
}

# Rows are inserted, changed, and deleted; a number that the function refuses
# would leave a row as it was, and so is not used here.
sub docs_sql
{
	my ($next) = @_;
	my $sql = '';

	for (1 .. one_of(1, 3, 30))
	{
		my $n = $next->(1);
		$n = $next->(1) if $n % 10 == 7;
		my $id = int rand 50;
		$sql .= "INSERT INTO ledger VALUES ($n, 'docs');
			INSERT INTO docs (id, body) VALUES ($id, $n)
				ON CONFLICT (id) DO UPDATE SET body = excluded.body;";
		$sql .= "DELETE FROM docs WHERE id = ${\ int rand 50};" if rand() < 0.1;
	}
	return $sql;
}

# A transaction; what it leaves behind is decided by the server.
sub transaction
{
	my ($next, $name) = @_;
	my $level = one_of('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE');
	my $sql = "BEGIN ISOLATION LEVEL $level;";

	for (1 .. one_of(1, 1, 3))
	{
		my $part = $kinds{ one_of(sort keys %kinds) }->($next);
		$part = "SAVEPOINT s; $part ROLLBACK TO s;" if rand() < 0.2;
		$sql .= $part;
	}
	my $end = rand;
	return "$sql COMMIT;" if $end < 0.7;
	return "$sql ROLLBACK;" if $end < 0.85;
	return "$sql PREPARE TRANSACTION '$name'; " . one_of('COMMIT PREPARED', 'ROLLBACK PREPARED') . " '$name';";
}

# One more of somebody's jobs is paused, resumed, or waited for.
sub control
{
	my $call = one_of('modal_pause(job)', 'modal_resume(job)', "modal_wait(job, '100 ms')", 'modal_retry(job)');

	return "SELECT $call FROM modal_batch.jobs ORDER BY random() LIMIT 1";
}

sub writer
{
	my ($number) = @_;
	my $n = $number * 100_000_000 + 1;
	my $next = sub { my $first = $n; $n += $_[0]; return $first };

	for (my $i = 0; time < $deadline; $i++)
	{
		my $role = one_of(@roles);
		my $sql = rand() < 0.1 ? control() : transaction($next, "w$number-$i");

		# each statement by itself: BEGIN to COMMIT is the session's own affair
		run_psql(one_of(@databases), $role, join ";\n", "SET search_path = $role, public", session_settings(), $sql);
	}
	return;
}

# Errors are part of the campaign.
sub run_psql
{
	my ($db, $role, $sql) = @_;

	open my $psql, '|-', "psql -X -q -v ON_ERROR_STOP=1 -d '" . $node->connstr($db) . " user=$role' >/dev/null 2>&1"
	  or die "psql: $!";
	local $SIG{PIPE} = 'IGNORE';
	print $psql "$sql;\n";
	close $psql;
	return $? == 0;
}

# --- somebody who administers --------------------------------------------------

sub administrator
{
	my @settings = (
		"statement_timeout = '${\ one_of(20, 1000)}ms'", "lock_timeout = '10ms'",
		"idle_in_transaction_session_timeout = '20ms'",
		"default_transaction_isolation = 'serializable'", "default_transaction_read_only = on",
		"search_path = pg_catalog", 'row_security = off', "DateStyle = 'SQL, DMY'",
		"TimeZone = 'America/St_Johns'", "IntervalStyle = 'sql_standard'",
		"session_preload_libraries = 'auto_explain'", 'default_toast_compression = pglz',
		"log_min_duration_statement = 0", "bytea_output = 'escape'");

	while (time < $deadline)
	{
		my $whose = one_of('SYSTEM', 'DATABASE ' . one_of(@databases), 'ROLE ' . one_of(@roles));
		my $what = rand() < 0.5 ? 'RESET ALL' : 'SET ' . one_of(@settings);

		run_psql('postgres', 'postgres', "SET statement_timeout = 0; SET default_transaction_read_only = off;
			ALTER $whose $what; SELECT pg_reload_conf()");
		sleep rand;
	}
	return;
}

# --- who kills -----------------------------------------------------------------

my %killed;

sub kill_backend
{
	my ($type) = @_;
	my ($status, $pid) = $node->psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = '$type' AND pid <> pg_backend_pid()
			ORDER BY random() LIMIT 1");

	return if $status != 0 || $pid !~ /^\d+$/;
	$killed{$type}++ if kill one_of('KILL', 'KILL', 'TERM'), $pid;
	return;
}

sub restart_local
{
	$local->kill9;
	sleep rand 2;
	$local->start;
	$killed{'modal-local'}++;
	return;
}

# The processes in which it runs Python.
sub kill_host
{
	my $pid = $local->pid;
	my @hosts = split ' ', slurp_file("/proc/$pid/task/$pid/children");

	$killed{'host of modal-local'}++ if @hosts && kill 'KILL', one_of(@hosts);
	return;
}

sub restart_server
{
	kill_postmaster($node);
	$node->start;
	$killed{'postmaster'}++;
	return;
}

sub hostile_local
{
	$local->set_faults(one_of(
		'', "FunctionPutInputs every=7 status=UNAVAILABLE after\n", "FunctionGetOutputs every=5 drop\n",
		"* every=20 drop\n", "FunctionMap count=2 status=RESOURCE_EXHAUSTED retry_after=0.5\n",
		"FunctionGetOutputs delay=0.3\n"));
	return;
}

my @kills = (
	(map { my $type = $_; sub { kill_backend($type) } } (
		('modal_batch runner') x 4, ('modal_batch dispatcher') x 3, 'modal_batch launcher',
		'client backend', 'checkpointer', 'autovacuum launcher')),
	\&restart_local, \&kill_host, \&kill_host, \&restart_server, \&hostile_local, \&hostile_local);

# --- the account ---------------------------------------------------------------

sub settle
{
	$local->set_faults('');
	$node->stop('immediate', fail_ok => 1);
	unlink $node->data_dir . '/postgresql.auto.conf';
	$node->start;
	$node->safe_psql('postgres', join '', "ALTER ROLE ALL RESET ALL;",
		(map { "ALTER ROLE $_ RESET ALL;" } @roles), map { "ALTER DATABASE $_ RESET ALL;" } @databases);
	for my $row (split /\n/, $node->safe_psql('postgres', 'SELECT gid, database FROM pg_prepared_xacts'))
	{
		my ($gid, $db) = split /\|/, $row;
		$node->safe_psql($db, one_of('COMMIT', 'ROLLBACK') . " PREPARED '$gid'");
	}
	return;
}

# Unfinished jobs come to their end; those that gave up are asked to go on.
sub all_end
{
	my ($db) = @_;

	while (time < $deadline + $settle_seconds)
	{
		$node->safe_psql($db, "SELECT modal_resume(job) FROM modal_batch.jobs WHERE state = 'paused';
			SELECT modal_retry(job) FROM modal_batch.jobs WHERE state = 'failed'");
		return 1 if $node->safe_psql($db,
			q{SELECT count(*) FROM modal_batch.jobs WHERE state NOT IN ('completed', 'cancelled')}) == 0;
		sleep 0.2;
	}
	diag $node->safe_psql($db, q{SELECT job, state, function, inputs, succeeded, failed, last_error
		FROM modal_batch.jobs WHERE state NOT IN ('completed', 'cancelled') LIMIT 20});
	return 0;
}

sub none { my ($db, $name, $sql) = @_; return is($node->safe_psql($db, $sql), '', "$db: $name") }

sub account
{
	my ($db, $role) = @_;
	my $failures = "(SELECT l.n, l.kind FROM $role.ledger l JOIN
		(SELECT job, (r.input ->> 'n')::bigint AS n FROM
			(SELECT DISTINCT job FROM $role.ledger WHERE job IS NOT NULL) jobs, modal_results(job) r
			WHERE r.error IS NOT NULL) f ON f.n = l.n AND f.job = l.job)";
	my $results = "(SELECT n, 'rows' AS kind, result FROM $role.rows
		UNION ALL SELECT n, 'merged', result FROM $role.merged
		UNION ALL SELECT n, 'answers', result FROM $role.answers
		UNION ALL SELECT (r.input ->> 'n')::bigint, 'kept', r.result::bigint FROM
			(SELECT DISTINCT job FROM $role.ledger WHERE kind = 'kept') jobs, modal_results(job) r
			WHERE r.error IS NULL)";

	$node->safe_psql($db, 'ANALYZE');
	none($db, "$role: each input has one result or one failure",
		"WITH o AS MATERIALIZED (SELECT n, kind FROM $results r UNION ALL SELECT n, kind FROM $failures f)
			SELECT l.n, l.kind, l.job, count(o.n) FROM $role.ledger l LEFT JOIN o USING (n, kind)
			WHERE l.kind <> 'docs' GROUP BY 1, 2, 3 HAVING count(o.n) <> 1 LIMIT 10");
	none($db, "$role: each result is the right one",
		"SELECT * FROM $results r WHERE result IS DISTINCT FROM CASE kind WHEN 'answers' THEN n ELSE n * n END
			LIMIT 10");
	none($db, "$role: nothing else is there",
		"WITH r AS MATERIALIZED (SELECT * FROM $results r)
			SELECT * FROM r WHERE NOT EXISTS (SELECT FROM $role.ledger l WHERE l.n = r.n) LIMIT 10");
	none($db, "$role: what the function refuses has failed",
		"SELECT * FROM $results r WHERE kind <> 'answers' AND n % 10 = 7 LIMIT 10");
	none($db, "$role: each row has the result of what it holds",
		"SELECT * FROM $role.docs WHERE vec IS DISTINCT FROM body * body LIMIT 10");
	return;
}

# All numbers that a function was ever given.
sub numbers_sent
{
	my %sent;

	$sent{$_} = 1 for split /\n/, slurp_file($seen_file);
	$sent{$_} = 1 for slurp_file($peer->log_file) =~ /\[(\d+)\]/g;
	return \%sent;
}

sub nothing_else_sent
{
	my $sent = numbers_sent();
	my $all = keys %$sent;

	for my $db (@databases)
	{
		for my $role (@roles)
		{
			delete $sent->{$_} for split /\n/, $node->safe_psql($db, "SELECT n FROM $role.ledger");
		}
	}
	is(join(' ', (sort keys %$sent)[ 0 .. (keys %$sent > 9 ? 9 : keys(%$sent) - 1) ]),
		'', 'nothing was sent that was not committed');
	cmp_ok($all, '>', 0, 'something was sent');
	return;
}

# --- the campaign --------------------------------------------------------------

# in_child SUB: in a process with its own random numbers, so that none depends on
# how fast another one is.
sub in_child
{
	my ($number, $do) = @_;
	my $pid = fork // die "fork: $!";

	return $pid if $pid;
	srand($seed + $number);
	eval { $do->(); 1 } or print STDERR $@;
	POSIX::_exit(0);
}

prepare();
$deadline = time + 60 * $minutes;
my @children = ((map { my $n = $_; in_child($n, sub { writer($n) }) } 1 .. $writers),
	in_child(0, \&administrator));
srand($seed + $writers + 1);
while (time < $deadline)
{
	sleep rand 3;
	one_of(@kills)->();
	wait_up($node);
}
waitpid $_, 0 for @children;
settle();
for my $db (@databases)
{
	ok(all_end($db), "$db: all jobs end");
	account($db, $_) for @roles;
}
nothing_else_sent();
diag(join ', ', map { "$_ killed $killed{$_} times" } sort keys %killed);
diag("$_: " . $node->safe_psql($_, 'SELECT count(*), sum(inputs), sum(failed), sum(stale) FROM modal_batch.jobs'))
  for @databases;
done_testing();
