# Copyright (c) 2026, modal_batch contributors

# Which server a call goes to, as whom, and with which of its options.

use strict;
use warnings FATAL => 'all';

use IPC::Run;
use ModalLocal;
use ModalSession;
use ModalTest;
use Test::More;

my $local = ModalLocal->new;
my $node  = modal_node('main', local => $local);
my ($url, $ca) = ($local->url, $local->ca_file);

sub make_server
{
	my ($name, $to) = @_;

	$node->safe_psql('postgres', qq{
		CREATE SERVER $name FOREIGN DATA WRAPPER modal_batch OPTIONS (url '$to', ssl_ca_file '$ca');
		CREATE USER MAPPING FOR PUBLIC SERVER $name OPTIONS (token_id 'ak-local', token_secret 'as-local');
		GRANT USAGE ON FOREIGN SERVER $name TO PUBLIC});
	return;
}

# A change that comes while a session reads the catalogs is not lost.  The lock
# holds it up between the server and the mapping.
make_server('changing', $url);
my $other = ModalSession->new($node);
my ($out, $err) = ('', '');
my $call = q{SELECT modal_remote('changing:builtin/square', 3);};

$other->query('BEGIN; LOCK TABLE pg_user_mapping IN ACCESS EXCLUSIVE MODE');
my $caller = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "SET application_name = 'caller'", '-c', $call, '-c', $call ],
	'>', \$out, '2>', \$err);
$other->query(q{DO $$BEGIN
	WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'caller' AND wait_event_type = 'Lock') LOOP
		PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
	END LOOP; END$$});
$other->query(q{ALTER SERVER changing OPTIONS (SET url 'https://127.0.0.1:1', ADD connect_timeout '0.1'); COMMIT});
$caller->finish;
is($out, '', 'both calls go to the new address');

# A server that is a server no more, a name that changed.
make_server('renamed', $url);
my $session = ModalSession->new($node);
is($session->query(q{SELECT modal_remote('renamed:builtin/square', 3)}), '9', 'a server');
$node->safe_psql('postgres', 'ALTER FOREIGN DATA WRAPPER modal_batch RENAME TO something_else');
is($session->outcome(q{SELECT modal_remote('renamed:builtin/square', 3)}), '42809', 'its wrapper was renamed');
$node->safe_psql('postgres', 'ALTER FOREIGN DATA WRAPPER something_else RENAME TO modal_batch');

# A reference without a server, in a function with its owner's rights: what its
# caller has set does not count, whatever way.
make_server($_, $url) for 'modal', 'elsewhere';
$node->safe_psql('postgres', q{
	CREATE ROLE mallory LOGIN; CREATE ROLE owner; CREATE ROLE member LOGIN IN ROLE owner;
	GRANT CREATE ON SCHEMA public TO owner; GRANT USAGE ON LANGUAGE modal TO owner;
	SET ROLE owner;
	CREATE FUNCTION plain() RETURNS jsonb LANGUAGE sql SECURITY DEFINER
		AS $$SELECT modal_remote('builtin/square', 3)$$;
	CREATE FUNCTION with_set() RETURNS jsonb LANGUAGE sql SECURITY DEFINER SET modal_batch.server = 'elsewhere'
		AS $$SELECT modal_remote('builtin/square', 3)$$;
	CREATE FUNCTION sets() RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER
		AS $$BEGIN PERFORM set_config('modal_batch.server', 'elsewhere', true); RETURN modal_remote('builtin/square', 3); END$$;
	CREATE FUNCTION typed(int) RETURNS int LANGUAGE modal SECURITY DEFINER AS 'builtin/square'});

# The server that a call goes to, by the statistics.
sub asked
{
	my ($user, @statements) = @_;
	my $statement = pop @statements;

	$node->safe_psql('postgres', 'SELECT modal_stat_reset()');
	my ($rc, $stdout, $stderr) = $node->psql('postgres', join('; ', @statements, $statement),
		extra_params => [ '-U', $user ]);
	is($stderr, '', "$user: $statement");
	$node->poll_query_until('postgres', 'SELECT count(*) > 0 FROM modal_batch.stat_functions');
	return $node->safe_psql('postgres',
		q{SELECT string_agg(split_part(function, ':', 1), ',' ORDER BY function) FROM modal_batch.stat_functions});
}

