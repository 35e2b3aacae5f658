# Copyright (c) 2026, modal_batch contributors

# Option ssl_ca: certificates as text, for whoever may make a server; and what
# is said of a file of them that cannot be read.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalSession;
use ModalTest;
use Nginx;
use PostgreSQL::Test::Utils;
use Test::More;
use TestCertificates;

my $local = ModalLocal->new;
my $node = modal_node('main', local => $local);
my $ca = TestCertificates->new;
my $ours = slurp_file($local->ca_file);
my $other = slurp_file($ca->file);

$node->safe_psql('postgres', q{
	CREATE ROLE app LOGIN;
	GRANT USAGE ON FOREIGN DATA WRAPPER modal_batch TO app});
my $app = ModalSession->new($node);
$app->query('SET SESSION AUTHORIZATION app');

# --- who may, and what it does -------------------------------------------------------

my $mapping = sprintf q{CREATE USER MAPPING FOR app SERVER mine OPTIONS (token_id '%s', token_secret '%s')}, $local->token_id,
  $local->token_secret;
$app->query("CREATE SERVER mine FOREIGN DATA WRAPPER modal_batch OPTIONS (url '${\ $local->url}', ssl_ca '$ours')");
$app->query($mapping);
is($app->outcome(q{SELECT modal_remote('mine:builtin/square', 3)}), '9', 'no superuser is needed for a certificate to be trusted');
$app->query("ALTER SERVER mine OPTIONS (SET ssl_ca '$other')");
like($app->outcome(q{SELECT modal_remote('mine:builtin/square', 3)}), qr/08001/, 'another one is not, from the next call on');
like($app->outcome(q{SELECT detail FROM modal_ping('mine')}), qr/certificate/, 'and a ping says why');
$app->query("ALTER SERVER mine OPTIONS (SET ssl_ca 'both:\n$other\n$ours')");
is($app->outcome(q{SELECT modal_remote('mine:builtin/square', 3)}), '9', 'any of several will do, with text between them');
$app->query(q{ALTER SERVER mine OPTIONS (DROP ssl_ca)});
like($app->outcome(q{SELECT modal_remote('mine:builtin/square', 3)}), qr/08001/, 'without it, the system knows it not');

# --- HTTP ----------------------------------------------------------------------------

SKIP:
{
	skip 'nginx is not installed', 4 if !Nginx->program;
	my $nginx = Nginx->new(certificate => [ $ca->issue('localhost') ], http2 => 1,
		server => 'location / { return 200 "\"$server_protocol\""; }');
	for my $version ('1.1', '2')
	{
		my $name = 'http' . int $version;

		$app->query("CREATE SERVER $name FOREIGN DATA WRAPPER modal_batch
			OPTIONS (protocol 'http', url '${\ $nginx->url}', http_version '$version', ssl_ca '$other')");
		like($app->outcome("SELECT modal_remote('$name:x')"), qr/^"HTTP\/$version/, "HTTP/$version: it is trusted");
		$app->query("ALTER SERVER $name OPTIONS (SET ssl_ca '$ours')");
		like($app->outcome("SELECT modal_remote('$name:x')"), qr/08001/, "HTTP/$version: another one is not");
	}
}

# --- values that are none ------------------------------------------------------------

my ($certificate, $key) = map { slurp_file($_) } $ca->issue('client');
my @lines = split /\n/, $ours;
for my $case (
	[ '', qr/must be the text of a certificate/, 'nothing' ],
	[ '/etc/ssl/ca.pem', qr/must be the text of a certificate, from -----BEGIN/, 'the name of a file' ],
	[ $key, qr/certificates only, and no key/, 'a key' ],
	[ "$certificate\n$key", qr/certificates only, and no key/, 'a certificate with its key' ],
	[ join("\n", @lines[ 0 .. $#lines - 1 ]), qr/Certificate 1 cannot be read: \w/, 'no end' ],
	[ join("\n", $ours, $lines[0], '!' . $lines[1], @lines[ 2 .. $#lines ]), qr/Certificate 2 cannot be read: \w/, 'a damaged one' ],
	[ join("\n", @lines[ 0, 2 .. $#lines ]), qr/Certificate 1 cannot be read: \w/, 'a line is missing' ],
	[ $ours x 200, qr/16 kB.*ssl_ca_file/, 'too many' ])
{
	my ($value, $hint, $name) = @$case;
	sql_fails($node, "CREATE SERVER bad FOREIGN DATA WRAPPER modal_batch OPTIONS (ssl_ca '$value')",
		qr/HV024: invalid value for option "ssl_ca".*HINT:.*$hint/s, "refused: $name");
}
sql_fails($node, "CREATE SERVER bad FOREIGN DATA WRAPPER modal_batch OPTIONS (ssl_ca '$ours', ssl_ca_file '/x')",
	qr/"ssl_ca" and "ssl_ca_file" exclude each other/, 'refused: two ways at once');

# --- a file that cannot be read ------------------------------------------------------

my $secret = PostgreSQL::Test::Utils::tempdir() . '/ca.pem';
append_to_file($secret, $ours);
chmod 0, $secret or die $!;
my $user = getpwuid $>;
$node->safe_psql('postgres', "CREATE SERVER locked FOREIGN DATA WRAPPER modal_batch OPTIONS (url '${\ $local->url}', ssl_ca_file '$secret')");
$node->safe_psql('postgres', $mapping =~ s/FOR app SERVER mine/FOR PUBLIC SERVER locked/r);
$node->safe_psql('postgres', "CREATE SERVER locked1 FOREIGN DATA WRAPPER modal_batch
	OPTIONS (protocol 'http', url '${\ $local->url}', http_version '1.1', ssl_ca_file '$secret')");
for my $function ('locked:builtin/square', 'locked1:x')
{
	sql_fails($node, "SELECT modal_remote('$function', 3)",
		qr/08001: .*could not read file "\Q$secret\E" as operating system user "$user": Permission denied/s, "$function: who could not read it");
}
chmod 0644, $secret or die $!;
is($node->safe_psql('postgres', q{SELECT modal_remote('locked:builtin/square', 3)}), '9', 'and then it can');

$node->stop;
done_testing();
