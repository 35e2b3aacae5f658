-- Columns that are generated remotely: declaring, renaming, dropping, and
-- which rows become inputs.  Jobs do not run; test/t/375_generated_columns.pl
-- runs some.
\i test/setup.sql
CREATE SCHEMA generated_columns;
SET search_path = generated_columns, public;
CREATE TABLE docs (id int, part text, title text, body text, len int GENERATED ALWAYS AS (length(body)) STORED,
	vec jsonb, made_by int, other jsonb, note varchar(10), PRIMARY KEY (id, part));
CREATE TABLE keyless (a int, r jsonb);
CREATE VIEW docs_view AS SELECT * FROM docs;
-- jobs are paused as they come, so that they can be looked at
CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.state := 'paused'; RETURN NEW; END $$;
CREATE TRIGGER pause BEFORE INSERT ON modal_batch.job FOR EACH ROW EXECUTE FUNCTION pause();
CREATE FUNCTION show_jobs() RETURNS TABLE (inputs bigint, into_table regclass, key text[], args text[], result text,
	version text, priority int, backfill boolean) LANGUAGE sql AS $$
	SELECT inputs, into_table, key_columns, check_columns, result_column, version_column, priority, backfill
	FROM modal_batch.job ORDER BY id $$;
CREATE PROCEDURE no_jobs() LANGUAGE sql AS $$ DELETE FROM modal_batch.job; DELETE FROM modal_batch.chunk; DELETE FROM modal_batch.result $$;

-- what is refused, when it is declared
\set VERBOSITY default
SELECT modal_generate_column(NULL, 'vec', 'local:builtin/echo', '{body}');
SELECT modal_generate_column('docs', NULL, 'local:builtin/echo', '{body}');
SELECT modal_generate_column('docs', 'vec', NULL, '{body}');
SELECT modal_generate_column('docs', 'vec', 'local:builtin/echo', NULL);
SELECT modal_generate_column('docs', 'vec', 'local:builtin/echo', '{}');
SELECT modal_generate_column('docs', 'vec', 'local:builtin/echo', '{body,NULL}');
SELECT modal_generate_column('docs', 'vec', 'local:builtin/echo', '{body}', skip_nulls => NULL);
SELECT modal_generate_column('docs', 'vec', 'local:builtin/echo', '{body}', backfill => NULL);
SELECT modal_generate_column('docs', 'vec', 'local:builtin/echo', '{body}', priority => NULL);
SELECT modal_generate_column('-', 'vec', 'local:builtin/echo', '{body}');
SELECT modal_generate_column('docs_view', 'vec', 'local:builtin/echo', '{body}');
SELECT modal_generate_column('keyless', 'r', 'local:builtin/echo', '{a}');
SELECT modal_generate_column('docs', 'vek', 'local:builtin/echo', '{body}');
SELECT modal_generate_column('docs', 'vec', 'local:builtin/echo', '{title,bodi}');
SELECT modal_generate_column('docs', 'vec', 'local:builtin/echo', '{body}', version_column => 'made_bi');
SELECT modal_generate_column('docs', 'vec', 'local:builtin/echo', '{body}', version_column => 'vec');
SELECT modal_generate_column('docs', 'vec', 'local:builtin/echo', '{body}', version_column => 'body');
SELECT modal_generate_column('docs', 'vec', 'local:builtin/echo', '{body}', version_column => 'note');
SELECT modal_generate_column('docs', 'vec', 'local:builtin/echo', '{vec}');
SELECT modal_generate_column('docs', 'id', 'local:builtin/echo', '{body}');
SELECT modal_generate_column('docs', 'len', 'local:builtin/echo', '{body}');
SELECT modal_generate_column('docs', 'vec', 'locall:builtin/echo', '{body}');
SELECT modal_generate_column('docs', 'vec', 'local:builtin', '{body}');
SELECT modal_generate_column('docs', 'vec', 'local:builtin/echo', '{body}', kwargs => '[1]');
SELECT modal_regenerate('docs', 'vec');
SELECT modal_drop_generated_column('docs', 'vec');
CREATE TRIGGER t AFTER INSERT ON docs FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'body', 'vec', '{"skip_null": true}');
CREATE TRIGGER t AFTER INSERT ON docs FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'body', 'vec', '{"priority": "high"}');
CREATE TRIGGER t AFTER INSERT ON docs FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'body', 'vec', '[]');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'docs'::regclass;