my $set = q{SET modal_batch.server = 'elsewhere'};
is(asked('mallory', $set, q{SELECT modal_remote('builtin/square', 3)}), 'elsewhere', "one's own setting holds for one's own call");
is(asked('mallory', $set, 'SELECT plain()'), 'modal', 'but not for a definer');
is(asked('mallory', $set, 'SELECT typed(3)'), 'modal', 'nor a typed function');
is(asked('mallory', $set, 'SELECT modal_remote(\'builtin/square\', 3) FROM (SELECT plain()) AS p(x) OFFSET 0') =~ /elsewhere/, 1, 'side by side');
{
	local $ENV{PGOPTIONS} = '-c modal_batch.server=elsewhere';
	is(asked('mallory', 'SELECT plain()'), 'modal', "nor the client's");
}
$node->safe_psql('postgres', q{ALTER ROLE mallory SET modal_batch.server = 'elsewhere'});
is(asked('mallory', 'SELECT plain()'), 'modal', "nor the role's");
is(asked('mallory', q{SELECT modal_remote('builtin/square', 3)}), 'elsewhere', 'which holds for itself');
is(asked('mallory', q{SET modal_batch.server = 'modal'}, 'SELECT with_set()'), 'elsewhere', "the function's own holds");
is(asked('mallory', q{SET modal_batch.server = 'modal'}, 'SELECT sets()'), 'elsewhere', 'and what its owner sets in it');
is(asked('mallory', 'BEGIN', 'SELECT sets()', 'ROLLBACK', 'SELECT plain()'), 'elsewhere,modal', 'no longer than it is set');
is(asked('member', $set, 'SELECT plain()'), 'elsewhere', 'who could act as the owner may choose');
is(asked('postgres', $set, 'SET ROLE mallory', q{SELECT modal_remote('builtin/square', 3)}), 'elsewhere', 'also after SET ROLE');
$node->safe_psql('postgres', q{ALTER DATABASE postgres SET modal_batch.server = 'elsewhere'; ALTER ROLE mallory SET modal_batch.server = 'modal'});
is(asked('mallory', 'SELECT plain()'), 'elsewhere', "the database's holds for all");

# References are shown without their options.
my (undef, undef, $stderr) = $node->psql('postgres',
	q{SELECT modal_with_options('no reference#{"env": {"KEY": "canary"}}', '{}')});
like($stderr, qr/invalid function reference "no reference"/, 'a malformed reference');
unlike($stderr, qr/DETAIL.*canary/, 'its options are not shown');
$node->safe_psql('postgres', q{
	CREATE SERVER api FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', url 'https://localhost:1');
	CREATE SERVER other_api FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', url 'https://localhost:1');
	ALTER DATABASE postgres SET modal_batch.server = 'api'});
$node->safe_psql('postgres', q{
	CREATE FUNCTION with_query(int) RETURNS jsonb LANGUAGE modal AS 'score?code=canary';
	CREATE FUNCTION explained() RETURNS SETOF text LANGUAGE plpgsql AS
		$$BEGIN RETURN QUERY EXECUTE 'EXPLAIN SELECT with_query(g) FROM generate_series(1, 3) g'; END$$;
	CREATE FUNCTION explained_for_owner() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS 'SELECT explained()';
	ALTER FUNCTION explained_for_owner() OWNER TO owner});

sub explained
{
	my ($statement, %how) = @_;
	my @lines = grep { /Function:/ } split /\n/,
	  $node->safe_psql('postgres', "SET modal_batch.server = 'other_api'; $statement", %how);
	return join('', @lines) =~ s/^\s+//r;
}
is(explained('SELECT explained()'), 'Function: other_api:score', 'EXPLAIN does not show a query');
is(explained('SELECT explained_for_owner()', extra_params => [ '-U', 'mallory' ]), 'Function: api:score',
	'and tells where the calls would go');
is(explained(q{EXPLAIN SELECT * FROM modal_map('other_api:score?code=canary', 'SELECT 1')}),
	'Function: other_api:score', 'nor one of a map');

# What would be set for everybody is not: ALTER SYSTEM only looks at it, until a reload.
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET modal_batch.server');
my $alter = q{ALTER SYSTEM SET modal_batch.server = 'never'; SELECT count(*) FROM pg_file_settings;
	ALTER SYSTEM RESET modal_batch.server};
my $mallory = q{SET ROLE mallory; SET modal_batch.server = 'other_api'};
is(explained("RESET modal_batch.server; $alter; $mallory; SELECT explained_for_owner()"), 'Function: modal:score',
	'ALTER SYSTEM in the session');
is(explained("$mallory; RESET ROLE; $alter; SET ROLE mallory; SELECT explained_for_owner()"), 'Function: modal:score',
	'and in one that has set the server itself');

# A reload counts, also where the session's own setting covers what it brings.
my $covered = ModalSession->new($node);
$covered->query($mallory);
for my $server ('api', 'modal')
{
	my $told;

	$node->safe_psql('postgres', $server eq 'modal' ? 'ALTER SYSTEM RESET modal_batch.server'
		: "ALTER SYSTEM SET modal_batch.server = '$server'");
	$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
	for (1 .. 500)
	{
		($told) = $covered->query('SELECT explained_for_owner()') =~ /Function: (\S+)/;
		last if $told eq "$server:score";
		select(undef, undef, undef, 0.02);
	}
	is($told, "$server:score", "a reload: $server");
}
$covered->quit;

$node->stop;
done_testing();
