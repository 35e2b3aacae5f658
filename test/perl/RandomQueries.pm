# Copyright (c) 2026, modal_batch contributors

=pod

=head1 NAME

RandomQueries - statements that call typed functions, made up by chance

=head1 SYNOPSIS

  use RandomQueries;

  my $statement = random_statement(4711);    # the same for the same seed
  print $statement->{sql};

=head1 DESCRIPTION

They work with the tables and functions of test/typed/setup.sql, and do not
fail: nothing in them divides or overflows.

=cut

package RandomQueries;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';

our @EXPORT = qw(random_statement);

my %columns = (
	item   => { id => 'int', x => 'int', g => 'int', s => 'text' },
	other  => { id => 'int', y => 'int' },
	part   => { id => 'int', x => 'int' },
	target => { id => 'int', v => 'int', w => 'int' });

my $aliases;
# Is every row that a node could deliver wanted?
my $drained;

sub one_of { return $_[ rand @_ ] }

sub chance { return rand() < $_[0] }

# --- expressions: of a type, so deep, over columns in scope -------------------

sub column
{
	my ($type, $scope) = @_;
	my @found;

	for my $table (@$scope)
	{
		push @found, map { "$table->[0].$_" }
		  grep { $table->[1]{$_} eq $type } sort keys %{ $table->[1] };
	}
	return one_of(@found) if @found;
	return $type eq 'int' ? int rand 9 : $type eq 'text' ? q{'a'} : 'true';
}

sub call
{
	my ($type, $depth, $scope) = @_;
	my $int = sub { expression('int', $depth - 1, $scope) };
	my $text = sub { expression('text', $depth - 1, $scope) };

	return one_of('odd', 'stab_odd') . '(' . $int->() . ')' if $type eq 'bool';
	return one_of(
		sub { 'shout(' . $text->() . ')' },
		sub { '(out2(' . $int->() . ')).b' })->() if $type eq 'text';
	return one_of(
		sub { one_of(qw(vol stab par nullable)) . '(' . $int->() . ')' },
		sub { one_of(qw(vol stab par nullable)) . '(' . $int->() . ')' },
		sub { 'add2(' . $int->() . ', ' . $int->() . ')' },
		sub { '(' . one_of(qw(pair_vol pair_stab)) . '(' . $int->() . ')).a' },
		sub { one_of(qw(inlined definer)) . '(' . $int->() . ')' })->();
}

sub conditional
{
	my ($type, $depth, $scope) = @_;
	my $value = sub { expression($type, $depth, $scope) };
	my $else = chance(0.5) ? 'ELSE ' . $value->() . ' ' : '';

	return one_of(
		sub { 'CASE WHEN ' . expression('bool', $depth, $scope) . ' THEN ' . $value->() . " ${else}END" },
		sub { 'CASE ' . expression('int', $depth, $scope) . ' WHEN 2 THEN ' . $value->()
			  . ' WHEN ' . expression('int', $depth, $scope) . ' THEN ' . $value->() . " ${else}END" },
		sub { 'coalesce(' . $value->() . ', ' . $value->() . ')' },
		sub { 'nullif(' . $value->() . ', ' . $value->() . ')' })->();
}

sub plain
{
	my ($type, $depth, $scope) = @_;
	my $int = sub { expression('int', $depth, $scope) };
	my $bool = sub { expression('bool', $depth, $scope) };
	my $text = sub { expression('text', $depth, $scope) };

	return one_of(
		sub { '(' . $bool->() . one_of(' AND ', ' OR ') . $bool->() . ')' },
		sub { '(' . $int->() . one_of(' < ', ' = ', ' IS DISTINCT FROM ') . $int->() . ')' },
		sub { '(' . $int->() . ' IN (' . $int->() . ', 4, ' . $int->() . '))' },
		sub { '(' . $text->() . ' IS NULL)' },
		sub { '(NOT ' . $bool->() . ')' },
		sub { sub_query('bool', $depth, $scope) })->() if $type eq 'bool';
	return one_of(
		sub { '(' . $text->() . ' || ' . $text->() . ')' },
		sub { '(' . $int->() . ')::text' })->() if $type eq 'text';
	return one_of(
		sub { '(' . $int->() . one_of(' + ', ' - ') . $int->() . ')' },
		sub { 'greatest(' . $int->() . ', ' . $int->() . ')' },
		sub { 'length(' . $text->() . ')' },
		sub { '(ARRAY[' . $int->() . ', ' . $int->() . '])[2]' },
		sub { '(ROW(' . $int->() . ', 1)::pair).a' },
		sub { sub_query('int', $depth, $scope) })->();
}

sub expression
{
	my ($type, $depth, $scope) = @_;

	return column($type, $scope) if $depth <= 0 || chance(0.15);
	return call($type, $depth, $scope) if chance(0.5);
	return conditional($type, $depth - 1, $scope) if chance(0.35);
	return plain($type, $depth - 1, $scope);
}

