# Copyright (c) 2026, modal_batch contributors

# Statements made up by chance, with pipelining off and on: same
# rows, same messages, and no more calls where everything is read to the end.
#
# They are the same in each run.  TYPED_RANDOM="first-last" tries others, as
# many as one likes.  As in 410_typed_shapes.pl functions of PL/pgSQL stand in
# for remote ones.

use strict;
use warnings FATAL => 'all';

use ModalTest;
use RandomQueries;
use Test::More;
use TypedShapes;

my ($first, $last) = ($ENV{TYPED_RANDOM} // '1-400') =~ /^(\d+)-(\d+)$/
  or die 'TYPED_RANDOM must be "first-last"';

my $node = modal_node('main', conf => "track_functions = pl\nautovacuum = off\njit = off\n");
setup_shapes($node, rows => 30);

# One after the other, so that both have the same plan before it is rewritten.
my @statements = map { random_statement($_) } $first .. $last;
my %result     = run_shapes(
	$node,
	[
		map {
			my $statement = $_;
			map {
				{
					name   => "$statement->{name}, $_",
					sql    => "SET LOCAL modal_batch.enable_pipelining = $_;\n$statement->{sql}",
					sorted => 1
				}
			} 'off', 'on';
		} @statements
	],
	settings => q{SET modal_batch.debug_remote_language = 'plpgsql';});
my $applied = 0;

for my $statement (@statements)
{
	my ($off, $on) = map { $result{"$statement->{name}, $_"} } 'off', 'on';
	my $same = $on->{out} eq $off->{out} && $on->{err} eq $off->{err};

	is($off->{err}, '', "$statement->{name}: valid");
	$applied++ if ($on->{applied} // 0) > 0;
	ok($same, "$statement->{name}: same rows and messages")
	  or diag "$statement->{sql}\noff: $off->{out}$off->{err}\non: $on->{out}$on->{err}";
	next if !$statement->{drained} || $off->{err} ne '';
	cmp_ok($on->{calls}, '<=', $off->{calls}, "$statement->{name}: not more calls")
	  or diag $statement->{sql};
}

cmp_ok($applied, '>', 0.5 * @statements, 'most have calls that are hoisted');

$node->stop;
done_testing();
