# Copyright (c) 2026, modal_batch contributors

# Every shape of test/typed/shapes.sql with asynchronous projection off and on:
# same rows, same errors, and never more calls.
#
# Functions of PL/pgSQL stand in for remote ones (they count as such by a
# setting of builds with debug points), so what is tested is the rewrite of
# plans and the apply node, without a network.

use strict;
use warnings FATAL => 'all';

use FindBin;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node    = modal_node('main', conf => "track_functions = pl\n");
my $version = $node->safe_psql('postgres', 'SHOW server_version_num') / 10000;
$node->safe_psql('postgres', slurp_file("$FindBin::Bin/../typed/setup.sql"));

my @shapes;
for my $text (split /^--- /m, slurp_file("$FindBin::Bin/../typed/shapes.sql"))
{
	next if $text =~ /^-- Query shapes/;    # the file's own header
	die "not a shape: $text" unless $text =~ /^(.*): (.*)\n/;
	my ($name, $options, $sql) = ($1, $2, $');
	my $shape = { name => $name, sql => $sql };

	for my $option (split /, /, $options)
	{
		if ($option =~ /^(calls|from) (\d+)$/) { $shape->{$1} = $2 }
		elsif ($option =~ /^(sorted|ahead)$/)  { $shape->{$1} = 1 }
		else                                   { $shape->{kind} = $option }
	}
	push @shapes, $shape if $version >= ($shape->{from} // 0);
}

# All shapes in one session; the output of each, and what it called, by name.
sub run_shapes
{
	my ($setting) = @_;
	my $script = "SET modal_batch.enable_async_projection = $setting;\n"
	  . "SET modal_batch.debug_remote_language = 'plpgsql';\n";
	my (%result, $out, $err);

	for my $shape (@shapes)
	{
		$script .= join "\n", "\\echo == $shape->{name}",
		  "\\warn == $shape->{name}", 'BEGIN;',
		  q{SELECT calls AS c, applied AS a FROM typed_calls() \gset before_},
		  '\set ON_ERROR_ROLLBACK on', $shape->{sql}, '\set ON_ERROR_ROLLBACK off',
		  'RESET ROLE;',
		  q{SELECT '==calls', calls - :before_c, applied - :before_a FROM typed_calls();},
		  'ROLLBACK;', 'DEALLOCATE ALL;', '';
	}
	$node->psql('postgres', $script, stdout => \$out, stderr => \$err,
		on_error_stop => 0);
	for ([ 'out', $out ], [ 'err', $err ])
	{
		my ($stream, $text) = @$_;
		for my $part (split /^== /m, $text)
		{
			my ($name, $rest) = split /\n/, $part, 2;
			$result{$name}{$stream} = $rest // '' if defined $name;
		}
	}
	for my $r (values %result)
	{
		$r->{$_} //= '' for qw(out err);
		$r->{err} =~ s/^psql:<stdin>:\d+: //mg;
		($r->{calls}, $r->{applied}) = ($1, $2)
		  if $r->{out} =~ s/^==calls\|(\d+)\|(\d+)$//m;
	}
	return %result;
}

sub kind_of
{
	my ($r) = @_;

	return
		$r->{calls} == 0              ? 'none'
	  : $r->{applied} == 0            ? 'direct'
	  : $r->{applied} == $r->{calls}  ? 'hoisted'
	  :                                 'both';
}

my %off = run_shapes('off');
my %on  = run_shapes('on');

for my $shape (@shapes)
{
	my $name = $shape->{name};
	my ($off, $on) = ($off{$name}, $on{$name});

	subtest $name => sub {
		for my $r ($off, $on)
		{
			$r->{out} = join "\n", sort split /\n/, $r->{out}
			  if $shape->{sorted};
		}
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
