# Copyright (c) 2026, modal_batch contributors

# The programs of docs/applications.md, each run with the driver that it is
# for.  What a program prints is said by its comments "prints ...", in order.

use strict;
use warnings FATAL => 'all';

use File::Copy;
use File::Path qw(make_path);
use IO::Socket::INET;
use IPC::Run ();
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $top = $ENV{MODAL_TOP};
my $work = PostgreSQL::Test::Utils::tempdir();
my $limit = $PostgreSQL::Test::Utils::timeout_default;

my $local = ModalLocal->new;
my $node = modal_node('main', local => $local, conf => "listen_addresses = '127.0.0.1'\n");

# A user mapping of the pool's and of the clients' user, and a typed function.
my $pool_port = PostgreSQL::Test::Cluster::get_free_port();
append_to_file("$work/pgbouncer.ini", <<"INI");
[databases]
postgres = host=127.0.0.1 port=@{[ $node->port ]} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $pool_port
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 1
INI
my $pool = IPC::Run::start([ 'pgbouncer', '-q', "$work/pgbouncer.ini" ], '>', "$work/pgbouncer.log", '2>&1');

my %client = (
	PGHOST => '127.0.0.1', PGPORT => $node->port, PGUSER => 'postgres', PGDATABASE => 'postgres',
	POOL_HOST => '127.0.0.1', POOL_PORT => $pool_port,
	HOME => $work, GOPATH => '/usr/share/gocode', GOCACHE => "$work/go", GO111MODULE => 'off',
	PYTHONDONTWRITEBYTECODE => 1, PATH => "/usr/bin:$ENV{PATH}");

# connected(PORT): somebody listens, within the time limit.
sub connected
{
	my ($port) = @_;
	for (my $tries = 0; $tries < 10 * $limit; $tries++)
	{
		return 1 if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
		sleep 0.1;
	}
	return 0;
}
ok(connected($pool_port), 'pgbouncer runs') or diag(slurp_file("$work/pgbouncer.log"));

# Node's drivers, installed once for the tree.
my $modules = "$top/build/clients";
make_path($modules);
copy("$top/test/clients/$_", $modules) for 'package.json', 'package-lock.json';
IPC::Run::run([ 'npm', 'ci', '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error' ],
	init => sub { chdir $modules }, '>', '/dev/null')
  or BAIL_OUT('npm could not install the drivers');

my %run = (
	python => [ 'py', sub { 'python3', $_[0] } ],
	javascript => [ 'mjs', sub { 'node', $_[0] } ],
	java => [ 'java', sub { 'java', '-cp', '/usr/share/java/postgresql.jar', $_[0] } ],
	go => [ 'go', sub { 'go', 'run', $_[0] } ]);

my (%seen, $heading);
my $page = slurp_file("$top/docs/applications.md");
while ($page =~ /^#+ ([^\n]*)$|^```(\w+)\n(.*?)^```$/msg)
{
	$heading = $1 if defined $1;
	my ($language, $program) = ($2, $3);
	next if !defined $language;
	my ($suffix, $command) = @{ $run{$language} // BAIL_OUT("a program in $language") };
	my $file = $language eq 'javascript' ? "$modules/program.$suffix" : "$work/Call.$suffix";
	my ($out, $err) = ('', '');

	open my $handle, '>', $file or die;
	print $handle $program;
	close $handle;
	my $done = do
	{
		local %ENV = (%ENV, %client);
		IPC::Run::run([ $command->($file) ], '<', \undef, '>', \$out, '2>', \$err,
			IPC::Run::timeout(2 * $limit));
	};
	ok($done, "$heading: the program ends well") or diag($err);

	my @expected = $program =~ /(?:#|\/\/) prints (.*)$/mg;
	cmp_ok(scalar @expected, '>', 0, "$heading: it says what it prints");
	my @lines = split /\n/, $out;
	for my $text (@expected)
	{
		my $line = shift(@lines) // 'nothing';
		like($line, qr/^\Q$text\E/, "$heading: prints $text");
	}
	is("@lines", '', "$heading: prints no more");
	$seen{$language}++;
}
is(join(' ', sort keys %seen), 'go java javascript python', 'every language has a program');

$pool->signal('TERM');
$pool->finish;
$node->stop;
done_testing();
