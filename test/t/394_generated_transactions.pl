# Copyright (c) 2026, modal_batch contributors

# Columns and rows that are generated, whatever transaction changes what they are
# made from: isolation levels, savepoints, two-phase commit, several at once, and
# tables that are altered while inputs are away.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local, conf => "max_prepared_transactions = 10\n");

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub error_of
{
	my ($query) = @_;
	my (undef, undef, $err) = modal_psql($node, $query);
	return $err;
}

sub quiet
{
	wait_until('the end of all jobs', sub {
		sql(q{SELECT count(*) FROM modal_batch.jobs WHERE finished_at IS NULL AND state <> 'paused'}) eq '0' });
	return;
}

# Jobs that wait: paused as they come, and let go at once.
sub hold
{
	sql('CREATE TRIGGER hold BEFORE INSERT ON modal_batch.job FOR EACH ROW EXECUTE FUNCTION hold()');
	return;
}

sub release
{
	sql('DROP TRIGGER hold ON modal_batch.job');
	sql(q{UPDATE modal_batch.job SET state = 'pending' WHERE state = 'paused'; SELECT modal_batch.start_runner()});
	quiet();
	return;
}

# What has become of all jobs since the last time: inputs, succeeded, failed, stale.
sub outcome
{
	my $outcome = sql(q{SELECT coalesce(sum(inputs), 0), coalesce(sum(succeeded), 0), coalesce(sum(failed), 0), coalesce(sum(stale), 0) FROM modal_batch.jobs});
	sql('DELETE FROM modal_batch.job; DELETE FROM modal_batch.result; DELETE FROM modal_batch.joined_job; DELETE FROM modal_batch.chunk');
	return $outcome;
}

my $wrong_numbers = 'SELECT count(*) FROM numbers WHERE square IS DISTINCT FROM n::bigint * n';
my $wrong_pages = q{SELECT count(*) FROM (SELECT id, n - 1, page FROM docs,
		jsonb_array_elements_text(pages) WITH ORDINALITY p(page, n)) d(id, n, page)
	FULL JOIN chunks c ON c.doc = d.id AND c.n = d.n AND c.result = d.page
	WHERE d.id IS NULL OR c.doc IS NULL};

sub all_right
{
	my ($name, $outcome) = @_;

	quiet();
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(sql("SELECT ($wrong_numbers), ($wrong_pages)"), '0|0', $name);
	is(outcome(), $outcome, '... and each input is sent once') if defined $outcome;
	return;
}

sql(q{
	CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.state := 'paused'; RETURN NEW; END $$;
	CREATE TABLE numbers (id int PRIMARY KEY, n int, square bigint);
	CREATE TABLE docs (id int PRIMARY KEY, pages jsonb);
	CREATE TABLE chunks (doc int, n bigint, result text, PRIMARY KEY (doc, n));
	INSERT INTO numbers SELECT i, i FROM generate_series(1, 100) i;
	INSERT INTO docs SELECT i, jsonb_build_array(i, 'x') FROM generate_series(1, 100) i});
my $generate_column = q{modal_generate_column('numbers', 'square', 'local:builtin/square', '{n}')};
my $generate_rows = q{modal_generate_rows('docs', 'chunks', 'local:builtin/echo', '{pages}', '{doc}', ordinality_column => 'n')};

# --- isolation levels, savepoints ----------------------------------------------------