-- the rows that are there, without those that lack an argument or have a result
INSERT INTO docs (id, part, title, body) SELECT i, 'p', 't' || i, 'b' || i FROM generate_series(1, 20) i;
UPDATE docs SET body = NULL WHERE id = 1;
UPDATE docs SET vec = '"there"' WHERE id = 2;
SELECT modal_generate_column('docs', 'vec', 'local:builtin/echo', '{title,body}', version_column => 'made_by') > 0 AS job;
SELECT * FROM show_jobs();
SELECT "table", "column", function, arguments, kwargs, version_column, skip_nulls, priority, pending, failed, last_error
	FROM modal_batch.generated_columns;
SELECT * FROM modal_batch.generated_column_counts('docs', 'vec');
SELECT modal_generate_column('docs', 'vec', 'local:builtin/echo', '{title,body}');
SELECT modal_generate_column('docs', 'other', 'local:builtin/echo', '{vec}', backfill => false);
SELECT modal_generate_column('docs', 'title', 'local:builtin/echo', '{other}');
SELECT modal_drop_generated_column('docs', 'other');
-- what the table calculates from a result is one, too
CREATE TABLE derived (id int PRIMARY KEY, a text, a_len int GENERATED ALWAYS AS (length(a)) STORED,
	b jsonb, b_len int GENERATED ALWAYS AS (length(b::text) + id) STORED);
SELECT modal_generate_column('derived', 'a', 'local:builtin/echo', '{a_len}');
CREATE TRIGGER t AFTER INSERT OR UPDATE ON derived FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'id, b_len', 'b');
SELECT modal_generate_column('derived', 'b', 'local:builtin/echo', '{a_len}', backfill => false);
SELECT modal_generate_column('derived', 'a', 'local:builtin/echo', '{b_len}');
DROP TABLE derived;
-- and so is what a partition has of its own
CREATE TABLE whole (id int, p int, a text, b text, PRIMARY KEY (id, p)) PARTITION BY LIST (p);
CREATE TABLE part PARTITION OF whole FOR VALUES IN (1);
CREATE TABLE apart (LIKE whole INCLUDING ALL);
SELECT modal_generate_column('part', 'b', 'local:builtin/echo', '{a}', backfill => false);
SELECT modal_generate_column('whole', 'a', 'local:builtin/echo', '{b}', backfill => false);
DROP TABLE part;
SELECT modal_generate_column('whole', 'a', 'local:builtin/echo', '{b}', backfill => false);
SELECT modal_generate_column('apart', 'b', 'local:builtin/echo', '{a}', backfill => false);
ALTER TABLE whole ATTACH PARTITION apart FOR VALUES IN (1);
DROP TABLE whole, apart;

-- what is under way is not sent again
SELECT modal_regenerate('docs', 'vec') > 0 AS job;
SELECT inputs FROM show_jobs();
UPDATE docs SET body = 'new' WHERE id = 3;
SELECT * FROM modal_batch.generated_column_counts('docs', 'vec');
CALL no_jobs();
SELECT * FROM modal_batch.generated_column_counts('docs', 'vec');
SELECT modal_regenerate('docs', 'vec') > 0 AS job;
SELECT modal_regenerate('docs', 'vec', 'outdated') > 0 AS job;
SELECT modal_regenerate('docs', 'vec', 'failed') > 0 AS job;
SELECT modal_regenerate('docs', 'vec', 'all') > 0 AS job;
SELECT inputs FROM show_jobs();
SELECT modal_regenerate('docs', 'vec', 'missin');
SELECT modal_regenerate('docs', 'vek');
CALL no_jobs();

