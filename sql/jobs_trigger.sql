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

-- a row that is changed again has one input, the last that is not rolled back
BEGIN;
INSERT INTO docs VALUES (9001, 'a', 'title one'), (9002, 'a', 'title one'), (9003, 'a', 'title one');
UPDATE docs SET title = 'title two' WHERE id IN (9001, 9002);
SAVEPOINT a;
UPDATE docs SET title = 'title three' WHERE id IN (9001, 9003);
ROLLBACK TO a;
SAVEPOINT b;
UPDATE docs SET title = 'title four' WHERE id = 9002;
RELEASE b;
UPDATE docs SET title = 'title five', part = 'b' WHERE id = 9003;
COMMIT;
SELECT j.inputs, c.count, r.sent FROM modal_batch.job j JOIN modal_batch.chunk c ON c.job = j.id,
	LATERAL (SELECT string_agg(m[1], ',') FROM regexp_matches(encode(c.inputs, 'escape'), 'title (one|two|three|four|five)', 'g') m) AS r(sent);
DELETE FROM modal_batch.job; DELETE FROM modal_batch.chunk;

-- what a superuser has put on the tables of jobs: triggers of each kind, indexes, constraints
CREATE TABLE told (n serial, what text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO jobs_trigger.told (what) VALUES (concat_ws(' ', TG_TABLE_NAME, TG_WHEN, TG_LEVEL,
		CASE WHEN TG_LEVEL = 'STATEMENT' THEN (SELECT count(*) FROM modal_batch.job WHERE function LIKE 'local:%') END));
	RETURN NEW;
END $$;
CREATE TRIGGER see_1 BEFORE INSERT ON modal_batch.job FOR EACH STATEMENT EXECUTE FUNCTION see();
CREATE TRIGGER see_2 BEFORE INSERT ON modal_batch.job FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER see_3 AFTER INSERT ON modal_batch.job FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER see_4 AFTER INSERT ON modal_batch.job FOR EACH STATEMENT EXECUTE FUNCTION see();
CREATE CONSTRAINT TRIGGER see_5 AFTER INSERT ON modal_batch.chunk DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION see();
ALTER TABLE modal_batch.job ADD CONSTRAINT later UNIQUE (id, function) DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX by_upper ON modal_batch.job (upper(function)) WHERE inputs > 0;
INSERT INTO docs VALUES (9501, 'a', 'title');
SELECT what FROM told ORDER BY n;
SELECT upper(function), inputs FROM modal_batch.job;
ALTER TABLE modal_batch.job DROP CONSTRAINT later;
DROP INDEX modal_batch.by_upper;
SET client_min_messages = warning;
DROP FUNCTION see CASCADE;
RESET client_min_messages;
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

-- columns that change places within the transaction: names count
CREATE TABLE swapped (id int PRIMARY KEY, body text, body_new text, vec jsonb);
CREATE TRIGGER embed AFTER INSERT OR UPDATE ON swapped
	FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'body', 'vec');
BEGIN;
INSERT INTO swapped VALUES (1, 'one', 'one new');
ALTER TABLE swapped RENAME body TO body_old;
ALTER TABLE swapped RENAME body_new TO body;
INSERT INTO swapped (id, body_old, body) VALUES (2, 'old', 'two');
ALTER TABLE swapped DROP COLUMN body_old;
INSERT INTO swapped (id, body) VALUES (3, 'three');
COMMIT;
SELECT j.inputs, position('two'::bytea IN c.inputs) > 0 AS two, position('old'::bytea IN c.inputs) > 0 AS old
	FROM modal_batch.job j JOIN modal_batch.chunk c ON c.job = j.id;
DELETE FROM modal_batch.job; DELETE FROM modal_batch.chunk;

-- a stored generated column as an argument, and in the key
CREATE TABLE made (a int, k int GENERATED ALWAYS AS (a * 2) STORED, whole text GENERATED ALWAYS AS ('w' || a::text) STORED,
	vec jsonb, PRIMARY KEY (k));
CREATE TRIGGER embed AFTER INSERT OR UPDATE ON made
	FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'whole', 'vec');
INSERT INTO made VALUES (1), (2);
UPDATE made SET vec = '1';
UPDATE made SET a = 3 WHERE a = 1;
SELECT inputs, key_columns, check_columns FROM modal_batch.job ORDER BY id;
DELETE FROM modal_batch.job; DELETE FROM modal_batch.chunk;

-- however large, and whatever its savepoints: one job
CREATE TABLE wide (id int PRIMARY KEY, body text, vec jsonb);
CREATE TRIGGER embed AFTER INSERT ON wide
	FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'body', 'vec');
BEGIN;
INSERT INTO wide SELECT i, repeat('x', 100000) FROM generate_series(1, 200) i;
DO $$
BEGIN
	FOR i IN 201..800 LOOP
		BEGIN
			INSERT INTO wide VALUES (i, repeat('y', 100000));
			IF i % 4 = 0 THEN RAISE EXCEPTION 'no'; END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END LOOP;
