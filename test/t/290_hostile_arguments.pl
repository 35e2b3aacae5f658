# Copyright (c) 2026, modal_batch contributors

# Every SQL function of the extension, called with what nobody would call it
# with: each argument takes each value that is wrong in its own way, alone and
# together with every such value of each other argument, as superuser and as a
# role without rights.  No call crashes the server, and none ends in an error
# that PostgreSQL calls internal.
#
# The functions are found in the catalog, so a new one is in it by itself; a
# type that has no values here fails the test.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local, conf => "log_min_messages = fatal\n");

$node->safe_psql('postgres', q{
	CREATE ROLE nobody;
	CREATE SCHEMA h;
	GRANT USAGE ON SCHEMA h TO nobody;
	CREATE TABLE h.plain (id int PRIMARY KEY, x int, result jsonb);
	CREATE TABLE h.bare (x int);
	CREATE TABLE h.parted (id int PRIMARY KEY, result jsonb) PARTITION BY RANGE (id);
	CREATE VIEW h.view AS SELECT * FROM h.plain;
	CREATE MATERIALIZED VIEW h.matview AS SELECT 1 AS id;
	CREATE SEQUENCE h.sequence;
	CREATE TYPE h.composite AS (a int, b text);
	CREATE DOMAIN h.domain AS int CHECK (VALUE > 0);
	CREATE FUNCTION h.typed(int) RETURNS int LANGUAGE modal AS 'local:builtin/echo';
});

# --- values that are wrong in their own way ------------------------------------

my $long = q{repeat('x', 100000)};
my %hostile = (
	text => [
		'NULL', q{''}, q{' '}, q{':'}, q{'local:'}, q{'local:builtin/echo'}, q{'local:builtin/nosuch'}, q{'nosuch:builtin/echo'},
		q{'local:fc-nosuch'}, q('local:builtin/echo#{'), q('local:builtin/C{"a":'), q{E'\x01\x7f'}, q{'SELECT 1; SELECT 2'},
		q{'ROLLBACK'}, q{'%s%n%d'}, $long
	],
	jsonb => [ 'NULL', q{'null'}, q{'[]'}, q{'{}'}, '1', q{'{"": null}'}, q{'[{"a": [[]]}]'}, q{(repeat('[', 900) || repeat(']', 900))::jsonb} ],
	bigint  => [ 'NULL', '0', '-1', '9223372036854775807', '-9223372036854775808' ],
	integer => [ 'NULL', '0', '-1', '2147483647', '-2147483648' ],
	boolean => [ 'NULL', 'true', 'false' ],
	interval => [ 'NULL', q{'0'}, q{'-1 s'}, q{'178000000 years'}, q{'-178000000 years'} ],
	'timestamp with time zone' => [ 'NULL', q{'infinity'}, q{'-infinity'}, q{'4714-11-24 00:00:00+00 BC'}, q{'294276-12-31'}, 'now()' ],
	'text[]'   => [ 'NULL', q{'{}'}, q{'{NULL}'}, q{'{id,id}'}, q{'{{id},{x}}'}, q{'[0:0]={id}'}, q{array_fill('k'::text, ARRAY[2000])} ],
	'name[]'   => [ 'NULL', q{'{}'}, q{'{NULL}'}, q{'{id,id}'}, q{'{{id},{x}}'}, q{'{nosuch}'}, q{'{ctid}'} ],
	'modal_batch.job' => [ 'NULL', 'ROW(NULL)', '(SELECT j FROM modal_batch.job j LIMIT 1)' ],
	'bigint[]' => [ 'NULL', q{'{}'}, q{'{NULL}'}, q{'{0,-1}'}, q{'{{1},{2}}'}, q{array_fill(7::bigint, ARRAY[2000])} ],
	anyarray => [
		'NULL::int[]', q{'{}'::int[]}, q{'{NULL}'::text[]}, q{'{{1,2},{3,4}}'::int[]}, q{'[0:1]={1,2}'::int[]}, q{ARRAY[ROW(1, NULL)::h.composite]},
		q{'1 2'::int2vector}, q{ARRAY['null']::jsonb[]}
	],
	'"any"' => [
		'NULL', q{'unknown'}, 'ROW()', 'ROW(1, NULL)', q{'{}'::int[]}, q{'NaN'::float8}, q{'infinity'::timestamptz}, q{'null'::jsonb}, '0::regclass',
		q{'h.plain'::regclass}, '1::h.domain', "$long", 'ARRAY[ARRAY[]::int[]]', q{'empty'::int4range}, q{'<a/>'::xml}
	],
	name => [ 'NULL', q{''}, q{'result'}, q{'nosuch'}, q{'ctid'}, q{repeat('n', 63)::name} ],
	regclass => [
		'NULL', '0', q{'-'}, '4294967295', q{'h.plain'}, q{'h.bare'}, q{'h.parted'}, q{'h.view'}, q{'h.matview'}, q{'h.sequence'}, q{'h.plain_pkey'},
		q{'h.composite'}, q{'pg_class'}, q{'pg_temp.temporary'},
		q{(SELECT reltoastrelid FROM pg_class WHERE oid = 'h.plain'::regclass)}, q{'modal_batch.job'}
	],
	oid => [ 'NULL', '0', '4294967295', q{'h.typed(int)'::regprocedure}, q{'now()'::regprocedure}, q{'h.plain'::regclass} ]);