-- rows that lose an argument lose the result; nothing is sent for them
UPDATE docs SET vec = '1', made_by = 7;
UPDATE docs SET body = NULL WHERE id = 5;
UPDATE docs SET note = 'x', body = NULL WHERE id = 5;
SELECT id, vec, made_by FROM docs WHERE id BETWEEN 4 AND 6 ORDER BY id;
SELECT count(*) FROM show_jobs();

-- ... and triggers of the table may be deferred, whoever writes
CREATE TABLE late (id int PRIMARY KEY, body text, vec text);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE '% of row % at the commit: %', TG_OP, NEW.id, NEW.vec IS NULL; RETURN NULL; END $$;
INSERT INTO late VALUES (1, 'a', 'A'), (2, 'b', 'B');
CREATE CONSTRAINT TRIGGER tell AFTER UPDATE ON late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tell();
SELECT modal_generate_column('late', 'vec', 'local:builtin/echo', '{body}', backfill => false);
UPDATE late SET body = NULL WHERE id = 1;
CREATE ROLE regress_generated_writer;
GRANT USAGE ON SCHEMA generated_columns TO regress_generated_writer;
GRANT SELECT, UPDATE ON late TO regress_generated_writer;
SET ROLE regress_generated_writer;
UPDATE late SET body = NULL WHERE id = 2;
RESET ROLE;
TABLE late;
DROP TABLE late;
DROP OWNED BY regress_generated_writer;
DROP ROLE regress_generated_writer;

-- other names, also of the key, also for what is under way
INSERT INTO docs (id, part, title, body) VALUES (100, 'p', 't', 'b');
BEGIN;
INSERT INTO docs (id, part, title, body) VALUES (101, 'p', 't', 'b');
ALTER TABLE docs RENAME title TO "Title, long";
ALTER TABLE docs RENAME vec TO body2;
SAVEPOINT s;
ALTER TABLE docs RENAME body TO lost;
INSERT INTO docs (id, part, "Title, long", lost) VALUES (102, 'p', 't', 'b');
ROLLBACK TO s;
ALTER TABLE docs RENAME made_by TO version;
ALTER TABLE docs RENAME id TO no;
ALTER TABLE docs RENAME TO papers;
COMMIT;
SELECT * FROM show_jobs();
SELECT key_names FROM modal_batch.job ORDER BY id;
INSERT INTO papers (no, part, "Title, long", body) VALUES (103, 'p', 't', 'b');
SELECT * FROM show_jobs() OFFSET 2;
SELECT "table", "column", arguments, version_column FROM modal_batch.generated_columns;
CALL no_jobs();

-- kwargs, priority, NULLs as arguments
SELECT modal_generate_column('papers', 'other', 'local:builtin/echo', '{no,len}', kwargs => '{"a": "\"''"}',
	skip_nulls => false, priority => 3) > 0 AS job;
SELECT * FROM show_jobs();
SELECT kwargs FROM modal_batch.job;
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'papers'::regclass ORDER BY tgname;
INSERT INTO papers (no, part) VALUES (104, 'p');
SELECT * FROM show_jobs() OFFSET 1;
CALL no_jobs();

-- gone with the column, whichever it is
DROP VIEW docs_view;
ALTER TABLE papers DROP COLUMN len;
SELECT "column" FROM modal_batch.generated_columns;
ALTER TABLE papers DROP COLUMN version;
SELECT "column" FROM modal_batch.generated_columns;
INSERT INTO papers (no, part) VALUES (105, 'p');
SELECT modal_generate_column('papers', 'body2', 'local:builtin/echo', '{no,"Title, long"}', backfill => false);
ALTER TABLE papers DROP COLUMN body2;
SELECT "column" FROM modal_batch.generated_columns;
-- dropped: it and what it has under way
SELECT modal_generate_column('papers', 'other', 'local:builtin/echo', '{body}') > 0 AS job;
SELECT modal_drop_generated_column('papers', 'othe');
SELECT modal_drop_generated_column('papers', 'other');
SELECT state IN ('cancelling', 'cancelled') AS cancelled FROM modal_batch.job;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'papers'::regclass;
CALL no_jobs();

