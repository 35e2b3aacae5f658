-- Rows that are made from those of another table.
\i test/setup.sql
\set SHOW_CONTEXT never
CREATE SCHEMA generated_rows;
SET search_path = generated_rows, public;
CREATE TABLE docs (id int, part int, pages jsonb, title text, PRIMARY KEY (id, part));
CREATE TABLE chunks (doc int, part int, n int, result text, words int, PRIMARY KEY (doc, part, n));
-- waits for all jobs that are not done, and says how they ended
CREATE FUNCTION finish() RETURNS TABLE (inputs bigint, succeeded bigint, failed bigint, stale bigint) LANGUAGE plpgsql
	SET client_min_messages = error AS $$
BEGIN
	WHILE EXISTS (SELECT FROM modal_batch.jobs WHERE finished_at IS NULL) LOOP
		PERFORM modal_wait(job, '60s') FROM modal_batch.jobs WHERE finished_at IS NULL;
	END LOOP;
	RETURN QUERY SELECT sum(j.inputs)::bigint, sum(j.succeeded)::bigint, sum(j.failed)::bigint, sum(j.stale)::bigint
		FROM modal_batch.jobs j;
END $$;
CREATE FUNCTION forget() RETURNS void LANGUAGE sql AS 'SELECT modal_forget(job) FROM modal_batch.jobs';

-- what is refused
\set call 'SELECT modal_generate_rows(''docs'', '
:call 'chunks', 'local:builtin/echo', '{page}', '{doc, part}');
:call 'chunks', 'local:builtin/echo', '{pages}', '{docs, part}');
:call 'chunks', 'local:builtin/echo', '{pages}', '{doc}');
:call 'chunks', 'local:builtin/echo', '{pages}', '{doc, result}');
:call 'chunks', 'local:builtin/echo', '{pages}', '{doc, part}', result_column => 'results');
:call 'chunks', 'local:builtin/echo', '{pages}', '{doc, part}', ordinality_column => 'm');
:call 'chunks', 'local:builtin/echo', '{pages}', '{doc, part}', ordinality_column => 'result');
:call 'chunks', 'locl:builtin/echo', '{pages}', '{doc, part}', ordinality_column => 'n');
:call 'chunks', 'local:builtin/echo', '{}', '{doc, part}');
:call 'chunks', NULL, '{pages}', '{doc, part}');
:call 'chunks', 'local:builtin/echo', '{pages}', '{doc, part}', kwargs => '3');
:call 'docs', 'local:builtin/echo', '{pages}', '{id, part}');
:call '-', 'local:builtin/echo', '{pages}', '{id, part}');
CREATE TABLE ring_a (id int PRIMARY KEY, key int, key2 int, v int);
CREATE TABLE ring_b (LIKE ring_a INCLUDING ALL);
CREATE TABLE ring_c (LIKE ring_a INCLUDING ALL);
SELECT modal_generate_rows('ring_a', 'ring_b', 'local:builtin/echo', '{v}', '{key}', 'v', backfill => false);
SELECT modal_generate_rows('ring_b', 'ring_c', 'local:builtin/echo', '{v}', '{key}', 'v', backfill => false);
SELECT modal_generate_rows('ring_c', 'ring_a', 'local:builtin/echo', '{v}', '{key}', 'v', backfill => false);
SELECT modal_generate_rows('ring_b', 'ring_a', 'local:builtin/echo', '{v}', '{key}', 'v', backfill => false);
SELECT modal_generate_rows('ring_a', 'ring_c', 'local:builtin/echo', '{v}', '{key2}', 'v', backfill => false);
DROP TABLE ring_a, ring_b, ring_c;
CREATE TABLE whole (id int, p int, v jsonb, PRIMARY KEY (id, p)) PARTITION BY LIST (p);
CREATE TABLE part PARTITION OF whole FOR VALUES IN (1);
SELECT modal_generate_rows('part', 'whole', 'local:builtin/echo', '{v}', '{id, p}', 'v', backfill => false);
SELECT modal_generate_rows('whole', 'part', 'local:builtin/echo', '{v}', '{id, p}', 'v', backfill => false);
CREATE TABLE ring (id int PRIMARY KEY, p int, key int, v jsonb);
SELECT modal_generate_rows('ring', 'part', 'local:builtin/echo', '{v}', '{id}', 'v', backfill => false);
SELECT modal_generate_rows('whole', 'ring', 'local:builtin/echo', '{v}', '{key,p}', 'v', backfill => false);
DROP TABLE whole, ring;
CREATE TABLE no_key (id int, pages jsonb);
SELECT modal_generate_rows('no_key', 'chunks', 'local:builtin/echo', '{pages}', '{doc}');
CREATE TRIGGER odd AFTER INSERT ON docs FOR EACH ROW
	EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'pages', '', '{"into_table": "generated_rows.chunks", "key": ["doc", "part"]}');
