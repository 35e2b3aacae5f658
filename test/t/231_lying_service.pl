# Copyright (c) 2026, modal_batch contributors

# A service of Modal's API that lies: nothing of it gets into tables, views and errors unseen.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use ModalTest;
use Test::More;

my $peer = HttpPeer->new(program => 'modal_peer.py');
my $node = modal_node('main');

sub sql { return $node->safe_psql('postgres', @_) }

sql('CREATE EXTENSION IF NOT EXISTS modal_batch');
sql("CREATE SERVER peer FOREIGN DATA WRAPPER modal_batch OPTIONS (url '${\ $peer->url}', allow_http 'on')");
sql(q{CREATE USER MAPPING FOR CURRENT_USER SERVER peer OPTIONS (token_id 'ak-known', token_secret 'for-this-peer-alone')});

is(sql("SELECT modal_remote('peer:app/square', 5)"), '25', 'an honest function');
is(sql("SELECT string_agg(result::text, ',') FROM modal_map('peer:app/square', ARRAY[1, 2, 3])"), '1,4,9', 'a map');

# Ids that are none.
my $unread = qr/08P01: .*the reply of the service to FunctionMap cannot be read/;
for my $name (qw(id-bytes id-control id-long id-zero))
{
	sql_fails($node, "SELECT modal_remote('peer:app/$name', 5)", $unread, $name);
	my $job = sql("SELECT modal_spawn_map('peer:app/$name', 'SELECT 1')");
	# which may go well another time
	$node->poll_query_until('postgres', "SELECT last_error->>'code' = '08P01' FROM modal_batch.jobs WHERE job = $job");
	is(sql("SELECT remote_call_id IS NULL FROM modal_batch.jobs WHERE job = $job"), 't', "$name, of a job");
	sql("SELECT modal_cancel($job)");
}

sql_fails($node, "SELECT modal_remote('peer:app/wide', 5)",
	qr/08P01: .*what the service says of remote function "app\/wide" cannot be read/, 'an endless id of a function');

# What is said of a function becomes a hint.
sql_fails($node, "SELECT modal_remote('peer:app/web', 5)",
	qr/0A000: .*HINT:  Call it at https:\/\/web\.example\/\*\*\*, through/s, 'a secret in the URL of a web function');

# Places that are none.
sql_fails($node, "SELECT modal_remote('peer:app/blob', 5)", qr/08P01: .*the reply of the service to BlobGet cannot be read/,
	'a result at a URL of another kind');
sql_fails($node, "SELECT modal_remote('peer:app/changing', 5)", qr/08P01: .*the result has changed while it was read/,
	'a result of which one part came before another');
sql(q{CREATE FUNCTION excuse(int) RETURNS bytea LANGUAGE modal AS 'peer:app/excuse'});
is(sql(q{SELECT excuse(5) = decode(repeat('00', 899995), 'hex')}), 't', 'a long error before a result is no part of it');
sql_fails($node, "SELECT modal_remote('peer:app/blob', repeat('x', 3000000))",
	qr/08P01: .*the service names no place for an input of \d+ bytes that can be used/, 'a place for an input');

# What a reference sets is secret, whatever becomes of its look-up.
sql(q{CREATE SERVER nowhere FOREIGN DATA WRAPPER modal_batch OPTIONS (url 'http://127.0.0.1:1', allow_http 'on')});
sql(q{CREATE USER MAPPING FOR CURRENT_USER SERVER nowhere OPTIONS (token_id 'ak-known', token_secret 'for-this-peer-alone')});
my (undef, undef, $err) = modal_psql($node,
	q{SELECT modal_remote(modal_with_options('nowhere:app/f', '{"env": {"KEY": "s3cr3t-value"}}'), 1)});
like($err, qr/08001: .*could not look up remote function "app\/f"$/m, 'a service that is not there');

# A generator that gives more than anybody keeps up with.
is(sql("SELECT count(*), sum(i::int) FROM modal_remote_gen('peer:app/pour') i"), '500000|500000', 'all items of a fast generator');

$node->stop;
done_testing();
