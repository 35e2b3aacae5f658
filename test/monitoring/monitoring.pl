# Copyright (c) 2026, modal_batch contributors

# The kit in monitoring/: the real exporter and Prometheus look at a cluster
# while a job runs; promtool judges each alert rule, firing and silent.

use strict;
use warnings FATAL => 'all';

use File::Copy;
use IPC::Run ();
use JSON::PP;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $top = $ENV{MODAL_TOP};
my $work = PostgreSQL::Test::Utils::tempdir();
my $limit = $PostgreSQL::Test::Utils::timeout_default;

# --- the rules ----------------------------------------------------------------

copy($_, $work) for "$top/monitoring/alerts.yaml", "$top/test/monitoring/alerts_test.yaml";
my ($out, $err) = ('', '');
ok(IPC::Run::run([ 'promtool', 'check', 'rules', "$work/alerts.yaml" ], '>', \$out, '2>', \$err), 'the rules are rules')
  or diag("$out$err");
ok(IPC::Run::run([ 'promtool', 'test', 'rules', "$work/alerts_test.yaml" ], '>', \$out, '2>', \$err),
	'each fires, and is silent, when it should')
  or diag("$out$err");

my @rules = slurp_file("$work/alerts.yaml") =~ /- alert: (\w+)/g;
my $cases = slurp_file("$work/alerts_test.yaml");
for my $rule (@rules)
{
	like($cases, qr/alertname: $rule, exp_alerts: \[\]/, "$rule is seen silent");
	like($cases, qr/alertname: $rule\s+exp_alerts:\s+- exp_labels/, "$rule is seen firing");
}

# --- a cluster, looked at -----------------------------------------------------

my $local = ModalLocal->new;
my $node = modal_node('main', local => $local, conf => "listen_addresses = '127.0.0.1'\n");
$node->safe_psql('postgres', 'CREATE ROLE watcher LOGIN IN ROLE pg_monitor');
my $job = $node->safe_psql('postgres', q{
	CREATE TABLE out (id int PRIMARY KEY, result int CHECK (result <> 49));
	SELECT modal_spawn_map('local:builtin/square', 'SELECT i AS id, i FROM generate_series(1, 200) i', key => '{id}', into_table => 'out')});
is($node->safe_psql('postgres', "SELECT modal_wait($job)"), 'completed', 'a job ends');
my $running = $node->safe_psql('postgres', q{SELECT modal_spawn('local:builtin/sleep', 3600)});

my ($exporter_port, $prometheus_port) = map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 2;
my $exporter = do
{
	local %ENV = (%ENV, DATA_SOURCE_NAME => "postgresql://watcher\@127.0.0.1:@{[ $node->port ]}/postgres?sslmode=disable");
	IPC::Run::start([
		'prometheus-postgres-exporter', "--web.listen-address=127.0.0.1:$exporter_port", '--disable-default-metrics',
		'--disable-settings-metrics', "--extend.query-path=$top/monitoring/postgres_exporter.yaml" ],
		'<', \undef, '>', "$work/exporter.log", '2>&1');
};
append_to_file("$work/prometheus.yaml", <<"YAML");
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [alerts.yaml]
scrape_configs:
  - job_name: postgres
    static_configs: [{targets: ['127.0.0.1:$exporter_port']}]
YAML
my $prometheus = IPC::Run::start([
	'prometheus', "--config.file=$work/prometheus.yaml", "--storage.tsdb.path=$work/tsdb",
	"--web.listen-address=127.0.0.1:$prometheus_port" ], '<', \undef, '>', "$work/prometheus.log", '2>&1');

# What Prometheus answers, as data; undef while it does not.
sub ask
{
	my ($path) = @_;
	my ($body, $errors) = ('', '');
	IPC::Run::run([ 'curl', '-sSf', "http://127.0.0.1:$prometheus_port/api/v1/$path" ], '>', \$body, '2>', \$errors)
	  or return undef;
	return decode_json($body)->{data};
}

# The value of a metric, once there is one for which the condition holds.
sub metric
{
	my ($expr, $holds) = @_;
	my $value;
	for (my $tries = 0; $tries < 5 * $limit; $tries++)
	{
		my $data = ask('query?query=' . $expr =~ s/([^\w])/sprintf '%%%02x', ord $1/ger);
		$value = defined $data && @{ $data->{result} } ? $data->{result}[0]{value}[1] : undef;
		return $value if defined $value && $holds->($value);
		sleep 0.2;
	}
	return $value;
}

sub metric_is
{
	my ($expr, $expected, $name) = @_;
	return is(metric($expr, sub { $_[0] == $expected }), $expected, $name);
}

metric_is('modal_batch_dispatcher_up{dispatcher="0"}', 1, 'the dispatcher is up')
  or diag(slurp_file("$work/exporter.log"), slurp_file("$work/prometheus.log"));
metric_is('modal_batch_jobs_jobs{datname="postgres",state="completed"}', 1, 'a member of pg_monitor sees that a job has ended');
metric_is('modal_batch_jobs_ended_seconds{state="completed"} < bool 900', 1, 'not long ago');
metric_is('modal_batch_jobs_ended_seconds{state="failed"} == bool Inf', 1, 'while none has failed');
metric_is('modal_batch_jobs_failed{state="completed"}', 1, 'and that an input of it has failed');
metric_is('modal_batch_jobs_succeeded{state="completed"}', 199, 'and how many have not');
metric_is('modal_batch_jobs_jobs{state="running"}', 1, 'one runs');
metric_is('modal_batch_jobs_in_flight{state="running"}', 1, 'with one input at the service');
metric_is('modal_batch_jobs_jobs{state="paused"}', 0, 'states without a job are told, too');
metric_is('modal_batch_function_inputs{function="local:builtin/square"}', 200, 'inputs are counted by function');
$node->safe_psql('postgres', "SELECT modal_cancel($running)");
metric_is('modal_batch_jobs_jobs{state="cancelled"}', 1, 'and then it has been cancelled');

# What the rules and the dashboard name is what the exporter has.
my %known = map { $_ => 1 } @{ ask('label/__name__/values') // [] };
my $dashboard = decode_json(slurp_file("$top/monitoring/grafana.json"));
my @expressions = map { $_->{expr} } map { @{ $_->{targets} } } @{ $dashboard->{panels} };
cmp_ok(scalar @expressions, '>', 10, 'the dashboard has panels');
for my $name (sort keys %{ { map { $_ => 1 } map { /(modal_batch_\w+)/g } @expressions, slurp_file("$work/alerts.yaml") =~ /^(?!\s*#).*/mg } })
{
	ok($known{$name}, "there is a metric $name");
}
my $loaded = ask('rules');
is_deeply([ sort map { $_->{name} } map { @{ $_->{rules} } } @{ $loaded->{groups} } ], [ sort @rules ], 'Prometheus has the rules');
is_deeply([ grep { $_->{health} ne 'ok' && $_->{health} ne 'unknown' } map { @{ $_->{rules} } } @{ $loaded->{groups} } ], [],
	'and can evaluate them');

for my $process ($prometheus, $exporter)
{
	$process->signal('TERM');
	$process->finish;
}
$node->stop;
done_testing();