-- partitions, whose columns are in another order
CREATE TABLE parted (id int PRIMARY KEY, body text, vec float8) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 (vec float8, body text, id int NOT NULL);
ALTER TABLE parted ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20);
INSERT INTO parted SELECT i, 'b' || i FROM generate_series(5, 14) i;
SELECT modal_generate_column('parted', 'vec', 'local:builtin/echo', '{body}') > 0 AS job;
ALTER TABLE parted RENAME body TO text;
INSERT INTO parted VALUES (15, 'b'), (4, 'b');
SELECT * FROM show_jobs();
SELECT "table", "column", arguments FROM modal_batch.generated_columns;
-- one that moves without its argument loses its result, as one that stays does
UPDATE parted SET vec = id;
UPDATE parted SET text = NULL WHERE id = 8;
UPDATE parted SET text = NULL, id = 19 WHERE id = 9;
SELECT id, vec FROM parted WHERE text IS NULL ORDER BY id;
ALTER TABLE parted DROP COLUMN text;
SELECT "table", "column" FROM modal_batch.generated_columns;
CALL no_jobs();

-- who is not the owner
CREATE ROLE regress_generated_reader;
GRANT USAGE ON SCHEMA generated_columns TO regress_generated_reader;
GRANT ALL ON papers TO regress_generated_reader;
SET ROLE regress_generated_reader;
SELECT modal_generate_column('papers', 'other', 'local:builtin/echo', '{body}');
SELECT modal_regenerate('papers', 'other');
SELECT modal_drop_generated_column('papers', 'other');
SELECT * FROM modal_batch.generated_column_counts('papers', 'other');
SELECT * FROM modal_batch.column_inputs('papers'::regclass, 'other');
SELECT count(*) FROM modal_batch.generated_columns;
RESET ROLE;
DROP OWNED BY regress_generated_reader;
DROP ROLE regress_generated_reader;

-- in a transaction that has an older snapshot, nothing is missed
CREATE TABLE snap (id int PRIMARY KEY, a int, r int);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM snap;
INSERT INTO snap VALUES (1, 1);
SELECT modal_generate_column('snap', 'r', 'local:builtin/echo', '{a}') > 0 AS job;
COMMIT;
SELECT inputs FROM show_jobs();
DROP TABLE snap;

-- the lowest priority has none below it
CREATE TABLE low (id int PRIMARY KEY, a int, r int);
INSERT INTO low VALUES (1, 1);
SELECT modal_generate_column('low', 'r', 'local:builtin/echo', '{a}', priority => -2147483648) > 0 AS job;
SELECT priority FROM modal_batch.jobs WHERE into_table = 'low'::regclass;
DROP TABLE low;
DROP TRIGGER pause ON modal_batch.job;
CALL no_jobs();
-- a circle through what is declared of a partition alone, and a column twice
CREATE TABLE halves (id int PRIMARY KEY, a int, b int) PARTITION BY RANGE (id);
CREATE TABLE half PARTITION OF halves FOR VALUES FROM (0) TO (10);
SELECT modal_generate_column('half', 'a', 'local:builtin/echo', '{b}', backfill => false) IS NULL AS no_job;
SELECT modal_generate_column('halves', 'b', 'local:builtin/echo', '{a}');
SELECT modal_generate_column('halves', 'a', 'local:builtin/echo', '{b}');
DROP TABLE halves;
-- the lowest priority of all is no higher one for the backfill
CREATE TABLE lowest (id int PRIMARY KEY, a int, r int);
BEGIN;
SELECT modal_generate_column('lowest', 'r', 'local:builtin/echo', '{a}', priority => -2147483648) AS job \gset
SELECT priority FROM modal_batch.job WHERE id = :job;
ROLLBACK;
DROP TABLE lowest;
SET client_min_messages = warning;
DROP SCHEMA generated_columns CASCADE;
