# Copyright (c) 2026, modal_batch contributors

# Webhooks: every change of a row is told, signed as the Standard Webhooks specification says,
# again until it has been taken, and what is not taken is kept.

use strict;
use warnings FATAL => 'all';

use HttpPeer;
use JSON::PP qw(decode_json);
use MIME::Base64 qw(encode_base64);
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $peer = HttpPeer->new(program => 'auth_peer.py');
my $node = modal_node('main');
my %secret = (old => '0123456789abcdef01234567', new => 'an even newer secret, longer');
$_ = 'whsec_' . encode_base64($_, '') for values %secret;

$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS modal_batch');

sub sql { return $node->safe_psql('postgres', @_) }

sub fails { return sql_fails($node, @_) }

# What has come since, once all jobs have ended.
sub messages
{
	$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM modal_batch.job WHERE finished_at IS NULL')
	  or die 'jobs go on';
	return map { { %$_, message => decode_json($_->{body}) } } $peer->requests;
}

sql("CREATE SERVER hooks FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', url '${\ $peer->url}/hook',
	allow_http 'on', format 'webhook')");
sql("CREATE USER MAPPING FOR CURRENT_USER SERVER hooks OPTIONS (webhook_secret '$secret{old}')");
sql(q{CREATE SCHEMA shop; CREATE TABLE shop.orders (id int, name text, at timestamptz, parts jsonb)});