# Rows of an outer query alone, so that they are hashed, and kept over rescans
# in which that query's row is the same.
sub member
{
	my ($scope) = @_;
	my ($from, $table) = table();
	my @outermost = @$scope ? ($scope->[0]) : ($table);

	$drained = 0;
	return '(' . column('int', $scope) . one_of(' IN', ' NOT IN') . " (SELECT $table->[0].id FROM $from WHERE $table->[0].id "
	  . one_of('=', '<', '<>') . ' ' . column('int', \@outermost) . one_of('', ' AND ' . call('bool', 1, \@outermost)) . '))';
}

sub sub_query
{
	my ($type, $depth, $scope) = @_;
	my ($from, $table) = table();
	my @inside = (@$scope, $table);
	my $where = ' WHERE ' . expression('bool', $depth, \@inside);

	$drained = 0;
	return member($scope) if $type eq 'bool' && chance(0.5);
	return one_of('EXISTS', 'NOT EXISTS') . " (SELECT 1 FROM $from$where)"
	  if $type eq 'bool';
	# an aggregate of outer columns only would be one of the outer query
	return "(SELECT sum(" . one_of(qw(vol stab)) . '(CASE WHEN ' . member(\@inside)
	  . " THEN $table->[0].id ELSE " . column('int', \@inside) . " END)) FROM $from)::int"
	  if chance(0.3);
	return '(SELECT ' . one_of('max', 'min') . "($table->[0].id + " . expression('int', $depth, \@inside) . ") FROM $from$where)";
}

# --- queries -------------------------------------------------------------------

sub table
{
	my $name = one_of(sort keys %columns);
	my $alias = 't' . ++$aliases;

	return ("$name $alias", [ $alias, $columns{$name} ]);
}

sub from_item
{
	my ($depth, $scope) = @_;
	my $alias = 't' . ++$aliases;

	if (@$scope && chance(0.3))
	{
		return ('vol(' . expression('int', 1, $scope) . ") $alias(id)", [ $alias, { id => 'int' } ]) if chance(0.5);
		return ('twice(' . expression('int', 0, $scope) . ") $alias(id)", [ $alias, { id => 'int' } ]) if chance(0.3);
		return ('pair_vol(' . expression('int', 0, $scope) . ") $alias", [ $alias, { a => 'int', b => 'int' } ]);
	}
	if ($depth > 0 && chance(0.3))
	{
		my $query = query($depth - 1);

		$query .= ' OFFSET 0' if chance(0.5) && $query !~ / LIMIT \d+( OFFSET 2)?$/;
		return ("($query) $alias(a, b)", [ $alias, { a => 'int', b => 'int' } ]);
	}
	return table();
}

sub from_clause
{
	my ($depth) = @_;
	my ($from, $table) = from_item($depth, []);
	my @scope = ($table);

	while (chance(0.4) && @scope < 3)
	{
		my ($item, $new) = from_item($depth, \@scope);
		my $left = expression('int', one_of(0, 0, 1), \@scope);
		my $right = column('int', [$new]);

		$drained = 0;
		$from .= one_of(' JOIN ', ' LEFT JOIN ') . "$item ON $left = $right";
		push @scope, $new;
		$from .= ' AND ' . expression('bool', 1, \@scope) if chance(0.3);
	}
	return ($from, \@scope);
}

sub filter
{
	my ($scope) = @_;

	return chance(0.3) ? ' FILTER (WHERE ' . expression('bool', 1, $scope) . ')' : '';
}

sub aggregate
{
	my ($depth, $scope) = @_;

	return one_of('sum', 'max', 'count') . '(' . one_of('', '', 'DISTINCT ')
	  . expression('int', $depth, $scope) . ')' . filter($scope) . '::int' if chance(0.7);
	return 'length(string_agg(' . expression('text', $depth, $scope) . q{, ',' ORDER BY }
	  . expression('int', $depth, $scope) . ')' . filter($scope) . ')' ;
}

sub window_call
{
	my ($depth, $scope) = @_;
	my $int = sub { expression('int', $depth, $scope) };
	my $call = one_of(
		sub { 'sum(' . $int->() . ')' . filter($scope) },
		sub { 'lag(' . $int->() . ', 1, ' . $int->() . ')' },
		sub { 'first_value(' . $int->() . ')' })->();
	my $frame = one_of('', '', ' ROWS 2 PRECEDING',
		' ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING', ' ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW');
	my $partition = one_of('', 'PARTITION BY ' . expression('int', 0, $scope) . ' ');

	return "($call OVER (${partition}ORDER BY " . $int->() . ', ' . column('int', $scope) . "$frame))::int";
}

