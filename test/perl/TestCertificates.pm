# Copyright (c) 2026, modal_batch contributors

=pod

=head1 NAME

TestCertificates - a certification authority of its own for a TAP test

=head1 SYNOPSIS

  use TestCertificates;

  my $ca = TestCertificates->new;
  my ($certificate, $key) = $ca->issue('localhost');
  my ($old, $old_key) = $ca->issue('localhost', from => '20200101000000Z',
	  until => '20200201000000Z');
  print $ca->file;

=head1 DESCRIPTION

Made with the openssl program, in a temporary folder that ends with the object.

=cut

package TestCertificates;

use strict;
use warnings FATAL => 'all';

use Carp;
use File::Temp ();

=pod

=head1 METHODS

=over

=item TestCertificates->new

=cut

sub new
{
	my ($class) = @_;
	my $dir = File::Temp->newdir('certificates-XXXXXX', TMPDIR => 1);
	my $self = bless { dir => $dir, issued => 0 }, $class;

	# Servers that run as other users read them.
	chmod 0755, "$dir";
	$self->write_file('ca.conf', <<"CONF");
[ca]
default_ca = test
[test]
database = $dir/index
new_certs_dir = $dir
certificate = $dir/ca.pem
private_key = $dir/ca.key
default_md = sha256
policy = any
rand_serial = yes
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
CONF
	$self->write_file('index', '');
	openssl(qw(req -x509 -days 2), $self->request('ca', 'Test CA'),
		'-out', "$dir/ca.pem", '-addext', 'basicConstraints=critical,CA:TRUE');
	return $self;
}

=pod

=item $ca->file

Its own certificate.

=cut

sub file { return $_[0]->{dir} . '/ca.pem' }

=pod

=item $ca->issue($host, from => $time, until => $time)

Returns the files of a certificate for this host and of its key.  Times are as
in 20260131235959Z; valid is it now and for a day by default.

=cut

sub issue
{
	my ($self, $host, %params) = @_;
	my $dir = $self->{dir};
	my $name = 'host' . ++$self->{issued};

	openssl(qw(req -new), $self->request($name, $host),
		'-out', "$dir/$name.csr", '-addext', "subjectAltName=DNS:$host");
	openssl(qw(ca -batch -notext -config), "$dir/ca.conf",
		'-in', "$dir/$name.csr", '-out', "$dir/$name.pem",
		$params{from} ? ('-startdate', $params{from}) : (),
		$params{until} ? ('-enddate', $params{until}) : ('-days', 1));
	return ("$dir/$name.pem", "$dir/$name.key");
}

# What every request for a certificate has: a new key, and a name.
sub request
{
	my ($self, $name, $subject) = @_;

	return (
		'-config', "$self->{dir}/ca.conf", '-newkey', 'ec', '-pkeyopt',
		'ec_paramgen_curve:prime256v1', '-nodes',
		'-keyout', "$self->{dir}/$name.key", '-subj', "/CN=$subject");
}

sub openssl
{
	my (@args) = @_;

	open my $run, '-|', 'sh', '-c', 'exec openssl "$@" 2>&1', 'sh', @args
	  or croak "openssl: $!";
	my $said = join '', <$run>;
	close $run or croak "openssl @args: $said";
	return;
}

sub write_file
{
	my ($self, $name, $text) = @_;

	open my $file, '>', "$self->{dir}/$name" or croak $!;
	print $file $text;
	close $file or croak $!;
	return;
}

=pod

=back

=cut

1;
