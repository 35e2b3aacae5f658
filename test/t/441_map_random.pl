# Copyright (c) 2026, modal_batch contributors

# Statements over modal_map, made up by chance, with the apply node and with
# the function scan: same rows, same errors.
#
# They are the same in each run.  MAP_RANDOM="first-last" tries others.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalTest;
use Test::More;

my ($first, $last) = ($ENV{MAP_RANDOM} // '1-150') =~ /^(\d+)-(\d+)$/
  or die 'MAP_RANDOM must be "first-last"';

my $local = ModalLocal->new;
my $node = modal_node('main', local => $local, conf => "jit = off\nautovacuum = off\n");
$node->safe_psql('postgres', q{
	SET client_min_messages = warning;
	CREATE TABLE item AS SELECT g AS id, g % 7 AS g, CASE WHEN g % 5 > 0 THEN g * 10 END AS x
		FROM generate_series(1, 60) g;
	CREATE FUNCTION twice(int) RETURNS int LANGUAGE modal AS 'local:builtin/echo';
	ANALYZE item});

sub one_of { return $_[ rand @_ ] }
sub chance { return rand() < $_[0] }

# Something in FROM that is a map; outer: an expression of the query around it.
sub map_call
{
	my ($outer) = @_;
	my $function = one_of("'local:builtin/echo'", "'local:builtin/square'");
	my $limit = int rand 30;
	my $where = chance(0.3) ? ' WHERE g > ' . int rand 7 : '';
	my @more = chance(0.2) ? q{kwargs => '{}'} : ();

	return "modal_map($function, ARRAY[" . join(', ', map { int rand 50 } 0 .. rand 6) . ']'
	  . join('', map { ", $_" } @more) . ')'
	  if chance(0.2);
	push @more, q{key => '{k}'} if my $key = chance(0.4);
	push @more, q{on_error => 'return'} if chance(0.2);
	my $query =
		chance(0.1) ? 'SELECT 60 / (id - 40) FROM item ORDER BY id'    # fails at some row
	  : chance(0.1) ? q{SELECT (result)::int FROM modal_map('local:builtin/echo', 'SELECT id FROM item') WHERE ordinal < } . $limit
	  : chance(0.1) ? "SELECT twice(id) FROM item ORDER BY id LIMIT $limit"
	  : "SELECT id FROM item$where ORDER BY id LIMIT $limit";
	$query =~ s/^SELECT (.*?) FROM/SELECT $1, 1 AS k FROM/ if $key;
	my $text = defined $outer && chance(0.6)
	  ? "'SELECT id" . ($key ? ', 1 AS k' : '') . " FROM item ORDER BY id LIMIT ' || (3 + $outer % 4)"
	  : "\$\$$query\$\$";
	return "modal_map($function, $text" . join('', map { ", $_" } @more) . ')';
}

sub cut { return chance(0.6) ? (chance(0.3) ? ' OFFSET ' . int rand 9 : '') . ' LIMIT ' . int rand 15 : '' }

sub condition
{
	return one_of('ordinal % 2 = 0', 'result IS NOT NULL', 'ordinal > 5', '(result)::int % 3 = 1', 'error IS NULL',
		'60 / (ordinal - 20) IS NOT NULL');
}

my @shapes = (
	sub { 'SELECT * FROM ' . map_call() . ' m' . cut() },
	sub { 'SELECT result, ordinal + 1, input FROM ' . map_call() . ' m WHERE ' . condition() . cut() },
	sub { 'SELECT count(*), sum(ordinal), max(result::text) FROM ' . map_call() . ' m' },
	sub { 'SELECT ordinal % 3, count(result) FROM ' . map_call() . ' m GROUP BY 1 ORDER BY 1' . cut() },
	sub { 'SELECT i.id, m.* FROM item i, ' . map_call('i.id') . ' m WHERE i.id < 8 ORDER BY i.id, ordinal' . cut() },
	sub {
		'SELECT i.id, m.* FROM (SELECT * FROM item ORDER BY id LIMIT 6) i LEFT JOIN LATERAL (SELECT * FROM '
		  . map_call('i.id') . ' n' . cut() . ') m ON ' . one_of('true', 'm.ordinal > i.id') . ' ORDER BY i.id, m.ordinal';
	},
	sub { 'SELECT i.id, (SELECT result FROM ' . map_call(one_of('i.id', undef)) . ' m OFFSET i.g LIMIT 1) FROM item i WHERE id < 9 ORDER BY id' . cut() },
	sub { 'SELECT i.id FROM item i WHERE ' . one_of('', 'NOT ') . 'EXISTS (SELECT FROM ' . map_call(one_of('i.id', undef)) . ' m WHERE m.ordinal = i.g) AND id < 20 ORDER BY id' },
	sub { 'SELECT i.id FROM item i WHERE i.id IN (SELECT (result)::int FROM ' . map_call() . ' m) ORDER BY id' . cut() },
	sub { 'SELECT a.*, b.result FROM ' . map_call() . ' a JOIN ' . map_call() . ' b USING (ordinal) ORDER BY ordinal' . cut() },
	sub { 'SELECT a.result, b.result FROM ' . map_call() . ' a FULL JOIN ' . map_call() . ' b ON a.ordinal = b.ordinal + 1 ORDER BY a.ordinal, b.ordinal' },
	sub { 'SELECT a.result, b.result FROM ' . map_call() . ' a, ' . map_call() . ' b WHERE a.ordinal < b.ordinal ORDER BY a.ordinal, b.ordinal' . cut() },
	sub { '(SELECT result FROM ' . map_call() . ' m' . cut() . ') UNION ALL (SELECT result FROM ' . map_call() . ' m)' . cut() },
	sub { 'SELECT DISTINCT result FROM ' . map_call() . ' m ORDER BY result::text' . cut() },
	sub { 'WITH c AS MATERIALIZED (SELECT * FROM ' . map_call() . ' m) SELECT c.ordinal, d.result FROM c, c d WHERE c.ordinal = d.ordinal ORDER BY 1' . cut() },
	sub { 'WITH RECURSIVE c AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM c, ' . map_call('n') . ' m WHERE ordinal = 0 AND n < 5) SELECT * FROM c' },
	sub { 'SELECT ordinal, sum(ordinal) OVER (ORDER BY ordinal ROWS 2 PRECEDING) FROM ' . map_call() . ' m' . cut() },
	sub { 'SELECT twice(ordinal::int), result FROM ' . map_call() . ' m WHERE twice(ordinal::int) % 2 = 0' . cut() },
	sub { 'SELECT ' . map_call() . cut() },
	sub { 'SELECT id, ' . map_call('id') . ', generate_series(1, 2) FROM item WHERE id < 5 ORDER BY id' . cut() },
	sub { 'SELECT * FROM ' . map_call() . ' WITH ORDINALITY m(a, b, c, d, n)' . cut() },
	sub { 'SELECT m FROM ' . map_call() . ' m' . cut() },
	sub {
		my $scroll = chance(0.5);
		my @fetches = map { 'FETCH ' . (!$scroll || chance(0.6) ? one_of('', 'FORWARD 3 ', 'FORWARD 7 ', 'ALL ') : one_of('BACKWARD 2 ', 'ABSOLUTE 2 ', 'PRIOR ', 'RELATIVE -1 ')) . 'FROM c' } 0 .. rand 6;
		splice @fetches, 1, 0, 'COMMIT' if my $hold = chance(0.3);
		join ";\n", 'BEGIN', 'DECLARE c ' . ($scroll ? 'SCROLL ' : 'NO SCROLL ') . 'CURSOR ' . ($hold ? 'WITH HOLD ' : '') . 'FOR SELECT ordinal, result FROM ' . map_call() . ' m WHERE ' . condition(),
		  @fetches, $hold ? 'CLOSE c' : 'COMMIT';
	},
	sub {
		'DO $f$ DECLARE r record; BEGIN FOR r IN SELECT * FROM ' . map_call() . ' m LOOP RAISE NOTICE $x$%$x$, r; EXIT WHEN r.ordinal = '
		  . int(rand 9) . '; END LOOP; END $f$';
	},
	sub { 'INSERT INTO item (id, g) SELECT 1000 + ordinal, (result)::int FROM ' . map_call() . ' m RETURNING id, g' },
	sub { 'UPDATE item SET x = (m.result)::int FROM ' . map_call() . ' m WHERE item.id = m.ordinal RETURNING id, x' });

sub statement
{
	my ($seed) = @_;

	srand $seed;
	return $shapes[ $seed % @shapes ]->();
}

# What each of the statements returns, and says, with the setting.
sub outcomes
{
	my ($setting, @statements) = @_;
	my $script = "SET modal_batch.enable_pipelining = $setting;\nSET statement_timeout = '60s';\n";
	my ($out, $err);

	for my $i (0 .. $#statements)
	{
		$script .= "\\echo == $i\n\\warn == $i\n";
		$script .= $statements[$i] =~ /^BEGIN/ ? "$statements[$i];\nROLLBACK;\n" : "BEGIN;\n$statements[$i];\nROLLBACK;\n";
	}
	$node->psql('postgres', $script, stdout => \$out, stderr => \$err, on_error_stop => 0);
	$err =~ s/^psql:<stdin>:\d+: //mg;
	my @out = split /^== \d+\n?/m, $out;
	my @err = split /^== \d+\n?/m, $err;
	return map { [ $out[ $_ + 1 ] // '', $err[ $_ + 1 ] // '' ] } 0 .. $#statements;
}

my @statements = map { statement($_) } $first .. $last;
my @on = outcomes('on', @statements);
my @off = outcomes('off', @statements);
my ($same, $failed, $earlier) = (0, 0, 0);

for my $i (0 .. $#statements)
{
	my ($on, $off) = ($on[$i], $off[$i]);
	# what fails behind the last row that is wanted is seen by the function alone
	if ($on->[1] !~ /ERROR/ && $off->[1] =~ /division by zero/ && $statements[$i] =~ /LIMIT|FETCH|EXISTS|EXIT/)
	{
		$earlier++;
		next;
	}
	$failed++ if $on->[1] =~ /ERROR/;
	next if is($on->[0], $off->[0], "statement $i: rows") & is(first_error($on->[1]), first_error($off->[1]), "statement $i: messages");
	diag $statements[$i];
}

# The place at which it failed may be told differently.
sub first_error { return $_[0] =~ s/^(CONTEXT|QUERY):.*\n//mgr =~ s/^(SQL|PL\/pgSQL) .*\n//mgr }

diag "$failed of " . @statements . " failed in both ways, $earlier only as a function scan";
cmp_ok($failed + $earlier, '<', @statements / 3, 'most do not fail');

# In the log of a server that has lost track of what it holds there are warnings.
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
unlike($log, qr/leak|still referenced|TRAP/, 'nothing has been left behind');

$node->stop;
done_testing();