my $rows = 1000;
for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	my $session = $node->background_psql('postgres');

	# the snapshot is older than the declaration, and than rows that others commit
	sql(q{DROP TRIGGER IF EXISTS modal_generate_square ON numbers; UPDATE numbers SET square = NULL});
	$session->query_safe("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM numbers");
	sql("INSERT INTO numbers SELECT i, i FROM generate_series($rows + 1, $rows + 10) i");
	$session->query_safe("SELECT $generate_column; INSERT INTO numbers VALUES ($rows, 7); COMMIT");
	$rows += 1000;
	sql("SELECT $generate_rows") if $level eq 'READ COMMITTED';
	all_right("$level: a declaration");
	outcome();

	hold();
	$session->query_safe(qq{
		BEGIN ISOLATION LEVEL $level;
		INSERT INTO numbers VALUES (-1, 1), (-2, 1), (-3, 1);
		INSERT INTO docs VALUES (-1, '["a"]'), (-2, '["a", "b"]'), (-3, '["a", "b", "c"]');
		SAVEPOINT a;
		UPDATE numbers SET n = 2 WHERE id = -1;
		UPDATE docs SET pages = '["d"]' WHERE id = -1;
		ROLLBACK TO a;
		UPDATE numbers SET n = 3 WHERE id = -2;
		UPDATE docs SET pages = '["e"]' WHERE id = -2;
		SAVEPOINT b;
		UPDATE numbers SET n = 4 WHERE id IN (-2, 1);
		UPDATE docs SET pages = '["f", "g"]' WHERE id IN (-2, 1);
		RELEASE b;
		UPDATE numbers SET n = 5 WHERE id = -3;
		UPDATE docs SET pages = '["h"]' WHERE id = -3;
		COMMIT});
	release();
	all_right("$level: rows that change again and again, and savepoints", '8|8|0|0');

	hold();
	$session->query_safe(qq{
		BEGIN ISOLATION LEVEL $level;
		DELETE FROM numbers WHERE id < 0; DELETE FROM docs WHERE id < 0;
		UPDATE numbers SET n = n + 1 WHERE id BETWEEN 1 AND 10;
		UPDATE docs SET pages = pages || '["more"]' WHERE id BETWEEN 1 AND 10;
		UPDATE numbers SET square = NULL WHERE id BETWEEN 11 AND 20;
		SELECT modal_regenerate('numbers', 'square');
		SAVEPOINT a;
		SELECT modal_regenerate('numbers', 'square', 'all');
		ROLLBACK TO a;
		COMMIT});
	release();
	all_right("$level: modal_regenerate among changes", '30|30|0|0');

	# what the triggers of the transaction have collected is pending for it
	hold();
	my $counted = $session->query_safe(qq{
		BEGIN ISOLATION LEVEL $level;
		UPDATE numbers SET square = NULL WHERE id BETWEEN 1 AND 10;
		INSERT INTO numbers VALUES (-1, 1), (-2, 2), (-3, 3), (-7, 8);
		SAVEPOINT a;
		INSERT INTO numbers VALUES (-4, 4);
		UPDATE numbers SET n = 5 WHERE id = -3;
		UPDATE numbers SET n = -1 WHERE id = 1;
		ROLLBACK TO a;
		UPDATE numbers SET n = 6 WHERE id = -2;
		SAVEPOINT b;
		INSERT INTO numbers VALUES (-5, 7);
		UPDATE numbers SET n = n + 1 WHERE id = 2;
		SELECT modal_regenerate('numbers', 'square');
		ROLLBACK TO b;
		SAVEPOINT c;
		INSERT INTO numbers VALUES (-6, 8);
		UPDATE numbers SET n = n + 2 WHERE id = 3;
		RELEASE c;
		UPDATE numbers SET n = 9 WHERE id = -7;
		UPDATE numbers SET n = 8 WHERE id = -7;
		SELECT missing, pending FROM modal_batch.generated_column_counts('numbers', 'square');
		SELECT modal_regenerate('numbers', 'square');
		SELECT missing, pending FROM modal_batch.generated_column_counts('numbers', 'square');
		UPDATE numbers SET n = 10 WHERE id = -1;
		INSERT INTO numbers VALUES (-8, 11);
		DELETE FROM numbers WHERE id = 4;
		COMMIT});
	like($counted, qr/^9\|6$/m, "$level: counts among changes");
	like($counted, qr/^0\|15$/m, '... and after modal_regenerate');
	release();
	all_right("$level: modal_regenerate among rows that are new", '16|15|0|1');

	hold();
	$session->query_safe(qq{
		BEGIN ISOLATION LEVEL $level;
		DELETE FROM numbers WHERE id < 0;
		INSERT INTO numbers VALUES (-1, 1);
		UPDATE numbers SET n = n + 1 WHERE id BETWEEN 11 AND 20;
		SELECT modal_regenerate('numbers', 'square', 'all');
		UPDATE numbers SET n = n + 1 WHERE id BETWEEN 11 AND 15;
		COMMIT});
	my $all = sql('SELECT count(*) FROM numbers');
	release();
	all_right("$level: all rows, of which some are new", "$all|$all|0|0");
	sql('DELETE FROM numbers WHERE id = -1; INSERT INTO numbers VALUES (4, 4)');
	quiet();
	outcome();
	$session->quit;
}

