# Copyright (c) 2026, modal_batch contributors

# Upgrades of the extension: every earlier version, brought up to date, is the
# same as a fresh installation; a symbol of the library never changes its
# arguments; this library with the objects of an earlier version refuses or
# works.
#
# The versions are those in the folder, and two that are made up here, so that
# the comparisons are known to find a difference.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $folder = readpipe('pg_config --sharedir');
chomp $folder;
$folder .= '/extension';
my ($current) = slurp_file("$folder/modal_batch.control") =~
  /^default_version\s*=\s*'(.+)'/m;
my $script = slurp_file("$folder/modal_batch--$current.sql");

# --- versions that are made up ----------------------------------------------

my @made_up;
END { unlink @made_up if @made_up }

sub add_script
{
	my ($versions, $text) = @_;
	my $file = "$folder/modal_batch--$versions.sql";

	push @made_up, $file;
	append_to_file($file, $text);
	return;
}

# Version 0.9 lacks a function, and has one that was removed later.  (Its symbol
# was not: else neither CREATE EXTENSION VERSION '0.9' nor pg_upgrade worked.)
my ($function) =
  $script =~ /^(CREATE FUNCTION modal_web_url\(.*?;\nCOMMENT ON .*?;\n)/ms
  or die 'no modal_web_url in the script';
my $old = $script =~ s/\Q$function\E//r;
my $gone =
  "CREATE FUNCTION modal_gone() RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'modal_stat_reset';\n";
add_script('0.9', "$old$gone");
add_script("0.9--$current", "DROP FUNCTION modal_gone();\n$function");

# Version 0.8 declares a symbol with other arguments; its upgrade forgets a
# comment, and to change a privilege.
add_script('0.8',
	$old =~ s/^GRANT SELECT ON modal_batch\.jobs TO PUBLIC;\n//mr
	  . "CREATE FUNCTION modal_web_url(a text, b int) RETURNS text LANGUAGE c AS 'MODULE_PATHNAME';\n"
);
add_script("0.8--$current",
	"DROP FUNCTION modal_web_url(text, int);\n"
	  . $function =~ s/^COMMENT ON .*?;\n//msr);

# --- comparison ---------------------------------------------------------------

my $local     = ModalLocal->new;
my $node      = modal_node('main', local => $local);
my $databases = 0;
my $want; # what a fresh installation has

sub installation
{
	my ($version) = @_;
	my $dbname = 'v' . ++$databases;

	$node->safe_psql('postgres', "CREATE DATABASE $dbname");
	$node->safe_psql($dbname, "CREATE EXTENSION modal_batch VERSION '$version'");
	return $dbname;
}

# Everything of the extension as SQL: in this mode pg_dump writes out members.
sub objects
{
	my ($dbname) = @_;
	my ($dump, $errors);

	IPC::Run::run(
		[
			'pg_dump', '--schema-only', '--binary-upgrade', '--dbname',
			$node->connstr($dbname)
		],
		'>', \$dump, '2>', \$errors) or die "pg_dump: $errors";
	$dump =~ s/^(?:--|\\restrict|\\unrestrict).*\n//mg;
	$dump =~ s/^SELECT pg_catalog\.binary_upgrade_set_next_.*\n//mg;
	$dump =~ s/\b(relfrozenxid|relminmxid|oid) = '\d+'/$1/g;
	# its argument is what the next query asks for, with OIDs
	$dump =~ s/^SELECT pg_catalog\.binary_upgrade_create_empty_extension\(.*\n//m
	  or die 'no extension in the dump';
	$dump =~ s/\n\n+/\n/g;
	return $dump . $node->safe_psql(
		$dbname, q{
		SELECT extversion, extrelocatable, extnamespace::regnamespace,
			ARRAY(SELECT c::regclass::text FROM unnest(extconfig) c ORDER BY 1), extcondition
		FROM pg_extension WHERE extname = 'modal_batch'});
}

# Compare line by line: the whole of it would say nothing.
sub differences
{
	my ($dbname) = @_;
	my ($got, $expected) = (objects($dbname), $want);
	my %lines;

	$lines{$_}++ for split /\n/, $got;
	$lines{$_}-- for split /\n/, $expected;
	my @different =
	  map { ($lines{$_} > 0 ? '+' : '-') . $_ } grep { $lines{$_} } sort keys %lines;
	return join "\n",
	  @different ? @different : $got eq $expected ? () : 'another order';
}

# The library's symbols, each with the declarations that use it.
sub symbols
{
	my ($dbname) = @_;
	my %symbols;

	for (split /\n/, $node->safe_psql(
			$dbname, q{
			SELECT prosrc, proargtypes::regtype[], proretset, prorettype::regtype
			FROM pg_proc JOIN pg_language l ON l.oid = prolang
			WHERE lanname = 'c' AND probin LIKE '%modal_batch%'}))
	{
		my ($symbol, $declaration) = split /\|/, $_, 2;
		$symbols{$symbol}{$declaration} = 1;
	}
	return \%symbols;
}

# Declarations of old symbols that are not today's.
sub changed_symbols
{
	my ($old, $new) = @_;

	return grep {
		my $symbol = $_;
		$new->{$symbol}
		  && grep { !$new->{$symbol}{$_} } keys %{ $old->{$symbol} }
	} sort keys %$old;
}

my $fresh       = installation($current);
my $new_symbols = symbols($fresh);
$want = objects($fresh);

like($want, qr/CREATE FUNCTION public\.modal_web_url/, 'functions are compared');
like($want, qr/CREATE POLICY own_jobs/, 'policies are compared');
like($want, qr/COMMENT ON VIEW modal_batch\.jobs/, 'comments are compared');
like($want, qr/modal_batch\.job,/, 'tables to dump are compared');

my @versions = split /\n/, $node->safe_psql(
	'postgres', qq{
	SELECT version FROM pg_available_extension_versions
	WHERE name = 'modal_batch' AND version NOT IN ('$current', '0.8')
	ORDER BY 1});
ok((grep { $_ eq '0.9' } @versions), 'earlier versions are found');

for my $version (@versions)
{
	my $dbname = installation($version);

	is(join(' ', changed_symbols(symbols($dbname), $new_symbols)),
		'', "$version: no symbol has other arguments today");
	$node->safe_psql($dbname, 'ALTER EXTENSION modal_batch UPDATE');
	is(differences($dbname), '',
		"$version: after the upgrade all is as in a fresh installation");
}

# --- the comparison can fail ----------------------------------------------------

my $careless = installation('0.8');
is(join(' ', changed_symbols(symbols($careless), $new_symbols)),
	'modal_web_url', 'a symbol with other arguments is found');
$node->safe_psql($careless, 'ALTER EXTENSION modal_batch UPDATE');
my $found = differences($careless);
like($found, qr/^-COMMENT ON FUNCTION public\.modal_web_url/m, 'a forgotten comment is found');
like($found, qr/^-GRANT SELECT ON TABLE modal_batch\.jobs TO PUBLIC/m, 'a forgotten privilege is found');

# --- this library, the objects of an earlier version ------------------------------

my $dbname = installation('0.9');
my $start  = q{SELECT modal_spawn('local:builtin/square', 3)};
create_local_server($node, $local, dbname => $dbname);
is( $node->safe_psql($dbname, q{SELECT modal_remote('local:builtin/square', 3)}),
	'9', 'a function that has not changed works');

$node->safe_psql($dbname,
	"UPDATE pg_proc SET prosrc = 'modal_gone' WHERE proname = 'modal_gone'");
my (undef, undef, $err) =
  modal_psql($node, 'SELECT modal_gone()', dbname => $dbname);
like(
	$err,
	qr/ERROR:  42883: could not find function "modal_gone" in file/,
	'a symbol that is gone is named');

(undef, undef, $err) = modal_psql($node, $start, dbname => $dbname);
like(
	$err,
	qr/ERROR:  55000: library modal_batch \Q$current\E does not work with the jobs of version 0\.9 of the extension/,
	'jobs are refused');
like($err, qr/HINT:  Run ALTER EXTENSION modal_batch UPDATE/,
	'with what to do');

# one session sees the upgrade that another one makes
my $session = $node->background_psql($dbname, on_error_stop => 0);
$session->query($start);
$session->{stderr} = '';
$node->safe_psql($dbname, 'ALTER EXTENSION modal_batch UPDATE');
my $job = $session->query($start);
is($session->query("SELECT modal_wait($job, '1 min')"),
	'completed', 'after the upgrade they are not');
$session->quit;

# A runner that meets other tables leaves, and comes again.
my $offset = -s $node->logfile;
$node->safe_psql($dbname, qq{
	SELECT modal_pause(modal_spawn('local:builtin/square', 4));
	UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'modal_batch'});
$node->restart;
$node->wait_for_log(
	qr/does not work with the jobs of version 0\.9 of the extension/, $offset);
$node->safe_psql($dbname,
	"UPDATE pg_extension SET extversion = '$current' WHERE extname = 'modal_batch'");
$job = $node->safe_psql($dbname, 'SELECT max(id) FROM modal_batch.job');
$node->safe_psql($dbname, "SELECT modal_resume($job)");
is($node->safe_psql($dbname, "SELECT modal_wait($job, '1 min')"),
	'completed', 'a runner goes on after the upgrade');
unlike(slurp_file($node->logfile), qr/terminated by signal/, 'nothing has crashed');

$node->stop;
done_testing();