$hostile{'double precision'} = [ 'NULL', '0', q{'NaN'}, q{'infinity'} ];

# Those that have a meaning lead further in.
my %meant = (
	mode => [ q{'upsert'}, q{'update'}, q{'discard'} ],
	on_error => [ q{'raise'}, q{'return'} ],
	on_complete => [q{'SELECT 1'}]);

sub values_of
{
	my ($name, $type) = @_;

	return (@{ $hostile{$type} }, @{ $meant{$name} // [] });
}

# What the other arguments are meanwhile.
my %usual = (
	function => q{'local:builtin/echo'}, query => q{'SELECT 1 AS id, 2 AS x'}, server => q{'local'}, call => q{'local:fc-nosuch'},
	calls => q{'{local:fc-nosuch}'}, mode => q{'insert'}, on_error => q{'return'}, key => q{'{id}'}, kwargs => q{'{}'}, args => q{'[]'},
	timeout => q{'0.1 s'}, result_column => q{'result'}, error_column => 'NULL', into_table => q{'h.plain'}, on_complete => 'NULL',
	wait => 'false', terminate_containers => 'false');

sub usual
{
	my ($name, $type) = @_;

	return $type eq '"any"' ? '1' : $type eq 'anyarray' ? 'ARRAY[1]' : $type eq 'jsonb' && $name eq 'args' ? q{'[]'}
	  : $usual{$name} // $hostile{$type}[1];
}

# --- calls -----------------------------------------------------------------------

my @functions = map { [ split /\t/, $_, 3 ] } split /\n/, $node->safe_psql('postgres', q{
	SELECT p.oid::regproc || E'\t' || coalesce((SELECT string_agg(format_type(t, NULL), ';' ORDER BY n)
			FROM unnest(p.proargtypes) WITH ORDINALITY AS a(t, n)), '') || E'\t' || coalesce(array_to_string(p.proargnames, ';', ''), '')
	FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
		JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
	WHERE e.extname = 'modal_batch' ORDER BY p.oid::regprocedure::text
});
cmp_ok(scalar @functions, '>', 40, 'functions are found');

sub call
{
	my ($function, @arguments) = @_;

	return "SELECT * FROM $function(" . join(', ', @arguments) . ') LIMIT 3;';
}

my @calls;
for my $entry (@functions)
{
	my ($function, $types, $names) = @$entry;
	my @types = split /;/, $types;
	my @names = split /;/, $names;
	my @unknown = grep { !$hostile{$_} } @types;

	is("@unknown", '', "$function: there are values for its types");
	next if @unknown;
	my @arguments = map { usual($names[$_] // '', $types[$_]) } 0 .. $#types;
	push @calls, call($function, @arguments), call($function, map { 'NULL::' . ($_ =~ /any/ ? 'int[]' : $_) } @types);
	for my $i (0 .. $#types)
	{
		for my $value (values_of($names[$i] // '', $types[$i]))
		{
			my @with = @arguments;

			$with[$i] = $value;
			push @calls, call($function, @with);
			for my $j ($i + 1 .. $#types)
			{
				for my $other (values_of($names[$j] // '', $types[$j]))
				{
					my @both = @with;

					$both[$j] = $other;
					push @calls, call($function, @both);
				}
			}
		}
	}
}
note scalar(@calls) . ' calls';

for my $role ('postgres', 'nobody')
{
	my $file = $node->basedir . '/calls.sql';
	open my $script, '>', $file or die "$file: $!";
	print $script qq{
\\set ON_ERROR_STOP off
\\set VERBOSITY sqlstate
SET client_min_messages = error;
CREATE TEMP TABLE temporary (id int);
SET ROLE $role;
SET statement_timeout = '500ms';
SET modal_batch.server = 'local';
BEGIN;
SAVEPOINT s;
};
	# what a call has made, in particular jobs, is not to run
	print $script "$_ ROLLBACK TO s;\n" for @calls;
	print $script "ROLLBACK;\n\\echo all of them\n";
	close $script;

	my ($status, $out, $err) = modal_psql($node, "\\i $file");
	like($out, qr/^all of them$/m, "$role: the server is still there")
	  or diag substr($err, -2000);
	my @internal = grep { /XX\d\d\d/ } split /\n/, $err;
	is("@internal", '', "$role: no internal errors");
	if (@internal)
	{
		my @lines = split /\n/, slurp_file($file);
		for (@internal) { diag $lines[ $1 - 1 ] if /calls\.sql:(\d+)/ }
	}
	cmp_ok(scalar(() = $err =~ /ERROR/g), '>', 0.3 * @calls, "$role: many are refused");
}
is($node->safe_psql('postgres', q{SELECT modal_remote('local:builtin/square', 3)}), '9', 'all is well afterwards');
my $log = slurp_file($node->logfile);
unlike($log, qr/TRAP|terminated by signal|PANIC/, 'nothing has crashed meanwhile');

$node->stop;
done_testing();
