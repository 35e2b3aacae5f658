# Copyright (c) 2026, modal_batch contributors

# A setting with an old and a new name has one value, wherever it is set.

use strict;
use warnings FATAL => 'all';

use ModalSession;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = modal_node('main');
my $both = q{SELECT current_setting('modal_batch.max_in_flight'), current_setting('modal_batch.window')};

# The values under both names after some statements in one session.
sub after
{
	my ($statements, %options) = @_;

	return (split /\n/, $node->safe_psql('postgres', "$statements;\n$both", %options))[-1];
}

is(after('SELECT 1'), '1000|1000', 'the default');
is(after('SET modal_batch.max_in_flight = 5'), '5|5', 'SET');
is(after('SET modal_batch."window" = 6'), '6|6', 'SET of the old name');
is(after('SET modal_batch."window" = 6; SET modal_batch.max_in_flight = 5'),
	'5|5', 'the later one holds');
is(after('SET modal_batch.max_in_flight = 5; SET modal_batch."window" = 6'),
	'6|6', 'the other way round');
is(after('SET modal_batch."window" = 6; RESET modal_batch."window"'),
	'1000|1000', 'RESET');
is(after('SET modal_batch.max_in_flight = 5; SET modal_batch."window" = 6; RESET modal_batch."window"'),
	'5|5', 'RESET uncovers what was set under the other name');
is(after('SET modal_batch.max_in_flight = 5; SET modal_batch."window" = 6; RESET ALL'),
	'1000|1000', 'RESET ALL');

for my $pair ([ 'max_in_flight', '"window"' ], [ '"window"', 'max_in_flight' ])
{
	my ($first, $second) = @$pair;
	my $shown = $first =~ tr/"//dr;

	for my $end ('COMMIT', 'ROLLBACK')
	{
		is( after("SET modal_batch.$first = 7; BEGIN; SET LOCAL modal_batch.$second = 8; $end"),
			'7|7', "SET LOCAL of $second ends with $end");
		is( after("BEGIN; SET LOCAL modal_batch.$first = 7; SAVEPOINT s;
				SET LOCAL modal_batch.$second = 8; ROLLBACK TO s"),
			'7|7', "SET LOCAL of $second ends with its savepoint");
	}
	is( after("BEGIN; SET modal_batch.$first = 7; SAVEPOINT s; SET modal_batch.$second = 8; RELEASE s; COMMIT"),
		'8|8', "SET of $second survives its transaction");
	is( after("SET modal_batch.$first = 7;
			CREATE FUNCTION inside() RETURNS text LANGUAGE plpgsql SET modal_batch.$second = 8
			AS \$\$BEGIN RETURN current_setting('modal_batch.$shown'); END\$\$;
			CREATE TEMP TABLE seen AS SELECT inside();
			DROP FUNCTION inside;
			DO \$\$BEGIN ASSERT (SELECT inside = '8' FROM seen); END\$\$"),
		'7|7', "a function's own $second");
}

# Roles, databases, the configuration file, the client.
$node->safe_psql('postgres', 'ALTER ROLE postgres SET modal_batch."window" = 20');
is(after('SELECT 1'), '20|20', "the role's, under the old name");
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET modal_batch.max_in_flight = 30');
is(after('SELECT 1'), '20|20', "the role's wins over the database's");
is(after('SET modal_batch.max_in_flight = 5; RESET modal_batch.max_in_flight'),
	'20|20', 'RESET comes back to it');
$node->safe_psql('postgres', 'ALTER ROLE postgres RESET modal_batch."window"');
is(after('SELECT 1'), '30|30', "the database's");
{
	local $ENV{PGOPTIONS} = '-c modal_batch.window=40';
	is(after('SELECT 1'), '40|40', "the client's");
}

sub file_gives
{
	my ($statement, $want, $what) = @_;

	$node->safe_psql('postgres', $statement) if $statement ne '';
	$node->reload;
	$node->poll_query_until('postgres', $both, $want)
	  or diag($node->safe_psql('postgres', $both));
	is(after('SELECT 1'), $want, $what);
}

$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET modal_batch.max_in_flight');
file_gives('ALTER SYSTEM SET modal_batch."window" = 50', '50|50', 'ALTER SYSTEM, the old name');
my $session = ModalSession->new($node);
$session->query('SET modal_batch.max_in_flight = 5');
file_gives('ALTER SYSTEM SET modal_batch."window" = 51', '51|51', 'another value');
is($session->query($both), '5|5', "a session's own stays at a reload");
is($session->query("RESET modal_batch.max_in_flight; $both"),
	'51|51', 'and RESET gives the new one');
$session->quit;
file_gives('ALTER SYSTEM SET modal_batch.max_in_flight = 60', '60|60',
	'of two in one file the later holds');
file_gives('ALTER SYSTEM RESET modal_batch.max_in_flight', '51|51',
	'RESET uncovers the first');
file_gives('ALTER SYSTEM RESET modal_batch."window"', '1000|1000', 'the default again');

# The other one is of the same make.
is( $node->safe_psql('postgres', q{
		SET modal_batch.enable_async_projection = off;
		SELECT current_setting('modal_batch.enable_pipelining'), current_setting('modal_batch.enable_async_projection');
		SET modal_batch.enable_pipelining = on;
		SELECT current_setting('modal_batch.enable_pipelining'), current_setting('modal_batch.enable_async_projection')}),
	"off|off\non|on", 'enable_async_projection');

# Servers: one name or the other.
my $server = 'FOREIGN DATA WRAPPER modal_batch OPTIONS';
$node->safe_psql('postgres', 'CREATE EXTENSION modal_batch');
$node->safe_psql('postgres', "CREATE SERVER old $server (window '3')");
my ($rc, undef, $stderr) = $node->psql('postgres', q{ALTER SERVER old OPTIONS (ADD max_in_flight '4')});
like($stderr, qr/options "max_in_flight" and "window" exclude each other/, 'not both options');
$node->safe_psql('postgres', q{ALTER SERVER old OPTIONS (DROP window, ADD max_in_flight '4')});

$node->stop;
done_testing();
