/*-------------------------------------------------------------------------
 *
 * sql.c
 *	  The statements on the tables of durable jobs; see sql.h.
 *
 * Statements are prepared once per process.  They are written for a
 * search_path of pg_catalog alone: whoever calls modal_spawn_map can put
 * anything into theirs, and the statements run as the tables' owner.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "core/chunk.h"
#include "jobs/extension_version.h"
#include "jobs/sink_target.h"
#include "jobs/sql.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define MAX_STATEMENT_ARGS 11

PG_FUNCTION_INFO_V1(modal_refuse_write);

#define JOB_COLUMNS \
	"id, owner::oid, function, coalesce(version, 0), state, priority, format, " \
	"kwargs, seed, remote_call_id, terminate, inputs, coalesce(run_inputs, inputs), run_done, submitted, " \
	"succeeded, failed, stale, mode, into_table::oid, key_columns, " \
	"check_columns, result_column, error_column, search_path, " \
	"CASE WHEN NOT on_complete_done THEN on_complete END, created_at, " \
	"started_at, tries, " \
	"CASE WHEN retry_at IS NOT NULL THEN last_error->>'message' END, " \
	"ordinality_column, source_table::oid, by_trigger, backfill, version_column, key_names, " \
	"unique_key, start_at, deadline, coalesce(max_failures, -1), failed_before, " \
	"settled_before, stop_reason IS NOT NULL, coalesce(max_in_flight, 0), " \
	"distinct_inputs, coalesce(order_stripes, 0), retried, last_error, xmin "

/* Nothing stands in the job's way, as far as is known. */
#define NO_TROUBLE "tries = 0, crashes = 0, retry_at = NULL"
/* What last_error says of an input; of what was waited for, it is over. */
#define FAILURE "CASE WHEN failed > 0 AND retry_at IS NULL THEN last_error END"
/* In so many seconds; not after the deadline, when there is something to do. */
#define RETRY_IN(secs) \
	"CASE WHEN deadline > clock_timestamp() " \
	"THEN least(deadline, clock_timestamp() + make_interval(secs => " secs ")) " \
	"ELSE clock_timestamp() + make_interval(secs => " secs ") END"
/* A role, in pg_roles; see owner_can_log_in. */
#define CAN_LOG_IN "rolcanlogin AND (rolconnlimit <> 0 OR rolsuper)"
/*
 * When a job that waits then need not any more; NULL: it does not wait.  No retry
 * is farther away: else the clock has been set.
 */
#define WAITS_UNTIL(then) \
	"greatest(CASE WHEN retry_at BETWEEN " then " AND " then " + interval '2 min' THEN retry_at END, " \
	"CASE WHEN state = 'pending' AND start_at > " then " THEN start_at END)"
/* One of a trigger that has inputs left, or failures: it is in a partial index. */
#define IS_TO_BE_DONE "by_trigger AND (finished_at IS NULL OR has_failed)"
/* So many seconds ago; NULL: never. */
#define ENDED_BEFORE(secs) \
	"finished_at < clock_timestamp() - make_interval(secs => " secs ")"
/* A trigger's job of which only the numbers are worth keeping. */
#define HAS_WRITTEN_ALL \
	"by_trigger AND NOT backfill AND state = 'completed' AND failed = 0"
/* Of what these jobs have in another table, no more than so much. */
#define EXPIRE_PART(name, job) \
	"DELETE FROM modal_batch." name " WHERE ctid = ANY (ARRAY(SELECT ctid " \
	"FROM modal_batch." name " WHERE " job " = ANY ($1) LIMIT $2))"
/* It would run if that were this one. */
#define IS_OF_OTHER_DATABASE \
	"finished_at IS NULL AND home <> modal_batch.this_database() " \
	"AND (set_aside OR state IN ('pending', 'running'))"
/*
 * Those of the owner that older ones come before, or that have been committed when
 * a younger one was running: see webhook.h.  One that is to be cancelled sends
 * nothing.  View modal_batch.jobs asks the same for one job.
 */
#define BEHIND_OTHERS(owner, runs) \
	"SELECT id FROM (SELECT id, state, order_stripes, bit_or(order_stripes) OVER (PARTITION BY function " \
	"ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before, " \
	"bit_or(order_stripes) FILTER (WHERE " runs ") OVER (PARTITION BY function) AS running " \
	"FROM modal_batch.job WHERE order_stripes IS NOT NULL AND finished_at IS NULL " \
	"AND owner = " owner ") o WHERE order_stripes & (coalesce(before, 0) | coalesce(running, 0)) <> 0 " \
	"AND state <> 'cancelling'"
