# Copyright (c) 2026, modal_batch contributors

# A standby does nothing; after promotion it goes on with the jobs.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $local   = ModalLocal->new(faults => "FunctionGetOutputs delay=1\n");
my $primary = PostgreSQL::Test::Cluster->new('primary');

$primary->init(allows_streaming => 1, extra => [initdb_options()]);
$primary->append_conf('postgresql.conf', slurp_file("$ENV{MODAL_TOP}/test/regress.conf"));
$primary->start;
create_local_server($primary, $local);
$primary->safe_psql('postgres', q{ALTER SERVER local OPTIONS (ADD max_in_flight '1000')});
$primary->backup('backup');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

my $job = map_into($primary, 'out', 20000);
job_becomes($primary, $job, 'succeeded > 0');
$primary->wait_for_catchup($standby);
is( $standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'modal_batch runner'}),
	'0', 'a standby has no runner');
my ($status, $out, $err) = modal_psql($standby, q{SELECT modal_spawn('local:builtin/echo', 1)});
like($err, qr/25006/, '... takes no job');
is($standby->safe_psql('postgres', "SELECT state FROM modal_batch.jobs WHERE job = $job"),
	'running', '... and shows how far they are');

my $short = spawn($primary, q{modal_spawn('local:builtin/sleep', 2)});
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "SET statement_timeout = '60s'; SELECT modal_wait($short)"), 'completed', '... which can be waited for there');
$local->clear_log;

$primary->stop('immediate');
$local->set_faults('');
$standby->promote;
job_ends($standby, $job, 'completed', 'after promotion the job goes on');
sink_is($standby, 'out', 20000, '... with one result for each input');
is(scalar(grep { $_->{rpc} eq 'FunctionMap' } $local->requests), 0, '... in the same remote call');
$job = map_into($standby, 'more', 100);
job_ends($standby, $job, 'completed', '... and new ones start');

$standby->stop;
done_testing();
