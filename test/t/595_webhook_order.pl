# Copyright (c) 2026, modal_batch contributors

# Webhooks with option ordered_by: messages of one key are sent one after the other, each when what
# became of the one before is written down, whatever dies meanwhile; other keys do not wait.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use JobTest;
use JSON::PP qw(decode_json);
use MIME::Base64 qw(encode_base64);
use ModalSession;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $peer = HttpPeer->new(program => 'auth_peer.py');
my $node = modal_node('main', conf => "max_prepared_transactions = 2\n");
my $secret = 'whsec_' . encode_base64('0123456789abcdef01234567', '');

sub sql { return $node->safe_psql('postgres', @_) }

sub fails { return sql_fails($node, @_) }

sub all_told
{
	return $node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM modal_batch.job WHERE finished_at IS NULL')
	  || die 'jobs go on';
}

# What has come: of which key, the how manieth change of it.
sub told
{
	return map {
		my $message = decode_json($_->{body});
		my $row = $message->{record} // $message->{old_record};
		{ key => $row->{id}, n => $row->{n} + ($message->{record} ? 0 : 1) }
	} $peer->requests;
}

# Never one of a key after another that was changed later.  last: of each key, the last one.
sub in_order
{
	my ($name, %last) = @_;
	my (%at, @wrong);

	all_told();
	my @told = told();
	for my $message (@told)
	{
		my $before = $at{ $message->{key} } // 0;
		push @wrong, "$message->{key}: $message->{n} after $before"
		  if $message->{n} != $before && $message->{n} != $before + 1;
		$at{ $message->{key} } = $message->{n};
	}
	is("@wrong", '', "$name: in order");
	is_deeply(\%at, \%last, "$name: all of them");
	return scalar @told;
}

