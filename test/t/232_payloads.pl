# Copyright (c) 2026, modal_batch contributors

# Arguments and results that do not travel inline, and those in the formats
# of old deployments.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

# Limits are low, so that small payloads are large.
my %limits = (
	'--max-inline' => 100_000,
	'--max-async-inline' => 8192,
	'--max-part' => 50_000);
my $local = ModalLocal->new(args => [%limits]);
my $old = ModalLocal->new(args => [ %limits, '--blob-fields', 'OLD' ]);
my $new = ModalLocal->new(args => [ %limits, '--blob-fields', 'NEW' ]);
my $wide = ModalLocal->new(args => [ '--max-inline', 60_000_000 ]);
my $node = modal_node('main', local => $local, conf => "statement_timeout = '${PostgreSQL::Test::Utils::timeout_default}s'\n");

for ([ old => $old ], [ new => $new ], [ wide => $wide ])
{
	my ($name, $server) = @$_;
	my ($url, $ca) = ($server->url, $server->ca_file);
	$node->safe_psql('postgres', qq{CREATE SERVER $name FOREIGN DATA WRAPPER modal_batch
		OPTIONS (url '$url', ssl_ca_file '$ca');
		CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS (token_id 'ak-local', token_secret 'as-local')});
}

sub result_is { return sql_is($node, @_) }

# An argument and result of so many bytes come through whole.
sub echoes
{
	my ($server, $bytes, $name) = @_;
	return result_is(qq{SELECT modal_remote('$server:builtin/echo', v) = to_jsonb(v)
		FROM (SELECT left(string_agg(md5(g::text), ''), $bytes) FROM generate_series(1, $bytes / 32 + 1) g) AS s(v)},
		't', $name);
}

# How many uploads, of how many parts, and downloads there were.
sub transfers
{
	my ($server) = @_;
	return join ' ', map { scalar $server->requests($_) } qw(BlobCreate BlobGet);
}

