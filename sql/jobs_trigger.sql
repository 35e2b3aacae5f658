-- modal_trigger: what it collects.  Its jobs do not run;
-- test/t/3*.pl runs some.
\i test/setup.sql
CREATE SCHEMA jobs_trigger;
SET search_path = jobs_trigger, public;
CREATE TABLE docs (id int, part text, title text, body text, vec jsonb, n int, PRIMARY KEY (id, part));
CREATE TRIGGER embed AFTER INSERT OR UPDATE ON docs
	FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'title, body', 'vec');
CREATE FUNCTION show_jobs() RETURNS TABLE (inputs bigint, chunks bigint, mode text, into_table regclass,
	key_columns text[], check_columns text[], result_column text) LANGUAGE sql AS $$
	SELECT inputs, (SELECT count(*) FROM modal_batch.chunk c WHERE c.job = j.id), mode, into_table,
		key_columns, check_columns, result_column
	FROM modal_batch.job j WHERE j.into_table::text LIKE 'jobs_trigger.%' OR into_table::text IN ('docs', 'parted')
	ORDER BY id DESC $$;
-- jobs are paused as they come, so that they can be looked at
CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.state := 'paused'; RETURN NEW; END $$;
CREATE TRIGGER pause BEFORE INSERT ON modal_batch.job FOR EACH ROW EXECUTE FUNCTION pause();

INSERT INTO docs SELECT i, 'a', 'title ' || i, 'body' FROM generate_series(1, 3000) i;
SELECT * FROM show_jobs();
DELETE FROM modal_batch.job; DELETE FROM modal_batch.chunk;

-- an update counts when it changes an argument or the key
BEGIN;
UPDATE docs SET vec = '1' WHERE id <= 100;
UPDATE docs SET n = 1 WHERE id <= 100;
UPDATE docs SET title = title WHERE id <= 100;
COMMIT;
SELECT * FROM show_jobs();
UPDATE docs SET title = 'new' WHERE id <= 10;
UPDATE docs SET body = NULL WHERE id <= 10;
UPDATE docs SET id = -id WHERE id <= 10;
SELECT inputs FROM show_jobs();
DELETE FROM modal_batch.job; DELETE FROM modal_batch.chunk;

-- savepoints: rolled back, released, and nested
BEGIN;
INSERT INTO docs VALUES (10001, 'a');
SAVEPOINT a;
INSERT INTO docs VALUES (10002, 'a');
SAVEPOINT b;
INSERT INTO docs VALUES (10003, 'a');
RELEASE b;
ROLLBACK TO a;
INSERT INTO docs VALUES (10004, 'a');
SAVEPOINT c;
INSERT INTO docs VALUES (10005, 'a');
RELEASE c;
COMMIT;
SELECT inputs, chunks FROM show_jobs();
DELETE FROM modal_batch.job; DELETE FROM modal_batch.chunk;
BEGIN;
INSERT INTO docs VALUES (10006, 'a');
ROLLBACK;
SELECT count(*) FROM show_jobs();
-- exceptions in PL/pgSQL are savepoints
DO $$
BEGIN
	FOR i IN 20001..20300 LOOP
		BEGIN
			INSERT INTO docs VALUES (i, 'a');
			IF i % 3 = 0 THEN RAISE EXCEPTION 'no'; END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END LOOP;
END $$;
SELECT inputs, chunks FROM show_jobs();
DELETE FROM modal_batch.job; DELETE FROM modal_batch.chunk;

-- COPY, ON CONFLICT
COPY docs (id, part, title) FROM stdin;
30001	a	x
30002	a	y
\.
INSERT INTO docs (id, part, title) VALUES (30001, 'a', 'x2'), (30003, 'a', 'z')
	ON CONFLICT (id, part) DO UPDATE SET title = EXCLUDED.title;
SELECT inputs FROM show_jobs();
DELETE FROM modal_batch.job; DELETE FROM modal_batch.chunk;

-- replication: fires as ENABLE REPLICA and ALWAYS say
SET session_replication_role = replica;
INSERT INTO docs VALUES (40001, 'a');
SELECT count(*) FROM show_jobs();
ALTER TABLE docs ENABLE ALWAYS TRIGGER embed;
INSERT INTO docs VALUES (40002, 'a');
SELECT count(*) FROM modal_batch.job;
RESET session_replication_role;
DELETE FROM modal_batch.job; DELETE FROM modal_batch.chunk;

-- partitions whose columns are in another order; one job for the whole table
CREATE TABLE parted (id int PRIMARY KEY, body text, vec float8) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 (vec float8, body text, id int NOT NULL);
ALTER TABLE parted ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20);
CREATE TRIGGER embed AFTER INSERT OR UPDATE ON parted
	FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'body', 'vec');
INSERT INTO parted SELECT i, 'b' || i FROM generate_series(5, 14) i;
SELECT inputs, into_table, key_columns FROM show_jobs();
DELETE FROM modal_batch.job; DELETE FROM modal_batch.chunk;

-- a table that is altered within the transaction
BEGIN;
INSERT INTO docs VALUES (50001, 'a');
ALTER TABLE docs ALTER COLUMN body TYPE varchar;
INSERT INTO docs VALUES (50002, 'a');
COMMIT;
SELECT inputs FROM show_jobs();
DELETE FROM modal_batch.job; DELETE FROM modal_batch.chunk;

-- refused
\set SHOW_CONTEXT never
SELECT modal_trigger();
CREATE TABLE bad (id int PRIMARY KEY, body text, vec jsonb);
CREATE FUNCTION try(definition text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'CREATE TRIGGER t ' || definition;
	INSERT INTO bad VALUES (1, 'x');
END $$;
SELECT try($$BEFORE INSERT ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'body', 'vec')$$);
SELECT try($$AFTER INSERT ON bad EXECUTE FUNCTION modal_trigger('local:app/f', 'body', 'vec')$$);
SELECT try($$AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'body')$$);
SELECT try($$AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'nosuch', 'vec')$$);
SELECT try($$AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'body,', 'vec')$$);
SELECT try($$AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', '', 'vec')$$);
SELECT try($$AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'body', 'nosuch')$$);
SELECT try($$AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('nosuch:app/f', 'body', 'vec')$$);
ALTER TABLE bad DROP CONSTRAINT bad_pkey;
SELECT try($$AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'body', 'vec')$$);
SELECT count(*) FROM bad;
SELECT count(*) FROM modal_batch.job;

SET client_min_messages = warning;
DROP TRIGGER pause ON modal_batch.job;
DROP SCHEMA jobs_trigger CASCADE;