/* As the index on it has it: job_unfinished would do for other words. */
#define KEY_IN_USE(job) \
	"(CASE WHEN " job ".finished_at IS NULL THEN " job ".unique_key END)"
/* Two jobs of one key can only meet when one of them gets another owner. */
#define KEY_UNLESS_TAKEN(owner) \
	"CASE WHEN finished_at IS NOT NULL OR NOT EXISTS (SELECT " \
	"FROM modal_batch.job o WHERE o.owner = " owner " AND " KEY_IN_USE("o") " = j.unique_key) " \
	"THEN unique_key END"

static const struct
{
	const char *sql;
	int nargs;
	Oid argtypes[MAX_STATEMENT_ARGS];
} statements[NSTATEMENTS] = {
	[WITH_UNIQUE_KEY] = {
		"SELECT id FROM modal_batch.job j WHERE owner = $1 AND " KEY_IN_USE("j") " = $2",
		2, {REGROLEOID, TEXTOID}},
	[LOAD_JOB] = {
		"SELECT " JOB_COLUMNS "FROM modal_batch.job WHERE id = $1",
		1, {INT8OID}},
	[LOOK_AT_JOB] = {
		"SELECT " JOB_COLUMNS "FROM modal_batch.job WHERE id = $1",
		1, {INT8OID}},
	[LOCK_JOB] = {
		"SELECT " JOB_COLUMNS "FROM modal_batch.job WHERE id = $1 FOR UPDATE",
		1, {INT8OID}},
	[SET_STATE] = {
		"UPDATE modal_batch.job SET state = $2, finished_at = NULL, " NO_TROUBLE
		" WHERE id = $1",
		2, {INT8OID, TEXTOID}},
	[CANCEL_JOB] = {
		"UPDATE modal_batch.job SET state = 'cancelling', terminate = $2, "
		"unique_key = CASE WHEN finished_at IS NULL THEN unique_key END, "
		"finished_at = NULL, stop_reason = NULL, " NO_TROUBLE " WHERE id = $1",
		2, {INT8OID, BOOLOID}},
	[STOP_JOB] = {
		"UPDATE modal_batch.job SET state = 'cancelling', stop_reason = $2, "
		NO_TROUBLE " WHERE id = $1 AND owner = $3 AND state IN ('pending', 'running')",
		3, {INT8OID, JSONBOID, REGROLEOID}},
	[RETRY_JOB] = {
		"UPDATE modal_batch.job SET failed_before = failed, "
		"settled_before = succeeded + failed + stale, "
		"retried = true, deadline = NULL, stop_reason = NULL WHERE id = $1",
		1, {INT8OID}},
	[DELETE_JOB] = {
		"DELETE FROM modal_batch.job WHERE id = $1", 1, {INT8OID}},
	[DELETE_CHUNKS] = {
		"DELETE FROM modal_batch.chunk WHERE job = $1", 1, {INT8OID}},
	[DELETE_RESULTS] = {
		"DELETE FROM modal_batch.result WHERE job = $1", 1, {INT8OID}},
	[DELETE_JOINED] = {
		"DELETE FROM modal_batch.joined_job WHERE joined_to = $1", 1, {INT8OID}},
	[NEW_RUN] = {
		"UPDATE modal_batch.job SET state = 'pending', finished_at = NULL, "
		NO_TROUBLE ", home = DEFAULT, set_aside = false, "
		"remote_call_id = NULL, seed = gen_random_uuid(), submitted = 0, "
		"failed = failed - $2, run_inputs = $3, run_done = 0 WHERE id = $1",
		3, {INT8OID, INT8OID, INT8OID}},
	[FOLLOW_TABLES] = {
		"UPDATE modal_batch.job j SET owner = r.oid, login = (" CAN_LOG_IN "), "
		NO_TROUBLE " FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner "
		"WHERE c.oid = coalesce(j.source_table, j.into_table) "
		"AND (j.by_trigger OR j.mode = 'discard') AND j.owner <> r.oid "
		"AND ($1 IS NULL OR j.id = $1) "
		"AND j.state NOT IN ('running', 'cancelling')",
		1, {INT8OID}},
	[REASSIGN] = {
		"UPDATE modal_batch.job j SET owner = $2, " NO_TROUBLE ", "
		"unique_key = " KEY_UNLESS_TAKEN("$2") ", "
		"login = (SELECT " CAN_LOG_IN " FROM pg_roles WHERE oid = $2) "
		"WHERE owner = $1 AND state NOT IN ('running', 'cancelling')",
		2, {REGROLEOID, REGROLEOID}},
	[TAKE_OVER] = {
		"UPDATE modal_batch.job j SET owner = $2, "
		"unique_key = " KEY_UNLESS_TAKEN("$2") ", "
		"login = (SELECT " CAN_LOG_IN " FROM pg_roles WHERE oid = $2) WHERE id = $1 "
		"AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = owner)",
		2, {INT8OID, REGROLEOID}},
	[PAUSE_OF_OTHERS] = {
		"UPDATE modal_batch.job SET remote_call_id = NULL, submitted = 0, "
		"set_aside = state IN ('pending', 'running'), "
		"state = CASE WHEN state = 'cancelling' THEN state ELSE 'paused' END, "
		"last_error = $1 WHERE finished_at IS NULL AND NOT set_aside "
		"AND home <> modal_batch.this_database() "
		"AND (remote_call_id IS NOT NULL OR state IN ('pending', 'running'))",
		1, {JSONBOID}},
	[OF_OTHER_DATABASES] = {
		"SELECT id FROM modal_batch.job WHERE " IS_OF_OTHER_DATABASE " ORDER BY id",
		0, {0}},
	[LOCK_OF_OTHER_DATABASE] = {
		"SELECT " JOB_COLUMNS "FROM modal_batch.job WHERE id = $1 "
		"AND " IS_OF_OTHER_DATABASE " FOR UPDATE",
		1, {INT8OID}},
	[IS_HERE] = {
		"SELECT home = modal_batch.this_database() FROM modal_batch.job "
		"WHERE id = $1",
		1, {INT8OID}},
	[DISOWN] = {
		"UPDATE modal_batch.job SET remote_call_id = NULL, submitted = 0, "
		"set_aside = false "
		"WHERE id = $1 AND home <> modal_batch.this_database()",
		1, {INT8OID}},
	[FAILED_RESULTS] = {
		"SELECT ordinal, payload FROM modal_batch.result WHERE job = $1 "
		"AND payload IS NOT NULL AND error IS NOT NULL AND ordinal > $2 "
		"AND ($3 IS NULL OR error->>'code' = $3) ORDER BY ordinal LIMIT 1000",
		3, {INT8OID, INT8OID, TEXTOID}},
	[GATHER_RESULTS] = {
		"SELECT ordinal, result, error FROM modal_batch.result WHERE job = $1 "
		"AND ordinal > $2 ORDER BY ordinal LIMIT 1000",
		2, {INT8OID, INT8OID}},
	[DELETE_FAILED] = {
		"DELETE FROM modal_batch.result WHERE job = $1 AND payload IS NOT NULL "
		"AND error IS NOT NULL AND ($2 IS NULL OR error->>'code' = $2)",
		2, {INT8OID, TEXTOID}},
	[OWNERS] = {
		"SELECT DISTINCT owner::oid FROM modal_batch.job "
		"WHERE finished_at IS NULL AND state <> 'paused'",
		0, {0}},
	[JOBS_OF] = {
		"SELECT id, state = 'cancelling' FROM modal_batch.job WHERE owner = $1 "
		"AND finished_at IS NULL AND state <> 'paused' LIMIT 1000",
		1, {REGROLEOID}},
	[NOTE_WAITING] = {
		"UPDATE modal_batch.job SET last_error = $2 WHERE owner = $1 "
		"AND finished_at IS NULL AND state <> 'paused' AND (login OR NOT $3) "
		"AND last_error IS DISTINCT FROM $2",
		3, {REGROLEOID, JSONBOID, BOOLOID}},
	[CANDIDATES] = {
		"SELECT id FROM modal_batch.job WHERE finished_at IS NULL "
		"AND state <> 'paused' AND owner = $3 AND ($4 OR NOT login) "
		"AND " WAITS_UNTIL("$6") " IS NULL "
		"AND id >= $5 AND id NOT IN (SELECT unnest($1)) "
		"AND id NOT IN (" BEHIND_OTHERS("$3", "id = ANY ($1)") ") "
		"ORDER BY priority DESC, id LIMIT $2",
		6, {INT8ARRAYOID, INT4OID, REGROLEOID, BOOLOID, INT8OID, TIMESTAMPTZOID}},
	[NEXT_RETRY] = {
		"SELECT extract(epoch FROM min(" WAITS_UNTIL("$4") ") - clock_timestamp())::float8 "
		"FROM modal_batch.job WHERE finished_at IS NULL AND state <> 'paused' "
		"AND owner = $1 AND ($2 OR NOT login) AND id >= $3 "
		"AND (retry_at IS NOT NULL OR start_at IS NOT NULL)",
		4, {REGROLEOID, BOOLOID, INT8OID, TIMESTAMPTZOID}},
	/* with the index on unfinished jobs of an owner, not with the primary key */
	[FIRST_UNFINISHED] = {
		"SELECT min(id + 0) FROM modal_batch.job "
		"WHERE finished_at IS NULL AND owner = $1 AND id >= $2",
		2, {REGROLEOID, INT8OID}},
	[STATES] = {
		"SELECT (SELECT state FROM modal_batch.job j WHERE j.id = a.id AND j.owner = $2) "
		"FROM unnest($1) WITH ORDINALITY AS a(id, n) ORDER BY a.n",
		2, {INT8ARRAYOID, REGROLEOID}},
	[IS_BEHIND_OTHERS] = {
		"SELECT $1 IN (" BEHIND_OTHERS("$2", "state = 'running'") ")", 2, {INT8OID, REGROLEOID}},
	[FIRST_CHUNK] = {
		"SELECT min(first) FROM modal_batch.chunk WHERE job = $1", 1, {INT8OID}},
	[LOAD_CHUNKS] = {
		"SELECT first, count, inputs, done, ordinals FROM modal_batch.chunk "
		"WHERE job = $1 AND first > $2 - " CppAsString2(CHUNK_MAX_INPUTS)
		" AND first + count > $2 ORDER BY first LIMIT $3",
		3, {INT8OID, INT8OID, INT4OID}},
	[START_JOB] = {
		"UPDATE modal_batch.job SET state = 'running', remote_call_id = $2, "
		"version = $3, started_at = coalesce(started_at, clock_timestamp()), "
		"last_error = " FAILURE ", retry_at = NULL "
		"WHERE id = $1 AND state IN ('pending', 'running') AND owner = $4",
		4, {INT8OID, TEXTOID, INT4OID, REGROLEOID}},
	[PROGRESS] = {
		"UPDATE modal_batch.job SET succeeded = succeeded + $2, "
		"failed = failed + $3, stale = stale + $4, submitted = $5, "
		"run_done = run_done + $7, remote_ms = remote_ms + $8, usage = usage + $9, "
		"last_error = coalesce($6, " FAILURE "), " NO_TROUBLE
		" WHERE id = $1 AND owner = $10 AND (state = 'running' OR $11)",
		11, {INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, JSONBOID, INT8OID,
			 FLOAT8OID, FLOAT8OID, REGROLEOID, BOOLOID}},
	/* nobody has answered yet: what is waited for is not over */
	[SUBMITTED] = {
		"UPDATE modal_batch.job SET submitted = $2 "
		"WHERE id = $1 AND owner = $3 AND state = 'running'",
		3, {INT8OID, INT8OID, REGROLEOID}},
	/* what was waited for since is over: inputs that have failed are not */
	[FINISH_JOB] = {
		"UPDATE modal_batch.job SET finished_at = clock_timestamp(), "
		"state = CASE WHEN stop_reason IS NULL THEN $2 ELSE 'failed' END, "
		"has_failed = by_trigger AND (failed > 0 OR stop_reason IS NOT NULL OR $2 = 'failed'), "
		"started_at = coalesce(started_at, clock_timestamp()), "
		"last_error = coalesce(stop_reason, $3, last_error, CASE WHEN failed > 0 THEN "
		"(SELECT r.error FROM modal_batch.result r WHERE r.job = $1 "
		"AND r.error IS NOT NULL ORDER BY r.ordinal DESC LIMIT 1) END), " NO_TROUBLE
		" WHERE id = $1 AND owner = $4 AND state IN ('pending', 'running', 'cancelling') "
		"AND (state = 'cancelling') = ($2 = 'cancelled') "
		"RETURNING state, inputs, succeeded, failed, stale, last_error",
		4, {INT8OID, TEXTOID, JSONBOID, REGROLEOID}},
	[NOTE_ERROR] = {
		"UPDATE modal_batch.job SET last_error = $2, tries = tries + 1, "
		"retry_at = " RETRY_IN("$3") " WHERE id = $1 AND owner = $4 "
		"AND state IN ('pending', 'running', 'cancelling')",
		4, {INT8OID, JSONBOID, FLOAT8OID, REGROLEOID}},
	/* it goes on by itself: there is nothing to try again */
	[NOTE_CALL_WAITS] = {
		"UPDATE modal_batch.job SET last_error = $2, retry_at = clock_timestamp() "
		"WHERE id = $1 AND owner = $3 AND state IN ('pending', 'running')",
		3, {INT8OID, JSONBOID, REGROLEOID}},
	[SET_ASIDE] = {
		"UPDATE modal_batch.job SET retry_at = " RETRY_IN("$2") " "
		"WHERE id = $1 AND owner = $3 AND state = 'running'",
		3, {INT8OID, FLOAT8OID, REGROLEOID}},
	[NOTE_CRASH] = {
		"UPDATE modal_batch.job SET crashes = crashes + 1 WHERE id = $1 "
		"AND owner = $2 AND finished_at IS NULL RETURNING crashes",
		2, {INT8OID, REGROLEOID}},
	[CHUNK_DONE] = {
		"UPDATE modal_batch.chunk SET done = $3 WHERE job = $1 AND first = $2",
		3, {INT8OID, INT8OID, BYTEAOID}},
	[CHUNK_DELETE] = {
		"DELETE FROM modal_batch.chunk WHERE job = $1 AND first = $2",
		2, {INT8OID, INT8OID}},
	[ON_COMPLETE_DONE] = {
		"UPDATE modal_batch.job SET on_complete_done = true, "
		"last_error = coalesce($2, last_error) WHERE id = $1",
		2, {INT8OID, JSONBOID}},
	[HAS_EXPIRED] = {
		"SELECT EXISTS (SELECT FROM modal_batch.job WHERE " ENDED_BEFORE("$1")
		" OR " HAS_WRITTEN_ALL " AND " ENDED_BEFORE("$2") ")",
		2, {FLOAT8OID, FLOAT8OID}},
	[EXPIRED] = {
		"SELECT id FROM modal_batch.job WHERE " ENDED_BEFORE("$1")
		" LIMIT $2 FOR UPDATE SKIP LOCKED",
		2, {FLOAT8OID, INT4OID}},
	[EXPIRE_RESULTS] = {EXPIRE_PART("result", "job"), 2, {INT8ARRAYOID, INT4OID}},
	[EXPIRE_CHUNKS] = {EXPIRE_PART("chunk", "job"), 2, {INT8ARRAYOID, INT4OID}},
	[EXPIRE_JOINED] = {EXPIRE_PART("joined_job", "joined_to"), 2, {INT8ARRAYOID, INT4OID}},
	[EXPIRE] = {
		"WITH t AS (DELETE FROM modal_batch.trigger_total WHERE NOT EXISTS (SELECT "
		"FROM pg_attribute a WHERE a.attrelid = table_oid AND a.attnum = column_number "
		"AND NOT a.attisdropped)) "
		"DELETE FROM modal_batch.job WHERE id = ANY ($1)",
		1, {INT8ARRAYOID}},
	[COLUMN_JOBS] = {
		"SELECT id, owner, finished_at IS NOT NULL, state = 'failed' "
		"FROM modal_batch.job WHERE into_table = $1 AND result_column = $2 "
		"AND " IS_TO_BE_DONE " AND state <> 'cancelling'",
		2, {REGCLASSOID, TEXTOID}},
	[RENAME_COLUMN] = {
		"UPDATE modal_batch.job SET "
		"key_names = CASE WHEN key_names = '{}' AND into_table = $1 "
		"THEN key_columns ELSE key_names END, "
		"key_columns = CASE WHEN into_table = $1 "
		"THEN array_replace(key_columns, $2, $3) ELSE key_columns END, "
		"check_columns = CASE WHEN coalesce(source_table, into_table) = $1 "
		"THEN array_replace(check_columns, $2, $3) ELSE check_columns END, "
		"result_column = CASE WHEN result_column = $2 AND into_table = $1 "
		"THEN $3 ELSE result_column END, "
		"ordinality_column = CASE WHEN ordinality_column = $2 AND into_table = $1 "
		"THEN $3 ELSE ordinality_column END, "
		"version_column = CASE WHEN version_column = $2 THEN $3 ELSE version_column END "
		"WHERE (into_table = $1 OR source_table = $1) AND " IS_TO_BE_DONE,
		3, {REGCLASSOID, TEXTOID, TEXTOID}},
	/*
	 * The jobs of one row that triggers have made alike become the first of
	 * them; chunks are joined by joining their bytes.  Who is just being
	 * changed by somebody stays alone.  They are grouped by hashing, for sorting
	 * would compare all of these columns, many times, and found again by their
	 * place in the table: no other plan will do when there are many.  The first may
	 * have run before: all of its next run is what it has now.  None stops the
	 * others: alone, they would not have reached a limit of failures but 0.
	 */
	[JOIN_JOBS] = {
		"WITH small AS MATERIALIZED (SELECT id, j.ctid AS place, c.ctid AS chunk_place, function, version, kwargs, format, priority, "
		"into_table, key_columns, check_columns, result_column, version_column, "
		"key_names, mode, source_table, ordinality_column, search_path, login, "
		"max_failures, max_in_flight, distinct_inputs FROM modal_batch.job j "
		"CROSS JOIN LATERAL (SELECT ctid FROM modal_batch.chunk WHERE job = j.id AND first = 0 "
		"AND octet_length(chunk.inputs) < 8192 OFFSET 0) AS c "
		"WHERE owner = $1 AND ($2 OR NOT login) AND id >= $3 AND finished_at IS NULL "
		"AND state = 'pending' AND by_trigger AND NOT backfill AND j.inputs = 1 "
		"AND remote_call_id IS NULL AND tries = 0 AND crashes = 0 AND retry_at IS NULL "
		"AND start_at IS NULL AND deadline IS NULL AND unique_key IS NULL "
		"AND order_stripes IS NULL AND max_failures IS DISTINCT FROM 0 "
		"AND home = modal_batch.this_database() "
		"AND id NOT IN (SELECT unnest($4)) ORDER BY priority DESC, id LIMIT $5 "
		"FOR UPDATE OF j SKIP LOCKED), "
		"kinds AS (SELECT min(id) AS leader, array_agg(id) AS ids, "
		"array_agg(place) AS places, array_agg(chunk_place) AS chunk_places FROM small "
		"GROUP BY function, version, kwargs, "
		"format, priority, into_table, key_columns, check_columns, result_column, "
		"version_column, key_names, mode, source_table, ordinality_column, "
		"search_path, login, max_failures, max_in_flight, distinct_inputs "
		"HAVING count(*) > 1), "
		"alike AS MATERIALIZED (SELECT leader, a.id, a.place, a.chunk_place "
		"FROM kinds, unnest(ids, places, chunk_places) AS a(id, place, chunk_place)), "
		"gone AS (DELETE FROM modal_batch.job j USING alike a "
		"WHERE j.ctid = a.place AND a.id <> a.leader), "
		"noted AS (INSERT INTO modal_batch.joined_job "
		"SELECT id, leader FROM alike WHERE id <> leader), "
		"moved AS (DELETE FROM modal_batch.chunk c USING alike a "
		"WHERE c.ctid = a.chunk_place RETURNING a.leader, c.job, c.inputs), "
		"placed AS (SELECT leader, job, inputs, sum(octet_length(inputs)) OVER "
		"(PARTITION BY leader ORDER BY job) / " CppAsString2(CHUNK_TARGET_BYTES) " AS part "
		"FROM moved), "
		"parts AS (SELECT leader, part, count(*) AS n, "
		"string_agg(inputs, '' ORDER BY job) AS inputs FROM placed GROUP BY 1, 2), "
		"stored AS (INSERT INTO modal_batch.chunk (job, first, count, inputs) "
		"SELECT leader, sum(n) OVER (PARTITION BY leader ORDER BY part) - n, n, inputs "
		"FROM parts RETURNING job, count) "
		"UPDATE modal_batch.job j SET inputs = s.n, run_inputs = NULL, "
		"max_failures = CASE WHEN max_failures > 0 THEN greatest(max_failures, s.n) END FROM alike a "
		"JOIN (SELECT job, sum(count) AS n FROM stored GROUP BY 1) AS s ON s.job = a.leader "
		"WHERE a.id = a.leader AND j.ctid = a.place",
		5, {REGROLEOID, BOOLOID, INT8OID, INT8ARRAYOID, INT4OID}},
	[JOINED_TO] = {
		"SELECT joined_to FROM modal_batch.joined_job WHERE id = $1",
		1, {INT8OID}},
	/* what they have done is still counted */
	[EXPIRE_OF_TRIGGERS] = {
		"WITH old AS (DELETE FROM modal_batch.job WHERE ctid = ANY (ARRAY(SELECT ctid "
		"FROM modal_batch.job WHERE " HAS_WRITTEN_ALL " AND " ENDED_BEFORE("$1")
		" LIMIT $2 FOR UPDATE SKIP LOCKED)) "
		"RETURNING id, into_table, result_column, succeeded, stale), "
		"j AS (DELETE FROM modal_batch.joined_job WHERE joined_to IN (SELECT id FROM old)), "
		"t AS (INSERT INTO modal_batch.trigger_total AS t "
		"SELECT a.attrelid, a.attnum, count(*), sum(o.succeeded), sum(o.stale) "
		"FROM old o JOIN pg_attribute a ON a.attrelid = o.into_table "
		"AND a.attname = o.result_column AND NOT a.attisdropped GROUP BY 1, 2 "
		"ON CONFLICT (table_oid, column_number) DO UPDATE SET jobs = t.jobs + EXCLUDED.jobs, "
		"succeeded = t.succeeded + EXCLUDED.succeeded, stale = t.stale + EXCLUDED.stale) "
		"SELECT count(*) FROM old",
		2, {FLOAT8OID, INT4OID}},
};