END $$;
SAVEPOINT a;
INSERT INTO wide SELECT i, repeat('z', 100000) FROM generate_series(801, 1300) i;
ROLLBACK TO a;
INSERT INTO wide VALUES (9999, 'last');
SELECT count(*) FROM modal_batch.job;
COMMIT;
SELECT j.inputs, sum(c.count) AS in_chunks, sum(length(c.inputs)) > 65000000 AS whole,
	bool_or(position('zzz'::bytea IN c.inputs) > 0) AS rolled_back, bool_or(position('last'::bytea IN c.inputs) > 0) AS last
	FROM modal_batch.job j JOIN modal_batch.chunk c ON c.job = j.id GROUP BY j.id;
DELETE FROM modal_batch.job; DELETE FROM modal_batch.chunk;

-- a table that is gone by the end of the transaction
BEGIN;
CREATE TABLE passing (id int PRIMARY KEY, body text, vec jsonb);
CREATE TRIGGER embed AFTER INSERT ON passing
	FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'body', 'vec');
INSERT INTO passing VALUES (1, 'x');
DROP TABLE passing;
COMMIT;
SELECT count(*) FROM modal_batch.job;

-- what somebody defers on the tables of jobs fires, too, and what that changes
CREATE TABLE seen (id bigint PRIMARY KEY, inputs bigint, vec jsonb);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.into_table <> 'seen'::regclass THEN INSERT INTO seen VALUES (NEW.id, NEW.inputs); END IF;
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER see AFTER INSERT ON modal_batch.job DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER embed AFTER INSERT ON seen
	FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'inputs', 'vec');
INSERT INTO docs VALUES (60001, 'a'), (60002, 'a');
SELECT inputs FROM seen;
SELECT into_table, inputs FROM modal_batch.job ORDER BY id;
DROP TRIGGER see ON modal_batch.job;
DELETE FROM modal_batch.job; DELETE FROM modal_batch.chunk;

-- which server it is, was decided when the trigger was made
SET modal_batch.server = 'local';
CREATE TABLE served (id int PRIMARY KEY, body text, vec jsonb);
CREATE TRIGGER embed AFTER INSERT ON served
	FOR EACH ROW EXECUTE FUNCTION modal_trigger('builtin/echo', 'body', 'vec');
CREATE OR REPLACE TRIGGER embed AFTER INSERT ON served
	FOR EACH ROW WHEN (NEW.id > 0) EXECUTE FUNCTION modal_trigger('builtin/echo', 'body', 'vec');
CREATE TABLE served_parted (id int PRIMARY KEY, body text, vec jsonb) PARTITION BY RANGE (id);
CREATE TABLE served_first PARTITION OF served_parted FOR VALUES FROM (0) TO (10);
CREATE TRIGGER embed AFTER INSERT ON served_parted
	FOR EACH ROW EXECUTE FUNCTION modal_trigger('builtin/echo', 'body', 'vec');
SET modal_batch.server = 'elsewhere';
CREATE TABLE served_second PARTITION OF served_parted FOR VALUES FROM (10) TO (20);
INSERT INTO served VALUES (1, 'x');
INSERT INTO served_parted VALUES (1, 'x'), (11, 'y');
SELECT function, inputs FROM modal_batch.job ORDER BY id;
SELECT tgrelid::regclass, tgname, encode(tgargs, 'escape') FROM pg_trigger
	WHERE tgrelid::regclass::text ~ '^served' ORDER BY tgrelid::regclass::text;
RESET modal_batch.server;
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
SELECT try($$AFTER INSERT OR DELETE ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'body', 'vec')$$);
-- mistakes are told when the trigger is made, with what was probably meant
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON bad DEFERRABLE FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'boddy', 'vec');
CREATE TRIGGER t AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'body', 'vecc');
CREATE TRIGGER t AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('lokal:app/f', 'body', 'vec');
CREATE TRIGGER t AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app', 'body', 'vec');
CREATE TRIGGER t AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'body', 'body');
CREATE TRIGGER t AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'body', 'id');
CREATE TRIGGER t AFTER INSERT ON made FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'a', 'whole');
ALTER TABLE made ADD number int GENERATED ALWAYS AS IDENTITY;
CREATE TRIGGER t AFTER INSERT ON made FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'a', 'number');
ALTER TABLE made DROP number;
CREATE TRIGGER t AFTER UPDATE ON modal_batch.job FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'state', 'on_complete');
SET check_function_bodies = off;
BEGIN;
CREATE TRIGGER t AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('nosuch:app/f', 'body', 'vec');
ROLLBACK;
RESET check_function_bodies;
-- only the owner of the table: its jobs run as that role
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_trigger_other;
CREATE ROLE regress_trigger_other;
RESET client_min_messages;
GRANT ALL ON ALL TABLES IN SCHEMA jobs_trigger TO regress_trigger_other;
GRANT ALL ON SCHEMA jobs_trigger TO regress_trigger_other;
SET ROLE regress_trigger_other;
CREATE TRIGGER t AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'body', 'vec');
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'body', 'vec');
CREATE TABLE own (id int PRIMARY KEY, body text, vec jsonb);
CREATE TRIGGER t AFTER INSERT ON own FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'body', 'vec');
RESET ROLE;
DROP OWNED BY regress_trigger_other;
DROP ROLE regress_trigger_other;
ALTER TABLE bad DROP CONSTRAINT bad_pkey;
SELECT try($$AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:app/f', 'body', 'vec')$$);
SELECT count(*) FROM bad;
SELECT count(*) FROM modal_batch.job;

SET client_min_messages = warning;
DROP TRIGGER pause ON modal_batch.job;
DROP SCHEMA jobs_trigger CASCADE;
