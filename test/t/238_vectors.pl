# Copyright (c) 2026, modal_batch contributors

# Lists of numbers as results and arguments: by HTTP, whose JSON is read to the
# declared type; and types with casts from and to real[], pgvector's if it is
# there, against what their input functions make of the same numbers as text.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $peer = HttpPeer->new;
my $local = ModalLocal->new;
my $node = modal_node('main', conf => "client_min_messages = warning\n");
$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');
$peer->server($node, 'rows', "format 'bigquery'");
create_local_server($node, $local);

sub sql { return $node->safe_psql('postgres', @_) }

sub result_is { return sql_is($node, @_) }

# Lists of CBOR, of items that are given as bytes; and random numbers of one sort,
# as lists that are read in one pass have them, or (-1) of all sorts.
sql(q{
	CREATE FUNCTION list(items bytea[]) RETURNS bytea LANGUAGE sql AS $$
		SELECT '\x9a'::bytea || int4send(count(*)::int) || string_agg(item, '' ORDER BY n) FROM unnest(items) WITH ORDINALITY u(item, n) $$;
	CREATE FUNCTION random_numbers(wanted int, sort int, OUT items bytea[], OUT texts text[]) LANGUAGE sql VOLATILE AS $$
		SELECT array_agg(CASE kind WHEN 0 THEN '\xfa'::bytea || float4send(v::float4) WHEN 1 THEN '\x19'::bytea || int2send((g % 30000)::int2) ELSE '\xfb'::bytea || float8send(v) END),
			array_agg(CASE kind WHEN 0 THEN v::float4::float8 WHEN 1 THEN g % 30000 ELSE v END::text)
		FROM (SELECT g, CASE WHEN g % 4 > 0 OR v = 0 OR abs(v) > 1e-37 THEN g % 4 ELSE 2 END AS kind, v FROM (SELECT g, CASE CASE WHEN sort >= 0 THEN sort ELSE g % 5 END
				WHEN 0 THEN random() - 0.5
				WHEN 1 THEN (random() - 0.5) * 10 ^ (random() * 70 - 35)
				-- half way between two floats
				WHEN 2 THEN (1 + (2 * floor(random() * 2 ^ 23) + 1) * 2 ^ -24) * 2 ^ floor(random() * 20 - 10)
				-- around the least normalized and the least float4
				WHEN 3 THEN (random() - 0.5) * 2.0 ^ (-126 - floor(random() * 22))
				ELSE '-0'::float8 END AS v
			FROM generate_series(1, wanted) g) r) q $$});

# HTTP: each element is read by its type, once.
for my $type (qw(int2 int4 int8 float4 float8))
{
	sql(qq{CREATE FUNCTION ${type}s(json) RETURNS ${type}[] LANGUAGE modal AS 'rows:calls'});
}
result_is(q{SELECT int2s('[1,-32768]'), int4s('[ 2147483647 ]'), int8s('[1, 999999999999999999, 9223372036854775807]'), int4s('[1.0, 1e2]')},
	'{1,-32768}|{2147483647}|{1,999999999999999999,9223372036854775807}|{1,100}', 'integers');
result_is(q{SELECT float4s('[0.1, 16777217, -1.5e3]'), float8s('[0.1,123456789012345678901234567890,-0.0]'), float8s('[]'), float4s('[1,null]'), float4s('[[1],[2.5]]')},
	'{0.1,1.6777216e+07,-1500}|{0.1,1.2345678901234568e+29,0}|{}|{1,NULL}|{{1},{2.5}}', 'floats');
sql_fails($node, q{SELECT int2s('[32768]')}, qr/22003/, 'an integer out of range');
sql_fails($node, q{SELECT float4s('[1e39]')}, qr/22003/, 'a float out of range');
sql_fails($node, q{SELECT float4s('[1e-60]')}, qr/22003/, 'a float that would be zero');
sql_fails($node, q{SELECT float8s('[1, {}]')}, qr/42804/, 'an object');
result_is(q{SELECT count(*), count(*) FILTER (WHERE float4s(to_json(v::float8[])) IS DISTINCT FROM v::float4[] OR float8s(to_json(v::float8[])) IS DISTINCT FROM v::float8[])
	FROM (SELECT array_agg(((random() - 0.5) * 10 ^ (random() * 30 - 15))::text) AS v FROM generate_series(1, 20) n, generate_series(1, 40) g GROUP BY n) q},
	'20|0', 'random floats: as the types read their text');

