# Copyright (c) 2026, modal_batch contributors

# What functions print, read in SQL: of a call started elsewhere and of a job.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/prints.py", <<'PYTHON');
import sys

def say(text):
    print(text)
    print("error of", text, file=sys.stderr)
    if text == "fail":
        raise ValueError(text)
    return text

def odd(n):
    sys.stdout.write("\x1b[31mred\x1b[0m\ttab\r\nnul\0byte\n")
    print("\u00e9\u20ac\U0001f600 <b> \"quoted\" \\")
    print("x" * 100000)
    print()
    sys.stdout.write("no end")
    return n
PYTHON

# what is printed is compared character by character
$ENV{MODAL_TEST_ENCODING} = 'UTF8';
my $local = ModalLocal->new(files => ["$dir/prints.py"]);
my $node = modal_node('main', local => $local, conf => "statement_timeout = '${PostgreSQL::Test::Utils::timeout_default}s'\n");

sub result_is { return sql_is($node, @_) }
sub fails_like { return sql_fails($node, @_) }

# A call that has ended, of a job, and the job.
sub call_of
{
	my ($query) = @_;
	my $job = $node->safe_psql('postgres', "SELECT $query");
	$node->safe_psql('postgres', "SELECT modal_wait($job, '60s')");
	my $call = $node->safe_psql('postgres', "SELECT 'local:' || remote_call_id FROM modal_batch.jobs WHERE job = $job");
	return ($job, $call);
}

