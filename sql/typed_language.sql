-- LANGUAGE modal: what can be declared, and by whom.
\i test/setup.sql
CREATE SCHEMA typed_language;
SET search_path = typed_language, public;

-- forms of the body
CREATE FUNCTION square(x int) RETURNS int LANGUAGE modal AS 'local:builtin/square';
CREATE FUNCTION bad() RETURNS int LANGUAGE modal AS 'no slash';
CREATE FUNCTION bad() RETURNS int LANGUAGE modal AS 'local:app/f@x';
CREATE FUNCTION later() RETURNS int LANGUAGE modal AS 'made_later:app/f';
CREATE FUNCTION bad(int) RETURNS int LANGUAGE modal AS 'local:app/f(**)';
CREATE FUNCTION bad(a int, b int) RETURNS int LANGUAGE modal AS 'local:app/f(b, **)';
CREATE FUNCTION bad(a int) RETURNS int LANGUAGE modal AS 'local:app/f(a, b, **)';
CREATE FUNCTION fine(a int, b int) RETURNS int LANGUAGE modal AS 'local:app/f (a, **)';
SET check_function_bodies = off;
CREATE FUNCTION unchecked() RETURNS int LANGUAGE modal AS 'no slash';
RESET check_function_bodies;

-- types that have no values
CREATE FUNCTION bad(anyelement) RETURNS int LANGUAGE modal AS 'local:app/f';
CREATE FUNCTION bad(VARIADIC "any") RETURNS int LANGUAGE modal AS 'local:app/f';
CREATE FUNCTION bad(anyarray) RETURNS anyarray LANGUAGE modal AS 'local:app/f';
CREATE FUNCTION bad() RETURNS trigger LANGUAGE modal AS 'local:app/f';
CREATE FUNCTION bad(internal) RETURNS int LANGUAGE modal AS 'local:app/f';

-- attributes that are hardly ever meant
CREATE FUNCTION frozen(int) RETURNS int IMMUTABLE LANGUAGE modal AS 'local:app/f';
CREATE FUNCTION par(int) RETURNS int PARALLEL SAFE LANGUAGE modal AS 'local:app/f';

-- a remote call costs more than other functions, unless it is said otherwise
CREATE FUNCTION cheap(int) RETURNS int COST 7 LANGUAGE modal AS 'local:app/f';
SELECT proname, procost FROM pg_proc
	WHERE pronamespace = 'typed_language'::regnamespace AND proname IN ('square', 'cheap', 'frozen')
	ORDER BY proname;
ALTER FUNCTION square(int) COST 100;
SELECT procost FROM pg_proc WHERE oid = 'square(int)'::regprocedure;

-- no code in place, no index over it
DO LANGUAGE modal 'local:app/f';
CREATE TABLE indexed (x int);
\set VERBOSITY sqlstate
CREATE INDEX ON indexed (square(x));
\set VERBOSITY default

-- nothing to return, many times; the handler is not a function of its own
CREATE FUNCTION nothings(int) RETURNS SETOF void LANGUAGE modal AS 'local:builtin/echo';
SELECT modal_language_handler();

-- rights: on the language, on the server, on the function
CREATE ROLE regress_typed;
GRANT CREATE, USAGE ON SCHEMA typed_language TO regress_typed;
SET ROLE regress_typed;
CREATE FUNCTION mine(int) RETURNS int LANGUAGE modal AS 'local:builtin/square';
RESET ROLE;
GRANT USAGE ON LANGUAGE modal TO regress_typed;
SET ROLE regress_typed;
CREATE FUNCTION mine(int) RETURNS int LANGUAGE modal AS 'local:builtin/square';
SELECT mine(3);
SELECT mine(x) FROM generate_series(1, 2) x;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION square(int) FROM PUBLIC;
SET ROLE regress_typed;
SELECT square(x) FROM generate_series(1, 2) x;
RESET ROLE;

SET client_min_messages = warning;
RESET search_path;
DROP SCHEMA typed_language CASCADE;
REVOKE USAGE ON LANGUAGE modal FROM regress_typed;
DROP ROLE regress_typed;
RESET client_min_messages;