# Gives two columns of type int.
sub query
{
	my ($depth) = @_;
	my ($from, $scope) = from_clause($depth);
	my $where = chance(0.5) ? ' WHERE ' . expression('bool', $depth + 1, $scope) : '';
	my $kind = one_of(qw(plain plain plain set group window));
	my $limit = '';

	if ($kind eq 'group')
	{
		my $key = expression('int', 1, $scope) . ' + 0';
		my $having = chance(0.3) ? ' HAVING odd(' . aggregate(1, $scope) . ')' : '';

		return "SELECT $key, " . one_of('', 'vol') . '(' . aggregate($depth, $scope) . ") FROM $from$where GROUP BY "
		  . one_of($key, "ROLLUP ($key)") . $having;
	}
	my @list = map { expression('int', $depth + 1, $scope) } 1, 2;
	$list[1] = window_call($depth, $scope) if $kind eq 'window';
	my $select = one_of('', '', '', 'DISTINCT ') . join ', ', @list;
	$select = "SELECT $select FROM $from$where";
	if ($kind eq 'set')
	{
		my ($other, $other_scope) = from_clause(0);

		return "$select " . one_of('UNION ALL', 'UNION', 'EXCEPT') . ' SELECT '
		  . join(', ', map { expression('int', 1, $other_scope) } 1, 2) . " FROM $other";
	}
	if (chance(0.25))
	{
		$limit = ' LIMIT ' . one_of(0, 1, 3, 20) . one_of('', ' OFFSET 2');
		$drained = 0;
	}
	# which rows those are must not depend on how they are joined
	return "$select ORDER BY 1, 2$limit" if $limit && ($kind ne 'plain' || $from =~ /\(| JOIN /);
	return $select . one_of('', ' ORDER BY 1, 2', ' ORDER BY 2') . $limit;
}

# --- statements ------------------------------------------------------------------

sub cursor
{
	my ($scroll, @moves) = @{ one_of(
		[ 'NO SCROLL', '1', '3', '20', 'ALL' ],
		[ 'SCROLL', '2', 'BACKWARD 2', 'LAST', 'ABSOLUTE 3', 'PRIOR', 'ALL' ]) };

	$drained = 0;
	return "DECLARE c $scroll CURSOR FOR SELECT *, " . expression('int', 1, [ [ 'q', { a => 'int', b => 'int' } ] ])
	  . ' AS c FROM (' . query(1) . ") q(a, b) ORDER BY a, b;\n"
	  . join '', map { 'FETCH ' . one_of(@moves) . " FROM c;\n" } 1 .. 4;
}

sub prepared
{
	my $mode = one_of('force_generic_plan', 'force_custom_plan');

	return "SET LOCAL plan_cache_mode = $mode;\nPREPARE q(int) AS SELECT * FROM ("
	  . query(1) . ") q(a, b) WHERE a > \$1;\nEXECUTE q(3);\nEXECUTE q(10);\n";
}

sub writing
{
	my @target = ([ 'target', $columns{target} ]);
	my ($from, $table) = table();
	my @both = (@target, $table);
	my $where = "target.id = $table->[0].id AND " . expression('bool', 2, \@both);
	my $statement = one_of(
		sub { 'INSERT INTO target SELECT 1000 + row_number() OVER (ORDER BY a, b), a, b FROM (' . query(1) . ') q(a, b)' },
		sub { 'INSERT INTO target SELECT row_number() OVER (ORDER BY a, b), a, b FROM (' . query(1)
			  . ') q(a, b) ON CONFLICT (id) DO UPDATE SET w = ' . expression('int', 1, \@target) },
		sub { 'UPDATE target SET v = ' . expression('int', 2, \@target) . ' WHERE ' . expression('bool', 2, \@target) },
		sub { 'UPDATE target SET v = ' . expression('int', 2, \@both) . " FROM $from WHERE $where" },
		sub { "DELETE FROM target USING $from WHERE $where" })->();

	$drained = 0;
	$statement .= ' RETURNING target.id, ' . expression('int', 1, \@target) if chance(0.2);
	return "$statement;\nSELECT * FROM target ORDER BY id, v, w;\n";
}

sub recursive
{
	$drained = 0;
	return 'WITH RECURSIVE c(n, r) AS (SELECT id, y FROM other WHERE id < 4 UNION ALL SELECT n + 3, '
	  . expression('int', 2, [ [ 'c', { n => 'int', r => 'int' } ] ]) . ' FROM c WHERE n < 12), d(a, b) AS '
	  . one_of('', 'MATERIALIZED ') . '(' . query(1) . ') SELECT * FROM c LEFT JOIN d ON n = a'
	  . one_of('', ' LIMIT 5') . ";\n";
}

my @planner_settings = qw(enable_hashjoin enable_mergejoin enable_nestloop enable_seqscan enable_sort
  enable_hashagg enable_material);

=pod

=head1 FUNCTIONS

=over

=item random_statement($seed)

A hash: C<name>; C<sql>, one or several statements, with settings for the
planner before them; C<drained>: is nothing in it that might stop before the
end, so that not one more call may be made ahead?

=cut

sub random_statement
{
	my ($seed) = @_;

	srand $seed;
	$aliases = 0;
	$drained = 1;
	my $settings = join '', map { "SET LOCAL $_ = off;\n" } grep { chance(0.12) } @planner_settings;
	my $window = one_of(1, 2, 7, 1000);
	my $sql = one_of(
		(sub { query(one_of(0, 1, 2)) . ";\n" }) x 6,
		\&cursor, \&prepared, \&writing, \&recursive)->();

	return {
		name => "seed $seed",
		sql => "${settings}SET LOCAL modal_batch.\"window\" = $window;\n$sql",
		drained => $drained
	};
}

=pod

=back

=cut

1;
