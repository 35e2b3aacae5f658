# Copyright (c) 2026, modal_batch contributors

=pod

=head1 NAME

TypedShapes - the query shapes of test/typed/shapes.sql, to be run both ways

=head1 SYNOPSIS

  use TypedShapes;

  my @shapes = load_shapes($node);
  my %off = run_shapes($node, \@shapes,
	settings => 'SET modal_batch.enable_pipelining = off;');
  is($off{'plain'}{out}, ...);

=cut

package TypedShapes;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use FindBin;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(setup_shapes load_shapes run_shapes kind_of);

=pod

=head1 FUNCTIONS

=over

=item setup_shapes($node, rows => 300)

Creates what the shapes work with in database postgres.

=cut

sub setup_shapes
{
	my ($node, %params) = @_;

	$node->safe_psql('postgres',
		"\\set rows $params{rows}\n"
		  . slurp_file("$FindBin::Bin/../typed/setup.sql"));
	return;
}

=pod

=item load_shapes($node)

Those that the server's version has, as hashes: C<name>, C<sql>, C<kind>, and
the options that shapes.sql describes.

=cut

sub load_shapes
{
	my ($node) = @_;
	my $version =
	  int($node->safe_psql('postgres', 'SHOW server_version_num') / 10000);
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
	return @shapes;
}

=pod

=item run_shapes($node, \@shapes, settings => $text, mark => $text)

Runs all of them in one session that begins with C<settings>, each in a
transaction of its own that begins with C<mark>.  Returns a hash by name:
C<out>, C<err> (messages without line numbers), C<calls> of functions of
PL/pgSQL, and C<applied>, how many of the calls that count as remote an apply
node has made.

=cut

sub run_shapes
{
	my ($node, $shapes, %params) = @_;
	my $script = $params{settings} // '';
	my (%result, $out, $err);

	for my $shape (@$shapes)
	{
		$script .= join "\n", "\\echo == $shape->{name}",
		  "\\warn == $shape->{name}",
		  'BEGIN;', $params{mark} // '',
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
	for my $shape (@$shapes)
	{
		my $r = $result{ $shape->{name} };

		$r->{$_} //= '' for qw(out err);
		$r->{err} =~ s/^psql:<stdin>:\d+: //mg;
		# less than before: some time after a commit, the counters begin anew
		($r->{calls}, $r->{applied}) = ($1, $2)
		  if $r->{out} =~ s/^==calls\|(-?\d+)\|(\d+)$//m;
		$r->{out} = join "\n", sort split /\n/, $r->{out} if $shape->{sorted};
	}
	return %result;
}

=pod

=item kind_of($result)

How its calls were made: C<none>, C<direct>, C<hoisted>, C<both>.

=cut

sub kind_of
{
	my ($r) = @_;

	return
		$r->{calls} == 0              ? 'none'
	  : $r->{applied} == 0            ? 'direct'
	  : $r->{applied} == $r->{calls}  ? 'hoisted'
	  :                                 'both';
}

=pod

=back

=cut

1;
