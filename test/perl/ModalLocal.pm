# Copyright (c) 2026, modal_batch contributors

=pod

=head1 NAME

ModalLocal - a modal-local of its own for a TAP test

=head1 SYNOPSIS

  use ModalLocal;

  my $local = ModalLocal->new(files => ['examples/similarity.py']);
  print $local->url, $local->ca_file;

  $local->set_faults("FunctionPutInputs nth=2 status=UNAVAILABLE after\n");
  is($local->requests('FunctionPutInputs'), 3);
  is_deeply([ $local->inputs_put ], [ 0 .. 99 ]);

  $local->kill9;
  $local->start;    # on the same port, with the same calls

=head1 DESCRIPTION

It listens on a free port and keeps its files in a temporary folder.  It ends
with the object, or with the test.

=cut

package ModalLocal;

use strict;
use warnings FATAL => 'all';

use Carp;
use File::Basename qw(dirname);
use File::Temp ();
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

use constant START_SECONDS => 60;
use constant WAIT_SECONDS => 60;

my $top = $ENV{MODAL_TOP} // dirname(__FILE__) . '/../..';

=pod

=head1 METHODS

=over

=item ModalLocal->new(files => [...], args => [...], faults => text, env => {...})

Python files to serve, more options of the command line, the first script of
faults, more environment variables.  Started already.

=cut

