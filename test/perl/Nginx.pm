# Copyright (c) 2026, modal_batch contributors

=pod

=head1 NAME

Nginx - an nginx of its own for a TAP test

=head1 SYNOPSIS

  use Nginx;

  plan skip_all => 'nginx is not installed' if !Nginx->program;

  my $nginx = Nginx->new(
	  http => 'limit_req_zone $server_name zone=z:1m rate=10r/s;',
	  server => 'location / { limit_req zone=z; return 200 "{}"; }');
  print $nginx->url;

  my $secure = Nginx->new(certificate => [ $ca->issue('localhost') ], http2 => 1,
	  server => 'location / { return 503; }');
  is($secure->requests, 1);

=head1 DESCRIPTION

It listens on a free port of the loopback interface, with its files in a
temporary folder, and ends with the object or with the test.

=cut

package Nginx;

use strict;
use warnings FATAL => 'all';

use Carp;
use File::Temp ();
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use PostgreSQL::Test::Cluster;
use Time::HiRes qw(sleep time);

use constant START_SECONDS => 30;

=pod

=head1 METHODS

=over

=item Nginx->program

The path of nginx, or nothing when it is not installed.

=cut

sub program
{
	return (grep { -x } map { "$_/nginx" } split(/:/, $ENV{PATH}), '/usr/sbin')[0];
}

=pod

=item Nginx->new(server => text, http => text, certificate => [file, key], http2 => 1)

What its configuration has in C<server> and in C<http>; with a certificate it
speaks TLS, with http2 also HTTP/2 (without TLS: only HTTP/2).  Started already.

=cut

sub new
{
	my ($class, %params) = @_;
	my $dir = File::Temp->newdir('nginx-XXXXXX', TMPDIR => 1);
	my $self = bless {
		dir => $dir,
		port => PostgreSQL::Test::Cluster::get_free_port(),
		tls => defined $params{certificate},
		owner => $$
	}, $class;
	my $tls = $self->{tls}
	  ? "ssl_certificate $params{certificate}[0];\nssl_certificate_key $params{certificate}[1];"
	  : '';
	my $listen = join ' ', "127.0.0.1:$self->{port}", $self->{tls} ? 'ssl' : (),
	  $params{http2} ? 'http2' : ();
	my $paths = join "\n", map { "${_}_temp_path $dir/$_;" }
	  qw(client_body proxy fastcgi uwsgi scgi);

	open my $file, '>', "$dir/nginx.conf" or croak $!;
	print $file <<"CONF";
daemon off;
master_process off;
worker_processes 1;
pid $dir/pid;
error_log $dir/error.log;
events { worker_connections 512; }
http {
	access_log $dir/access.log;
	$paths
	${\ ($params{http} // '')}
	server {
		listen $listen;
		server_name localhost;
		$tls
		${\ ($params{server} // '')}
	}
}
CONF
	close $file or croak $!;
	$self->start;
	return $self;
}

=pod

=item $nginx->start, $nginx->stop

start again after stop, on the same port.

=cut

sub start
{
	my ($self) = @_;
	my $dir = $self->{dir};
	my $pid = fork // croak "fork: $!";

	if ($pid == 0)
	{
		open STDIN, '<', '/dev/null';
		open STDERR, '>>', "$dir/err";
		exec $self->program, '-p', "$dir", '-e', "$dir/error.log",
		  '-c', "$dir/nginx.conf"
		  or POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	my $until = time + START_SECONDS;
	while (time < $until)
	{
		return
		  if IO::Socket::INET->new(PeerAddr => '127.0.0.1',
			PeerPort => $self->{port});
		if (waitpid($pid, WNOHANG) == $pid)
		{
			delete $self->{pid};
			croak 'nginx did not start: ' . $self->errors;
		}
		sleep 0.02;
	}
	croak 'nginx does not listen: ' . $self->errors;
}

sub stop
{
	my ($self) = @_;
	my $pid = delete $self->{pid} // return;

	kill 'TERM', $pid;
	waitpid $pid, 0;
	return;
}

=pod

=item $nginx->port, url

=cut

sub port { return $_[0]->{port} }

sub url
{
	my ($self) = @_;
	return ($self->{tls} ? 'https' : 'http') . "://localhost:$self->{port}";
}

=pod

=item $nginx->requests

The lines of its access log; in scalar context, how many.

=cut

sub requests
{
	my ($self) = @_;
	my @lines = split /\n/, slurp("$self->{dir}/access.log");

	return @lines;
}

=pod

=item $nginx->errors

=cut

sub errors
{
	my ($self) = @_;
	return slurp("$self->{dir}/err") . slurp("$self->{dir}/error.log");
}

sub slurp
{
	my ($path) = @_;

	open my $file, '<', $path or return '';
	local $/ = undef;
	return <$file> // '';
}

sub DESTROY
{
	my ($self) = @_;
	local $? = $?;

	# Not in a child that the test has forked.
	$self->stop if $self->{owner} == $$;
	return;
}

=pod

=back

=cut

1;