/*
 * Plans are kept: one made for a few rows must do when there are many.  What
 * has to scan all the same seems expensive then, but is not worth compiling.
 */
static const char *const settings[][2] = {
	{"search_path", "pg_catalog, pg_temp"},
	{"enable_seqscan", "off"},
	{"enable_indexscan", "on"},
	{"enable_bitmapscan", "on"},
	{"plan_cache_mode", "auto"},
	{"jit", "off"},
};

static SPIPlanPtr plans[NSTATEMENTS];

static Snapshot read_as = NULL; /* see store_read_as */

/* Are we writing these tables?  Nobody else may, but superusers. */
static bool writing = false;

Oid
store_relation(const char *name)
{
	Oid nsp = get_namespace_oid("modal_batch", true);

	return OidIsValid(nsp) ? get_relname_relid(name, nsp) : InvalidOid;
}

bool
store_has_relation(Oid relid)
{
	Oid nsp = get_namespace_oid("modal_batch", true);

	return OidIsValid(nsp) && get_rel_namespace(relid) == nsp;
}

static Oid
store_owner(void)
{
	Oid relid = store_relation("job");

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"modal_batch.job\" does not exist"),
				 errhint("Create the extension modal_batch in this database.")));
	return relation_owner(relid);
}

void
store_enter(StoreScope *scope)
{
	Oid owner = store_owner();

	extension_check_version();
	scope->cxt = CurrentMemoryContext;
	GetUserIdAndSecContext(&scope->userid, &scope->sec_context);
	SetUserIdAndSecContext(owner, scope->sec_context |
						   SECURITY_LOCAL_USERID_CHANGE);
	scope->guc_level = NewGUCNestLevel();
	for (int i = 0; i < (int) lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
	SPI_connect();
}

void
store_leave(StoreScope *scope)
{
	SPI_finish();
	AtEOXact_GUC(false, scope->guc_level);
	SetUserIdAndSecContext(scope->userid, scope->sec_context);
	MemoryContextSwitchTo(scope->cxt);
}

static void
check_spi(int rc, StatementId id)
{
	if (rc < 0)
		elog(ERROR, "statement \"%s\" failed: %s", statements[id].sql,
			 SPI_result_code_string(rc));
}

/* What a statement that only reads is to see; NULL: the same as any other. */
static Snapshot
snapshot_of(StatementId id)
{
	switch (id)
	{
		case LOOK_AT_JOB:
		case IS_BEHIND_OTHERS:
		case WITH_UNIQUE_KEY:
		case GATHER_RESULTS:
			return GetLatestSnapshot();
		case COLUMN_JOBS:
			return GetActiveSnapshot();
		case LOAD_CHUNKS:
		case FAILED_RESULTS:
			return read_as;
		default:
			return NULL;
	}
}

void
store_read_as(Snapshot snapshot)
{
	read_as = snapshot;
}

uint64
store_run_n(StatementId id, int nargs, const Datum *args, const char *nulls)
{
	Snapshot snapshot;

	if (nargs != statements[id].nargs)
		elog(ERROR, "%d arguments for statement \"%s\"", nargs, statements[id].sql);
	if (plans[id] == NULL)
	{
		SPIPlanPtr plan = SPI_prepare(statements[id].sql, statements[id].nargs,
									  (Oid *) statements[id].argtypes);

		if (plan == NULL)
			check_spi(SPI_result, id);
		SPI_keepplan(plan);
		plans[id] = plan;
	}
	snapshot = snapshot_of(id);
	PG_TRY();
	{
		writing = true;
		check_spi(snapshot != NULL
					  ? SPI_execute_snapshot(plans[id], (Datum *) args, nulls,
											 snapshot, InvalidSnapshot, true, false, 0)
					  : SPI_execute_plan(plans[id], (Datum *) args, nulls, false, 0),
				  id);
	}
	PG_FINALLY();
	{
		writing = false;
	}
	PG_END_TRY();
	return SPI_processed;
}

void
store_run_with_rows(const char *sql, EphemeralNamedRelation rows)
{
	int rc = SPI_register_relation(rows);

	PG_TRY();
	{
		writing = true;
		if (rc == SPI_OK_REL_REGISTER)
			rc = SPI_execute(sql, false, 0);
		if (rc < 0)
			elog(ERROR, "statement \"%s\" failed: %s", sql,
				 SPI_result_code_string(rc));
	}
	PG_FINALLY();
	{
		writing = false;
	}
	PG_END_TRY();
}

bool
store_is_writing(void)
{
	return writing;
}

void
store_set_writing(bool on)
{
	writing = on;
}

/*
 * Triggers, generated columns and the like of these tables run while "writing"
 * is set: nobody but a superuser could have made them (trigger_check.c).
 */
Datum
modal_refuse_write(PG_FUNCTION_ARGS)
{
	TriggerData *td = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("%s() was not called by the trigger manager",
						"modal_batch.refuse_write")));
	if (!writing && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to write table \"%s\"",
						RelationGetRelationName(td->tg_relation)),
				 errdetail("The tables of jobs are written by the functions of modal_batch, and by superusers.")));
	return PointerGetDatum(NULL);
}

