# Copyright (c) 2026, modal_batch contributors

# Every shape of test/typed/shapes.sql with pipelining off and on:
# same rows, same errors, and never more calls.
#
# Functions of PL/pgSQL stand in for remote ones (they count as such by a
# setting of builds with debug points), so what is tested is the rewrite of
# plans and the apply node, without a network.  411_typed_remote.pl has the
# same with real calls.

use strict;
use warnings FATAL => 'all';

use ModalTest;
use Test::More;
use TypedShapes;

my $node = modal_node('main', conf => "track_functions = pl\n");
setup_shapes($node, rows => 300);

my @shapes    = load_shapes($node);
my $simulated = q{SET modal_batch.debug_remote_language = 'plpgsql';};
my %on        = run_shapes($node, \@shapes, settings => $simulated);
my %off       = run_shapes($node, \@shapes,
	settings => "$simulated SET modal_batch.enable_pipelining = off;");

for my $shape (@shapes)
{
	my $name = $shape->{name};
	my ($off, $on) = ($off{$name}, $on{$name});

	subtest $name => sub {
		is($on->{out}, $off->{out}, 'same rows');
		is($on->{err}, $off->{err}, 'same messages');
		if ($shape->{kind} eq 'error')
		{
			like($on->{err}, qr/ERROR/, 'fails');
			return;
		}
		unlike($on->{err}, qr/ERROR/, 'no error');
		return if $shape->{kind} eq 'any';
		is($off->{applied}, 0, 'off means direct');
		cmp_ok($on->{calls}, '<=', $off->{calls} * ($shape->{ahead} ? 2 : 1),
			'not more calls');
		is($on->{calls}, $shape->{calls}, 'calls') if defined $shape->{calls};
		# a shape that may be hoisted but has no call to make is fine
		is(kind_of($on), $shape->{kind}, 'kind')
		  unless defined $shape->{calls} && $shape->{calls} == 0;
	};
}

$node->stop;
done_testing();
