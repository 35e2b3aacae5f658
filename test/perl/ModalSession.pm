# Copyright (c) 2026, modal_batch contributors

=pod

=head1 NAME

ModalSession - a session that runs one statement after another

=head1 SYNOPSIS

  use ModalSession;

  my $session = ModalSession->new($node);
  is($session->query('SELECT 1'), '1');
  is($session->outcome("SELECT modal_remote('local:builtin/fail', 'x')"), '38000');
  $session->quit;

=head1 DESCRIPTION

A psql that stays: hundreds of statements in the time that it takes to start
psql for each of a few.  No statement may take more than a minute.  May be used in a child that the test has forked.

=cut

package ModalSession;

use strict;
use warnings FATAL => 'all';

use Carp;
use IPC::Open2;

my $mark = 'end of statement';

=pod

=head1 METHODS

=over

=item ModalSession->new($node, $dbname)

=cut

sub new
{
	my ($class, $node, $dbname) = @_;
	my $pid = open2(my $out, my $in, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d',
		$node->connstr($dbname // 'postgres'));
	my $self = bless { pid => $pid, in => $in, out => $out }, $class;

	$self->query(q{
		SET client_min_messages = error;
		SET statement_timeout = '60s';
		CREATE FUNCTION pg_temp.outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
		DECLARE
			result text;
		BEGIN
			EXECUTE statement INTO result;
			RETURN result;
		EXCEPTION WHEN query_canceled OR OTHERS THEN
			RAISE LOG 'outcome % of %: %', SQLSTATE, statement, SQLERRM;
			RETURN SQLSTATE;
		END $$;});
	return $self;
}

=pod

=item $session->query($statements)

What they return, without the last line break.  Dies when one fails.

=cut

sub query
{
	my ($self, $statements) = @_;
	my $result = '';

	$self->begin("$statements\n;\nSELECT '$mark'");
	while (defined(my $line = readline $self->{out}))
	{
		if ($line eq "$mark\n")
		{
			chomp $result;
			return $result;
		}
		$result .= $line;
	}
	croak 'the session has ended';
}

=pod

=item $session->begin($statement)

Does not wait for its end.

=cut

sub begin
{
	my ($self, $statement) = @_;

	print { $self->{in} } "$statement;\n";
	$self->{in}->flush;
	return;
}

=pod

=item $session->outcome($statement)

The one value that it returns, or the SQLSTATE of its error.

=cut

sub outcome
{
	my ($self, $statement) = @_;

	return $self->query("SELECT pg_temp.outcome(\$statement\$$statement\$statement\$)");
}

=pod

=item $session->quit

=cut

sub quit
{
	my ($self) = @_;

	close $self->{in};
	close $self->{out};
	waitpid $self->{pid}, 0;
	return;
}

=pod

=back

=cut

1;