uint64
store_run_alone_n(StatementId id, int nargs, const Datum *args,
				  const char *nulls)
{
	StoreScope scope;
	uint64 processed;

	store_enter(&scope);
	processed = store_run_n(id, nargs, args, nulls);
	store_leave(&scope);
	return processed;
}

/* --- conversions ---------------------------------------------------------- */

Datum
text_or_null(const char *s, char *null)
{
	*null = s == NULL ? 'n' : ' ';
	return s == NULL ? (Datum) 0 : CStringGetTextDatum(s);
}

Datum
text_array(List *names)
{
	Datum *elems = palloc(sizeof(Datum) * Max(list_length(names), 1));
	ListCell *lc;

	foreach (lc, names)
		elems[foreach_current_index(lc)] = CStringGetTextDatum(lfirst(lc));
	return PointerGetDatum(construct_array(elems, list_length(names), TEXTOID,
										   -1, false, TYPALIGN_INT));
}

List *
text_array_to_list(Datum array)
{
	Datum *elems;
	int n;
	List *names = NIL;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &elems, NULL, &n);
	for (int i = 0; i < n; i++)
		names = lappend(names, TextDatumGetCString(elems[i]));
	return names;
}

Datum
int8_array(const int64 *values, int n)
{
	Datum *elems = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elems[i] = Int64GetDatum(values[i]);
	return PointerGetDatum(construct_array(elems, n, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

int64 *
int8_array_values(Datum array, int n)
{
	ArrayType *a = DatumGetArrayTypeP(array);
	int64 *values = palloc(sizeof(int64) * Max(n, 1));

	if (ARR_NDIM(a) != 1 || ARR_DIMS(a)[0] != n || ARR_HASNULL(a))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("ordinals of a job's chunk are damaged")));
	memcpy(values, ARR_DATA_PTR(a), sizeof(int64) * n);
	return values;
}

Datum
next_value(RowReader *row)
{
	bool isnull;
	Datum value = SPI_getbinval(row->tuple, row->desc, ++row->column, &isnull);

	return isnull ? (Datum) 0 : value;
}

char *
next_text(RowReader *row)
{
	Datum value = next_value(row);

	return value == 0 ? NULL : TextDatumGetCString(value);
}

Jsonb *
next_jsonb(RowReader *row)
{
	Datum value = next_value(row);

	return value == 0 ? NULL : DatumGetJsonbPCopy(value);
}