CREATE TRIGGER odd AFTER INSERT OR UPDATE OR DELETE ON docs FOR EACH ROW
	EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'pages', '', '{"into_table": "generated_rows.chunk", "key": ["doc", "part"]}');
CREATE TRIGGER odd AFTER TRUNCATE ON docs FOR EACH STATEMENT
	EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'pages', '', '{"into_table": "generated_rows.chunks", "key": ["doc", "part"]}');
CREATE TRIGGER odd AFTER INSERT ON docs FOR EACH ROW EXECUTE FUNCTION modal_truncate_rows();
INSERT INTO docs VALUES (0, 0);
DROP TRIGGER odd ON docs;
-- a target of others, which could be dropped and renamed together with the trigger only
CREATE ROLE regress_modal_rows;
GRANT USAGE, CREATE ON SCHEMA generated_rows TO regress_modal_rows;
SET ROLE regress_modal_rows;
CREATE TABLE mine (id int PRIMARY KEY, pages jsonb);
SELECT modal_generate_rows('mine', 'no_key', 'local:builtin/echo', '{pages}', '{id}');
SET check_function_bodies = off;
CREATE TRIGGER odd AFTER INSERT OR UPDATE OR DELETE ON mine FOR EACH ROW
	EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'pages', '', '{"into_table": "generated_rows.no_key", "key": ["id"]}');
RESET check_function_bodies;
RESET ROLE;
-- one of one's own
ALTER TABLE no_key OWNER TO regress_modal_rows;
SET ROLE regress_modal_rows;
SET check_function_bodies = off;
CREATE TRIGGER odd AFTER INSERT OR UPDATE OR DELETE ON mine FOR EACH ROW
	EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'pages', '', '{"into_table": "generated_rows.no_key", "key": ["id"]}');
RESET check_function_bodies;
RESET ROLE;
SELECT pg_describe_object(refclassid, refobjid, refobjsubid) FROM pg_depend
	WHERE classid = 'pg_trigger'::regclass AND refobjid = 'no_key'::regclass ORDER BY refobjsubid;
DROP TABLE mine;
ALTER TABLE no_key OWNER TO CURRENT_USER;
DROP OWNED BY regress_modal_rows;
DROP ROLE regress_modal_rows;

-- backfill, and what changes
INSERT INTO docs SELECT i, 1, to_jsonb(array_fill('page ' || i, ARRAY[i])), 'title' FROM generate_series(1, 20) i;
:call 'chunks', 'local:builtin/echo', '{pages}', '{doc, part}', ordinality_column => 'n') IS NOT NULL AS made;
:call 'chunks', 'local:builtin/echo', '{pages}', '{doc, part}', ordinality_column => 'n');
SELECT * FROM finish();
SELECT count(*), count(DISTINCT doc), max(n), bool_and(result = 'page ' || doc) FROM chunks;
SELECT forget();
INSERT INTO docs VALUES (21, 1, '["x", "y"]'), (22, 1, '{"no": "list"}');
UPDATE docs SET title = 'none' WHERE id < 21;
UPDATE docs SET pages = '["new"]' WHERE id = 20;
SELECT * FROM finish();
SELECT * FROM chunks WHERE doc >= 20 ORDER BY 1, 2, 3;
SELECT forget();
-- rows that go, or get another key, take theirs along at once
DELETE FROM docs WHERE id = 19;
SELECT count(*) FROM chunks WHERE doc = 19;
BEGIN;
UPDATE docs SET part = 2 WHERE id = 18;
SELECT count(*) FROM chunks WHERE doc = 18;
COMMIT;
SELECT * FROM finish();
SELECT part, count(*) FROM chunks WHERE doc = 18 GROUP BY part;
SELECT forget();
-- a source row that changes, or goes, before the result is there
BEGIN;
UPDATE docs SET pages = '["first"]' WHERE id IN (16, 17);
UPDATE docs SET pages = '["second"]' WHERE id = 17;
DELETE FROM docs WHERE id = 16;
COMMIT;
SELECT * FROM finish();
SELECT * FROM chunks WHERE doc IN (16, 17);
SELECT forget();
-- NULL is an argument, too
UPDATE docs SET pages = NULL WHERE id = 17;
SELECT * FROM finish();
SELECT count(*) FROM chunks WHERE doc = 17;
SELECT forget();