subtest 'lines of a job' => sub {
	my ($job, $call) = call_of(q{modal_spawn_map('local:prints/say', $$SELECT unnest(ARRAY['one', 'fail', 'three'])$$)});
	my $lines = "0|stdout|one\n0|stderr|error of one\n1|stdout|fail\n1|stderr|error of fail\n2|stdout|three\n2|stderr|error of three";
	result_is("SELECT ordinal, stream, line FROM modal_logs($job) ORDER BY ordinal, stream DESC", $lines, 'all of them');
	result_is("SELECT ordinal, stream, line FROM modal_function_call_logs('$call') ORDER BY ordinal, stream DESC", $lines,
		'by the id of the call');
	result_is("SELECT count(*), bool_and(at BETWEEN now() - interval '1 hour' AND clock_timestamp() + interval '1 s'),
			bool_and(input LIKE 'in-%'), count(DISTINCT input) FROM modal_logs($job)", '6|t|t|3', 'times and inputs');
	result_is("SELECT bool_and(a.at <= b.at) FROM (SELECT at, row_number() OVER () FROM modal_logs($job)) a (at, n),
			(SELECT at, row_number() OVER () FROM modal_logs($job)) b (at, n) WHERE a.n < b.n", 't', 'oldest first');
	result_is("SELECT stream, line FROM modal_logs($job, search => 'of fail')", 'stderr|error of fail', 'that hold a text');
	result_is("SELECT count(*) FROM modal_logs($job, search => 'nowhere')", '0', 'or none does');
	result_is("SELECT array_agg(line ORDER BY at) = (SELECT (array_agg(line ORDER BY n))[5:6]
			FROM (SELECT line, row_number() OVER () AS n FROM modal_logs($job)) s) FROM modal_logs($job, max_lines => 2)",
		't', 'the newest');
	$local->set_faults("AppFetchLogs repeat=50\n");
	result_is("SELECT count(*) FROM modal_logs($job, max_lines => 7)", '7', 'no more than were asked for');
	$local->set_faults('');
	result_is("SELECT count(*) FROM modal_logs($job, until => now() - interval '1 h')", '0', 'none in another hour');
	result_is("SELECT count(*) FROM modal_logs($job, since => '-infinity', until => 'infinity')", '6', 'at any time');
	result_is("SELECT modal_dashboard_url($job) = dashboard_url, dashboard_url = 'http://localhost:' || $local->{port} || '/console/call/' || call_id
			FROM modal_function_call('$call')", 't|t', 'the page is in the console');
	is(($local->requests('AppFetchLogs'))[0]{outcome}, 'OK', 'by the RPC of the official SDK');
};

subtest 'the page of a call' => sub {
	my ($job, $call) = call_of(q{modal_spawn_map('local:prints/say', $$SELECT 'x'$$)});
	my ($id) = $call =~ /(fc-.*)/;
	my $url = $node->safe_psql('postgres', q{SELECT option_value FROM pg_foreign_server, pg_options_to_table(srvoptions)
		WHERE srvname = 'local' AND option_name = 'url'});
	my %pages = (
		'https://api.modal.com' => "https://modal.com/id/$id", 'https://api.modal.com:443/x' => "https://modal.com/id/$id",
		'https://api.modal.com,https://api.modal2.com' => "https://modal.com/id/$id",
		'https://evilmodal.com:9443' => "http://evilmodal.com:9443/console/call/$id",
		'https://[::1]:9443/x' => "http://[::1]:9443/console/call/$id");
	for my $other (sort keys %pages)
	{
		$node->safe_psql('postgres', "ALTER SERVER local OPTIONS (SET url '$other')");
		result_is("SELECT modal_dashboard_url($job)", $pages{$other}, "at $other");
	}
	$node->safe_psql('postgres', "ALTER SERVER local OPTIONS (SET url '$url')");
};

subtest 'whatever is printed' => sub {
	my ($job) = call_of(q{modal_spawn_map('local:prints/odd', 'SELECT 1')});
	result_is("SELECT string_agg(line, '|' ORDER BY n) FROM (SELECT line, row_number() OVER () AS n FROM modal_logs($job)) s
			WHERE n < 3", "?[31mred?[0m\ttab?|nul\\x00byte", 'no control characters')
	  or $node->safe_psql('postgres', "SELECT * FROM modal_logs($job)");
	result_is(qq{SELECT line = U&'\\00e9\\20ac\\+01f600 <b> "quoted" \\\\' FROM modal_logs($job, search => '<b>')}, 't', 'characters, quotes');
	result_is("SELECT max(length(line)) BETWEEN 60000 AND 65536, bool_or(line = ''), bool_or(line = 'no end') FROM modal_logs($job)",
		't|t|t', 'long ones are cut, others are empty or have no end');
};

subtest 'wrong questions' => sub {
	my ($job, $call) = call_of(q{modal_spawn_map('local:prints/say', $$SELECT 'x'$$)});
	fails_like("SELECT modal_function_call_logs('$call', max_lines => $_)", qr/22023: max_lines must be between 1 and 20000/, "$_ lines")
	  for 0, -1, 20001, 'NULL';
	fails_like("SELECT modal_function_call_logs('$call', now(), now() - interval '1 s')", qr/22023: since must not be later/, 'no time');
	fails_like("SELECT modal_function_call_logs('$call', search => repeat('x', 1025))", qr/22023: search is longer/, 'a long text');
	fails_like("SELECT modal_function_call_logs('local:fc-unknown')", qr/HV00B: remote call "fc-unknown" does not exist/, 'no such call');
	fails_like("SELECT modal_function_call_logs('local:x')", qr/22023: invalid id/, 'no id');
	fails_like('SELECT modal_logs(0)', qr/42704|22023|no.* job/, 'no such job');
	result_is('SELECT count(*) FROM modal_function_call_logs(NULL)', '0', 'NULL has none');
	$node->safe_psql('postgres', 'CREATE ROLE stranger LOGIN');
	fails_like("SET ROLE stranger; SELECT modal_function_call_logs('$call')", qr/42501/, 'somebody without USAGE');
	fails_like("SET ROLE stranger; SELECT modal_logs($job)", qr/42501|42704|no.* job/, 'the job of somebody else');
	$local->set_faults("AppFetchLogs status=INTERNAL\n");
	fails_like("SELECT modal_function_call_logs('$call')", qr/the request to the service failed|INTERNAL|fault on demand/, 'a service that fails');
	$local->set_faults("AppFetchLogs truncate\n");
	fails_like("SELECT modal_function_call_logs('$call')", qr/0800|cannot be read|FDW|HV000|ended/, 'half a reply');
	$local->set_faults('');
};

$node->stop;
done_testing();
