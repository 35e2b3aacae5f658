# Copyright (c) 2026, modal_batch contributors

# The reference is complete, its examples work, and what is said of tests is
# true.

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = $ENV{MODAL_TOP};

# The functions that the pages call: those of examples/, and the file that
# docs/getting-started.md shows.
my $work = PostgreSQL::Test::Utils::tempdir();
my ($words) = slurp_file("$top/docs/getting-started.md") =~ /^```python\n(.*?)^```$/ms;
append_to_file("$work/words.py", $words);
append_to_file("$work/my_functions.py", "def double(n: int) -> int:\n\treturn 2 * n\n");
my $local = ModalLocal->new(files => [ "$top/examples/embeddings.py", "$top/examples/similarity.py", "$work/words.py", "$work/my_functions.py" ]);
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
	for my $argument ($arguments =~ /(?:^|, )(?:IN )?+(?!OUT |VARIADIC )(\w+) /g)
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

my $http_port = PostgreSQL::Test::Cluster::get_free_port();
my $http = IPC::Run::start([ 'python3', "$top/examples/http_endpoint.py", $http_port ], '<', \undef, '>', \my $http_out, '2>', \my $http_err);

# The managed server beside which docs/where-it-runs.md puts another one.
my $managed = PostgreSQL::Test::Cluster->new('managed');
$managed->init;
$managed->start;
$managed->safe_psql('postgres', 'CREATE DATABASE shop; CREATE ROLE sidecar LOGIN SUPERUSER');
$managed->safe_psql('shop', q{
	CREATE TABLE products (id int PRIMARY KEY, name text);
	INSERT INTO products SELECT i, 'product ' || i FROM generate_series(1, 100) i;
	CREATE TABLE product_vectors (id int PRIMARY KEY, embedding float4[])});

# Where the servers of the pages are on this machine.
my %here = (
	"host 'managed.example', port '5432'" => "host '@{[ $managed->host ]}', port '@{[ $managed->port ]}'",
	'https://localhost:9443' => $local->url,
	'/home/me/.local/state/modal-local/ca.pem' => $local->ca_file,
	'http://localhost:8000' => "http://localhost:$http_port");

# docs/pgvector.md needs it; tools/deps.sh installs it where Debian has it.
my $has_pgvector = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'});
note('docs/pgvector.md is not run: there is no pgvector') if !$has_pgvector;
ok($has_pgvector, 'there is pgvector') if int($node->pg_version) =~ /^1[78]$/ && -e '/etc/debian_version';

# Each page's statements, in a database of the page's own.  "sql foreign" is
# what needs a service that is not on this machine.
my $examples = 0;
for my $page ("$top/README.md", sort glob "$top/docs/*.md")
{
	my ($name) = $page =~ /([\w-]+)\.md$/;
	my $dbname = "page $name";
	my @blocks = slurp_file($page) =~ /^(```sql[^\n]*\n.*?)^```$/msg or next;
	next if $name eq 'pgvector' && !$has_pgvector;
	$node->safe_psql('postgres', qq{CREATE DATABASE "$dbname"});
	create_local_server($node, $local, dbname => $dbname);
	for my $block (@blocks)
	{
		my ($kind, $example) = $block =~ /^```(sql[^\n]*)\n(.*)$/s;
		my ($line) = $example =~ /(\S[^\n]*)/;
		if ($kind eq 'sql foreign')
		{
			like($example, qr/https:\/\/|ak-…|video-app|modal_ping\('modal'\)/, "$name needs another service: $line");
			next;
		}
		$example =~ s/\Q$_\E/$here{$_}/g for keys %here;
		# "local" is there already, but the page makes it.
		$example = "DROP SERVER local CASCADE;\n$example" if $example =~ /CREATE SERVER local /;
		is($kind, 'sql', "$name: statements are run: $line");
		my ($status, $out, $err) = $node->psql($dbname, $example, on_error_stop => 1);
		is($status, 0, "$name: $line") or diag($err);
		$examples++;
	}
}
cmp_ok($examples, '>', 35, 'there are examples');
is($managed->safe_psql('shop', 'SELECT count(*), min(cardinality(embedding)), max(cardinality(embedding)) FROM product_vectors'),
	'100|8|8', 'the sidecar has written to the managed server');
is($node->safe_psql('page moving-from', 'SELECT count(*) FROM articles WHERE embedding IS NOT NULL'), '1000', 'and all articles have embeddings');
$managed->stop;
$http->signal('TERM');
$http->finish;

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
