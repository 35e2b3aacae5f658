# Copyright (c) 2026, modal_batch contributors

=pod

=head1 NAME

JobTest - what tests of durable jobs have in common

=head1 SYNOPSIS

  use JobTest;

  my $id = spawn($node, q{modal_spawn_map('local:builtin/square', 'SELECT 1')});
  job_ends($node, $id, 'completed', 'a job');
  inputs_are($local, 1000, 'each input was sent once');

=head1 FUNCTIONS

=over

=cut

package JobTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(
  spawn job job_ends job_becomes wait_until inputs_are
  worker_pid kill_postmaster wait_up
  map_into map_midway sink_is
);

=pod

=item map_into($node, $table, $inputs, function => 'square', more => '', dbname => 'postgres')

Makes a table of columns id and result and commits a job that squares the
numbers from 0 to $inputs - 1 into it; returns the job.  C<more> are more
arguments of modal_spawn_map.

=cut

sub map_into
{
	my ($node, $table, $inputs, %params) = @_;
	my $function = $params{function} // 'square';
	my $more     = defined $params{more} ? ", $params{more}" : '';
	my $last     = $inputs - 1;

	$node->safe_psql($params{dbname} // 'postgres',
		"CREATE TABLE IF NOT EXISTS $table (id int, result bigint)");
	return spawn(
		$node, qq{modal_spawn_map('local:builtin/$function',
		'SELECT g AS id, g AS n FROM generate_series(0, $last) g',
		key => '{id}', into_table => '$table'$more)}, $params{dbname});
}

=pod

=item map_midway($node, $local, $table, more => '')

A job of 10000 inputs, as map_into makes it, of which some results have been
written and others have not; it stays slow until $local has no faults.

=cut

sub map_midway
{
	my ($node, $local, $table, %params) = @_;

	$local->set_faults("FunctionGetOutputs delay=0.5\n");
	my $job = map_into($node, $table, 10000, %params);
	job_becomes($node, $job, 'succeeded > 0');
	return $job;
}

=pod

=item sink_is($node, $table, $inputs, $name, $dbname)

Tests that the table has just one row for each input, and the right one.

=cut

sub sink_is
{
	my ($node, $table, $inputs, $name, $dbname) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(
		$node->safe_psql(
			$dbname // 'postgres',
			"SELECT count(*), count(DISTINCT id), bool_and(result = id::bigint * id) FROM $table"
		),
		"$inputs|$inputs|t",
		$name);
}

=pod

=item spawn($node, $call, $dbname)

Commits a call that makes a job; returns the job.

=cut

sub spawn
{
	my ($node, $call, $dbname) = @_;
	my ($job, $err);

	$dbname //= 'postgres';
	return $job
	  if $node->psql($dbname, "SELECT $call", stdout => \$job, stderr => \$err, on_error_stop => 1) == 0;
	# A runner that crashes at once takes the session with it, but not the job.
	die "could not make a job: $err" if $err !~ /crash of another server process|connection/;
	wait_up($node);
	return $node->safe_psql($dbname, 'SELECT max(job) FROM modal_batch.jobs');
}

=pod

=item job($node, $id, $columns, $dbname)

What modal_batch.jobs says of it.

=cut

sub job
{
	my ($node, $id, $columns, $dbname) = @_;

	return $node->safe_psql($dbname // 'postgres',
		"SELECT $columns FROM modal_batch.jobs WHERE job = $id");
}

=pod

=item job_ends($node, $id, $state, $name, dbname => 'postgres')

Waits for its end, and tests that it ended so.

=cut

sub job_ends
{
	my ($node, $id, $state, $name, %params) = @_;
	my $dbname = $params{dbname} // 'postgres';
	my $seconds = $PostgreSQL::Test::Utils::timeout_default;
	my $ended =
	  $node->safe_psql($dbname, "SELECT modal_wait($id, '$seconds s')");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($ended, $state, $name)
	  || diag job($node, $id, 'to_jsonb(jobs)', $dbname);
}

=pod

=item job_becomes($node, $id, $condition, $dbname)

Waits until its row in modal_batch.jobs meets a condition; false after the
usual timeout.

=cut

sub job_becomes
{
	my ($node, $id, $condition, $dbname) = @_;

	return $node->poll_query_until($dbname // 'postgres',
		"SELECT EXISTS (SELECT FROM modal_batch.jobs WHERE job = $id AND ($condition))"
	);
}

=pod

=item wait_until($what, sub { ... })

Waits until the function returns true, and returns that; dies after the usual
timeout.

=cut

sub wait_until
{
	my ($what, $condition) = @_;
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;

	while (time < $until)
	{
		my $result = $condition->();
		return $result if $result;
		sleep 0.02;
	}
	die "timed out waiting for $what";
}

=pod

=item inputs_are($local, $count, $name, $allowed)

Tests that inputs 0 to $count - 1 were taken by modal-local, each once, but for
up to $allowed (none) that were taken again.

=cut

sub inputs_are
{
	my ($local, $count, $name, $allowed) = @_;
	my @put = $local->inputs_put;
	my %seen;

	$seen{$_}++ for @put;
	my $again = @put - keys %seen;
	$again = 0 if $again <= ($allowed // 0);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(keys(%seen) . " inputs, $again again", "$count inputs, 0 again",
		$name);
}

=pod

=item worker_pid($node, $type)

Of a background worker of that type, such as "runner"; '' when there is none.

=cut

sub worker_pid
{
	my ($node, $type) = @_;
	my ($out, $err) = ('', '');

	$node->psql(
		'postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'modal_batch $type' LIMIT 1",
		stdout => \$out,
		stderr => \$err);
	return $out;
}

=pod

=item kill_postmaster($node)

Kills it, and waits until its children have noticed.

=cut

sub kill_postmaster
{
	my ($node) = @_;
	my ($pid) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	my @children = split ' ', slurp_file("/proc/$pid/task/$pid/children");

	$node->kill9;
	wait_until('the end of the children', sub { !grep { -e "/proc/$_" } $pid, @children });
	return;
}

=pod

=item wait_up($node)

Waits until the server takes connections again.

=cut

sub wait_up
{
	my ($node) = @_;

	# a psql that cannot connect may be gone before it is given a query
	wait_until('the server', sub {
		system('pg_isready', '-q', '-h', $node->host, '-p', $node->port) == 0 });
	return;
}

=pod

=back

=cut

1;
