-- What typed functions send and give: parameters of all kinds, names, sets,
-- and the places where they may stand.
\i test/setup.sql
CREATE SCHEMA typed_call;
SET search_path = typed_call, public;

-- by position, by name, both; defaults are filled in here and sent
CREATE FUNCTION by_position(a int, b text DEFAULT 'two', c bool DEFAULT NULL) RETURNS jsonb
	LANGUAGE modal AS 'local:builtin/types';
CREATE FUNCTION by_name(a int, b text DEFAULT 'two', c bool DEFAULT NULL) RETURNS jsonb
	LANGUAGE modal AS 'local:builtin/types(**)';
CREATE FUNCTION a_by_position(a int, b text DEFAULT 'two', c bool DEFAULT NULL) RETURNS jsonb
	LANGUAGE modal AS 'local:builtin/types(a, **)';
CREATE FUNCTION nothing() RETURNS jsonb LANGUAGE modal AS 'local:builtin/types';
CREATE FUNCTION many(a int, VARIADIC rest int[]) RETURNS jsonb LANGUAGE modal AS 'local:builtin/types';
CREATE FUNCTION many_named(a int, VARIADIC rest int[]) RETURNS jsonb LANGUAGE modal AS 'local:builtin/types(**)';
SELECT by_position(1), by_position(1, c => true), by_position(1, 'x', false);
SELECT by_name(1), by_name(c => true, a => 2);
SELECT a_by_position(1), a_by_position(1, 'x', false);
SELECT nothing();
SELECT many(1, 2, 3), many(1, VARIADIC '{}'), many_named(1, 2);
CREATE FUNCTION with_blanks("first one" int, "B c" int) RETURNS jsonb LANGUAGE modal AS 'local:builtin/types( first one , ** )';
SELECT with_blanks(1, 2);
DROP FUNCTION with_blanks;

-- NULL is sent, unless the function is STRICT
CREATE FUNCTION strictly(a int, b int) RETURNS jsonb STRICT LANGUAGE modal AS 'local:builtin/types';
SELECT by_position(NULL, NULL), strictly(1, NULL), strictly(1, 2);
SELECT g, strictly(g, nullif(g, 2)) FROM generate_series(1, 3) g;

-- OUT and INOUT parameters, composite types, tables, sets
CREATE TYPE pair AS (a int, b text);
CREATE FUNCTION composite(v jsonb) RETURNS pair LANGUAGE modal AS 'local:builtin/echo';
CREATE FUNCTION two_out(v jsonb, OUT a int, OUT b text) LANGUAGE modal AS 'local:builtin/echo';
CREATE FUNCTION in_out(INOUT v jsonb, OUT n int) LANGUAGE modal AS 'local:builtin/echo';
CREATE FUNCTION one_out(v int, OUT a int) LANGUAGE modal AS 'local:builtin/echo';
CREATE FUNCTION one_inout(INOUT v int) LANGUAGE modal AS 'local:builtin/square';
CREATE FUNCTION a_table(v jsonb) RETURNS TABLE (a int, b text) LANGUAGE modal AS 'local:builtin/echo';
CREATE FUNCTION one_column(v jsonb) RETURNS TABLE (a int) LANGUAGE modal AS 'local:builtin/echo';
CREATE FUNCTION pairs(v jsonb) RETURNS SETOF pair LANGUAGE modal AS 'local:builtin/echo';
CREATE FUNCTION some_record(v jsonb) RETURNS record LANGUAGE modal AS 'local:builtin/echo';
CREATE FUNCTION counted(n int) RETURNS SETOF int LANGUAGE modal AS 'local:builtin/count';
CREATE FUNCTION dropped(v int) RETURNS void LANGUAGE modal AS 'local:builtin/echo';
SELECT composite('{"b": "x", "a": 1}'), (composite('[2, "y"]')).b, composite('null') IS NULL;
SELECT * FROM two_out('{"a": 3, "b": "z"}');
SELECT (two_out(jsonb_build_array(g, 'v' || g))).* FROM generate_series(1, 2) g;
SELECT * FROM in_out('{"n": 4, "v": [true]}');
SELECT one_out(7), one_inout(5);
SELECT * FROM a_table('[{"a": 1, "b": "x"}, [2, "y"]]');
SELECT * FROM one_column('[1, 2]');
SELECT p.b FROM pairs('[{"a": 1, "b": "x"}, null]') p;
SELECT * FROM some_record('{"x": 1, "y": "two"}') AS r(x int, y text);
SELECT * FROM counted(3);
SELECT counted(3) LIMIT 2;
SELECT g, counted(g) FROM generate_series(0, 2) g;
SELECT count(*) FROM a_table('null');
SELECT * FROM a_table('"no list"');
SELECT g, r.* FROM generate_series(1, 2) g, two_out(jsonb_build_object('a', g)) r;
SELECT dropped(1) IS NULL, pg_typeof(dropped(1));