sub make_table
{
	my ($table, $path) = @_;

	return sql("CREATE TABLE $table (id int PRIMARY KEY, n int, note text);
		CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON $table
		FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:$path')");
}

# So many changes of each of so many keys, each in a transaction of its own.
sub changes
{
	my ($table, $changes, $keys) = @_;

	return "DO \$\$ BEGIN FOR i IN 1..$changes LOOP FOR k IN 1..$keys LOOP
		INSERT INTO $table VALUES (k, 1) ON CONFLICT (id) DO UPDATE SET n = $table.n + 1;
		COMMIT; END LOOP; END LOOP; END \$\$";
}

sub requests_so_far { return scalar split /\n/, slurp_file($peer->log_file) }

sub kill_one
{
	my ($victim) = @_;

	if ($victim eq 'server')
	{
		kill_postmaster($node);
		return $node->start;
	}
	my $pid = worker_pid($node, $victim) || return;
	kill 'KILL', $pid;
	wait_gone($pid);
	return wait_up($node);
}

$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');
$peer->server($node, 'hooks', "format 'webhook', ordered_by 'id'");
sql("ALTER SERVER hooks OPTIONS (SET url '${\ $peer->url}/hook'); CREATE USER MAPPING FOR CURRENT_USER SERVER hooks OPTIONS (webhook_secret '$secret')");

# Mistakes.
fails("CREATE SERVER bad FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', url 'https://x', ordered_by 'id')",
	qr/HV00D: .*option "ordered_by" is not possible with format "json"/, 'of no webhook');
fails("ALTER SERVER hooks OPTIONS (SET ordered_by '')", qr/HV024: .*name of a column/s, 'no name');
sql('CREATE TABLE other (ident int)');
fails("CREATE TRIGGER t AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:x')",
	qr/42703: .*"id" of relation "other" does not exist/, 'no such column');
sql(q{CREATE TRIGGER t AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:x#{"ordered_by": "ident"}')});
sql('INSERT INTO other VALUES (1), (1), (NULL), (NULL)');
all_told();
is(sql('SELECT inputs, succeeded FROM modal_batch.jobs'), '4|4', 'as an option of the reference; keys that are NULL');
$peer->forget;

# A transaction, with savepoints: each has to wait for the one before.
make_table('one', 'first-1-503');
sql(q{BEGIN; INSERT INTO one VALUES (1, 1), (2, 1); UPDATE one SET n = 2; SAVEPOINT a; UPDATE one SET n = 13; ROLLBACK TO a;
	UPDATE one SET n = 3; SAVEPOINT b; UPDATE one SET n = 4 WHERE id = 2; RELEASE b; DELETE FROM one; COMMIT});
cmp_ok(in_order('a transaction', 1 => 4, 2 => 5), '>=', 2 * 9, 'each was sent twice');

# Many transactions of two sessions, while the service refuses each message three times.
make_table('many', 'first-3-503');
my @sessions = map { ModalSession->new($node) } 1 .. 2;
$_->begin(changes('many', 4, 8)) for @sessions;
$_->query('SELECT 1') for @sessions;
$_->quit for @sessions;
cmp_ok(in_order('two sessions', map { $_ => 8 } 1 .. 8), '>=', 8 * 8 * 4, 'each was sent four times');

# Processes die meanwhile.
make_table($_, 'sleep-20/first-2-503') for 'runner', 'dispatcher', 'server';
for my $victim ('runner', 'dispatcher', 'server')
{
	sql(changes($victim, 4, 8));
	sql("UPDATE $victim SET n = n + 1");
	for my $round (1 .. 4)
	{
		my $before = requests_so_far();
		wait_until('some messages', sub { requests_so_far() > $before + 7 });
		kill_one($victim);
	}
	in_order("a $victim dies", map { $_ => 5 } 1 .. 8);
	is(sql("SELECT sum(succeeded), sum(failed) FROM modal_batch.jobs WHERE function LIKE '%sleep%'"),
		'40|0', "a $victim dies: all have been taken");
	sql("SELECT modal_forget(job) FROM modal_batch.jobs WHERE function LIKE '%sleep%'");
}

# What is not taken is a dead letter, and lets the next one go.
make_table('refused', 'gone');
sql(q{INSERT INTO refused VALUES (1, 1), (2, 1); UPDATE refused SET n = 2, note = 'gone'; UPDATE refused SET n = 3, note = ''});
sql(q{UPDATE refused SET n = 4, note = 'gone'});
sql(q{UPDATE refused SET n = 5, note = 'x'});
in_order('dead letters', 1 => 5, 2 => 5);
is(sql("SELECT count(*), min(code) FROM modal_batch.failures WHERE message LIKE '%410%'"), '4|42883', 'are kept');

# Rows that move between partitions, and get other keys.
sql(q{CREATE TABLE parts (id int, n int, part int) PARTITION BY LIST (part);
	CREATE TABLE parts1 PARTITION OF parts FOR VALUES IN (1); CREATE TABLE parts2 PARTITION OF parts FOR VALUES IN (2);
	CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON parts FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:first-2-503')});
sql(q{BEGIN; INSERT INTO parts VALUES (9, 1, 2); INSERT INTO parts VALUES (1, 1, 1); UPDATE parts SET part = 2 WHERE id = 1;
	UPDATE parts SET n = 4 WHERE id = 1; COMMIT});
all_told();
is(join(' ', map { "$_->{type}-$_->{table}" } grep { ($_->{record} // $_->{old_record})->{id} == 1 }
	map { decode_json($_->{body}) } grep { $_->{headers}{'webhook-id'} } $peer->requests),
	join(' ', map { ($_) x 3 } 'INSERT-parts1', 'DELETE-parts1', 'INSERT-parts2', 'UPDATE-parts2'), 'between partitions');
sql(q{BEGIN; UPDATE parts SET id = 2 WHERE id = 1; UPDATE parts SET n = 5 WHERE id = 2; COMMIT});
sql(q{UPDATE parts SET n = 6 WHERE id = 2});
all_told();
is(join(' ', map { $_->{record}{id} . ':' . $_->{record}{n} } map { decode_json($_->{body}) } $peer->requests),
	'2:4 2:4 2:4 2:5 2:5 2:5 2:6 2:6 2:6', 'another key');

# Of two rows with one key, the one whose transaction has come first is committed last: the other's
# message is on its way then.
sql(q{CREATE TABLE ofs (pk int PRIMARY KEY, id int, n int);
	CREATE TRIGGER tell AFTER INSERT OR UPDATE ON ofs FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:sleep-1500/x')});
$peer->forget;
sql("BEGIN; INSERT INTO ofs VALUES (1, 7, 1); PREPARE TRANSACTION 'first'");
sql('INSERT INTO ofs VALUES (2, 7, 2)');
wait_until('it is on its way', sub { $node->safe_psql('postgres',
	"SELECT in_flight FROM modal_batch.jobs WHERE finished_at IS NULL AND function LIKE '%1500%'") eq '1' });
sql("COMMIT PREPARED 'first'");
all_told();
my @both = $peer->requests;
is(join(' ', map { decode_json($_->{body})->{record}{n} } @both), '2 1', 'each is sent');
cmp_ok($both[1]{time} - $both[0]{time}, '>', 1.4, 'one after the other');

# Values that are equal are one key, however they are written.
sql(q{CREATE TABLE scaled (id numeric, n int);
	CREATE TRIGGER tell AFTER INSERT OR DELETE ON scaled FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:scaled')});
sql('INSERT INTO scaled VALUES (1.50, 1)');
sql('BEGIN; DELETE FROM scaled; INSERT INTO scaled VALUES (1.5, 2); COMMIT');
is(sql(q{SELECT count(*), count(DISTINCT order_stripes), bool_and(order_stripes & (order_stripes - 1) = 0)
		FROM modal_batch.job WHERE function LIKE '%scaled%'}), '2|1|t', 'equal values');
all_told();
$peer->forget;

# The table's next owner has what has not begun, and so nothing of theirs comes before it.
sql(q{CREATE ROLE heir LOGIN; GRANT ALL ON SCHEMA public TO heir; GRANT USAGE ON FOREIGN SERVER hooks TO heir});
sql("CREATE USER MAPPING FOR heir SERVER hooks OPTIONS (webhook_secret '$secret')");
make_table('house', 'sleep-500/x');
sql(changes('house', 3, 1));
sql('ALTER TABLE house OWNER TO heir');
sql('UPDATE house SET n = n + 1');
is(sql(q{SELECT count(*) FILTER (WHERE owner::text = 'heir') >= 3, count(*) FILTER (WHERE owner::text <> 'heir' AND state <> 'running')
	FROM modal_batch.job WHERE function LIKE '%sleep-500/x' AND finished_at IS NULL}), 't|0', 'another owner has the jobs that wait');
in_order('another owner', 1 => 4);

# Other keys do not wait, and what is paused holds back its own.
make_table('free', 'x');
sql(q{CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.state := 'paused'; RETURN NEW; END $$;
	CREATE TRIGGER hold BEFORE INSERT ON modal_batch.job FOR EACH ROW EXECUTE FUNCTION hold();
	INSERT INTO free VALUES (1, 1)});
my $held = sql("SELECT job FROM modal_batch.jobs WHERE state = 'paused'");
sql('DROP TRIGGER hold ON modal_batch.job');
sql('UPDATE free SET n = 2 WHERE id = 1');
sql("INSERT INTO free VALUES ($_, 1)") for 2 .. 5;
$node->poll_query_until('postgres', 'SELECT count(*) = 2 FROM modal_batch.job WHERE finished_at IS NULL') or die;
is(join(' ', sort map { $_->{key} } told()), '2 3 4 5', 'other keys do not wait');
is(sql("SELECT job = $held, waiting_for FROM modal_batch.jobs WHERE finished_at IS NULL ORDER BY job"), "t|\nf|older job", 'what waits says what for');
sql('UPDATE free SET note = 1 WHERE id = 1');
my $last = sql('SELECT max(job) FROM modal_batch.jobs');
{
	my $watcher = $node->background_psql('postgres', on_error_stop => 0);

	$watcher->query_until(qr/watching/, "\\echo watching\nCALL modal_watch($last, '0.1 s');\n");
	wait_until('modal_watch to say so', sub {
		$watcher->query_until(qr//, '');
		$watcher->{stderr} =~ /NOTICE:  job $last \[-+\] +0 %.*\n.*It waits: an older job with messages of the same keys has not ended/ });
	my (undef, undef, $told) = modal_psql($node, "SELECT modal_wait($last, '0.1 s')");
	like($told, qr/NOTICE:.*job $last waits: an older job with messages of the same keys has not ended/, 'and so does modal_wait');
	sql("SELECT modal_cancel($last)");
	$watcher->quit;
}
is(sql("SELECT waiting_for FROM modal_batch.jobs WHERE job = $last"), '', 'what is cancelled waits for none');
job_ends($node, $last, 'cancelled', 'what waits can be cancelled');
sql("SELECT modal_resume($held)");
in_order('resumed', 1 => 2);
is(sql("SELECT count(waiting_for) FROM modal_batch.jobs"), '0', 'nobody waits any more');

# Other roles, and other functions, do not wait for each other.
sql(q{CREATE TRIGGER hold BEFORE INSERT ON modal_batch.job FOR EACH ROW EXECUTE FUNCTION hold();
	UPDATE free SET n = 3 WHERE id = 1; DROP TRIGGER hold ON modal_batch.job;
	CREATE ROLE stranger LOGIN; GRANT USAGE ON FOREIGN SERVER hooks TO stranger;
	CREATE ROLE watcher LOGIN IN ROLE pg_monitor});
make_table('strange', 'x');
sql('ALTER TABLE strange OWNER TO stranger; INSERT INTO strange VALUES (1, 4)');
sql(q{CREATE TRIGGER too AFTER INSERT OR UPDATE OR DELETE ON free FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:y'); UPDATE free SET n = 5 WHERE id = 1});
my $waits = q{SELECT split_part(function, ':', 2) || ' ' || waiting_for FROM modal_batch.jobs WHERE waiting_for = 'older job'};
$node->poll_query_until('postgres', $waits, 'x older job') or die;
is($node->safe_psql('postgres', $waits, extra_params => [ '-U', 'watcher' ]), 'x older job', 'members of pg_monitor see it');
is($node->safe_psql('postgres', $waits, extra_params => [ '-U', 'stranger' ]), '', 'other roles and functions do not wait');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM modal_batch.job WHERE owner = 'stranger'::regrole AND finished_at IS NOT NULL}),
	'nor does the job of one');

$node->stop;
done_testing();
