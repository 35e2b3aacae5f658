# Copyright (c) 2026, modal_batch contributors

=pod

=head1 NAME

ModalTest - clusters with modal_batch for TAP tests

=head1 SYNOPSIS

  use ModalTest;
  use ModalLocal;
  use Test::More;

  my $local = ModalLocal->new;
  my $node = modal_node('main', local => $local);
  is($node->safe_psql('postgres', q{SELECT modal_remote('local:builtin/square', 3)}), '9');

  arm_point($node, 'runner-before-commit', 'crash');

=head1 DESCRIPTION

A thin layer over PostgreSQL::Test::Cluster.  ./check sets the paths; by hand:

  ./check --only tap --tests '003*'

=cut

package ModalTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(
  modal_node initdb_options create_local_server modal_psql sql_is sql_fails
  arm_point disarm_point point_passed
  dispatcher_pid private_memory_kb forget_peak_memory peak_memory_kb wait_gone
);

# Where a node's log ended when a point was armed, and the points that crash it.
my %point_log;
my %crashes;

=pod

=head1 FUNCTIONS

=over

=item modal_node($name, local => $local, conf => $text, env => {...})

A started cluster with the settings of test/regress.conf, then those of
C<conf>.  With C<local>, database postgres has the extension and a server
"local" that is this modal-local; without, only the library is preloaded.
C<env> is for the server alone.

=cut

