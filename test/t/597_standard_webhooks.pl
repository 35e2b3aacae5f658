# Copyright (c) 2026, modal_batch contributors

# Webhooks as a receiver takes them that checks signatures with the library of the Standard Webhooks
# project (npm package standardwebhooks).

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use JobTest;
use MIME::Base64 qw(encode_base64);
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'NOT TESTED: webhooks with the official library, for there is no npm'
  if system('command -v npm node >/dev/null') != 0;

my $dir = PostgreSQL::Test::Utils::tempdir();
$ENV{npm_config_cache} = "$dir/cache";
plan skip_all => 'NOT TESTED: webhooks with the official library, for npm cannot install it'
  if system("$ENV{MODAL_TOP}/test/js/install", "$dir/js") != 0;

my %secret = map { $_ => 'whsec_' . encode_base64($_ x 24, '') } 'a', 'b';
my $said = '';
my $receiver = IPC::Run::start([ 'node', "$dir/js/hook_receiver.js", $secret{a} ], '<', \undef, '>', \$said);
wait_until('the receiver', sub { $receiver->pump_nb; $said =~ /^\d+\n/ });
my ($port) = $said =~ /^(\d+)/;
my $node = modal_node('main');

sub sql { return $node->safe_psql('postgres', @_) }

# What the receiver says of the next message.
sub verdict
{
	my ($value) = @_;
	my $from = length $said;

	sql("INSERT INTO orders VALUES ('$value')");
	$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM modal_batch.job WHERE finished_at IS NULL') or die;
	wait_until('its verdict', sub { $receiver->pump_nb; substr($said, $from) =~ /\n/ });
	return substr($said, $from) =~ s/\n$//r;
}

sql(qq{CREATE EXTENSION IF NOT EXISTS modal_batch; CREATE TABLE orders (name text);
	CREATE SERVER hooks FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', url 'http://127.0.0.1:$port',
		allow_http 'on', format 'webhook');
	CREATE USER MAPPING FOR CURRENT_USER SERVER hooks OPTIONS (webhook_secret '$secret{a}');
	CREATE TRIGGER tell AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:orders')});
is(verdict('plain'), 'good', 'a message');
is(verdict("\xc3\xbc \xe2\x82\xac \\ \""), 'good', 'of any characters');
is(verdict('x' x 100_000), 'good', 'a long one');
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER hooks OPTIONS (SET webhook_secret '$secret{b}', ADD webhook_secret_old '$secret{a}')");
is(verdict('rotated'), 'good', 'while the secret is changed');
sql('ALTER USER MAPPING FOR CURRENT_USER SERVER hooks OPTIONS (DROP webhook_secret_old)');
is(verdict('other'), 'No matching signature found', 'another secret');
is(sql('SELECT count(*) FROM modal_batch.failures'), 1, 'is a dead letter');

$receiver->signal('TERM');
eval { $receiver->finish };
$node->stop;
done_testing();