-- names that change
ALTER TABLE chunks RENAME TO pieces;
ALTER TABLE pieces RENAME doc TO document;
ALTER TABLE pieces RENAME n TO number;
ALTER TABLE docs RENAME pages TO leaves;
ALTER TABLE docs RENAME id TO docid;
CREATE SCHEMA generated_rows_other;
ALTER TABLE pieces SET SCHEMA generated_rows_other;
SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'docs'::regclass ORDER BY tgname;
UPDATE docs SET leaves = '["renamed"]' WHERE docid = 15;
DELETE FROM docs WHERE docid = 14;
SELECT * FROM finish();
SELECT * FROM generated_rows_other.pieces WHERE document IN (14, 15);
SELECT forget();
ALTER SCHEMA generated_rows_other RENAME TO generated_rows_moved;
DELETE FROM docs WHERE docid = 15;
SELECT count(*) FROM generated_rows_moved.pieces WHERE document = 15;

-- a generated column of these rows follows by itself
ALTER TABLE generated_rows_moved.pieces SET SCHEMA generated_rows;
SELECT modal_generate_column('pieces', 'words', 'local:builtin/echo', '{number}') IS NOT NULL AS made;
INSERT INTO docs VALUES (30, 1, '["a", "b", "c"]');
SELECT succeeded > 0 AS some, failed FROM finish();
SELECT * FROM pieces WHERE document = 30 ORDER BY number;
SELECT "table", "column" FROM modal_batch.generated_columns WHERE "table" = 'pieces'::regclass OR "table" = 'docs'::regclass;
SELECT forget();

-- deferred triggers of the target
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE '% of piece % at the commit', TG_OP, OLD.number; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER tell AFTER DELETE ON pieces DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tell();
DELETE FROM docs WHERE docid = 30;
DROP TRIGGER tell ON pieces;