-- in PL/pgSQL, SQL functions, triggers, defaults, constraints
CREATE FUNCTION in_plpgsql(n int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	total int := one_inout(n);
	r record;
BEGIN
	FOR r IN SELECT one_inout(g) AS s FROM generate_series(1, n) g LOOP
		total := total + r.s;
	END LOOP;
	IF one_inout(n) > 8 THEN
		RETURN format('%s, %s', total, (SELECT sum(c) FROM counted(n) c));
	END IF;
	RETURN total;
END $$;
CREATE FUNCTION in_sql(n int) RETURNS int LANGUAGE sql AS 'SELECT one_inout(n) + 1';
SELECT in_plpgsql(2), in_plpgsql(3), in_sql(4), sum(in_sql(g)) FROM generate_series(1, 3) g;
CREATE TABLE place (id int, v int DEFAULT one_inout(6), w int CHECK (one_inout(w) < 100));
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.w := one_inout(NEW.id);
	RETURN NEW;
END $$;
CREATE TRIGGER fill BEFORE INSERT ON place FOR EACH ROW EXECUTE FUNCTION fill();
INSERT INTO place (id) SELECT generate_series(1, 3);
INSERT INTO place (id) VALUES (11);
SELECT * FROM place;
UPDATE place SET v = one_inout(id) WHERE one_inout(w) > 1 RETURNING id, v, one_inout(id);
CREATE FUNCTION stable_square(x int) RETURNS int STABLE LANGUAGE modal AS 'local:builtin/square';
\set VERBOSITY sqlstate
CREATE INDEX ON place (stable_square(id));
\set VERBOSITY default
CREATE TABLE generated (a int, b int GENERATED ALWAYS AS (stable_square(a)) STORED);

-- track_functions counts calls, however they are made
CREATE FUNCTION tracked(int) RETURNS int STRICT STABLE LANGUAGE modal AS 'local:builtin/square';
SET track_functions = 'pl';
BEGIN;
SELECT count(tracked(nullif(g % 10, 5))) FROM generate_series(1, 100) g;
SELECT pg_stat_get_xact_function_calls('tracked(int)'::regprocedure) AS pipelined;
SET LOCAL modal_batch.enable_pipelining = off;
SELECT count(tracked(nullif(g % 10, 5))) FROM generate_series(1, 100) g;
SELECT pg_stat_get_xact_function_calls('tracked(int)'::regprocedure) AS both;
COMMIT;
RESET track_functions;

-- rights: on the function and on the server; as the owner in a SECURITY DEFINER
-- function
CREATE ROLE regress_typed_call;
GRANT USAGE ON SCHEMA typed_call TO regress_typed_call;
REVOKE EXECUTE ON FUNCTION one_inout(int), in_sql(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION one_inout(int) TO regress_typed_call;
CREATE FUNCTION definer(n int) RETURNS int SECURITY DEFINER LANGUAGE plpgsql
	AS 'BEGIN RETURN (SELECT sum(one_inout(g)) FROM generate_series(1, n) g); END';
SET ROLE regress_typed_call;
SELECT one_inout(3);
SELECT one_inout(g) FROM generate_series(1, 2) g;
SELECT definer(3);
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER local TO regress_typed_call;
SET ROLE regress_typed_call;
SELECT one_inout(g) FROM generate_series(1, 2) g;
RESET ROLE;
CREATE USER MAPPING FOR regress_typed_call SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local');
SET ROLE regress_typed_call;
SELECT one_inout(g) FROM generate_series(1, 2) g;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION one_inout(int) FROM regress_typed_call;
SET ROLE regress_typed_call;
SELECT one_inout(3);
SELECT one_inout(g) FROM generate_series(1, 2) g;
RESET ROLE;

-- a row type may change while a call site lives
CREATE TABLE changing (id int, a text, b text, r jsonb);
CREATE FUNCTION sent(changing) RETURNS jsonb LANGUAGE modal AS 'local:builtin/echo';
CREATE FUNCTION send() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.r := sent(NEW); RETURN NEW; END';
CREATE TRIGGER send BEFORE INSERT ON changing FOR EACH ROW EXECUTE FUNCTION send();
BEGIN;
INSERT INTO changing VALUES (1, 'a', 'b');
ALTER TABLE changing RENAME a TO old;
ALTER TABLE changing RENAME b TO a;
ALTER TABLE changing ADD c int DEFAULT 3;
INSERT INTO changing VALUES (2, 'a', 'b');
ALTER TABLE changing ALTER old TYPE int USING 7;
INSERT INTO changing VALUES (3, 5, 'b');
COMMIT;
SELECT r FROM changing;
CREATE TYPE changed AS (a int8, b int8);
CREATE FUNCTION given(jsonb) RETURNS changed LANGUAGE modal AS 'local:builtin/echo';
DO $$
BEGIN
	FOR i IN 1..2 LOOP
		RAISE NOTICE '%', given('[21, 5]');
		IF i = 1 THEN
			ALTER TYPE changed ALTER ATTRIBUTE a TYPE text;
		END IF;
	END LOOP;
END $$;
BEGIN;
DECLARE c CURSOR FOR SELECT given('[21, 5]') FROM generate_series(1, 3);
FETCH c;
ALTER TYPE changed ADD ATTRIBUTE c int;
FETCH c;
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT given('[21, 5]') FROM generate_series(1, 3);
FETCH c;
ALTER TYPE changed DROP ATTRIBUTE a;
ALTER TYPE changed ADD ATTRIBUTE a int;
FETCH c;
ROLLBACK;

SET client_min_messages = warning;
RESET search_path;
DROP SCHEMA typed_call CASCADE;
DROP USER MAPPING FOR regress_typed_call SERVER local;
REVOKE USAGE ON FOREIGN SERVER local FROM regress_typed_call;
DROP ROLE regress_typed_call;
RESET client_min_messages;

-- calls that are not pipelined leave no memory behind in the block they stand in
CREATE FUNCTION call_echo(v int) RETURNS int STABLE LANGUAGE modal AS 'local:builtin/echo';
DO $$
DECLARE
	v int := call_echo(0);
	before bigint := (SELECT sum(total_bytes) FROM pg_backend_memory_contexts);
	grown bigint;
BEGIN
	FOR i IN 1..3000 LOOP
		v := call_echo(i);
	END LOOP;
	grown := (SELECT sum(total_bytes) FROM pg_backend_memory_contexts) - before;
	ASSERT v = 3000;
	IF grown > 1000000 THEN
		RAISE '% bytes after 3000 calls', grown;
	END IF;
END $$;
DROP FUNCTION call_echo;
