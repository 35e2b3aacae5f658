# Copyright (c) 2026, modal_batch contributors

# Rows that another session changes while they are in an apply node's window:
# the statement must do what it does without pipelining.
#
# A first session has updated row 5 (still qualifying), updated row 6 (so that
# odd() changes its mind) and deleted row 7, and commits once the statement
# waits for it.  As in 410_typed_shapes.pl functions of PL/pgSQL stand in for
# remote ones.

use strict;
use warnings FATAL => 'all';

use ModalTest;
use Test::More;
use TypedShapes;

my $node    = modal_node('main');
my $version = $node->safe_psql('postgres', 'SHOW server_version_num') / 10000;
setup_shapes($node, rows => 300);

my $prepare = q{
	DROP TABLE IF EXISTS e, p;
	CREATE TABLE e (id int PRIMARY KEY, v int, w int);
	INSERT INTO e SELECT i, i, 0 FROM generate_series(1, 10) i;
	CREATE TABLE p (id int, v int, w int) PARTITION BY RANGE (id);
	CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (6);
	CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (6) TO (20);
	INSERT INTO p SELECT * FROM e;
	ANALYZE e, p;
};
my $change = q{
	BEGIN;
	UPDATE e SET v = 100 WHERE id = 5;
	UPDATE e SET v = 202 WHERE id = 6;
	DELETE FROM e WHERE id = 7;
	UPDATE p SET v = 100 WHERE id = 5;
	UPDATE p SET v = 202 WHERE id = 6;
};

my @statements = (
	[ 'update list',   'UPDATE e SET w = vol(v)' ],
	[ 'update filter', 'UPDATE e SET w = 1 WHERE odd(v)' ],
	[ 'update both',   'UPDATE e SET w = vol(v) WHERE odd(v)' ],
	[ 'update nested', 'UPDATE e SET w = vol(vol(v)) + 1' ],
	[
		'update from',
		'UPDATE e SET w = add2(e.v, other.y) FROM other WHERE other.id = e.id'
	],
	[
		'update from a sub-query with a call',
		'UPDATE e SET w = q.r + e.v FROM (SELECT id, vol(y) r FROM other) q WHERE q.id = e.id'
	],
	[ 'update partitions', 'UPDATE p SET w = vol(v)' ],
	[ 'delete',            'DELETE FROM e WHERE odd(v) RETURNING id, v' ],
	[ 'for update',        'SELECT id, vol(v) FROM e ORDER BY id FOR UPDATE' ],
	[
		'for update filter',
		'SELECT id, v FROM e WHERE odd(v) ORDER BY id FOR UPDATE'
	],
	[
		'for update of one table in a join',
		'SELECT e.id, add2(e.v, other.y) FROM e JOIN other USING (id) ORDER BY id FOR UPDATE OF e'
	],
	[
		'for update beside a sub-query with a call',
		'SELECT e.id, q.r, vol(e.v) FROM e JOIN (SELECT id, vol(y) r FROM other OFFSET 0) q USING (id)
			ORDER BY id FOR UPDATE OF e'
	],
	[
		'skip locked',
		'SELECT id, vol(v) FROM e ORDER BY id LIMIT 5 FOR UPDATE SKIP LOCKED',
		no_wait => 1
	],
	[
		'merge',
		'MERGE INTO e USING (SELECT id, vol(y) r FROM other WHERE id < 12) s ON e.id = s.id
			WHEN MATCHED THEN UPDATE SET w = s.r + e.v
			WHEN NOT MATCHED THEN INSERT VALUES (s.id, 0, s.r)',
		from => 15
	]);

# What the statement returned, and what it left behind.
sub run_against_changes
{
	my ($setting, $statement, %options) = @_;
	$node->safe_psql('postgres', $prepare);
	my $other = $node->background_psql('postgres');
	my $session = $node->background_psql('postgres', on_error_stop => 0);

	$other->query_safe($change);
	$session->query_safe("SET modal_batch.enable_pipelining = $setting");
	$session->query_safe(q{SET modal_batch.debug_remote_language = 'plpgsql'});
	my $pid    = $session->query_safe('SELECT pg_backend_pid()');
	my $before = $session->query_safe('SELECT apply_calls()');
	my $result;
	if ($options{no_wait})
	{
		$result = $session->query($statement);
	}
	else
	{
		$session->query_until(qr/sent/, "\\echo sent\n$statement;\n");
		$node->poll_query_until('postgres',
			"SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid")
		  or die 'the statement does not wait';
		$other->query_safe('COMMIT');
		$result = $session->query('\echo end of statement');
	}
	my $applied = $session->query_safe('SELECT apply_calls()') - $before;
	$other->quit;
	$session->quit;
	my $left = $node->safe_psql('postgres',
		'SELECT * FROM e ORDER BY id; SELECT * FROM p ORDER BY id');
	return ("$result\n$left", $applied);
}

for my $case (@statements)
{
	my ($name, $statement, %options) = @$case;
	next if $version < ($options{from} // 0);
	my ($off, $none)    = run_against_changes('off', $statement, %options);
	my ($on,  $applied) = run_against_changes('on',  $statement, %options);
	is($on, $off, $name);
	is($none, 0, "$name: direct");
	cmp_ok($applied, '>', 0, "$name: hoisted");
}

$node->stop;
done_testing();
