# Copyright (c) 2026, modal_batch contributors

# Names, arguments, results and messages are the same in databases of every
# encoding, as far as it has the characters.

use strict;
use warnings FATAL => 'all';

use FindBin;
use HttpPeer;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new(files => ["$FindBin::Bin/../typed/encodings.py"]);
my $node  = modal_node('main', local => $local);
my $peer  = HttpPeer->new; # answers in JSON with characters escaped

# What psql, which speaks UTF-8, says to a statement in a database.
sub said
{
	my ($db, $statement) = @_;
	local $ENV{PGCLIENTENCODING} = $db =~ /^(sql_ascii|mule_internal)$/ ? $db : 'UTF8';
	my ($rc, $stdout, $stderr) =
	  $node->psql($db, $statement, extra_params => [ '-v', 'VERBOSITY=verbose' ]);

	$stderr =~ s/^psql:[^:]*:\d+: //mg;
	return $stdout . ($stderr // '');
}

for my $encoding ('UTF8', 'LATIN1', 'EUC_JP', 'SQL_ASCII')
{
	my $db = lc $encoding;

	$node->safe_psql('postgres',
		"CREATE DATABASE $db ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
	$node->safe_psql($db, 'CREATE EXTENSION modal_batch');
	$node->safe_psql($db, sprintf(q{
		CREATE SERVER local FOREIGN DATA WRAPPER modal_batch OPTIONS (url '%s', ssl_ca_file '%s');
		CREATE USER MAPPING FOR CURRENT_USER SERVER local OPTIONS (token_id '%s', token_secret '%s')},
		$local->url, $local->ca_file, $local->token_id, $local->token_secret));

	is( said($db, q{SELECT modal_call('local:encodings/échappe', '["é"]', '{"où": "ü"}')}),
		'["é", "ü"]', "$encoding: name, arguments, keyword arguments and result");
	is( said($db, q{SELECT result FROM modal_map('local:encodings/échappe', 'SELECT ''é''', kwargs => '{"où": "à"}')}),
		'["é", "à"]', "$encoding: a map");
	is( said($db, q{SELECT function FROM modal_batch.stat_functions WHERE function LIKE '%chappe' AND calls > 0 LIMIT 1}),
		'local:encodings/échappe', "$encoding: statistics");
	is( said($db, q{CREATE FUNCTION "échappe"(x text, "où" text) RETURNS text[] LANGUAGE modal AS 'local:encodings/échappe';
			SELECT "échappe"('é', 'à')}),
		'{é,à}', "$encoding: a typed function");

	my $sign = $encoding eq 'UTF8' || $encoding eq 'SQL_ASCII' ? '€' : '\?';
	like(said($db, q{SELECT modal_remote('local:encodings/costs', 1)}),
		qr/ERROR:  38000: ValueError\('costs 5 $sign, not 5 é'\)/,
		"$encoding: an error with a character that it may not have");
	like( said($db, q{SELECT error->>'code', error->>'message' FROM modal_map('local:encodings/costs', 'SELECT 1', on_error => 'return')}),
		qr/^38000\|.*costs 5 $sign/, "$encoding: the same as jsonb");
	like(said($db, q{SELECT modal_remote('local:encodings/paints', 1)}),
		qr/\?\[31mred\?\[0m\nand \?31m \? more\tplain/,
		"$encoding: no control characters in messages");
	like(said($db, q{SELECT modal_remote('local:encodings/nicht_dà', 1)}),
		qr/42883: .*nicht_dà/, "$encoding: a message with a name");
	$node->safe_psql($db, sprintf(
		q{CREATE SERVER web FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', url '%s', allow_http 'on')},
		$peer->url));
	is( said($db, q{SELECT modal_remote('web:echo', 'é\\u00e9\\')}),
		'{"arg1": "é\\\\u00e9\\\\"}', "$encoding: JSON with escapes");
	# in LATIN1 the second is two characters, of the bytes that are one in UTF-8
	is( said($db, q{CREATE FUNCTION listed(jsonb) RETURNS SETOF text LANGUAGE modal AS 'web:echo';
			SELECT listed('["é", "Ã©"]')}),
		"é\nÃ©", "$encoding: the elements of a list in JSON");
	like(said($db, q{SELECT modal_function_call('local:nonsense')}),
		qr/HINT:  An id is "\[server:\]fc-\.\.\."/, "$encoding: a message of our own");
}

# What the encoding has not.
like(said('latin1', q{SELECT modal_remote('local:encodings/euro', 1)}),
	qr/22P05/, 'LATIN1: a result with another character');
is( said('latin1', q{SELECT error->>'code' FROM modal_map('local:encodings/euro', 'SELECT 1', on_error => 'return')}),
	'22P05', 'LATIN1: it fails its row only');
is( said('sql_ascii', q{SELECT modal_remote('web:echo', '𠮷')}),
	'{"arg1": "𠮷"}', 'SQL_ASCII: a character of two escapes');
like( said('sql_ascii', q{SELECT modal_remote('local:builtin/echo', E'\xff')}),
	qr/22021/, 'SQL_ASCII: an argument that is not UTF-8');

# An encoding of which there is no conversion to UTF-8, and which newer servers have not.
SKIP:
{
	skip 'there is no MULE_INTERNAL', 3
	  if $node->psql('postgres', "CREATE DATABASE mule_internal ENCODING 'MULE_INTERNAL' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0") != 0;
	$node->safe_psql('mule_internal', sprintf(q{
		CREATE EXTENSION modal_batch;
		CREATE SERVER local FOREIGN DATA WRAPPER modal_batch OPTIONS (url '%s', ssl_ca_file '%s');
		CREATE USER MAPPING FOR CURRENT_USER SERVER local OPTIONS (token_id '%s', token_secret '%s')},
		$local->url, $local->ca_file, $local->token_id, $local->token_secret));
	is( said('mule_internal', q{SELECT modal_remote('local:builtin/echo', 'plain', '{"a": "text"}'::jsonb)}),
		'["plain", {"a": "text"}]', 'MULE_INTERNAL: ASCII');
	like(said('mule_internal', q{SELECT modal_remote('local:builtin/fail', 'plain')}),
		qr/38000: ValueError\('plain'\)/, 'MULE_INTERNAL: an error');
	like(said('mule_internal', q{SELECT modal_remote('local:builtin/raw', '\x62c3bc'::bytea)}),
		qr/42883: default conversion function/, 'MULE_INTERNAL: another character');
}

# All files of the extension say what they say in ASCII.
my @others;
for my $file (glob("$ENV{MODAL_TOP}/src/*/*.c $ENV{MODAL_TOP}/src/*.c $ENV{MODAL_TOP}/modal_batch--*.sql"))
{
	my $text = slurp_file($file);

	next if $file =~ /\.pb-c\.c$/;
	$text =~ s{/\*.*?\*/}{}gs;
	$text =~ s{^--.*$}{}mg if $file =~ /\.sql$/;
	push @others, $file if $text =~ /[^\x00-\x7f]/;
}
is("@others", '', 'messages are ASCII');

$node->stop;
done_testing();