-- TRUNCATE
TRUNCATE docs;
SELECT count(*) FROM pieces;
-- together with the target, whose foreign key also asks for that
ALTER TABLE docs DISABLE TRIGGER modal_generate_chunks;
ALTER TABLE pieces DISABLE TRIGGER modal_generate_words;
INSERT INTO docs VALUES (40, 1, '["a"]');
INSERT INTO pieces (document, part, number) VALUES (40, 1, 1);
TRUNCATE docs, pieces;
ALTER TABLE pieces ADD CONSTRAINT of_doc FOREIGN KEY (document, part) REFERENCES docs ON DELETE CASCADE;
INSERT INTO docs VALUES (41, 1, '["a"]');
INSERT INTO pieces (document, part, number) VALUES (41, 1, 1);
TRUNCATE docs;
TRUNCATE docs CASCADE;
SELECT count(*) FROM pieces;
ALTER TABLE pieces DROP CONSTRAINT of_doc;
-- while the target is read, or has triggers to come
INSERT INTO pieces (document, part, number) VALUES (42, 1, 1), (42, 1, 2);
BEGIN;
DECLARE reader CURSOR FOR SELECT number FROM pieces ORDER BY number;
FETCH reader;
TRUNCATE docs;
SELECT count(*) FROM pieces;
FETCH reader;
COMMIT;
CREATE CONSTRAINT TRIGGER tell AFTER INSERT OR DELETE ON pieces DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tell();
BEGIN;
INSERT INTO pieces (document, part, number) VALUES (43, 1, 1);
TRUNCATE docs;
SELECT count(*) FROM pieces;
ROLLBACK;
DROP TRIGGER tell ON pieces;
-- what refers to the target is not emptied
ALTER TABLE pieces ADD CONSTRAINT once UNIQUE (document, part, number);
CREATE TABLE notes (document int, part int, number int, FOREIGN KEY (document, part, number) REFERENCES pieces (document, part, number));
TRUNCATE docs;
DROP TABLE notes;
ALTER TABLE docs ENABLE TRIGGER modal_generate_chunks;
ALTER TABLE pieces ENABLE TRIGGER modal_generate_words;
-- dropped: rows stay
INSERT INTO docs VALUES (1, 1, '["a"]');
SELECT * FROM finish();
SELECT modal_drop_generated_rows('docs', 'no_key');
SELECT modal_drop_generated_rows('docs', 'pieces');
TRUNCATE docs;
SELECT count(*) FROM pieces;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'docs'::regclass;
-- a target that is dropped takes the declaration along
SELECT modal_generate_rows('docs', 'pieces', 'local:builtin/echo', '{leaves}', '{document, part}', ordinality_column => 'number', backfill => false) IS NULL AS no_job;
DROP TABLE pieces;
INSERT INTO docs VALUES (2, 1, '["a"]');
SELECT * FROM finish();

-- whose row security is forced, and a writer that has it off
CREATE ROLE regress_modal_kept LOGIN;
GRANT USAGE, CREATE ON SCHEMA generated_rows TO regress_modal_kept;
CREATE TABLE kept (id int PRIMARY KEY, pages jsonb);
CREATE TABLE kept_pages (id int, result text);
ALTER TABLE kept_pages ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY all_rows ON kept_pages USING (true);
ALTER TABLE kept OWNER TO regress_modal_kept;
ALTER TABLE kept_pages OWNER TO regress_modal_kept;
CREATE USER MAPPING FOR regress_modal_kept SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local');
GRANT USAGE ON FOREIGN SERVER local TO regress_modal_kept;
SELECT modal_generate_rows('kept', 'kept_pages', 'local:builtin/echo', '{pages}', '{id}', backfill => false) IS NULL AS no_job;
INSERT INTO kept VALUES (1, '["x"]');
SELECT * FROM finish();
SELECT count(*) FROM kept_pages;
SET ROLE regress_modal_kept;
SET row_security = off;
DELETE FROM kept;
RESET row_security;
SELECT count(*) FROM kept_pages;
RESET ROLE;
SELECT forget();
-- its triggers find what they find in a session of the owner, whoever writes
ALTER ROLE regress_modal_kept SET search_path = generated_rows;
CREATE TABLE kept_log (id int);
ALTER TABLE kept_log OWNER TO regress_modal_kept;
CREATE FUNCTION keep_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO kept_log VALUES (OLD.id); RETURN NULL; END $$;
CREATE TRIGGER keep_log AFTER DELETE ON kept_pages FOR EACH ROW EXECUTE FUNCTION keep_log();
INSERT INTO kept VALUES (2, '["x", "y"]'), (3, '["z"]');
SELECT * FROM finish();
BEGIN;
SET LOCAL search_path = pg_catalog;
CREATE TEMP TABLE kept_log (id int) ON COMMIT DROP;
GRANT ALL ON kept_log TO PUBLIC;
DELETE FROM generated_rows.kept WHERE id = 2;
TRUNCATE generated_rows.kept;
COMMIT;
SELECT id FROM kept_log;
SELECT forget();
-- its runner is not to be seen by tests that come after this one
SELECT count(pg_terminate_backend(pid, 60000)) >= 0 AS ended FROM pg_stat_activity
	WHERE backend_type = 'modal_batch runner' AND usename = 'regress_modal_kept';