sub new
{
	my ($class, %params) = @_;
	my $dir = File::Temp->newdir('modal-local-XXXXXX', TMPDIR => 1);
	my $self = bless {
		dir => $dir,
		files => $params{files} // [],
		args => $params{args} // [],
		env => $params{env} // {},
		port => 0,
		owner => $$
	}, $class;

	# Servers that run as other users read the certificate.
	chmod 0755, "$dir";
	$self->write_faults($params{faults} // '');
	$self->start;
	return $self;
}

=pod

=item $local->start

Starts it again after stop or kill9, on the same port.

=cut

sub start
{
	my ($self) = @_;
	my $out = "$self->{dir}/out";
	my @command = (
		$ENV{MODAL_LOCAL_PROGRAM} // "$top/local/modal-local", '--exit-with-parent',
		'--port', $self->{port},
		'--dir', "$self->{dir}/state",
		'--log', $self->log_file,
		'--faults', "$self->{dir}/faults",
		@{ $self->{args} }, @{ $self->{files} });

	unlink $out;
	my $pid = fork // croak "fork: $!";
	if ($pid == 0)
	{
		local %ENV = (%ENV, %{ $self->{env} });
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', $out;
		open STDERR, '>>', "$self->{dir}/err";
		exec @command or POSIX::_exit(127);
	}
	$self->{pid} = $pid;

	my $until = time + START_SECONDS;
	while (time < $until)
	{
		my $line = slurp($out);
		if ($line =~ /^ready\t(\d+)\t/)
		{
			$self->{port} = $1;
			return;
		}
		if (waitpid($pid, WNOHANG) == $pid)
		{
			delete $self->{pid};
			croak 'modal-local did not start: ' . $self->errors;
		}
		sleep 0.02;
	}
	croak 'modal-local did not become ready: ' . $self->errors;
}

=pod

=item $local->stop, $local->kill9

Ends it in an orderly way, or at once.  stop returns the exit status.

=cut

sub stop
{
	my ($self) = @_;
	return $self->end('TERM');
}

sub kill9
{
	my ($self) = @_;
	return $self->end('KILL');
}

sub end
{
	my ($self, $signal) = @_;
	my $pid = delete $self->{pid} // return;

	kill $signal, $pid;
	waitpid $pid, 0;
	return $?;
}

=pod

=item $local->forget

Between stop and start: as if everything that it knew of calls were lost.

=cut

sub forget
{
	my ($self) = @_;

	unlink glob "$self->{dir}/state/journal*";
	return;
}

=pod

=item $local->port, url, http_url, ca_file, log_file, pid

=cut

sub port { return $_[0]->{port} }
sub pid { return $_[0]->{pid} }
sub url { return "https://localhost:$_[0]->{port}" }
sub http_url { return "http://localhost:$_[0]->{port}" }
sub ca_file { return "$_[0]->{dir}/state/ca.pem" }
sub log_file { return "$_[0]->{dir}/requests" }

=pod

=item $local->token_id, token_secret

=cut

sub token_id { return $ENV{MODAL_TOKEN_ID} // 'ak-local' }
sub token_secret { return $ENV{MODAL_TOKEN_SECRET} // 'as-local' }

=pod

=item $local->errors

What it wrote to standard error.

=cut

sub errors
{
	my ($self) = @_;
	return slurp("$self->{dir}/err");
}

=pod

=item $local->set_faults($text)

The script of faults from now on; see docs/modal-local.md.  Counts of earlier
rules are forgotten.  It holds when this returns.

=cut

sub set_faults
{
	my ($self, $text) = @_;
	my $read = qr/\t0\tfaults\tread\t/;
	my $until = time + START_SECONDS;
	my $from = -s $self->log_file // 0;

	$self->write_faults($text);
	kill 'HUP', $self->{pid};
	while (slurp($self->log_file, $from) !~ $read)
	{
		croak 'modal-local did not read its faults: ' . $self->errors
		  if time > $until;
		sleep 0.002;
	}
	return;
}

sub write_faults
{
	my ($self, $text) = @_;

	open my $file, '>', "$self->{dir}/faults" or croak $!;
	print $file $text;
	close $file or croak $!;
	return;
}

=pod

=item $local->requests($name)

Requests since the last clear_log, oldest first, as hashes: C<time>,
C<connection>, C<rpc>, C<outcome> (a gRPC status, or what a fault made of it),
C<ms>, and what else the log says (C<call>, C<inputs>, C<idx>, C<outputs>, ...).
With a name, only those of that RPC.  In scalar context, how many.

=cut

sub requests
{
	my ($self, $name) = @_;
	my @requests;

	# It may be writing the last line.
	for my $line (slurp($self->log_file) =~ /^(.*)\n/mg)
	{
		my %request;
		(@request{qw(time connection rpc outcome ms)}, my @more) =
		  split /\t/, $line;
		for my $word (@more)
		{
			my ($key, $value) = split /=/, $word, 2;
			$request{$key} = $value;
		}
		push @requests, \%request
		  if $request{connection} > 0
		  && (!defined $name || $request{rpc} eq $name);
	}
	return @requests;
}

=pod

=item $local->wait_for_requests($name, $count, $condition)

Waits until there are so many, as requests says, of those for which the condition
holds ($_ is the request); returns how many there are.

=cut

sub wait_for_requests
{
	my ($self, $name, $count, $condition) = @_;
	my $until = time + WAIT_SECONDS;

	$condition //= sub { 1 };
	while (1)
	{
		my $n = grep { $condition->() } $self->requests($name);
		return $n if $n >= $count || time >= $until;
		sleep 0.02;
	}
}

=pod

=item $local->calls

The ids of the function calls that requests were about.

=cut

sub calls
{
	my ($self) = @_;
	my %calls = map { $_->{call} => 1 } grep { defined $_->{call} } $self->requests;

	return sort keys %calls;
}

=pod

=item $local->inputs_put($call)

The indexes of all inputs that the server took, as often as it took them,
sorted; retries and repeated requests that were recognized are not among them.
With an id, only those of that function call.  In scalar context, how many.

=cut

sub inputs_put
{
	my ($self, $call) = @_;
	my @all;

	for my $request ($self->requests)
	{
		next
		  if $request->{rpc} !~ /^(FunctionMap|FunctionPutInputs|AttemptStart|MapStartOrContinue)$/
		  || !defined $request->{idx}
		  || $request->{replayed}
		  || (defined $call && ($request->{call} // '') ne $call);
		for my $range (split /,/, $request->{idx})
		{
			my ($first, $last) = split /-/, $range;
			push @all, $first .. $last // $first;
		}
	}
	@all = sort { $a <=> $b } @all;
	return @all;
}

=pod

=item $local->clear_log

=cut

sub clear_log
{
	my ($self) = @_;

	# It is open for appending.
	truncate $self->log_file, 0;
	return;
}

sub slurp
{
	my ($path, $from) = @_;

	open my $file, '<', $path or return '';
	seek $file, $from // 0, 0;
	local $/ = undef;
	return <$file> // '';
}

sub DESTROY
{
	my ($self) = @_;
	local $? = $?;

	# Not in a child that the test has forked.
	$self->end('TERM') if $self->{owner} == $$;
	return;
}

=pod

=back

=cut

1;