sub modal_node
{
	my ($name, %params) = @_;
	my $node = bless PostgreSQL::Test::Cluster->new($name), 'ModalTest::Node';

	$node->init(extra => [initdb_options()]);
	$node->append_conf('postgresql.conf',
		slurp_file("$ENV{MODAL_TOP}/test/regress.conf"));
	$node->append_conf('postgresql.conf', $params{conf})
	  if defined $params{conf};
	{
		local %ENV = (%ENV, %{ $params{env} // {} });
		$node->start;
	}
	create_local_server($node, $params{local}) if defined $params{local};
	return $node;
}

=pod

=item initdb_options()

For a cluster that is not made by modal_node: ./check --only encodings runs
tests with databases of the encoding $MODAL_TEST_ENCODING.

=cut

sub initdb_options
{
	my $encoding = $ENV{MODAL_TEST_ENCODING};

	return defined $encoding ? ("--encoding=$encoding", '--locale=C') : ();
}

=pod

=item create_local_server($node, $local, dbname => 'postgres')

The extension and server "local" with a user mapping in one more database.

=cut

sub create_local_server
{
	my ($node, $local, %params) = @_;

	local $ENV{MODAL_LOCAL_URL} = $local->url;
	local $ENV{MODAL_LOCAL_CA} = $local->ca_file;
	$node->safe_psql($params{dbname} // 'postgres',
		"\\i $ENV{MODAL_TOP}/test/setup.sql");
	return;
}

=pod

=item modal_psql($node, $sql, %params)

Runs $sql without dying.  Returns (exit status, standard output, standard
error), errors with SQLSTATE and all fields.

=cut

sub modal_psql
{
	my ($node, $sql, %params) = @_;
	my ($out, $err) = ('', '');

	my $status = $node->psql(
		$params{dbname} // 'postgres',
		"\\set VERBOSITY verbose\n$sql",
		stdout => \$out,
		stderr => \$err,
		%params);
	return ($status, $out, $err);
}

=pod

=item sql_is($node, $sql, $expected, $name), sql_fails($node, $sql, $pattern, $name)

Tests of what a statement returns, and of what its error says.

=cut

sub sql_is
{
	my ($node, $sql, $expected, $name) = @_;
	return is($node->safe_psql('postgres', $sql), $expected, $name);
}

sub sql_fails
{
	my ($node, $sql, $pattern, $name) = @_;
	my (undef, undef, $err) = modal_psql($node, $sql);

	return like($err, $pattern, $name);
}

=pod

=item arm_point($node, $name, $action, $nth), disarm_point($node, $name)

See src/debug_point.h.  Disarming returns how often the point was passed.

=item point_passed($node, $name)

Waits until an armed point was reached, and the server knows of a crash there.

=cut

sub arm_point
{
	my ($node, $name, $action, $nth) = @_;
	$nth //= 1;

	$node->safe_psql(
		'postgres', qq{
		CREATE OR REPLACE FUNCTION debug_point_arm(text, text, int) RETURNS void
			AS '\$libdir/modal_batch', 'modal_debug_point_arm' LANGUAGE C STRICT;
		CREATE OR REPLACE FUNCTION debug_point_disarm(text) RETURNS int
			AS '\$libdir/modal_batch', 'modal_debug_point_disarm' LANGUAGE C STRICT;
		SELECT debug_point_arm('$name', '$action', $nth);
	});
	$point_log{$node->name} = -s $node->logfile;
	$crashes{$name} = $action eq 'crash';
	return;
}

sub disarm_point
{
	my ($node, $name) = @_;

	return $node->safe_psql('postgres',
		"SELECT debug_point_disarm('$name')");
}

sub point_passed
{
	my ($node, $name) = @_;

	$node->wait_for_log(qr/debug point "\Q$name\E"/,
		$point_log{$node->name});

	# until then it takes connections, and ends them
	$node->wait_for_log(qr/terminating any other active server processes/, $point_log{$node->name})
	  if $crashes{$name};
	return;
}

=pod

=item dispatcher_pid($node)

Of the first dispatcher, waiting for one to run.

=cut

sub dispatcher_pid
{
	my ($node) = @_;
	my $query = 'SELECT pid FROM modal_batch.stat_dispatcher WHERE pid <> 0 LIMIT 1';

	$node->poll_query_until('postgres',
		'SELECT count(*) > 0 FROM modal_batch.stat_dispatcher WHERE pid <> 0')
	  or die 'no dispatcher';
	return $node->safe_psql('postgres', $query);
}

=pod

=item private_memory_kb($pid)

Memory that belongs to the process alone; shared memory is not in it.

=cut

sub private_memory_kb
{
	my ($pid) = @_;
	my $kb = 0;

	$kb += $_
	  for slurp_file("/proc/$pid/smaps_rollup") =~
	  /^Private_Dirty:\s+(\d+) kB$/mg;
	return $kb;
}

=pod

=item forget_peak_memory($pid)

=item peak_memory_kb($pid)

The most memory that the process alone has had since its peak was forgotten.

=cut

sub forget_peak_memory
{
	my ($pid) = @_;

	open my $refs, '>', "/proc/$pid/clear_refs"
	  or die "cannot open clear_refs of process $pid: $!";
	print $refs '5';
	close $refs or die "cannot write clear_refs of process $pid: $!";
	return;
}

sub peak_memory_kb
{
	my ($pid) = @_;
	my %kb = slurp_file("/proc/$pid/status") =~ /^(\w+):\s+(\d+) kB$/mg;

	return $kb{VmHWM} - $kb{RssShmem} - $kb{RssFile};
}

=pod

=item wait_gone($pid)

Waits until the process has ended.  Returns false after the usual timeout.

=cut

sub wait_gone
{
	my ($pid) = @_;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if !-e "/proc/$pid";
		select(undef, undef, undef, 0.1);
	}
	return 0;
}

=pod

=back

=cut

# A cluster that may be down for a while when it is polled: a psql that cannot
# connect ends, perhaps before it has taken its input, which IPC::Run dies of.
package ModalTest::Node;

use parent -norequire, 'PostgreSQL::Test::Cluster';

use constant MOST_CUT_SHORT => 100;

sub poll_query_until
{
	my ($self, @query) = @_;

	for (1 .. MOST_CUT_SHORT)
	{
		my $became = eval { $self->SUPER::poll_query_until(@query) };
		return $became if defined $became;
		die $@ if $@ !~ /Broken pipe/;
	}
	die $@;
}

1;
