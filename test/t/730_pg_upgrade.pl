# Copyright (c) 2026, modal_batch contributors

# pg_upgrade of a cluster with jobs.  MODAL_OLD_PG is the installation to come
# from (./check --all makes one of the oldest version); without it this
# version is upgraded to itself.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;

my $old = PostgreSQL::Test::Cluster->new('old',
	$ENV{MODAL_OLD_PG} ? (install_path => $ENV{MODAL_OLD_PG}) : ());
$old->init;
$old->append_conf('postgresql.conf',
	slurp_file("$ENV{MODAL_TOP}/test/regress.conf"));
$old->start;
create_local_server($old, $local);

$old->safe_psql(
	'postgres', q{
	CREATE SCHEMA elsewhere;
	CREATE TABLE elsewhere.squares (g int PRIMARY KEY, result int);
	SELECT modal_spawn_map('local:builtin/square', 'SELECT generate_series(1, 3)');
	SELECT modal_spawn('local:builtin/fail', 'on purpose');
	SELECT modal_wait(id) FROM modal_batch.job;
	SELECT modal_pause(modal_spawn_map('local:builtin/square', 'SELECT g, g AS n FROM generate_series(1, 2000) g',
		key => '{g}', into_table => 'elsewhere.squares'));
	CREATE FUNCTION typed_square(int) RETURNS int LANGUAGE modal AS 'local:builtin/square';
	CREATE TABLE numbers (id int PRIMARY KEY, n int, n2 int);
	CREATE TRIGGER n2 AFTER INSERT OR UPDATE ON numbers
		FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/square', 'n', 'n2')});

sub jobs
{
	my ($node) = @_;

	return $node->safe_psql(
		'postgres', q{
		SELECT * FROM modal_batch.job ORDER BY id;
		SELECT job, first, count, md5(inputs), done, ordinals FROM modal_batch.chunk ORDER BY 1, 2;
		SELECT * FROM modal_batch.result ORDER BY 1, 2;
		SELECT last_value, is_called FROM modal_batch.job_id_seq});
}

my $want = jobs($old);
my $old_version = $old->safe_psql('postgres', 'SHOW server_version_num');
my ($unfinished) = $old->safe_psql('postgres',
	q{SELECT id FROM modal_batch.job WHERE state = 'paused'});
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
my ($new_version) = readpipe('postgres --version') =~ /(\d+)/;
# from 18 on checksums are the default
$new->init(extra => $new_version >= 18 && $old_version < 180000
	? ['--no-data-checksums'] : []);
$new->append_conf('postgresql.conf',
	slurp_file("$ENV{MODAL_TOP}/test/regress.conf"));

chomp(my $new_bin = readpipe('pg_config --bindir'));
my $old_bin = $ENV{MODAL_OLD_PG} ? "$ENV{MODAL_OLD_PG}/bin" : $new_bin;

# pg_upgrade writes into the current folder.
chdir PostgreSQL::Test::Utils::tempdir() or die $!;
$new->command_ok(
	[
		'pg_upgrade', $new_version >= 15 ? '--no-sync' : (),
		'-d', $old->data_dir, '-D', $new->data_dir,
		'-b', $old_bin,       '-B', $new_bin,
		'-s', $new->host,     '-p', $old->port, '-P', $new->port
	],
	"pg_upgrade from $old_version to $new_version");
$new->start;
is(jobs($new), $want, 'all jobs are there');
is($new->safe_psql('postgres', q{SELECT typed_square(5)}),
	'25', 'typed functions are there');
is( $new->safe_psql(
		'postgres',
		"SELECT modal_resume($unfinished); SELECT modal_wait($unfinished, '2 min');
		SELECT count(*), sum(result) FROM elsewhere.squares"),
	"t\ncompleted\n2000|2668667000",
	'an unfinished job goes on');
$new->safe_psql('postgres', 'INSERT INTO numbers VALUES (1, 6)');
ok($new->poll_query_until('postgres', 'SELECT n2 = 36 FROM numbers'),
	'triggers work');

$new->stop;
done_testing();