subtest 'blobs' => sub {
	for ([ local => $local ], [ old => $old ], [ new => $new ])
	{
		my ($name, $server) = @$_;
		$server->clear_log;
		echoes($name, 99_000, "$name: inline");
		is(transfers($server), '0 0', 'as it is');
		echoes($name, 100_001, "$name: a blob of three parts");
		is(transfers($server), '1 1', 'goes up and down');
		echoes($name, 777_777, "$name: of sixteen parts");
	}
	$local->clear_log;
	result_is(q{SELECT count(*), sum(length(result #>> '{}')) FROM modal_map('local:builtin/echo',
			'SELECT repeat(chr(65 + g % 26), 100000 + g) FROM generate_series(1, 50) g')}, '50|5001275', 'a map of blobs');
	is(transfers($local), '50 50', 'each');
	result_is(q{SELECT bool_and(left(result #>> '{}', 1) = chr(65 + (1 + ordinal::int) % 26))
			FROM modal_map('local:builtin/echo', $$SELECT repeat(chr(65 + g % 26), g % 2 * 100000 + 1) FROM generate_series(1, 60) g$$)},
		't', 'in order among small ones');
	result_is(q{SELECT string_agg(length(decode(x #>> '{}', 'base64')) || '', ' ')
			FROM modal_remote_gen('local:builtin/count', 3, 0, 120000) x}, '120000 120000 120000', 'items of a generator');
};

subtest 'asynchronous calls' => sub {
	# In CBOR, [[text], {}] is six bytes longer than the text, a result three.
	for ([ 8192 - 6, '0 0' ], [ 8193 - 6, '1 0' ], [ 8193 - 3, '1 1' ])
	{
		my ($bytes, $transfers) = @$_;
		$local->clear_log;
		my $job = $node->safe_psql('postgres', "SELECT modal_spawn('local:builtin/echo', repeat('x', $bytes))");
		is($node->safe_psql('postgres', "SELECT modal_wait($job, '60s')"), 'completed', "$bytes bytes");
		result_is("SELECT length(result #>> '{}') FROM modal_results($job)", $bytes, 'come back');
		is(transfers($local), $transfers, 'as they should');
	}
};

subtest 'transfers that fail' => sub {
	for my $fault ('PUT nth=2 http=500', 'PUT nth=1 http=503', 'PUT nth=3 drop', 'POST nth=1 http=500', 'GET nth=1 http=500',
		'GET nth=1 truncate', 'GET nth=1 drop', 'GET count=4 http=500')
	{
		for my $bytes (200_000, 3_000_000)
		{
			$local->set_faults("$fault\n");
			echoes('local', $bytes, "$fault: tried again");
		}
	}
	$local->set_faults("PUT http=500\n");
	my ($status, $out, $err) = modal_psql($node, q{SELECT modal_remote('local:builtin/echo', repeat('x', 200000))});
	like($err, qr/08006: could not upload an input of 200008 bytes.*HTTP status 500/s, 'an upload that never works');
	$local->set_faults("GET truncate\n");
	($status, $out, $err) = modal_psql($node, q{SELECT modal_remote('local:builtin/large', 200000)});
	like($err, qr/08006: could not download a result/, 'a download that is always short');
	unlike($err, qr/blobs\/bl-/, 'its URL, which is a secret, is not told');
	$local->set_faults('');
	echoes('local', 200_000, 'afterwards');
};

subtest 'large messages' => sub {
	echoes('wide', 30_000_000, '30 MB inline');
	result_is(q{SELECT count(*), sum(length(result #>> '{}')) / 1000000 FROM modal_map('wide:builtin/large',
			'SELECT 2000000 FROM generate_series(1, 45) g')}, '45|120', 'replies of up to 90 MB');
	result_is(q{SELECT count(*) FROM modal_map('wide:builtin/kwargs', $$SELECT repeat('x', 30000000) FROM generate_series(1, 5)$$)},
		'5', 'more inputs than fit into one request of 100 MiB');
	is(transfers($wide), '0 0', 'without blobs');
};

subtest 'pickle' => sub {
	my ($status, $out, $err) = modal_psql($node, q{SELECT modal_remote('local:builtin/old_echo', 1)});
	like($err, qr/0A000: "local:builtin\/old_echo" does not accept CBOR.*HINT.*allow_pickle/s, 'only where it is allowed');
	$node->safe_psql('postgres', q{ALTER SERVER local OPTIONS (ADD allow_pickle 'on')});
	result_is(q{SELECT modal_remote('local:builtin/old_types', 1, 'x'::text, 2.50, NULL::int, '\x00ff'::bytea, ARRAY[1, 2],
			DATE '2024-02-29', true, 1.5::float8, '123456789012345678901234567890'::numeric,
			'00000000-0000-0000-0000-000000000001'::uuid, '{"a": 1}'::jsonb)->'args'},
		'[["int", 1], ["str", "x"], ["Decimal", 2.50], ["NoneType", null], ["bytes", "AP8="], ["list", [1, 2]], '
		  . '["date", "2024-02-29"], ["bool", true], ["float", 1.5], ["int", 123456789012345678901234567890], '
		  . '["UUID", "00000000-0000-0000-0000-000000000001"], ["dict", {"a": 1}]]', 'values of every plain type');
	result_is(q{SELECT modal_call('local:builtin/old_types', kwargs => '{"k": [1]}')->'kwargs'}, '{"k": ["list", [1]]}',
		'keyword arguments');
	result_is(q{SELECT count(*), sum(result::int) FROM modal_map('local:builtin/old_echo', 'SELECT g FROM generate_series(1, 500) g')},
		'500|125250', 'a map');
	result_is(q{SELECT string_agg(x::text, ',') FROM modal_remote_gen('local:builtin/old_count', 3) x}, '0,1,2', 'a generator');
	result_is(q{SELECT length(modal_remote('local:builtin/old_echo', repeat('x', 200000)) #>> '{}')}, '200000', 'a blob');
	my $job = $node->safe_psql('postgres', q{SELECT modal_spawn('local:builtin/old_echo', 5)});
	is($node->safe_psql('postgres', "SELECT modal_wait($job, '60s')"), 'completed', 'a job');
	result_is("SELECT result FROM modal_results($job)", '5', 'with its result');
	($status, $out, $err) = modal_psql($node, q{SELECT modal_remote('local:builtin/old_fail', 'bad'::text)});
	like($err, qr/38000: ValueError\('bad'\)/, 'an exception');

	# os.system("touch …"), in three ways, and less dangerous strangers.
	my $file = $node->basedir . '/executed';
	my $name = unpack 'H*', "touch $file";
	my $text = sprintf '58%s%s', unpack('H*', pack 'V', length("touch $file")), $name;
	my %bad = (
		'REDUCE of GLOBAL' => "80026370" . '6f7369780a73797374656d0a' . $text . '85522e',
		'REDUCE of STACK_GLOBAL' => '80048c05706f7369788c0673797374656d93' . $text . '85522e',
		'NEWOBJ' => '80048c05706f7369788c0673797374656d93' . $text . '85812e',
		'BUILD' => '80048c085f5f6d61696e5f5f8c01589329817d622e',
		'a persistent id' => '80048c0178512e',
		'INST, of protocol 0' => '28' . unpack('H*', "S'ls'\nios\nsystem\n.") ,
		'an extension code' => '800282012e',
		'nothing' => '',
		'a cut' => '80048c05',
		'no STOP' => '80044b01');
	for my $name (sort keys %bad)
	{
		($status, $out, $err) =
		  modal_psql($node, "SELECT modal_remote('local:builtin/old_raw', '\\x$bad{$name}'::bytea)");
		like($err, qr/08P01|0A000/, "$name is refused");
	}
	ok(!-e $file, 'and nothing was executed');
	result_is(q{SELECT modal_remote('local:builtin/old_echo', 1)}, '1', 'life goes on');
};

$node->stop;
done_testing();
