-- Bad input gets a clear error.
\i test/setup.sql
\set SHOW_CONTEXT never

-- references
SELECT modal_remote(NULL);
SELECT modal_remote('');
SELECT modal_remote('local:builtin');
SELECT modal_remote('local:/echo', 1);
SELECT modal_remote('local:builtin/echo@0', 1);
SELECT modal_remote('local:builtin/echo extra', 1);
SELECT modal_remote(':builtin/echo', 1);
SELECT modal_remote('nowhere:builtin/echo', 1);
-- the server of references that name none
SELECT modal_remote('builtin/echo', 1);
SET modal_batch.server = 'nowhere';
SELECT modal_remote('builtin/echo', 1);
RESET modal_batch.server;
-- the details have the port of this server
\set VERBOSITY terse
SELECT modal_remote('local:no-such-app/echo', 1);
SELECT modal_remote('local:builtin/no_such_function', 1);
\set VERBOSITY default
SELECT modal_remote('local:builtin/old_echo', 1);
-- arguments
SELECT modal_call('local:builtin/echo', '{}');
SELECT modal_call('local:builtin/echo', '[]', '[]');
SELECT modal_call(NULL) IS NULL AS null_for_null;
SELECT modal_remote('local:builtin/echo', VARIADIC NULL::int[]);
SELECT modal_map(NULL, 'SELECT 1');
SELECT modal_map('local:builtin/echo', NULL::text);
SELECT modal_map('local:builtin/echo', 'SELECT 1', NULL);
SELECT modal_map('local:builtin/echo', 'SELECT 1', on_error => 'ignore');
SELECT modal_map('local:builtin/echo', 'SELECT 1', key => '{k}');
SELECT modal_map('local:builtin/echo', 'SELECT 1', kwargs => '[]');
-- queries
SELECT modal_map('local:builtin/echo', '');
SELECT modal_map('local:builtin/echo', 'DELETE FROM pg_class');
SELECT modal_map('local:builtin/echo', 'SELECT 1; SELECT 2');
SELECT modal_map('local:builtin/echo', 'WITH d AS (DELETE FROM pg_am RETURNING oid) SELECT * FROM d');
SELECT modal_map('local:builtin/echo', 'SELECT 1 FROM pg_am FOR UPDATE');
SELECT modal_map('local:builtin/echo', 'SELECT * FROM (SELECT oid::int FROM pg_am FOR UPDATE) s');
CREATE VIEW locking AS SELECT oid::int FROM pg_am FOR SHARE;
SELECT * FROM modal_map('local:builtin/echo', 'TABLE locking');
SELECT modal_map('local:builtin/echo', 'WITH l AS (TABLE locking) SELECT 1 WHERE EXISTS (SELECT FROM l)');
DROP VIEW locking;
SELECT modal_map('local:builtin/echo', 'SELECT 1 INTO made');
SELECT modal_map('local:builtin/echo', 'SELEC 1');
SELECT modal_map('local:builtin/echo', 'SELECT 1 / (1500 - g) FROM generate_series(1, 3000) g');
SELECT modal_remote('local:builtin/square', 3) AS still_works;
-- remote exceptions
SELECT modal_remote('local:builtin/fail', 'wrong'::text);
SELECT modal_map('local:builtin/fail', $$SELECT 'wrong'$$);
SELECT modal_remote('local:builtin/timeout');
-- results that are not what they should be
SELECT modal_remote('local:builtin/raw', '\xf97e00'::bytea) AS nan, modal_remote('local:builtin/raw', '\xf9fc00'::bytea) AS minus_infinity;
SELECT modal_remote('local:builtin/raw', '\x43010203'::bytea) AS bytes;
SELECT modal_remote('local:builtin/raw', '\xc249010000000000000000'::bytea) AS huge;
SELECT modal_remote('local:builtin/raw', '\xc349010000000000000000'::bytea) AS minus_huge;
SELECT modal_remote('local:builtin/raw', '\xc48221196ab3'::bytea) AS decimal;
SELECT modal_remote('local:builtin/raw', '\x61ff'::bytea) AS bad_utf8;
SELECT modal_remote('local:builtin/raw', '\x6100'::bytea) AS zero_character;
SELECT modal_remote('local:builtin/raw', '\x8201'::bytea) AS truncated;
SELECT modal_remote('local:builtin/raw', '\x0101'::bytea) AS trailing;
SELECT modal_remote('local:builtin/raw', '\xff'::bytea) AS not_cbor;
SELECT modal_remote('local:builtin/raw', '\x'::bytea) AS empty;
SELECT modal_remote('local:builtin/raw', '\xa1820102f6'::bytea) AS array_as_key;
SELECT modal_remote('local:builtin/raw', '\xa301f5f4f6f6f7'::bytea) AS keys_become_text;
SELECT modal_remote('local:builtin/raw', decode(repeat('81', 10000) || '01', 'hex')) AS deep;
SELECT modal_remote('local:builtin/raw', decode(repeat('c6', 10000) || '01', 'hex')) AS deep_tags;
SELECT length(modal_remote('local:builtin/raw', decode(repeat('81', 900) || '01', 'hex'))::text) AS deep_enough;
SELECT modal_remote('local:builtin/raw', '\x9bffffffffffffffff01'::bytea) AS huge_count;
SELECT modal_remote('local:builtin/square', 3) AS still_works;
-- limits
SET modal_batch.max_payload = '64kB';
SELECT modal_remote('local:builtin/echo', repeat('x', 70000));
SELECT modal_map('local:builtin/echo', $$SELECT repeat('x', 70000)$$);
SELECT modal_remote('local:builtin/large', 1000000);
RESET modal_batch.max_payload;

-- credentials and reachability
CREATE SERVER unmapped FOREIGN DATA WRAPPER modal_batch OPTIONS (url 'https://localhost:1', connect_timeout '1');
SELECT modal_remote('unmapped:builtin/echo', 1);
CREATE USER MAPPING FOR CURRENT_USER SERVER unmapped OPTIONS (token_id 'ak-only');
SELECT modal_remote('unmapped:builtin/echo', 1);
ALTER USER MAPPING FOR CURRENT_USER SERVER unmapped OPTIONS (ADD token_secret 'as-x');
DO $$
BEGIN
	PERFORM modal_remote('unmapped:builtin/echo', 1);
EXCEPTION WHEN OTHERS THEN
	RAISE NOTICE '% (secret shown: %)', SQLSTATE, SQLERRM LIKE '%as-x%';
END $$;
DROP SERVER unmapped CASCADE;
CREATE SERVER wrong_token FOREIGN DATA WRAPPER modal_batch OPTIONS (url :'local_url', ssl_ca_file :'local_ca');
CREATE USER MAPPING FOR CURRENT_USER SERVER wrong_token OPTIONS (token_id 'ak-local', token_secret 'as-wrong');
SELECT modal_remote('wrong_token:builtin/echo', 1);
SELECT reachable, authenticated, detail FROM modal_ping('wrong_token');
ALTER USER MAPPING FOR CURRENT_USER SERVER wrong_token OPTIONS (SET token_secret 'as-local');
SELECT modal_remote('wrong_token:builtin/echo', 1) AS right_token;
DROP SERVER wrong_token CASCADE;
CREATE FOREIGN DATA WRAPPER other;
CREATE SERVER foreign_server FOREIGN DATA WRAPPER other;
SELECT modal_remote('foreign_server:builtin/echo', 1);
DROP FOREIGN DATA WRAPPER other CASCADE;
