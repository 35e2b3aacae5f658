# Copyright (c) 2026, modal_batch contributors

# One event that ends several requests of one call, or several calls: each
# ends with an error of its own, and the dispatcher lives.

use strict;
use warnings FATAL => 'all';

use IO::Socket::INET;
use IPC::Run ();
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node = modal_node('main', local => $local);
my $dispatcher = dispatcher_pid($node);

sub start_map
{
	my ($n) = @_;
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start(
		[
			'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
			"SELECT count(*) FROM modal_map('local:builtin/sleep', 'SELECT 0.1, i FROM generate_series(1, $n) i')"
		],
		'<', '/dev/null', '>', \$out, '2>', \$err);
	return { run => $run, out => \$out, err => \$err };
}

sub dispatcher_lives
{
	my ($name) = @_;

	is(dispatcher_pid($node), $dispatcher, "$name: the dispatcher lives");
	$local->set_faults('');
	# A token may be on its way still that is refused: it is for one call.
	modal_psql($node, q{SELECT modal_remote('local:builtin/square', 3)});
	sql_is($node, q{SELECT modal_remote('local:builtin/square', 3)}, '9',
		"$name: the next call works");
	return;
}

# The token is refused while many requests of each of these maps are under
# way; all of them wait for another one, which is refused as well.
for my $maps (1, 3)
{
	my $name = "token refused, maps: $maps";

	$local->clear_log;
	my @maps = map { start_map(40000) } 1 .. $maps;
	$local->wait_for_requests('FunctionPutInputs', 5 * $maps);
	$local->set_faults("FunctionPutInputs status=UNAUTHENTICATED\n"
		  . "FunctionGetOutputs status=UNAUTHENTICATED\n"
		  . "AuthTokenGet delay=0.4 status=UNAUTHENTICATED\n");
	$_->{run}->finish for @maps;
	is(scalar(grep { ${ $_->{err} } =~ /^ERROR: .*\nDETAIL: .*UNAUTHENTICATED/ } @maps),
		$maps, "$name: each ends with an error");
	dispatcher_lives($name);
}

# A token that cannot be had for a while: what is sent for as long as it takes
# is not given up.
$local->clear_log;
my $map = start_map(3000);
$local->wait_for_requests('FunctionPutInputs', 3);
$local->set_faults("FunctionPutInputs nth=1 status=UNAUTHENTICATED\n"
	  . "AuthTokenGet count=6 status=UNAVAILABLE\n");
$map->{run}->finish;
is(${ $map->{out} }, "3000\n", 'token not to be had for a while: the map has all results');
is(${ $map->{err} }, '', 'token not to be had for a while: and no error');
dispatcher_lives('token not to be had for a while');

# A poll that is cut again and again, after it was held, is no failure.
$local->set_faults("FunctionGetOutputs delay=1.2 drop count=6\n");
sql_is($node, q{SELECT modal_remote('local:builtin/sleep', 9::float8, 5)}, '5',
	'long polls that are cut after a while: the call has its result');
$local->set_faults('');

# But a service that cuts each of them at once is one.
$local->set_faults("FunctionGetOutputs drop\n");
sql_fails($node, q{SELECT modal_remote('local:builtin/sleep', 60::float8, 5)}, qr/failed in waiting for outputs/,
	'long polls that are cut at once: the call fails');
$local->set_faults('');

# One channel that cannot be attached, for want of a descriptor or of memory, is
# the trouble of one session.
my $other = start_map(100);
$local->clear_log;
$local->wait_for_requests('FunctionGetOutputs', 1);
for my $point (qw(dispatcher-attach dispatcher-half-attached))
{
	arm_point($node, $point, 'error');
	sql_fails($node, q{SET statement_timeout = '20s'; SELECT modal_remote('local:builtin/square', 3)},
		qr/ERROR:  (?!57014)\w{5}: /, "a channel that cannot be attached, $point: the session has an error");
	ok(disarm_point($node, $point) > 0, "a channel that cannot be attached, $point: so it was");
}
$other->{run}->finish;
is(${ $other->{out} } . ${ $other->{err} }, "100\n", 'a channel that cannot be attached: others go on');
dispatcher_lives('a channel that cannot be attached');

# The first of two URLs is of a host that accepts and says nothing: however many
# calls fail there together, all go on with the second.
my $silent = IO::Socket::INET->new(Listen => 100, LocalAddr => '127.0.0.1') or die $!;
for my $calls (1 .. 4)
{
	$node->safe_psql('postgres', qq{
		CREATE SERVER two$calls FOREIGN DATA WRAPPER modal_batch OPTIONS (
			url 'https://localhost:${\ $silent->sockport},${\ $local->url}',
			ssl_ca_file '${\ $local->ca_file}', connect_timeout '1.$calls');
		CREATE USER MAPPING FOR CURRENT_USER SERVER two$calls
			OPTIONS (token_id '${\ $local->token_id}', token_secret '${\ $local->token_secret}')});
	my @runs = map {
		my $out = '';
		my $run = IPC::Run::start(
			[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "SELECT modal_remote('two$calls:builtin/square', 3)" ],
			'<', '/dev/null', '>', \$out);
		[ $run, \$out ];
	} 1 .. $calls;
	$_->[0]->finish for @runs;
	is(join('', map { ${ $_->[1] } } @runs), "9\n" x $calls, "a silent first URL: calls at a time: $calls");
}

done_testing();
