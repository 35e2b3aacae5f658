# Copyright (c) 2026, modal_batch contributors

# The reference is complete, its examples work, and what is said of tests is
# true.

use strict;
use warnings FATAL => 'all';

use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = $ENV{MODAL_TOP};
my $local = ModalLocal->new;
my $node = modal_node('main', local => $local);

my $reference = slurp_file("$top/docs/functions.md");
my @functions = split /\n/, $node->safe_psql('postgres', q{
	SELECT CASE WHEN n.nspname = 'modal_batch' THEN 'modal_batch.' ELSE '' END || p.proname,
		coalesce(obj_description(p.oid, 'pg_proc'), ''), pg_get_function_arguments(p.oid)
	FROM pg_depend d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
		JOIN pg_namespace n ON n.oid = p.pronamespace
	WHERE d.deptype = 'e' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'modal_batch')
	ORDER BY 1, 3});
cmp_ok(scalar @functions, '>', 40, 'the extension has functions');
for my $line (@functions)
{
	my ($name, $comment, $arguments) = split /\|/, $line, 3;
	isnt($comment, '', "$name($arguments) has a comment");
	like($reference, qr/(?<![\w.])\Q$name\E\(/, "docs/functions.md has $name");

	# Arguments by name, where users may use the names.
	for my $argument ($arguments =~ /(?:^|, )(?!OUT |VARIADIC )(\w+) /g)
	{
		next if $name =~ /^modal_batch\b|^modal_language/;
		like($reference, qr/\Q$name\E\([^\n]*\b$argument\b/, "and its argument $argument");
	}
}

my @views = split /\n/, $node->safe_psql('postgres', q{
	SELECT 'modal_batch.' || relname || '|' || attname FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid AND attnum > 0
	WHERE relnamespace = 'modal_batch'::regnamespace AND relkind = 'v' ORDER BY 1});
for (@views)
{
	my ($view, $column) = split /\|/;
	my ($section) = $reference =~ /^### \Q$view\E$(.*?)^##/ms;
	like($section // '', qr/`$column`/, "docs/functions.md has column $column of $view");
}

my $examples = 0;
for my $example (map { /^```sql$(.*?)^```$/msg } $reference, slurp_file("$top/docs/typed-functions.md"))
{
	my ($status, $out, $err) = $node->psql('postgres', $example, on_error_stop => 1);
	my ($line) = $example =~ /(\S[^\n]*)/;
	is("$status $err", '0 ', "example: $line");
	$examples++;
}
cmp_ok($examples, '>', 15, 'there are examples');

# The table of Modal's methods: each row names a file, and text in it.
my $rows = 0;
for my $row (slurp_file("$top/docs/modal-compatibility.md") =~ /^\|(.*)\|$/mg)
{
	my $test = (split /(?<!\\)\|/, $row)[-1];
	next if $test =~ /^\s*(?:test|-+)\s*$/;
	my ($file, $name) = $test =~ /^ `([^`]+)`: (.*?) $/;
	$rows++;
	ok(defined $file && -e "$top/$file" && index(slurp_file("$top/$file"), $name) >= 0, "there is a test:$test");
}
cmp_ok($rows, '>', 50, 'of many methods');

$node->stop;
done_testing();