# Any type with a cast from real[]: here one whose values are text, by a cast
# in SQL.  The cast is the role's to execute, or not.
sql(<<'END');
	CREATE TYPE listing;
	CREATE FUNCTION listing_in(cstring) RETURNS listing LANGUAGE internal IMMUTABLE STRICT AS 'textin';
	CREATE FUNCTION listing_out(listing) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
	CREATE FUNCTION listing_recv(internal) RETURNS listing LANGUAGE internal STABLE STRICT AS 'textrecv';
	CREATE TYPE listing (INPUT = listing_in, OUTPUT = listing_out, RECEIVE = listing_recv, LIKE = text);
	CREATE FUNCTION to_listing(real[]) RETURNS listing LANGUAGE plpgsql AS $$ BEGIN RETURN (current_user || $1::text)::listing; END $$;
	CREATE FUNCTION from_listing(listing) RETURNS real[] LANGUAGE plpgsql AS $$ BEGIN RETURN regexp_replace($1::text, '^[^{]*', '')::real[]; END $$;
	CREATE CAST (real[] AS listing) WITH FUNCTION to_listing(real[]) AS ASSIGNMENT;
	CREATE CAST (listing AS real[]) WITH FUNCTION from_listing(listing) AS ASSIGNMENT;
	CREATE DOMAIN short_listing AS listing CHECK (length(VALUE::text) < 30);
	CREATE FUNCTION as_listing(bytea) RETURNS listing LANGUAGE modal AS 'local:builtin/raw';
	CREATE FUNCTION as_short(bytea) RETURNS short_listing LANGUAGE modal AS 'local:builtin/raw';
	CREATE FUNCTION as_listings(bytea) RETURNS listing[] LANGUAGE modal AS 'local:builtin/raw';
	CREATE FUNCTION echo_listing(listing) RETURNS jsonb LANGUAGE modal AS 'local:builtin/echo';
	CREATE ROLE guest;
	GRANT USAGE ON FOREIGN SERVER local TO guest;
	CREATE USER MAPPING FOR guest SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local');
END
my $list = q{list(ARRAY['\xf93e00', '\x02']::bytea[])};
result_is("SET extra_float_digits = -10; SELECT as_listing($list)", 'postgres{1.5,2}', 'a cast in SQL');
result_is(q{SELECT as_listing('\x626f6b')}, 'ok', 'its text, through the input function');
result_is("SELECT as_listings('\\x82' || $list || $list)", '{"postgres{1.5,2}","postgres{1.5,2}"}', 'an array of them');
result_is("SELECT as_short($list)", 'postgres{1.5,2}', 'a domain over it');
sql_fails($node, q{SELECT as_short(list(array_fill('\xfb3ff199999999999a'::bytea, ARRAY[9])))}, qr/23514/, 'its check');
result_is(q{SELECT echo_listing('me{1.5,2}')}, '[1.5, 2]', 'an argument');
sql_fails($node, q{SELECT as_listing('\x82016178')}, qr/42804/, 'text in a list');
sql_fails($node, q{SELECT as_listing('\x8201f6')}, qr/42804/, 'None in a list');
sql_fails($node, q{SELECT as_listing('\x81fb7e37e43c8800759c')}, qr/22003/, 'a number out of range');
result_is("SET ROLE guest; SELECT as_listing($list)", 'guest{1.5,2}', "with the role's rights");
sql('REVOKE EXECUTE ON FUNCTION to_listing, from_listing FROM PUBLIC');
sql_fails($node, "SET ROLE guest; SELECT as_listing($list)", qr/42501/, 'which it needs');
sql_fails($node, q{SET ROLE guest; SELECT echo_listing('me{1}')}, qr/42501/, 'for an argument, too');
result_is(q{SET ROLE guest; SELECT as_listing('\x626f6b')}, 'ok', 'but not for text');

