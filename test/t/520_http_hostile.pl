# Copyright (c) 2026, modal_batch contributors

# Whatever an HTTP service answers: a clear error, for the right rows only.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $peer = HttpPeer->new;
my $node = modal_node('main');

$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');
my $dispatcher = dispatcher_pid($node);

sub sql { return $node->safe_psql('postgres', @_) }

sub error_like { return sql_fails($node, @_) }

my %limits = (
	json => "retry_budget '0', timeout '60', max_reply_bytes '1000000', gzip 'on'",
	bigquery => "retry_budget '5', timeout '20', format 'bigquery'",
	snowflake => "retry_budget '0', timeout '20', format 'snowflake'",
	redshift => "retry_budget '0', timeout '20', format 'redshift'",
	plain => "retry_budget '30', timeout '20'",
	bytes => "retry_budget '30', timeout '20', result_type 'bytes'");
$peer->server($node, $_, $limits{$_}) for sort keys %limits;

sql("CREATE USER MAPPING FOR PUBLIC SERVER json OPTIONS (bearer_token 'for-this-peer-alone')");

# One answer each.
my $invalid = qr/08P01: .*invalid reply of the HTTP function: /;
my @answers = (
	[ 'json:raw-not-json', qr/$invalid/, 'not JSON' ],
	[ 'json:raw-cut-json', qr/$invalid.*end/, 'JSON that ends too early' ],
	[ 'json:raw-nan', $invalid, 'NaN' ],
	[ 'json:raw-two', qr/${invalid}there is more after the end/, 'two values' ],
	[ 'json:raw-bad-utf8', qr/${invalid}.*utf-8/i, 'invalid UTF-8' ],
	[ 'json:raw-deep', qr/$invalid/, 'very deep JSON' ],
	[ 'json:raw-large', qr/54000: .*body is too large/, 'a large body' ],
	[ 'json:raw-endless', qr/54000: .*body is too large/, 'a body of unknown length' ],
	[ 'json:raw-bomb', qr/54000: .*body is too large/, 'a body that unpacks to 200 MB' ],
	[ 'json:raw-not-gzip', qr/(08P01|08006): /, 'a body that does not unpack' ],
	[ 'plain:raw-gzip-list', undef, 'a compressed body that was not asked for' ],
	[ 'plain:raw-padded', undef, 'zeros behind a compressed body' ],
	[ 'plain:raw-gzip-trailer', undef, 'a trailer about the body that has come' ],
	[ 'bytes:raw-deflate', qr/08P01: .*content coding/, 'another content coding' ],
	[ 'bytes:raw-gzip-twice', qr/08P01: .*content coding/, 'more of them' ],
	[ 'plain:raw-shown-deflate', qr/42883: .*status 404/, 'one with an error status, which counts' ],
	[ 'plain:raw-shown-not-gzip', qr/42883: .*status 404/, 'the same, where it cannot be read' ],
	[ 'json:raw-mark', undef, 'a byte order mark' ],
	[ 'json:raw-half', qr/08006: .*failed/, 'half a body' ],
	[ 'json:raw-half-chunk', qr/08006: .*failed/, 'half a chunk' ],
	[ 'json:raw-huge-header', qr/54000: .*headers are too large/, 'a header of 8 MB' ],
	[ 'json:raw-many-headers', qr/54000: .*headers are too large/, '200,000 headers' ],
	[ 'json:raw-not-http', qr/(08P01|08006): .*failed/, 'another protocol' ],
	[ 'json:raw-nothing', qr/08006: .*failed/, 'no answer at all' ],
	[ 'json:status-302', qr/08006: .*status 302.*Redirects are not followed/s, 'a redirect' ],
	[ 'json:status-418', qr/38000: .*status 418: because/, 'an unusual status' ],
	[ 'json:raw-interim', undef, 'answers that are not the last' ],
	[ 'json:raw-flood', qr/54000: .*headers are too large/, '200,000 of them' ],
	[ 'json:raw-trailers', undef, 'a trailer' ],
	[ 'json:raw-many-trailers', qr/54000: .*headers are too large/, '200,000 trailers' ],
	[ 'json:raw-bad-chunk', qr/(08P01|08006): .*failed/, 'a chunk of a negative size' ],
	[ 'json:raw-two-lengths', qr/08P01: .*(two lengths|Invalid Content-Length)/, 'two lengths, which newer libcurl refuses itself' ],
	[ 'json:raw-length-list', undef, 'one length, twice' ],
	[ 'json:raw-lengths-list', qr/08P01: .*(two lengths|Invalid Content-Length)/, 'two lengths in a list' ],
	[ 'json:raw-long-length', qr/08P01: .*Content-Length/, 'a length that is no number of bytes' ],
	[ 'json:raw-plus-length', qr/08P01: .*Content-Length/, 'a length with a sign' ],
	[ 'json:raw-bad-length', qr/(08P01|08006): .*failed/, 'a negative length' ],
	[ 'json:raw-other-protocol', qr/08P01: .*changed to another protocol/, 'another protocol from here on' ],
	[ 'json:raw-no-status', qr/08P01: .*failed/, 'no status' ],
	[ 'json:raw-odd-status', qr/38000: .*status 999\n/, 'an odd status' ],
	[ 'json:raw-vast-number', qr/ERROR: /, 'a number that is too large' ],
	[ 'json:raw-deep-error', qr/38000: .*status 400: /, 'very deep JSON with a status' ],
	[ 'bigquery:raw-twice', qr/${invalid}the reply has its list of results twice/, 'two lists of results' ],
	[ 'bigquery:raw-strange-errors', qr/${invalid}an object is expected/, 'an error that is a list' ],
	[ 'bigquery:raw-more-errors', qr/${invalid}the reply has more errors/, 'too many errors' ],
	# What was said is shown, whatever its form.
	[ 'json:raw-page', qr{$invalid.*type text/html and begins with: Bad upstream \xc3\xbc\n}, 'a page' ],
	[ 'json:raw-not-json', qr/$invalid.*; it begins with: oops\n/, 'a page that is no page' ],
	[ 'json:raw-bad-page', qr{status 400 \(text/html\): Bad upstream \xc3\xbc\n}, 'a page with a status' ],
	[ 'json:raw-bad-bom', qr/status 400: with a mark\n/, 'a byte order mark' ],
	[ 'json:raw-bad-utf16', qr/status 400: wide \xc3\xbc\n/, 'UTF-16' ],
	[ 'json:raw-bad-bytes', qr/status 400: caf\? {4}\[31m\n/, 'bytes of another encoding' ],
	[ 'json:raw-bad-secret', qr/status 400: x+\**\n/, 'a secret at the limit' ],
	[ 'json:raw-wide-secret', qr/status 400: \*\*\*\n/, 'a secret in UTF-16' ],
	[ 'json:raw-cut-letter', qr/status 400: x(\xe2\x82\xac){2700,2730}\n/, 'cut at a whole character' ],
	[ 'bigquery:raw-short', undef, 'one result for one row' ],
	[ 'bigquery:raw-long', qr/${invalid}.*more results than/, 'too many results' ],
	[ 'bigquery:raw-no-list', qr/${invalid}the reply has no list/, 'no results' ],
	[ 'bigquery:raw-failure', qr/38000: .*model not loaded/, 'an error with a good status' ],
	[ 'redshift:raw-unsuccessful', qr/38000: .*no model/, 'success: false' ],
	[ 'snowflake:swapped', qr/${invalid}the row numbers/, 'a wrong row number' ],
	[ 'snowflake:twice', qr/${invalid}.*more results/, 'a row number twice' ]);
for my $case (@answers)
{
	my ($function, $pattern, $name) = @$case;
	my $query = "SELECT modal_remote('$function', 1)";

	if   (defined $pattern) { error_like($query, $pattern, $name) }
	else                    { is(sql($query), '1', $name) }
}
is(sql("SELECT coalesce(modal_remote('json:empty', 1)::text, 'NULL')"), 'null',
	'an empty body is null');
is(sql("SELECT coalesce(modal_remote('json:204', 1)::text, 'NULL')"), 'null', 'so is 204');
error_like("SELECT modal_remote('json:raw-nul', 1)", qr/ERROR/, 'a zero character');

# What cannot be unpacked is not asked for again until retry_budget is used up.
for my $case ([ 'plain:raw-not-gzip', 'no gzip' ], [ 'plain:raw-followed', 'more than gzip' ])
{
	my $start = time;
	error_like("SELECT modal_remote('$case->[0]', 1)", qr/08P01: .*compressed body cannot be read/, $case->[1]);
	cmp_ok(time - $start, '<', 15, "$case->[1]: known at once");
}

# Of 200 rows, one is bad, and it alone fails, whatever happens to its batch.
$peer->server($node, 'quick', "format 'bigquery', timeout '0.5', retry_budget '3'");
for my $case (
	[ 'bigquery:bad-calls', '38000', 'a refusal' ],
	[ 'bigquery:fewer-calls', '08P01', 'a missing result' ],
	[ 'bigquery:broken-calls', '38000', 'status 500' ],
	[ 'quick:hanging-calls', '57014', 'no answer' ],
	[ 'bigquery:errors', 'none', 'a row error that passes' ])
{
	my ($function, $code, $name) = @$case;

	is( sql("SELECT count(*), coalesce(string_agg(ordinal || ' ' || (error->>'code'), ' '), 'none'),
			sum(result::int) FROM modal_map('$function', 'SELECT g FROM generate_series(1, 200) g',
			on_error => 'return') WHERE error IS NOT NULL OR result IS NOT NULL"),
		$code eq 'none' ? '200|none|20100' : "200|12 $code|20087", $name);
}
is( sql("SELECT string_agg(ordinal || ' ' || (error->>'code'), ',') FROM modal_map(
		'snowflake:swapped', 'SELECT g FROM generate_series(1, 2) g', on_error => 'return')"),
	'0 08P01,1 08P01', 'results in another order are nobody\'s');
error_like("SELECT count(*) FROM modal_map('bigquery:bad-calls',
	'SELECT g FROM generate_series(1, 200) g')", qr/13 is unlucky.*input 12/s,
	'an error names its row');

# All of that in one and the same dispatcher, which has kept nothing of it.
is(dispatcher_pid($node), $dispatcher, 'the dispatcher lives');
cmp_ok(private_memory_kb($dispatcher), '<', 100_000, 'and has not kept what it was sent');
is(sql('SELECT calls, requests_active FROM modal_batch.stat_dispatcher'), '0|0', 'nor works on');
$node->stop;
done_testing();
