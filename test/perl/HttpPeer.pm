# Copyright (c) 2026, modal_batch contributors

=pod

=head1 NAME

HttpPeer - an HTTP service that misbehaves on demand, for TAP tests

=head1 SYNOPSIS

  use HttpPeer;

  my $peer = HttpPeer->new;
  $peer->server($node, 'peer', "format 'bigquery'");
  ... modal_map('peer:first-2-503/calls', ...)
  is(scalar($peer->requests), 3);

=head1 DESCRIPTION

test/http/peer.py and test/http/h2_peer.py say what a path may ask for.  It ends with the object, or
with the test.

=cut

package HttpPeer;

use strict;
use warnings FATAL => 'all';

use Carp;
use File::Basename qw(dirname);
use File::Temp ();
use JSON::PP qw(decode_json);

my $top = $ENV{MODAL_TOP} // dirname(__FILE__) . '/../..';

=pod

=head1 METHODS

=over

=item HttpPeer->new(%options)

Started already, on the C<port> given, or else on a free one, of the loopback
interface.  With C<< http2 => [ arguments ] >> it is test/http/h2_peer.py, with
these arguments; C<program> names another one of that folder, such as
test/http/auth_peer.py.

=cut

sub new
{
	my ($class, %options) = @_;
	my $dir = File::Temp->newdir('http-peer-XXXXXX', TMPDIR => 1);
	my $self = bless { dir => $dir, log => "$dir/log", seen => 0, owner => $$ }, $class;
	my @program = $options{http2} ? ('h2_peer.py', @{ $options{http2} }) : $options{program} // 'peer.py';

	$self->{pid} = open $self->{out}, '-|', 'python3', "$top/test/http/$program[0]", $self->{log},
	  @program[ 1 .. $#program ], $options{port} // ()
	  or croak "python3: $!";
	chomp($self->{port} = readline $self->{out});
	return $self;
}

=pod

=item $peer->port, url, pid, log_file

=cut

sub port { return $_[0]->{port} }
sub pid { return $_[0]->{pid} }
sub log_file { return $_[0]->{log} }
sub url { return "http://127.0.0.1:$_[0]->{port}" }

=pod

=item $peer->server($node, $name, $options)

Creates a server there that speaks to it, with more options as SQL.

=cut

sub server
{
	my ($self, $node, $name, $options) = @_;

	$options = defined $options ? ", $options" : '';
	$node->safe_psql('postgres',
		"CREATE SERVER $name FOREIGN DATA WRAPPER modal_batch OPTIONS
		(protocol 'http', url '${\ $self->url}', allow_http 'on'$options)");
	return;
}

=pod

=item $peer->requests

Those since the last call of requests or forget, oldest first, as hashes:
C<time>, C<connection>, C<method>, C<path>, C<headers>, C<body> of peer.py.

=item $peer->forget

=cut

sub requests
{
	my ($self) = @_;
	open my $log, '<', $self->{log} or croak $!;
	my @lines = <$log>;
	my @new = map { decode_json($_) } @lines[ $self->{seen} .. $#lines ];

	$self->{seen} = @lines;
	return @new;
}

sub forget
{
	my ($self) = @_;
	$self->requests;
	return;
}

=pod

=item $peer->has_ended($connection)

=cut

sub has_ended
{
	my ($self, $connection) = @_;
	open my $ended, '<', "$self->{log}.ended" or croak $!;
	return scalar grep { $_ == $connection } <$ended>;
}

sub DESTROY
{
	my ($self) = @_;
	local $? = $?;

	# Not in a child that the test has forked.
	return if $self->{owner} != $$;
	kill 'KILL', $self->{pid};
	close $self->{out};
	return;
}

=pod

=back

=cut

1;
