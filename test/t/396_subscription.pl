# Copyright (c) 2026, modal_batch contributors

# Generated columns and rows of a table whose rows come by logical replication: copied,
# in transactions of each kind, prepared ones too, and emptied.

use strict;
use warnings FATAL => 'all';

use JobTest;
use ModalLocal;
use ModalTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $local = ModalLocal->new;
my $conf  = "wal_level = logical\nmax_wal_senders = 5\nmax_replication_slots = 5\nmax_prepared_transactions = 10\n";
my ($publisher, $subscriber) = map { modal_node($_, local => $local, conf => $conf) } qw(publisher subscriber);

sub publish { return $publisher->safe_psql('postgres', $_[0]) }

sub all_right
{
	my ($name) = @_;

	$publisher->wait_for_catchup('s');
	wait_until('the end of all jobs', sub {
		$subscriber->safe_psql('postgres', 'SELECT count(*) FROM modal_batch.jobs WHERE finished_at IS NULL') eq '0' });
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is( $subscriber->safe_psql('postgres', q{SELECT (SELECT count(*) FROM docs),
			(SELECT count(*) FROM docs WHERE square IS DISTINCT FROM n::bigint * n),
			(SELECT count(*) FROM (SELECT id, o - 1, page FROM docs,
				jsonb_array_elements_text(pages) WITH ORDINALITY p(page, o)) d(id, n, page)
			FULL JOIN chunks c ON c.doc = d.id AND c.n = d.n AND c.result = d.page
			WHERE d.id IS NULL OR c.doc IS NULL)}),
		publish('SELECT count(*) FROM docs') . '|0|0', $name);
	return;
}

$_->safe_psql('postgres', 'CREATE TABLE docs (id int PRIMARY KEY, pages jsonb, n int, square bigint)') for $publisher, $subscriber;
$subscriber->safe_psql('postgres', q{
	CREATE TABLE chunks (doc int, n int, result text);
	SELECT modal_generate_rows('docs', 'chunks', 'local:builtin/echo', '{pages}', '{doc}', ordinality_column => 'n');
	SELECT modal_generate_column('docs', 'square', 'local:builtin/square', '{n}');
	ALTER TABLE docs ENABLE ALWAYS TRIGGER modal_generate_chunks, ENABLE REPLICA TRIGGER modal_generate_square,
		ENABLE ALWAYS TRIGGER modal_generate_truncate});
publish(q{INSERT INTO docs SELECT i, jsonb_build_array(i, 'x'), i FROM generate_series(1, 50) i; CREATE PUBLICATION p FOR TABLE docs});
my $options = $publisher->pg_version < 15 ? '' : 'WITH (two_phase = on)';
$subscriber->safe_psql('postgres', sprintf q{CREATE SUBSCRIPTION s CONNECTION '%s dbname=postgres' PUBLICATION p %s}, $publisher->connstr, $options);
$subscriber->wait_for_subscription_sync($publisher, 's');
all_right('rows that are copied');
publish(q{UPDATE docs SET n = NULL WHERE id = 1; UPDATE docs SET pages = '["q"]', n = 7 WHERE id BETWEEN 2 AND 5;
	DELETE FROM docs WHERE id = 6; UPDATE docs SET id = id + 100 WHERE id = 7; INSERT INTO docs VALUES (200, NULL, NULL)});
all_right('rows that change');
publish(q{BEGIN; UPDATE docs SET pages = '["r"]', n = 9 WHERE id BETWEEN 2 AND 5;
	SAVEPOINT a; DELETE FROM docs WHERE id = 8; ROLLBACK TO a; PREPARE TRANSACTION 'kept'});
$publisher->wait_for_catchup('s');
publish(q{COMMIT PREPARED 'kept'});
all_right('a transaction that is prepared, and committed');

# the worker that commits is not the one that has prepared
publish(q{BEGIN; UPDATE docs SET pages = pages || '["s"]', n = n + 1; PREPARE TRANSACTION 'kept'});
$publisher->wait_for_catchup('s');
$subscriber->restart;
publish(q{COMMIT PREPARED 'kept'});
all_right('... after a restart');
publish('TRUNCATE docs');
all_right('a table that is emptied');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM modal_batch.jobs WHERE failed > 0'), '0', 'nothing has failed');

$_->stop for $subscriber, $publisher;
done_testing();