# pgvector
my $has_pgvector = sql(q{SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'});
note('there is no pgvector') if !$has_pgvector;
pgvector() if $has_pgvector;

sub pgvector
{
	sql('CREATE SCHEMA elsewhere; CREATE EXTENSION vector SCHEMA elsewhere');
	for my $type (qw(vector halfvec sparsevec))
	{
		sql(qq{CREATE FUNCTION as_$type(bytea) RETURNS elsewhere.$type LANGUAGE modal AS 'local:builtin/raw';
			CREATE FUNCTION ${type}_of_json(json) RETURNS elsewhere.$type LANGUAGE modal AS 'rows:calls'});
		my $read = $type eq 'sparsevec' ? 'elsewhere.vector' : "elsewhere.$type";
		result_is(qq{SET search_path = public, elsewhere; SELECT count(*), count(*) FILTER (WHERE as_$type(list(items)) IS DISTINCT FROM ('[' || array_to_string(texts, ',') || ']')::$read\::elsewhere.$type
				OR as_$type(list(items))::text IS DISTINCT FROM ('[' || array_to_string(texts, ',') || ']')::$read\::elsewhere.$type\::text
				OR ${type}_of_json(to_json(texts::float8[])) IS DISTINCT FROM as_$type(list(items)))
			FROM (SELECT (SELECT array_agg(item ORDER BY n) FROM unnest(items, texts) WITH ORDINALITY u(item, value, n) WHERE '$type' <> 'halfvec' OR abs(value::float8) < 65000) AS items,
					(SELECT array_agg(value ORDER BY n) FROM unnest(texts) WITH ORDINALITY u(value, n) WHERE '$type' <> 'halfvec' OR abs(value::float8) < 65000) AS texts
				FROM generate_series(1, 60) g, random_numbers(200, g % 6 - 1)) q},
			'60|0', "$type: the value that its text is");
		sql_fails($node, qq{SELECT as_$type('\\x81f97e00')}, qr/22000|22P02/, "$type: NaN");
		sql_fails($node, qq{SELECT as_$type('\\x81fb7e37e43c8800759c')}, qr/22003/, "$type: a number out of range");
		sql_fails($node, qq{SELECT as_$type('\\x8201f6')}, qr/42804/, "$type: None in a list");
		sql_fails($node, qq{SELECT as_$type('\\x818101')}, qr/42804/, "$type: a list in a list");
		sql_fails($node, qq{SELECT as_$type('\\x80')}, qr/22000/, "$type: no numbers");
		sql_fails($node, qq{SELECT as_$type(list(array_fill('\\x01'::bytea, ARRAY[16001])))}, qr/54000/, "$type: too many")
		  if $type ne 'sparsevec';
	}
	result_is(q{SELECT as_vector('\x655b312c325d' || ''::bytea), as_sparsevec('\x67' || convert_to('{1:2}/3', 'UTF8')), as_halfvec('\xd855480000803f000000c0')},
		'[1,2]|{1:2}/3|[1,-2]', 'text, and a typed array');
	result_is(q{SELECT modal_remote('local:builtin/echo', '[1.5,-2,0.1]'::elsewhere.vector), modal_remote('local:builtin/echo', '[1.5,-2]'::elsewhere.halfvec), modal_remote('local:builtin/echo', '{1:2}/3'::elsewhere.sparsevec)},
		'[1.5, -2, 0.10000000149011612]|[1.5, -2]|"{1:2}/3"', 'arguments');

	# a dimension is held to, in tables of jobs, too
	sql(q{CREATE TABLE kept (id int PRIMARY KEY, v elsewhere.vector(2));
		CREATE DOMAIN pair AS elsewhere.halfvec(2);
		CREATE FUNCTION as_pair(bytea) RETURNS pair LANGUAGE modal AS 'local:builtin/raw'});
	result_is(q{SELECT as_pair('\x820102')}, '[1,2]', 'a domain with a dimension');
	sql_fails($node, q{SELECT as_pair('\x83010203')}, qr/22000.*expected 2 dimensions, not 3/, 'of another one');
	my $job = sql(q{SELECT modal_spawn_map('local:builtin/raw', $$SELECT id, data FROM (VALUES (1, '\x820102'::bytea), (2, '\x83010203'), (3, '\xd855480000803f000000c0')) v(id, data)$$,
		key => '{id}', into_table => 'kept', result_column => 'v')});
	result_is("SELECT modal_wait($job)", 'completed', 'a job');
	result_is('SELECT * FROM kept ORDER BY id', "1|[1,2]\n3|[1,-2]", 'its rows');
	return;
}

done_testing();
