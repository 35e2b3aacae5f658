# Copyright (c) 2026, modal_batch contributors

# A job of 100,000 inputs, while every process there is gets killed at random
# moments.  Each input must have exactly one result; an input is sent a second
# time only when its first submission was not yet recorded.
#
# MODAL_KILL_ROUNDS  how often (20)
# MODAL_SEED         the seed, printed by every run

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $inputs = 100_000;
my $rounds = $ENV{MODAL_KILL_ROUNDS} || 20;
my $seed   = $ENV{MODAL_SEED} || int(rand(1e9));
my @victims = qw(postmaster runner dispatcher launcher backend);

note "seed $seed, $rounds rounds";
srand($seed);

# Results come at a pace that makes the job last.
my $local = ModalLocal->new(faults => "FunctionGetOutputs delay=0.3\n");
my $node  = modal_node('main', local => $local);

$node->safe_psql('postgres', q{
	ALTER SERVER local OPTIONS (ADD max_in_flight '1000');
	CREATE TABLE src AS SELECT g AS id FROM generate_series(0, 99999) g;
	CREATE TABLE out (id int, result bigint);
});
my $job = spawn($node, q{modal_spawn_map('local:builtin/square',
	'SELECT id, id AS n FROM src ORDER BY id', key => '{id}', into_table => 'out')});

# Ends a process of that kind; false when there is none.
sub kill_one
{
	my ($victim) = @_;
	my $pid;

	if ($victim eq 'postmaster')
	{
		kill_postmaster($node);
		$node->start;
		return 1;
	}
	if ($victim eq 'backend')
	{
		my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
			'<', \"SELECT pg_backend_pid(); SELECT modal_wait($job);\n",
			'>', \my $out, '2>', \my $err);
		wait_until('a session', sub { $session->pump_nb; ($out // '') =~ /^(\d+)\n/ });
		($pid) = $out =~ /^(\d+)/;
		kill 'KILL', $pid;
		$session->finish;
	}
	else
	{
		$pid = worker_pid($node, $victim) || return 0;
		kill 'KILL', $pid;
	}
	wait_gone($pid);
	wait_up($node);
	return 1;
}

my @kills;
my %killed;
while (@kills < $rounds && job($node, $job, 'state') ne 'completed')
{
	my $victim = $victims[ @kills < @victims ? @kills : rand @victims ];

	sleep rand 0.6;
	my $submitted = $node->safe_psql('postgres',
		"SELECT submitted FROM modal_batch.job WHERE id = $job");
	my $time = time;
	next if !kill_one($victim);
	$killed{$victim}++;
	push @kills, { time => $time, submitted => $submitted };
}
is(scalar @kills, $rounds, 'killed while the job ran: '
	  . join(', ', map { "$_ $killed{$_}" } sort keys %killed));

$local->set_faults('');
job_ends($node, $job, 'completed', 'the job completes');
is( $node->safe_psql('postgres',
		'SELECT count(*), count(DISTINCT id), bool_and(result = id::bigint * id) FROM out'),
	"$inputs|$inputs|t",
	'every input has exactly one result');
is(job($node, $job, 'succeeded, failed, stale, waiting, in_flight'),
	"$inputs|0|0|0|0", 'so say the counters');
is($node->safe_psql('postgres', 'SELECT count(*) FROM modal_batch.chunk'), '0', 'no chunk is left');

# What was sent again, and after which kill?
my (%seen, $again, $known);
$again = $known = 0;
for my $request ($local->requests('FunctionPutInputs'))
{
	next if !defined $request->{idx} || $request->{replayed};
	my ($before) = grep { $_->{time} <= $request->{time} } reverse @kills;
	for my $range (split /,/, $request->{idx})
	{
		my ($first, $last) = split /-/, $range;
		for my $idx ($first .. $last // $first)
		{
			next if !$seen{$idx}++;
			$again++;
			$known++ if !$before || $idx < $before->{submitted};
		}
	}
}
note "$again inputs were executed twice";
is(scalar keys %seen, $inputs, 'every input was sent');
is($known, 0, 'none again whose submission was recorded');
is(scalar(grep { $_->{rpc} eq 'FunctionMap' && !$_->{replayed} } $local->requests), 1, 'all in one remote call');

$node->stop;
done_testing();
