# Copyright (c) 2026, modal_batch contributors

# Credentials that are more than a header: AWS's signatures, checked by botocore, and tokens of
# OAuth 2 and of Google's service accounts.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use JSON::PP qw(encode_json);
use ModalSession;
use ModalTest;
use Nginx;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $peer = HttpPeer->new(program => 'auth_peer.py');
my $node = modal_node('main');
my @secrets = ('se cret%&-1', 'aws-s3cret/+', 'aws-t0ken==');

$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');

sub sql { return $node->safe_psql('postgres', @_) }

sub fails { return sql_fails($node, @_) }

# A server at a path of the peer, and a mapping for it.
sub server
{
	my ($name, $path, $options, $mapping) = @_;
	sql("CREATE SERVER $name FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http',
		url '${\ $peer->url}/$path', allow_http 'on'" . ($options ? ", $options" : '') . ')');
	sql("CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS ($mapping)") if $mapping;
	return;
}

my $aws = "aws_access_key_id 'AKIDEXAMPLE', aws_secret_access_key 'aws-s3cret/+', aws_session_token 'aws-t0ken=='";
my $oauth = "client_id 'client-1', client_secret 'se cret%&-1'";
my $token_url = $peer->url . '/token';

sub requests_of
{
	my ($kind) = @_;
	return grep { $_->{path} =~ m{^/$kind\b} } $peer->requests;
}

# AWS: botocore has to make the same of each request.
server('lambda', 'aws/eu-west-1/lambda', "aws_region 'eu-west-1', aws_service 'lambda',
	headers E'X-Amz-Invocation-Type: RequestResponse\nX-Amz-Odd:  a   b '", $aws);
for my $path ('x', 'a/b?b=2&a=1&a=0', 'x?flag', 'model/anthropic.claude-v1%3A0/invoke', 'model/a:0/invoke',
	'f/arn%3Aaws%3Alambda/invocations', 'q?x=a%20b&y=%C3%BC', '2015//x/', 'a~b/c=d/e@f')
{
	is(sql("SELECT modal_remote('lambda:$path', 1)"), '{"arg1": 1}', "signed: $path");
}
server('s3', 'aws/us-east-1/s3', "aws_region 'us-east-1', aws_service 's3', method 'PUT', gzip 'on'", $aws);
is(sql("SELECT modal_remote('s3:a%20b/c%3Dd', 1)"), '{"arg1": 1}', 'for S3');
is(sql("SELECT modal_remote('s3:a', repeat('x', 3000))"), '{"signed": true}', 'a compressed body is signed as it is sent');
is(sql("SELECT authenticated FROM modal_ping('lambda')"), 't', 'ping is signed, too');
server('front', 'aws/eu-west-1/lambda', "aws_region 'eu-west-1', aws_service 'lambda',
	headers 'Host: lambda.eu-west-1.amazonaws.com'", $aws);
is(sql("SELECT modal_remote('front:x', 1)"), '{"arg1": 1}', 'behind another name: what Host says is signed');
server('wrong', 'aws/eu-west-1/lambda', "aws_region 'eu-west-1', aws_service 'lambda'",
	"aws_access_key_id 'AKIDEXAMPLE', aws_secret_access_key 'wr0ng-s3cret'");
fails("SELECT modal_remote('wrong:x', 1)", qr/28000: .*status 403/, 'another key');
SKIP:
{
	skip 'nginx is not installed', 1 if !Nginx->program;
	my $nginx = Nginx->new(http2 => 1,
		server => "location / { proxy_pass ${\ $peer->url}; proxy_http_version 1.1; proxy_set_header Host \$http_host; }");
	sql("CREATE SERVER h2 FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', allow_http 'on', http_version '2',
		url '${\ $nginx->url}/aws/eu-west-1/bedrock', aws_region 'eu-west-1', aws_service 'bedrock')");
	sql("CREATE USER MAPPING FOR CURRENT_USER SERVER h2 OPTIONS ($aws)");
	is(sql("SELECT modal_remote('h2:model/a%3A0/invoke?x&a=b', 1)"), '{"arg1": 1}', 'over HTTP/2');
}

# A clock that is wrong by an hour is to blame, and said to be.
for my $shift ('late-3600', 'early-3600')
{
	my $name = $shift =~ s/-.*//r;
	server($name, "$shift/aws/eu-west-1/lambda", "aws_region 'eu-west-1', aws_service 'lambda'", $aws);
	my $where = $name eq 'late' ? 'behind' : 'ahead of';
	fails("SELECT modal_remote('$name:x', 1)",
		qr/28000: .*the clock of the database server is 3(600|59\d|60\d) s $where that of the service.*check the clock/s,
		"a clock that is $where the service's");
}

# OAuth 2: fetched once for all who wait, and kept.
server('shop', 'api', "token_url '$token_url', scope 'read write', audience 'https://shop'", $oauth);
$peer->forget;
is(sql("SELECT count(*) FROM modal_map('shop:echo', 'SELECT g FROM generate_series(1, 200) g')"), 200, 'OAuth 2');
my @seen = $peer->requests;
my @fetches = grep { $_->{path} eq '/token' } @seen;
is(scalar(@fetches), 1, 'one token for all');
is($fetches[0]{body}, 'grant_type=client_credentials&scope=read%20write&audience=https%3A%2F%2Fshop', 'the form');
like($fetches[0]{headers}{authorization}, qr/^Basic /, 'the client in a header');
is(sql("SELECT modal_remote('shop:echo', 1)"), '{"arg1": 1}', 'another session');
is(scalar(requests_of('token')), 0, 'has the same token');
server('post', 'api', "token_url '$token_url/opaque', token_auth 'post'", $oauth);
is(sql("SELECT modal_remote('post:echo', 1)"), '{"arg1": 1}', 'token_auth post');
is((requests_of('token'))[0]{headers}{authorization}, undef, 'has no header');
server('pinged', 'api', "token_url '$token_url'", $oauth);
is(sql("SELECT authenticated FROM modal_ping('pinged')"), 't', 'ping fetches one');

# It expires, or is revoked.
server('brief', 'api', "token_url '$token_url/life-1'", $oauth);
$peer->forget;
is(sql("SELECT modal_remote('brief:echo', 1), pg_sleep(1.5)"), '{"arg1": 1}|', 'a token that lives for a second');
server('lasting', 'api', "token_url '$token_url/life-2', max_concurrency '1'", $oauth);
is(sql("SELECT count(*) FROM modal_map('lasting:sleep-100/echo', 'SELECT generate_series(1, 50)')"), '50',
	'tokens that end one after the other while rows are sent');
server('once', 'api', "token_url '$token_url/x'", $oauth);
is(sql("SELECT modal_remote('once:echo', 1)"), '{"arg1": 1}', 'a token that will be revoked');
fails("SELECT modal_map('once:once', 'SELECT g FROM generate_series(1, 20) g')", qr/28000: .*status 401/,
	'a token that is refused though it is new');

# A token that was refused is not sent again while there is no other; one that is good is, whatever
# becomes of the attempt to have another one in time.
server('lapse', 'api', "token_url '$token_url/lapse/from-2-3-503'", $oauth);
server('ahead', 'api', "token_url '$token_url/ahead/life-20/from-2-99-403'", $oauth);
is(sql("SELECT modal_remote('$_', 1)"), '{"arg1": 1}', "$_: a first token") for 'lapse:once', 'ahead:echo';
sleep 13;
$peer->forget;
is(sql("SELECT modal_remote('lapse:once', 1)"), '{"arg1": 1}', 'a token that is revoked while the endpoint has trouble');
is(scalar(grep { $_->{path} =~ m{^/api} } $peer->requests), 2, 'and is not sent again');
for (1 .. 3)
{
	is(sql("SELECT modal_remote('ahead:echo', 1), pg_sleep(0.2)"), '{"arg1": 1}|', 'a refresh ahead of time that is refused');
}
cmp_ok(scalar(requests_of('token/ahead')), '>=', 1, 'and was asked for');

# Trouble with the endpoint.
server('later', 'api', "token_url '$token_url/fail-1-503', retry_budget '30'", $oauth);
is(sql("SELECT modal_remote('later:echo', 1)"), '{"arg1": 1}', 'a token at the second try');
server('refused', 'api', "token_url '$token_url/refuse'", $oauth);
fails("SELECT modal_remote('refused:echo', 1)",
	qr/28000: .*token endpoint answered with status 400: invalid_client: I got/, 'refused');
fails("SELECT modal_ping('refused')", qr/28000: .*invalid_client/, 'ping says so, too');
fails("SELECT count(*) FROM modal_map('refused:echo', 'SELECT g FROM generate_series(1, 200) g')",
	qr/28000: .*invalid_client/, 'for many rows');
server('gone', 'api', "token_url 'http://127.0.0.1:1/token', retry_budget '0'", $oauth);
fails("SELECT modal_remote('gone:echo', 1)", qr/08001: .*could not get an access token/, 'out of reach');
server('moved', 'api', "token_url '$token_url/moved'", $oauth);
fails("SELECT modal_remote('moved:echo', 1)", qr/28000: .*status 302.*Redirects are not followed/s, 'a redirect');
server('none', 'api', "token_url '$token_url/none'", $oauth);
fails("SELECT modal_remote('none:echo', 1)", qr/08P01: .*it has no access_token/, 'no token in the reply');
server('denied', 'api', "token_url '$token_url/denied'", $oauth);
fails("SELECT modal_remote('denied:echo', 1)", qr/28000: .*bad_code: The code is wrong/, 'a refusal with a good status');
server('html', 'api', "token_url '$token_url/html'", $oauth);
fails("SELECT modal_remote('html:echo', 1)", qr/08P01: .*it is not a JSON object/, 'no JSON');
server('other', 'api', "token_url '$token_url/other'", $oauth);
fails("SELECT modal_remote('other:echo', 1)", qr/08P01: .*token_type is not Bearer/, 'another kind of token');

# Refresh tokens, the latest of which counts.
server('renewed', 'api', "token_url '$token_url/rotate/life-1', token_auth 'post'", "$oauth, refresh_token 'refresh-0'");
$peer->forget;
is(sql("SELECT modal_remote('renewed:echo', 1)"), '{"arg1": 1}', 'a refresh token');
like((requests_of('token'))[0]{body}, qr/^grant_type=refresh_token&refresh_token=refresh-0&client_id=client-1/,
	'is sent');

# A job waits for a token endpoint that is out of reach, and goes on.
server('job', 'api', "token_url '$token_url/fail-4-503'", $oauth);
my $job = sql("SELECT modal_spawn_map('job:echo', 'SELECT g FROM generate_series(1, 50) g')");
is(sql("SELECT modal_wait($job)"), 'completed', 'a job');
is(sql("SELECT succeeded FROM modal_batch.jobs WHERE job = $job"), 50, 'all of it');

# Google's service accounts.
my $dir = PostgreSQL::Test::Utils::tempdir;
my $key_file = "$dir/account.pem";
system_or_bail('openssl', 'genpkey', '-quiet', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', $key_file);
system_or_bail('openssl', 'pkey', '-in', $key_file, '-pubout', '-out', $peer->log_file . '.pub');
my $pem = slurp_file($key_file);
my $json = encode_json({ type => 'service_account', client_email => 'robot@shop.example', private_key => $pem,
	private_key_id => 'key-1', token_uri => 'http://127.0.0.1:1/elsewhere' });
server('google', 'api', "token_url '$token_url'", "google_key '$json'");
is(sql("SELECT modal_remote('google:echo', 1)"), '{"arg1": 1}', 'a service account: an identity token');
server('scoped', 'api', "token_url '$token_url', scope 'https://www.googleapis.com/auth/cloud-platform'",
	"google_key '$json'");
is(sql("SELECT modal_remote('scoped:echo', 1)"), '{"arg1": 1}', 'an access token');
server('google_late', 'api', "token_url '${\ $peer->url}/late-3600/token'", "google_key '$json'");
fails("SELECT modal_remote('google_late:echo', 1)",
	qr/28000: .*invalid_grant.*the clock of the database server is 3\d\d\d s behind.*check the clock/s, 'a wrong clock');
server('plain', 'api', "token_url '$token_url'");
fails("CREATE USER MAPPING FOR CURRENT_USER SERVER plain OPTIONS (google_key '$_->[0]')",
	qr/HV024: .*google_key.*$_->[1]/s, "a bad key: $_->[1]")
  for [ 'x', 'JSON key' ], [ '{"client_email": "a@b"}', 'private_key' ], [ '{}', 'client_email' ],
  [ '{"client_email": "a@b", "private_key": "-----BEGIN PRIVATE KEY-----"}', 'RSA key' ];

# Files, which the server's user reads, for each call.
my $file = "$dir/secret";
append_to_file($file, "se cret%&-1\n");
server('filed', 'api', "token_url '$token_url/filed'", "client_id 'client-1', client_secret_file '$file'");
is(sql("SELECT modal_remote('filed:echo', 1)"), '{"arg1": 1}', 'a secret in a file');
open my $fh, '>', $file or die $!;
print $fh 'other-s3cret';
close $fh;
fails("SELECT modal_remote('filed:echo', 1)", qr/28000: .*invalid_client/, 'which was replaced');
open $fh, '>', $file or die $!;
print $fh "two\nlines";
close $fh;
my ($status, $out, $err) = modal_psql($node, "SELECT modal_remote('filed:echo', 1)");
like($err, qr/HV024: .*invalid value for option "client_secret"/, 'and is no secret now');
unlike($err, qr/two|lines/, 'which is not shown');
unlink $file;
fails("SELECT modal_remote('filed:echo', 1)", qr/58P01: .*could not open file/, 'and is gone');
append_to_file($file, $json);
server('google_file', 'api', "token_url '$token_url'", "google_key_file '$file'");
is(sql("SELECT modal_remote('google_file:echo', 1)"), '{"arg1": 1}', 'a key in a file');
sql("CREATE ROLE plain LOGIN; GRANT USAGE ON FOREIGN SERVER plain TO plain");
fails("SET ROLE plain; CREATE USER MAPPING FOR plain SERVER plain OPTIONS (client_id 'x', client_secret_file '/etc/passwd')",
	qr/42501: .*permission denied to set option "client_secret_file"/, 'for superusers only');
unlike(sql("SELECT string_agg(umoptions::text, ' ') FROM pg_user_mappings WHERE srvname = 'filed'"), qr/cret%/,
	'a dump has no secret');

# What goes together.
fails("CREATE USER MAPPING FOR plain SERVER plain OPTIONS ($_->[0])", $_->[1], "mapping: $_->[0]")
  for [ "client_id 'x'", qr/HV00D: .*"client_id" needs option "client_secret"/ ],
  [ "client_secret 'x'", qr/HV00D: .*needs option "client_id"/ ],
  [ "aws_access_key_id 'x'", qr/HV00D: .*needs option "aws_secret_access_key"/ ],
  [ "$oauth, bearer_token 'x'", qr/HV00D: .*exclude each other/ ],
  [ "$aws, $oauth", qr/HV00D: .*exclude each other/ ],
  [ "bearer_token 'x', bearer_token_file '/x'", qr/HV00D: .*exclude each other/ ],
  [ "bearer_token_file 'x'", qr/HV024: .*absolute path/s ],
  [ "bearer_tokn_file '/x'", qr/HV00D: .*Perhaps you meant the option "bearer_token_file"/s ];
fails("ALTER SERVER plain OPTIONS (ADD aws_region 'x')", qr/HV00J: .*go together/, 'a region without service');
fails("ALTER SERVER plain OPTIONS (ADD aws_region 'x/y', ADD aws_service 'x')", qr/HV024: .*letters/s, 'a bad region');
fails("CREATE SERVER bad FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', url 'https://x', token_url 'http://x')",
	qr/HV024: .*plain-text token URL/, 'a token URL in plain text');
fails("SELECT modal_remote('plain:echo', 1)", qr/28000: .*has nothing that option token_url is for/, 'no client');
server('unused', 'api', undef, $oauth);
fails("SELECT modal_remote('unused:echo', 1)", qr/28000: .*has an OAuth client, which the server does not use/, 'no token_url');
server('keyless', 'api', "aws_region 'x', aws_service 'y'");
fails("SELECT modal_remote('keyless:echo', 1)", qr/28000: .*has no AWS keys/, 'no AWS keys');

# Secrets are nowhere: not in errors, whatever the service says, nor in the log.
my $told = (modal_psql($node, "SELECT modal_remote('shop:tell', 1)"))[2];
like($told, qr/I got .*\*\*\*/, 'a token that the service shows');
unlike($told, qr/tok-/, 'is hidden');
$told = (modal_psql($node, "SELECT modal_remote('refused:echo', 1)"))[2];
unlike($told, qr/se(%20| |\+)cret|Y2xpZW50/, 'so is what the endpoint shows');
server('bare', 'api', "token_url '$token_url/bare'", $oauth);
$told = (modal_psql($node, "SELECT modal_remote('bare:echo', 1)"))[2];
like($told, qr/invalid_client: not \w*\*\*\*/, 'nor a secret with odd characters, as a form and base64 have it');
# A token after which two others were fetched before its answer came.
server('fleeting', 'api', "token_url '$token_url/life-10'", $oauth);
my $slow = ModalSession->new($node);
$slow->begin(q{DO $$ BEGIN PERFORM modal_remote('fleeting:sleep-14000/bare', 1);
	EXCEPTION WHEN OTHERS THEN PERFORM set_config('my.told', SQLERRM, false); END $$});
for my $nth (2, 3)
{
	sleep 6.5;
	sql(q{SELECT modal_remote('fleeting:echo', 1)});
}
like($slow->query("SELECT current_setting('my.told')"), qr/I got \*\*\*/, 'nor an old token');
$slow->quit;
$node->stop;
my $log = slurp_file($node->logfile);
$log =~ s/^.*(?:CREATE USER MAPPING|OPTIONS).*$//mg;
unlike($log, qr/\Q$_\E/, "not in the log: $_") for @secrets, 'tok-', 'BEGIN PRIVATE KEY';

done_testing();
