# Copyright (c) 2026, modal_batch contributors

# modal_map as an apply node: what the service gets when a statement ends early,
# by the service's own account, and what becomes of inputs in flight; and that a
# map that is read to its end makes no temporary files.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalSession;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node = modal_node('main', local => $local, conf => "log_temp_files = 0\n");
my $session = ModalSession->new($node);
$session->query(q{
	SET modal_batch.server = 'local';
	CREATE TABLE item AS SELECT g AS id FROM generate_series(1, 3000) g;
	ANALYZE item});
my $map = q{modal_map('builtin/square', 'SELECT id FROM item')};

# Inputs that the service took during the statements.
sub taken
{
	my (@statements) = @_;

	$local->clear_log;
	$session->query($_) for @statements;
	# requests are answered in order, so the log has all of those before this
	$session->query(q{SELECT modal_remote('builtin/kwargs')});
	my @puts = $local->inputs_put;
	return @puts - 1;
}

is(taken("SELECT result FROM $map LIMIT 10"), 10, 'LIMIT');
is(taken("SELECT result FROM modal_map('builtin/square', 'SELECT id FROM item', ordered => false) LIMIT 10"),
	10, 'LIMIT, in any order');
cmp_ok(taken("SELECT result FROM (SELECT * FROM $map OFFSET 0) q WHERE ordinal % 3 = 0 LIMIT 5"),
	'<=', 26, 'LIMIT above a filter');
cmp_ok(taken("SELECT $map LIMIT 10"), '<=', 20, 'LIMIT above a select list');
cmp_ok(taken('BEGIN', "DECLARE c CURSOR FOR SELECT result FROM $map", 'FETCH 10 FROM c', 'COMMIT'),
	'<=', 20, 'FETCH');
cmp_ok(
	taken(
		'BEGIN',
		"DECLARE c CURSOR FOR SELECT result FROM $map",
		(map { 'FETCH FROM c' } 1 .. 10), 'COMMIT'),
	'<=', 20, 'FETCH, row by row');
cmp_ok(
	taken(
		"DO \$\$ DECLARE r record; n int := 0;
		BEGIN FOR r IN SELECT result FROM $map LOOP n := n + 1; EXIT WHEN n = 10; END LOOP; END \$\$"),
	'<=', 40, 'a loop in PL/pgSQL that ends');
is(taken("SELECT count(*) FROM $map"), 3000, 'all');

# What is in flight when nobody wants it any more is cancelled.
$local->clear_log;
$session->query(q{BEGIN});
$session->query(q{DECLARE c CURSOR FOR SELECT result FROM modal_map('builtin/sleep',
	'SELECT CASE WHEN id > 3 THEN 600.0::float8 ELSE 0 END, id FROM item')});
is($session->query('FETCH 3 FROM c'), "1\n2\n3", 'rows come though others take long');
$session->query('CLOSE c');
ok($local->wait_for_requests('FunctionCallCancel', 1), 'CLOSE cancels the call');
$session->query('COMMIT');

# An error in a savepoint ends what was begun in it, and nothing else.
$local->clear_log;
$session->query(q{BEGIN});
$session->query("DECLARE outside CURSOR FOR SELECT result FROM $map");
is($session->query('FETCH 2 FROM outside'), "1\n4", 'a cursor before a savepoint');
$session->query(q{SAVEPOINT a});
$session->query(q{DECLARE inside CURSOR FOR SELECT result FROM modal_map('builtin/sleep',
	'SELECT CASE WHEN id > 2 THEN 600.0::float8 ELSE 0 END, id FROM item')});
is($session->query('FETCH 2 FROM inside'), "1\n2", 'one in it');
$session->query('ROLLBACK TO a');
ok($local->wait_for_requests('FunctionCallCancel', 1), 'ROLLBACK TO cancels its call');
is($session->query('FETCH 2 FROM outside'), "9\n16", 'the other goes on');
$session->query('COMMIT');

# A session that ends with cursors open leaves nothing behind.
my $other = ModalSession->new($node);
$other->query('BEGIN');
$other->query(q{DECLARE c CURSOR FOR SELECT result FROM modal_map('local:builtin/sleep',
	'SELECT CASE WHEN g > 2 THEN 600.0::float8 ELSE 0 END, g FROM generate_series(1, 100) g')});
$other->query('FETCH 2 FROM c');
$local->clear_log;
$session->query(q{SELECT pg_terminate_backend(pid) FROM modal_batch.activity});
ok($local->wait_for_requests('FunctionCallCancel', 1), 'a session that is ended cancels its call');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM modal_batch.activity'),
	'and nothing is under way');

# However many rows there are, nothing goes to disk.
is( $session->query(
		"SELECT count(*), sum(length(result::text)) FROM modal_map('builtin/echo',
		\$\$SELECT repeat('x', 200) FROM (SELECT generate_series(1, 100000)) g\$\$)"),
	'100000|20200000', 'a map of 100,000 rows');
$session->quit;
$node->stop;
unlike(slurp_file($node->logfile), qr/temporary file:/, 'no temporary files');
done_testing();
