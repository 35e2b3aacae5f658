-- Who may call what, and see what.
\i test/setup.sql
CREATE ROLE regress_modal_one;
CREATE ROLE regress_modal_two;
\set SHOW_CONTEXT never

-- USAGE on the server, a mapping of one's own
SET ROLE regress_modal_one;
SELECT modal_remote('local:builtin/square', 3);
SELECT * FROM modal_map('local:builtin/square', 'VALUES (3)');
SELECT * FROM modal_ping('local');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER local TO regress_modal_one;
SET ROLE regress_modal_one;
SELECT modal_remote('local:builtin/square', 3);
CREATE USER MAPPING FOR CURRENT_USER SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local');
SELECT modal_remote('local:builtin/square', 3);
RESET ROLE;
-- at once when it is taken away
REVOKE USAGE ON FOREIGN SERVER local FROM regress_modal_one;
SET ROLE regress_modal_one;
SELECT modal_remote('local:builtin/square', 3);
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER local TO regress_modal_one;

-- SECURITY DEFINER: the owner's rights and mapping
CREATE FUNCTION squared(int) RETURNS jsonb LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, public, pg_temp AS $$SELECT modal_remote('local:builtin/square', $1)$$;
ALTER FUNCTION squared(int) OWNER TO regress_modal_one;
SET ROLE regress_modal_two;
SELECT squared(4);
SELECT modal_remote('local:builtin/square', 4);
RESET ROLE;

-- the query of a map has the caller's rights
CREATE TABLE secrets (s text);
INSERT INTO secrets VALUES ('s');
SET ROLE regress_modal_one;
SELECT * FROM modal_map('local:builtin/echo', 'SELECT s FROM secrets');
RESET ROLE;
DROP TABLE secrets;

-- nobody but its owner sees the secrets of a mapping
SET ROLE regress_modal_two;
SELECT count(*) FROM pg_user_mappings WHERE srvname = 'local' AND umoptions IS NOT NULL;
-- nor the calls of others
SELECT count(*) FROM modal_batch.activity WHERE pid <> pg_backend_pid();
SELECT count(*) FROM modal_batch.stat_functions WHERE calls IS NOT NULL;
RESET ROLE;

-- a mapping that changes is used at once
ALTER USER MAPPING FOR CURRENT_USER SERVER local OPTIONS (DROP token_secret);
SELECT modal_remote('local:builtin/square', 5);
ALTER USER MAPPING FOR CURRENT_USER SERVER local OPTIONS (ADD token_secret 'as-local');
SELECT modal_remote('local:builtin/square', 5);

-- functions that not everybody may call
SELECT p.oid::regprocedure AS function
	FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
		JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
	WHERE e.extname = 'modal_batch' AND NOT has_function_privilege('regress_modal_two', p.oid, 'EXECUTE')
	ORDER BY 1;
DROP FUNCTION squared(int);
DROP USER MAPPING FOR regress_modal_one SERVER local;
REVOKE USAGE ON FOREIGN SERVER local FROM regress_modal_one;
DROP ROLE regress_modal_one, regress_modal_two;