# --- several at once ------------------------------------------------------------------

for my $level ('READ COMMITTED', 'REPEATABLE READ')
{
	my ($first, $second) = map { $node->background_psql('postgres') } 1, 2;

	sql(q{UPDATE numbers SET square = NULL WHERE id <= 50});
	hold();
	$second->query_safe("BEGIN ISOLATION LEVEL $level; SELECT 1");
	$second->query_safe('SELECT count(*) FROM numbers');
	$first->query_safe(q{BEGIN; SELECT modal_regenerate('numbers', 'square')});
	$second->query_until(qr/asked/, "\\echo asked\nSELECT modal_regenerate('numbers', 'square');\n");
	wait_until('the second to wait for the first', sub {
		sql(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'}) eq '1' });
	$first->query_safe('COMMIT');
	$second->query_safe('COMMIT');
	is(sql('SELECT count(*), sum(inputs) FROM modal_batch.job'), '2|50', "$level: of two modal_regenerate at once, one sends");
	release();
	all_right('... what is missing', '50|50|0|0');
	$_->quit for $first, $second;
}

# what is pending is so for whoever does not see the result yet
{
	my $session = $node->background_psql('postgres');

	hold();
	sql(q{UPDATE numbers SET n = n + 1, square = NULL WHERE id BETWEEN 1 AND 10});
	$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM numbers LIMIT 1');
	release();
	is($session->query_safe(q{SELECT missing, pending FROM modal_batch.generated_column_counts('numbers', 'square')}), '0|10',
		'counts are those of the transaction');
	$session->query_safe('COMMIT');
	is(sql(q{SELECT missing, pending FROM modal_batch.generated_column_counts('numbers', 'square')}), '0|0', '... and others later');
	$session->quit;
	outcome();
}

# more than is kept in memory, read in the middle
sql(q{
	CREATE FUNCTION body(i int, c text) RETURNS text LANGUAGE sql AS $$ SELECT i || repeat(c, 1000000) $$;
	CREATE TABLE large (id int PRIMARY KEY, body text, copy text);
	SELECT modal_generate_column('large', 'copy', 'local:builtin/echo', '{body}')});
outcome();
is( sql(q{
		BEGIN;
		INSERT INTO large SELECT i, body(i, 'a') FROM generate_series(1, 40) i;
		SELECT modal_regenerate('large', 'copy');
		SAVEPOINT a;
		INSERT INTO large SELECT i, body(i, 'b') FROM generate_series(41, 60) i;
		SELECT modal_regenerate('large', 'copy');
		ROLLBACK TO a;
		INSERT INTO large SELECT i, body(i, 'c') FROM generate_series(51, 100) i;
		SELECT modal_regenerate('large', 'copy');
		UPDATE large SET body = body(id, 'd') WHERE id IN (1, 51);
		INSERT INTO large SELECT i, body(i, 'e') FROM generate_series(101, 105) i;
		SELECT modal_regenerate('large', 'copy', 'all');
		SELECT missing, pending FROM modal_batch.generated_column_counts('large', 'copy');
		COMMIT}) =~ s/.*\n//sr, '0|95', 'inputs in a temporary file are pending');
all_right('... and sent', '95|95|0|0');
is(sql('SELECT count(*) FROM large WHERE copy IS DISTINCT FROM body'), '0', '... whole');
sql('DROP TABLE large');
outcome();

# a declaration that goes takes along what was collected for it, if it does go
for my $end ('RELEASE', 'ROLLBACK TO')
{
	my $echo = $generate_column =~ s/square', '\{n/echo', '{n/r;

	sql(qq{
		BEGIN;
		INSERT INTO numbers VALUES (-1, 2);
		UPDATE numbers SET n = n + 1 WHERE id <= 3;
		SAVEPOINT a;
		SELECT modal_drop_generated_column('numbers', 'square');
		SELECT $echo;
		INSERT INTO numbers VALUES (-2, 3);
		$end a;
		INSERT INTO numbers VALUES (-3, 4);
		UPDATE numbers SET n = n + 1 WHERE id = 1;
		COMMIT});
	quiet();
	if ($end eq 'RELEASE')
	{
		is(sql('SELECT string_agg(square::text, $$ $$ ORDER BY id) FROM numbers WHERE id < 0'), '4 3 3', "$end: what the new declaration says");
		sql(q{SELECT modal_drop_generated_column('numbers', 'square')});
		sql("SELECT $generate_column; UPDATE numbers SET square = NULL; SELECT modal_regenerate('numbers', 'square')");
		all_right('... and the old one again');
		outcome();
	}
	else
	{
		all_right("$end: what the old declaration says", '5|5|0|0');
	}
	sql('DELETE FROM numbers WHERE id < 0');
}

# the last one that commits wins, whatever is under way
{
	my ($first, $second) = map { $node->background_psql('postgres') } 1, 2;

	$local->set_faults("FunctionGetOutputs delay=0.5\n");
	$local->clear_log;
	$first->query_safe(q{BEGIN; UPDATE numbers SET n = 100 WHERE id = 1; UPDATE docs SET pages = '["first"]' WHERE id = 1});
	$second->query_until(qr/asked/,
		qq{\\echo asked\nBEGIN; UPDATE numbers SET n = 200 WHERE id = 1; UPDATE docs SET pages = '["second", "2"]' WHERE id = 1;\n});
	$first->query_safe('COMMIT');
	wait_until('the inputs of the first to be sent', sub { $local->inputs_put >= 2 });
	$second->query_safe('COMMIT');
	$local->set_faults('');
	all_right('of two transactions that change a row, the last one wins', '4|2|0|2');
	is(sql('SELECT n, square FROM numbers WHERE id = 1'), '200|40000', '... with its result');
	$_->quit for $first, $second;
}

# --- two-phase commit -------------------------------------------------------------------

my $changes = q{
	INSERT INTO numbers VALUES (-1, 11, 0);
	UPDATE numbers SET n = 12 WHERE id = -1;
	SAVEPOINT s; INSERT INTO numbers VALUES (-2, 13); ROLLBACK TO s;
	UPDATE docs SET pages = pages || '["p"]' WHERE id <= 5;
	DELETE FROM docs WHERE id = 6;
	UPDATE numbers SET square = NULL WHERE id BETWEEN 11 AND 20;
	SELECT modal_regenerate('numbers', 'square')};
sql("BEGIN; $changes; PREPARE TRANSACTION 'gone'; ROLLBACK PREPARED 'gone'");
all_right('a prepared transaction that is rolled back', '0|0|0|0');
sql("BEGIN; $changes; PREPARE TRANSACTION 'kept'");
$node->stop('immediate');
$node->start;
is(sql('SELECT count(*) FROM modal_batch.jobs'), '0', 'a prepared transaction sends nothing');
sql(q{COMMIT PREPARED 'kept'});
all_right('... until another session, after a crash, commits it', '16|16|0|0');

sql(q{DROP TRIGGER modal_generate_square ON numbers; UPDATE numbers SET square = NULL});
sql("BEGIN; SELECT $generate_column; INSERT INTO numbers VALUES (-3, 3); PREPARE TRANSACTION 'declared'");
kill_postmaster($node);
$node->start;
is(sql('SELECT count(*) FROM modal_batch.generated_columns'), '0', 'a declaration that is prepared is none yet');
sql(q{COMMIT PREPARED 'declared'});
all_right('... and fills its column when it is committed');
is(sql('SELECT pending, failed FROM modal_batch.generated_columns'), '0|0', '... whole');
outcome();

# --- names, types and tables that change while inputs are away ------------------------------

hold();
sql(q{UPDATE numbers SET n = n + 1 WHERE id BETWEEN 1 AND 10; UPDATE numbers SET square = NULL WHERE id BETWEEN 11 AND 20; SELECT modal_regenerate('numbers', 'square')});
sql(q{ALTER TABLE numbers RENAME id TO "the key"; ALTER TABLE numbers RENAME n TO "the number"});
is(sql(q{SELECT missing, pending FROM modal_batch.generated_column_counts('numbers', 'square')}), '0|20', 'what is pending is known under other names');
sql(q{SELECT modal_regenerate('numbers', 'square')});
is(sql(q{SELECT inputs FROM modal_batch.job ORDER BY id DESC LIMIT 1}), '0', '... and not sent again');
sql(q{ALTER TABLE numbers RENAME "the key" TO id; ALTER TABLE numbers RENAME "the number" TO n});
release();
all_right('... nor lost', '20|20|0|0');

hold();
sql(q{UPDATE numbers SET n = n + 1 WHERE id BETWEEN 1 AND 10; UPDATE docs SET pages = pages || '["t"]' WHERE id BETWEEN 1 AND 10});
for my $type ('numbers ALTER n TYPE bigint', 'numbers ALTER square TYPE numeric', 'docs ALTER pages TYPE text', 'chunks ALTER result TYPE varchar(100)')
{
	like(error_of("ALTER TABLE $type"), qr/cannot alter type of a column used in a trigger definition/, "a type is held: $type");
}
sql(q{ALTER TABLE numbers ALTER id TYPE bigint});
release();
all_right('the key gets a wider type', '19|19|0|0');

hold();
sql(q{UPDATE numbers SET n = n + 1 WHERE id BETWEEN 1 AND 10; UPDATE docs SET pages = '[1, 2]' WHERE id BETWEEN 1 AND 10});
sql(q{TRUNCATE numbers, docs});
release();
is(sql('SELECT count(*) FROM numbers') . sql('SELECT count(*) FROM chunks'), '00', 'a table that is emptied stays so');
is(outcome(), '19|0|0|19', '... and what was sent of it is stale');

sql(q{INSERT INTO numbers SELECT i, i FROM generate_series(1, 10) i; INSERT INTO docs SELECT i, '["x"]' FROM generate_series(1, 10) i});
all_right('... until there are rows again', '20|20|0|0');

hold();
sql(q{UPDATE numbers SET n = n + 1; UPDATE docs SET pages = '["y"]'});
sql(q{ALTER TABLE numbers DROP COLUMN square; ALTER TABLE chunks DROP COLUMN result});
my $next = sql(q{SELECT modal_spawn('local:builtin/square', 3)});
release();
is(sql(q{SELECT state, count(*), count(last_error) FROM modal_batch.jobs WHERE into_table IS NOT NULL GROUP BY 1}), 'failed|2|2', 'a column that is dropped ends its jobs');
is(sql("SELECT result FROM modal_results($next)"), '9', '... and no others');
outcome();
sql(q{ALTER TABLE numbers ADD square bigint; ALTER TABLE chunks ADD result text; TRUNCATE chunks});
sql("SELECT $generate_column, $generate_rows");
all_right('... which are declared anew', '20|20|0|0');

hold();
sql(q{UPDATE numbers SET n = n + 1; UPDATE docs SET pages = '["z"]'});
sql(q{ALTER TABLE numbers DROP COLUMN n; ALTER TABLE docs DROP COLUMN pages});
release();
is(sql(q{SELECT string_agg(DISTINCT state, ',') FROM modal_batch.jobs}), 'failed', 'an argument that is dropped, too');
outcome();
sql(q{ALTER TABLE numbers ADD n int; ALTER TABLE docs ADD pages jsonb; UPDATE numbers SET n = id; UPDATE docs SET pages = '["z"]'});
sql("SELECT $generate_column, $generate_rows");
quiet();
outcome();

hold();
sql(q{UPDATE numbers SET n = n + 1; UPDATE docs SET pages = '["z", "z"]'});
sql(q{DROP TABLE numbers, docs});
$next = sql(q{SELECT modal_spawn('local:builtin/square', 4)});
release();
is(sql(q{SELECT string_agg(DISTINCT state, ',') FROM modal_batch.jobs WHERE mode <> 'result'}), 'failed', 'and so do the jobs of a table that is gone');
is(sql("SELECT result FROM modal_results($next)"), '16', '... alone');
is(sql('SELECT count(*) FROM modal_batch.generated_columns'), '0', '... with all declarations');

$node->stop;
done_testing();