DROP OWNED BY regress_modal_kept;
DROP ROLE regress_modal_kept;
-- keys of columns with another collation or precision
CREATE TABLE c_keys (id text COLLATE "C" PRIMARY KEY, pages jsonb);
CREATE TABLE posix_keys (id text COLLATE "POSIX", result text);
INSERT INTO c_keys VALUES ('a', '["x", "y"]');
SELECT modal_generate_rows('c_keys', 'posix_keys', 'local:builtin/echo', '{pages}', '{id}') IS NOT NULL AS made;
INSERT INTO c_keys VALUES ('b', '["z"]');
SELECT * FROM finish();
DELETE FROM c_keys WHERE id = 'a';
SELECT * FROM posix_keys;
SELECT forget();
-- one target of two sources
CREATE TABLE texts (id int PRIMARY KEY, pages jsonb);
CREATE TABLE videos (id int PRIMARY KEY, pages jsonb);
CREATE TABLE of_both ("Text" int, video int, result text);
SELECT modal_generate_rows('texts', 'of_both', 'local:builtin/echo', '{pages}', '{Text}', backfill => false) IS NULL AS no_job;
SELECT modal_generate_rows('videos', 'of_both', 'local:builtin/echo', '{pages}', '{video}', backfill => false) IS NULL AS no_job;
CREATE TABLE sounds (id int PRIMARY KEY, pages jsonb);
SELECT modal_generate_rows('sounds', 'of_both', 'local:builtin/echo', '{pages}', '{video}');
CREATE TABLE frames (video int, n int, pages jsonb, PRIMARY KEY (video, n));
ALTER TABLE of_both ADD n int;
SELECT modal_generate_rows('frames', 'of_both', 'local:builtin/echo', '{pages}', '{n, video}');
ALTER TABLE of_both DROP n;
INSERT INTO texts VALUES (1, '["text"]');
INSERT INTO videos VALUES (1, '["video"]');
SELECT * FROM finish();
SELECT * FROM of_both ORDER BY result;
TRUNCATE texts;
SELECT * FROM of_both;
SELECT forget();
-- a circle through a partition
CREATE TABLE parts (id int PRIMARY KEY, doc int, pages jsonb, result text) PARTITION BY RANGE (id);
CREATE TABLE parts1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
CREATE TABLE of_parts (id int PRIMARY KEY, pages jsonb, result text);
SELECT modal_generate_rows('parts', 'parts1', 'local:builtin/echo', '{pages}', '{doc}');
SELECT modal_generate_rows('parts1', 'parts', 'local:builtin/echo', '{pages}', '{doc}');
SELECT modal_generate_rows('parts1', 'of_parts', 'local:builtin/echo', '{pages}', '{id}', backfill => false) IS NULL AS no_job;
SELECT modal_generate_rows('of_parts', 'parts', 'local:builtin/echo', '{pages}', '{doc}');
CREATE TABLE two_keys (a int, b int, pages jsonb, PRIMARY KEY (a, b));
SELECT modal_generate_rows('two_keys', 'no_key', 'local:builtin/echo', '{pages}', '{id, id}');
CREATE TABLE fine (price numeric(10, 2), at timestamptz, name varchar(10), pages jsonb, PRIMARY KEY (price, at, name));
CREATE TABLE coarse (price numeric(10, 0), at timestamptz(0), exact numeric(10, 2), any_number numeric, moment timestamptz, name varchar(5), result text);
SELECT modal_generate_rows('fine', 'coarse', 'local:builtin/echo', '{pages}', '{price, moment, name}');
SELECT modal_generate_rows('fine', 'coarse', 'local:builtin/echo', '{pages}', '{exact, at, name}');
SELECT modal_generate_rows('fine', 'coarse', 'local:builtin/echo', '{pages}', '{any_number, moment, name}', backfill => false) IS NULL AS no_job;
SELECT modal_drop_generated_rows('fine', 'coarse');
SELECT modal_generate_rows('fine', 'coarse', 'local:builtin/echo', '{pages}', '{exact, moment, name}', backfill => false) IS NULL AS no_job;

SET client_min_messages = warning;
DROP SCHEMA generated_rows CASCADE;
DROP SCHEMA generated_rows_moved CASCADE;
DELETE FROM modal_batch.job;
DELETE FROM modal_batch.result;