# Each kind of change, in a table without a primary key.
sql(q{CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON shop.orders
	FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:orders')});
sql(q{INSERT INTO shop.orders VALUES (1, 'blue "shoe"', '2026-01-01 00:00:00Z', '{"a": [1, null]}'), (2, NULL, NULL, NULL)});
my @seen = sort { $a->{message}{record}{id} <=> $b->{message}{record}{id} } messages();
is(scalar(@seen), 2, 'a message for each row');
my $first = $seen[0]{message};
is_deeply([ sort keys %$first ], [ sort qw(type table schema record old_record id timestamp) ], 'its members');
is("$first->{type} $first->{schema}.$first->{table}", 'INSERT shop.orders', 'what has happened where');
is_deeply($first->{record}, { id => 1, name => 'blue "shoe"', at => '2026-01-01T00:00:00Z', parts => { a => [ 1, undef ] } },
	'the row');
is($first->{old_record}, undef, 'no old one');
like($first->{timestamp}, qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d/, 'when');
is($first->{id}, $seen[0]{headers}{'webhook-id'}, 'the id is that of the header');
isnt($first->{id}, $seen[1]{message}{id}, 'and each message has its own');
like($seen[0]{headers}{'webhook-signature'}, qr{^v1,[A-Za-z0-9+/]{43}=$}, 'a signature');
is($seen[0]{headers}{'content-type'}, 'application/json', 'JSON');

sql(q{UPDATE shop.orders SET name = 'x' WHERE id = 1});
my ($update) = messages();
is($update->{message}{type}, 'UPDATE', 'an update');
is("$update->{message}{old_record}{name} $update->{message}{record}{name}", 'blue "shoe" x', 'has both rows');
sql(q{UPDATE shop.orders SET name = name WHERE id = 1});
is(scalar(messages()), 1, 'an update that changes nothing is told as well');
sql(q{DELETE FROM shop.orders WHERE id = 1});
my ($delete) = messages();
is("$delete->{message}{type} $delete->{message}{old_record}{id}", 'DELETE 1', 'a delete');
is($delete->{message}{record}, undef, 'has the old row alone');
is(sql(q{SELECT string_agg(DISTINCT state, ',') FROM modal_batch.jobs}), 'completed', 'every signature was good');

# Transactions: what is rolled back is not told; all of one is one job.
sql(q{BEGIN; INSERT INTO shop.orders VALUES (3); SAVEPOINT s; INSERT INTO shop.orders VALUES (4); ROLLBACK TO s;
	ALTER TABLE shop.orders ADD COLUMN more int DEFAULT 7; UPDATE shop.orders SET name = 'y' WHERE id = 3; COMMIT});
@seen = messages();
is(join(' ', sort map { "$_->{message}{type}$_->{message}{record}{id}" } @seen), 'INSERT3 UPDATE3', 'what was committed');
my ($altered) = grep { $_->{message}{type} eq 'UPDATE' } @seen;
is($altered->{message}{record}{more}, 7, 'a column that was added meanwhile');

sql(q{CREATE TABLE moved (id int); CREATE TRIGGER tell AFTER INSERT ON moved FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:orders');
	BEGIN; INSERT INTO moved VALUES (1); ALTER TABLE moved SET SCHEMA shop; INSERT INTO shop.moved VALUES (2);
	ALTER SCHEMA shop RENAME TO attic; INSERT INTO attic.moved VALUES (3); ALTER SCHEMA attic RENAME TO shop; COMMIT});
is(join(' ', sort map { "$_->{message}{record}{id}$_->{message}{schema}" } messages()), '1public 2shop 3attic',
	'another schema meanwhile');

# What is needed to write messages is kept, also of a table with constraints.
sql(q{CREATE TABLE strict (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), CHECK (id > 0));
	CREATE TRIGGER tell AFTER INSERT ON strict FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:orders')});
my $taken = 'SELECT sum(total_bytes) FROM pg_backend_memory_contexts;';
my ($less, $more) = split /\n/, sql("BEGIN; INSERT INTO strict VALUES (1); $taken INSERT INTO strict SELECT generate_series(2, 1000); $taken ROLLBACK");
cmp_ok($more - $less, '<', 3_000_000, 'memory of many messages of a transaction');

# Virtual generated columns have no value in a trigger.
SKIP:
{
	skip 'before PostgreSQL 18, generated columns are stored', 3 if sql('SHOW server_version_num') < 180000;
	sql(q{CREATE TABLE doubled (id int, twice int GENERATED ALWAYS AS (id * 2), more text);
		CREATE TRIGGER tell AFTER INSERT OR UPDATE ON doubled FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:orders')});
	sql(q{INSERT INTO doubled (id, more) VALUES (1, 'x')});
	my ($doubled) = messages();
	is_deeply($doubled->{message}{record}, { id => 1, more => 'x' }, 'a virtual generated column is left out');
	sql(q{UPDATE doubled SET id = 2});
	($doubled) = messages();
	is_deeply([ @{ $doubled->{message} }{qw(record old_record)} ], [ { id => 2, more => 'x' }, { id => 1, more => 'x' } ],
		'of both rows');
	fails(q{CREATE TRIGGER ordered AFTER INSERT ON doubled FOR EACH ROW EXECUTE FUNCTION
		modal_trigger('hooks:orders#{"ordered_by": "twice"}')}, qr/428C9: .*"twice" .*is a generated column that is not stored/, 'nor is it an order');
}

# Partitions, and quoted names.
sql(q{CREATE TABLE "Ta ble" (id int, x int) PARTITION BY RANGE (id);
	CREATE TABLE "Pa rt" PARTITION OF "Ta ble" FOR VALUES FROM (0) TO (10);
	CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON "Ta ble"
	FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:parts')});
sql('INSERT INTO "Ta ble" VALUES (1, 2)');
my ($part) = messages();
is("$part->{message}{table} $part->{path}", 'Pa rt /hook/parts', 'of a partition');

# Trouble: sent again, under the same id.
sql(q{CREATE TABLE retried (id int); CREATE TRIGGER tell AFTER INSERT ON retried
	FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:first-2-503')});
sql('INSERT INTO retried VALUES (1)');
@seen = messages();
is(scalar(@seen), 3, 'sent until it was taken');
my %ids = map { $_->{headers}{'webhook-id'} => 1 } @seen;
is(scalar(keys %ids), 1, 'under one id');

# What is not taken is a failure that is kept, and can be tried again under the same id.
sql(q{CREATE TABLE refused (id int); CREATE TRIGGER tell AFTER INSERT ON refused
	FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:refuse')});
sql('INSERT INTO refused VALUES (1)');
my ($refused) = messages();
my $job = sql("SELECT max(job) FROM modal_batch.jobs WHERE function LIKE '%refuse'");
is(sql("SELECT failed FROM modal_batch.jobs WHERE job = $job"), 1, 'refused');
like(sql("SELECT error FROM modal_results($job)"), qr/status 400: not wanted/, 'and kept, with the reason');
sql("SELECT modal_retry($job)");
my ($again) = messages();
is($again->{headers}{'webhook-id'}, $refused->{headers}{'webhook-id'}, 'modal_retry: the same id');

# A refusal of any kind is of that message alone: the others of its transaction are told.
sql(q{CREATE TABLE picky (id int, note text); CREATE TRIGGER tell AFTER INSERT ON picky
	FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:gone')});
sql(q{INSERT INTO picky SELECT g, CASE WHEN g = 2 THEN 'gone' END FROM generate_series(1, 5) g});
@seen = messages();
is(join(' ', sort map { $_->{message}{record}{id} } @seen), '1 2 3 4 5', 'each was sent, and once');
$job = sql('SELECT max(job) FROM modal_batch.jobs');
is(sql("SELECT state, succeeded, failed FROM modal_batch.jobs WHERE job = $job"), 'completed|4|1', '410: one has failed');
is(sql("SELECT code, message FROM modal_batch.failures WHERE job = $job"),
	'42883|HTTP function answered with status 410: gone', 'and is a dead letter');
for my $status (401, 403, 404, 405, 301)
{
	sql("CREATE TABLE t$status (id int); CREATE TRIGGER tell AFTER INSERT ON t$status
		FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:status-$status');
		INSERT INTO t$status VALUES (1), (2)");
	is(scalar(messages()), 2, "$status: each was sent");
	is(sql('SELECT state, succeeded, failed FROM modal_batch.jobs ORDER BY job DESC LIMIT 1'), 'completed|0|2',
		"$status: failures of theirs");
}

# What has been taken is taken, whatever else is said.
sql("ALTER SERVER hooks OPTIONS (ADD max_reply_bytes '1024')");
for my $said ('status-202', 'status-205', 'status-207', 'status-299', 'long', 'cut')
{
	my $table = $said =~ s/-//r;
	sql("CREATE TABLE $table (id int); CREATE TRIGGER tell AFTER INSERT ON $table
		FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:$said');
		INSERT INTO $table VALUES (1)");
	is(scalar(messages()), 1, "$said: sent once");
	is(sql('SELECT state, succeeded, failed FROM modal_batch.jobs ORDER BY job DESC LIMIT 1'), 'completed|1|0',
		"$said: taken");
}
sql('ALTER SERVER hooks OPTIONS (DROP max_reply_bytes)');

# Rotation: two secrets, two signatures, of which the peer knows both.
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER hooks OPTIONS (SET webhook_secret '$secret{new}', ADD webhook_secret_old '$secret{old}')");
sql('INSERT INTO shop.orders (id) VALUES (5)');
my ($rotated) = messages();
like($rotated->{headers}{'webhook-signature'}, qr{^v1,\S{44} v1,\S{44}$}, 'two signatures');
is(sql("SELECT failed FROM modal_batch.jobs ORDER BY job DESC LIMIT 1"), 0, 'both good');
is(sql("SELECT modal_remote('hooks:orders', 1)"), 'null', 'a message from a call');
fails("SELECT modal_remote('hooks:tell', 1)", qr/38000: .*status 400: \*\*\* or \*\*\*$/m, 'both are hidden, as others know them');

# A wrong secret.
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER hooks OPTIONS (SET webhook_secret 'whsec_" . encode_base64('x' x 32, '') . "', DROP webhook_secret_old)");
fails("SELECT modal_remote('hooks:orders', 1)", qr/28000: .*status 401.*signature is wrong/, 'a wrong secret');
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER hooks OPTIONS (SET webhook_secret '$secret{old}')");

# Whose rights: the owner of the table alone makes them, and its mapping signs.
sql(q{CREATE ROLE clerk LOGIN; GRANT USAGE ON SCHEMA shop TO clerk; GRANT ALL ON shop.orders TO clerk;
	GRANT USAGE ON FOREIGN SERVER hooks TO clerk});
fails(q{SET ROLE clerk; CREATE TRIGGER evil AFTER INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:evil')},
	qr/42501: .*must be owner of table orders/, 'the TRIGGER privilege is not enough');
$peer->forget;
sql('SET ROLE clerk; INSERT INTO shop.orders (id) VALUES (6)');
my ($clerks) = messages();
is($clerks->{message}{record}{id}, 6, 'who may write needs no mapping');

# Mistakes.
sql("CREATE SERVER plain FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', url '${\ $peer->url}', allow_http 'on')");
my $make = 'CREATE TRIGGER bad AFTER INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION modal_trigger';
fails("$make('plain:x')", qr/22023: .*takes three arguments, not one.*format "webhook"/s, 'a server of another format');
fails("$make('hooks:x', 'id', 'name')", qr/22023: .*a webhook has no arguments.*function alone/s, 'a result for a webhook');
fails("$make()", qr/22023: .*takes three arguments, not 0/, 'no function');
fails("$make('hoks:x')", qr/42704: .*Perhaps you meant the server "hooks"/s, 'no such server');
fails(q{CREATE TRIGGER bad BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION modal_trigger('hooks:x')},
	qr/39P01: .*AFTER INSERT, UPDATE OR DELETE/, 'before');
fails(q{CREATE TRIGGER bad AFTER INSERT ON shop.orders FOR EACH STATEMENT EXECUTE FUNCTION modal_trigger('hooks:x')},
	qr/39P01/, 'by statement');
fails("ALTER USER MAPPING FOR CURRENT_USER SERVER hooks OPTIONS (SET webhook_secret 'short')",
	qr/HV024: .*24 to 64 bytes in base64/s, 'a bad secret');
fails("CREATE USER MAPPING FOR clerk SERVER hooks OPTIONS (webhook_secret_old '$secret{old}')",
	qr/HV00D: .*needs option "webhook_secret"/, 'the old secret alone');
is(sql(q{SELECT count(*) FROM modal_batch.generated_columns}), 0, 'a webhook is no generated column');
is(sql(q{ALTER TABLE shop.orders RENAME COLUMN name TO title; INSERT INTO shop.orders (id, title) VALUES (7, 't');
	SELECT 1}), 1, 'columns can be renamed');
my ($renamed) = messages();
is($renamed->{message}{record}{title}, 't', 'and are told so');

$node->stop;
done_testing();
