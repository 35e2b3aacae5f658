# Copyright (c) 2026, modal_batch contributors

=pod

=head1 NAME

OsFaults - an operating system that misbehaves under a server

=head1 SYNOPSIS

  use OsFaults;

  my $os   = OsFaults->new;
  my $node = modal_node('main', local => $local, env => $os->env);

  $os->jump(-3600);       # the time of day is now an hour earlier
  $os->fill('/pg_tblspc/');
  $os->fill('');
  $os->lack(Socket::AF_INET6);

=head1 DESCRIPTION

Compiles test/preload/os_faults.c, which says how it is done.

=cut

package OsFaults;

use strict;
use warnings FATAL => 'all';

use Carp;
use File::Basename qw(dirname);
use File::Temp ();

my $top = $ENV{MODAL_TOP} // dirname(__FILE__) . '/../..';

sub new
{
	my ($class) = @_;
	my $self = bless {
		dir   => File::Temp->newdir('os-faults-XXXXXX', TMPDIR => 1),
		clock => 0,
		full  => '',
		family => 0
	}, $class;

	$self->write;
	system($ENV{CC} // 'cc', '-shared', '-fPIC', '-o', $self->library,
		"$top/test/preload/os_faults.c") == 0
	  or croak 'cannot compile os_faults.c';
	return $self;
}

sub library { return "$_[0]->{dir}/os_faults.so" }
sub control { return "$_[0]->{dir}/control" }

=pod

=head1 METHODS

=over

=item $os->env

The environment of a server on this system.

=cut

sub env
{
	my ($self) = @_;
	return { LD_PRELOAD => $self->library, OS_FAULTS => $self->control };
}

=pod

=item $os->jump($seconds)

Sets the time of day, forward or back.

=item $os->fill($part)

Files with this in their path cannot grow; '': they can again.

=cut

sub jump
{
	my ($self, $seconds) = @_;

	$self->{clock} += $seconds;
	$self->write;
	return;
}

sub fill
{
	my ($self, $part) = @_;

	$self->{full} = $part;
	$self->write;
	return;
}

=pod

=item $os->lack($family)

There are no sockets for addresses of this family; 0: there are all again.

=cut

sub lack
{
	my ($self, $family) = @_;

	$self->{family} = $family;
	$self->write;
	return;
}

sub write
{
	my ($self) = @_;

	# In place: it is mapped.
	open my $file, -e $self->control ? '+<' : '>', $self->control or croak $!;
	print $file pack('q Z256 l', $self->{clock}, $self->{full}, $self->{family});
	close $file or croak $!;
	return;
}

=pod

=back

=cut

1;
