/*-------------------------------------------------------------------------
 *
 * sink_statement.c
 *	  Preparing and running the statements that write a batch to a user's
 *	  table; see sink_internal.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "clock.h"
#include "executor/spi.h"
#include "jobs/sink_internal.h"
#include "utils/array.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/queryenvironment.h"
#include "utils/timeout.h"
#include "utils/typcache.h"

#define MAX_STATEMENTS 64 /* prepared ones of all jobs: plans take memory */

/* A statement for rows that fill just these columns. */
typedef struct SinkStatement
{
	dlist_node node; /* in recent_statements */
	Sink *sink;
	SPIPlanPtr plan;
	Size key_len;
	uint8 key[FLEXIBLE_ARRAY_MEMBER]; /* see make_key */
} SinkStatement;

/* Of all sinks, those used last at the head. */
static dlist_head recent_statements = DLIST_STATIC_INIT(recent_statements);
static int nstatements = 0;

/* --- prepared statements -------------------------------------------------- */

/* What tells statements of a sink apart: what they do, and the columns. */
static SinkStatement *
make_key(Sink *sink, SinkAction action, const Bitmapset *columns)
{
	int words = columns == NULL ? 0 : columns->nwords;
	Size len = 1 + words * sizeof(bitmapword);
	SinkStatement *stmt = palloc0(offsetof(SinkStatement, key) + len);

	stmt->sink = sink;
	stmt->key_len = len;
	stmt->key[0] = (uint8) action;
	if (words > 0)
		memcpy(stmt->key + 1, columns->words, len - 1);
	return stmt;
}

static const void *
key_of(const void *value, size_t *n)
{
	const SinkStatement *stmt = value;

	*n = stmt->key_len;
	return stmt->key;
}

void
sink_init_statements(Sink *sink)
{
	sink->time_up = HUGE_VAL;
	map_init_bytes(&sink->statements, key_of, buf_palloc);
}

static void
free_statement(SinkStatement *stmt)
{
	(void) map_remove_bytes(&stmt->sink->statements, stmt->key, stmt->key_len);
	dlist_delete(&stmt->node);
	nstatements--;
	SPI_freeplan(stmt->plan);
	pfree(stmt);
}

void
sink_free_statements(Sink *sink)
{
	MapVisit visit = {0};
	SinkStatement *stmt;

	while ((stmt = map_next(&sink->statements, &visit)) != NULL)
		free_statement(stmt);
}

/*
 * Make the plan of a statement that finds rows by their keys now, and such that
 * it takes them in the order of these: in another order, it would lock them
 * against others who do.  Where an index leads to them, it is used whatever the
 * table's size is said to be: what is read then is what is written.
 */
static void
plan_in_order(SPIPlanPtr plan, bool has_index)
{
	static const char *const settings[] = {"enable_hashjoin", "enable_mergejoin",
										   "enable_seqscan"};
	int level = NewGUCNestLevel();
	CachedPlan *cached;

	for (int i = 0; i < (has_index ? 3 : 1); i++)
		(void) set_config_option(settings[i], "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	cached = SPI_plan_get_cached_plan(plan);
	if (cached != NULL)
		ReleaseCachedPlan(cached, CurrentResourceOwner);
	AtEOXact_GUC(false, level);
}

static SPIPlanPtr
prepare(Sink *sink, SinkAction action, const Bitmapset *columns)
{
	char *sql = sink_statement_text(sink, action, columns);
	Oid types[4] = {BOOLARRAYOID};
	int ntypes = sink_takes_flags(sink) ? 1 : 0;
	int options = CURSOR_OPT_GENERIC_PLAN;
	SPIPlanPtr plan;

	if (sink_reads_arrays(sink, action))
	{
		types[0] = INT4ARRAYOID;
		types[1] = JSONBARRAYOID;
		types[2] = get_array_type(sink->target->row_type);
		types[3] = sink_first_key_array(sink);
		ntypes = OidIsValid(types[3]) ? 4 : 3;
		/* who runs it elsewhere wants to see the values */
		options = CURSOR_OPT_CUSTOM_PLAN;
	}
	plan = SPI_prepare_cursor(sql, ntypes, types, options);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql,
			 SPI_result_code_string(SPI_result));
	return plan;
}

static SinkStatement *
keep_statement(Sink *sink, const SinkStatement *key, SPIPlanPtr plan)
{
	Size size = offsetof(SinkStatement, key) + key->key_len;
	MemoryContext old = MemoryContextSwitchTo(sink->cxt);
	SinkStatement *stmt = palloc(size);

	memcpy(stmt, key, size);
	stmt->plan = plan;
	if (!map_put_bytes(&sink->statements, stmt))
		elog(ERROR, "too many statements");
	MemoryContextSwitchTo(old);
	SPI_keepplan(plan);
	dlist_push_head(&recent_statements, &stmt->node);
	nstatements++;
	return stmt;
}

/* Prepared once for each action and set of columns. */
static SPIPlanPtr
get_statement(Sink *sink, SinkAction action, const Bitmapset *columns)
{
	SinkStatement *key = make_key(sink, action, columns);
	SinkStatement *stmt = map_get_bytes(&sink->statements, key->key, key->key_len);
	bool planned = stmt != NULL && SPI_plan_is_valid(stmt->plan);

	if (stmt != NULL)
		dlist_move_head(&recent_statements, &stmt->node);
	else
	{
		if (nstatements == MAX_STATEMENTS)
			free_statement(dlist_tail_element(SinkStatement, node,
											  &recent_statements));
		stmt = keep_statement(sink, key, prepare(sink, action, columns));
	}
	if (!planned && !sink_reads_arrays(sink, action) &&
		(action == ACTION_UPDATE || action == ACTION_UPDATE_ERRORS ||
		 action == ACTION_DELETE || action == ACTION_LOCK_SOURCE))
		plan_in_order(stmt->plan, action == ACTION_LOCK_SOURCE ||
									  sink->target->has_key_index);
	return stmt->plan;
}

void
sink_begin_time(Sink *sink)
{
	sink->timed_out = false;
	sink->time_up = HUGE_VAL;
	if (StatementTimeout <= 0)
		return;
	sink->time_up = monotonic_seconds() + StatementTimeout / 1000.0;
	enable_timeout_after(STATEMENT_TIMEOUT, StatementTimeout);
}

void
sink_end_time(Sink *sink, bool failed)
{
	sink->timed_out = failed && monotonic_seconds() >= sink->time_up;
	if (sink->time_up != HUGE_VAL)
		disable_timeout(STATEMENT_TIMEOUT, false);
	sink->time_up = HUGE_VAL;
}

static int
execute_in_time(Sink *sink, SPIPlanPtr plan, Datum *args)
{
	volatile int rc = 0;

	sink_begin_time(sink);
	PG_TRY();
	{
		rc = SPI_execute_plan(plan, args, NULL, false, 0);
	}
	PG_CATCH();
	{
		sink_end_time(sink, true);
		PG_RE_THROW();
	}
	PG_END_TRY();
	sink_end_time(sink, false);
	return rc;
}

void
sink_execute(Sink *sink, SinkAction action, const Bitmapset *columns,
			 Datum *args)
{
	SPIPlanPtr plan = get_statement(sink, action, columns);
	int rc = execute_in_time(sink, plan, args);

	if (rc < 0)
		elog(ERROR, "could not write results: %s", SPI_result_code_string(rc));
}

/* --- running -------------------------------------------------------------- */

void
sink_check_constraints(void)
{
	SPI_connect();
	SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0);
	SPI_finish();
}

static Datum
bool_array(const bool *values, int n)
{
	Datum *datums = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		datums[i] = BoolGetDatum(values[i]);
	return PointerGetDatum(construct_array(datums, n, BOOLOID, 1, true,
										   TYPALIGN_CHAR));
}

/* One statement, whose rows are in modal_rows. */
static void
run_named(Sink *sink, SinkAction action, const RowGroup *group,
		  const bool *wanted, bool *returned)
{
	EphemeralNamedRelationData enr = {0};
	Datum arg = 0;
	int rc;

	enr.md.name = "modal_rows";
	enr.md.tupdesc = sink->rows_desc;
	enr.md.enrtype = ENR_NAMED_TUPLESTORE;
	enr.md.enrtuples = group->count;
	enr.reldata = group->store;

	SPI_connect();
	rc = SPI_register_relation(&enr);
	if (rc < 0)
		elog(ERROR, "could not register rows: %s", SPI_result_code_string(rc));
	if (wanted != NULL)
		arg = bool_array(wanted, sink->nrows);
	sink_execute(sink, action, group->columns, &arg);
	for (uint64 i = 0; SPI_tuptable != NULL && i < SPI_processed; i++)
	{
		bool isnull;
		int n = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i],
											SPI_tuptable->tupdesc, 1, &isnull));

		returned[n] = true;
	}
	SPI_finish();
}

void
sink_run(Sink *sink, SinkAction action, const RowGroup *group,
		 const bool *wanted, bool *returned)
{
	if (sink_reads_arrays(sink, action))
		sink_run_arrays(sink, action, group, wanted, returned);
	else
		run_named(sink, action, group, wanted, returned);
}

/* Else equal ones are not looked for. */
static bool
keys_have_order(const SinkTarget *t)
{
	for (int i = 0; i < t->nkeys; i++)
	{
		Oid type = TupleDescAttr(t->desc, t->keys[i] - 1)->atttypid;

		if (!OidIsValid(lookup_type_cache(type, TYPECACHE_LT_OPR)->lt_opr))
			return false;
	}
	return true;
}

/*
 * Of a group's rows with one key, the last is written, as if each had its turn: an
 * UPDATE elsewhere takes any of them, and the INSERT after it would add the others.
 */
static const bool *
last_of_keys(Sink *sink, const RowGroup *group)
{
	bool *replaced = palloc0(sizeof(bool) * sink->nrows);

	sink_run(sink, ACTION_FIND_REPLACED, group, NULL, replaced);
	for (int i = 0; i < sink->nrows; i++)
		replaced[i] = !replaced[i];
	return replaced;
}

/* Rows that have told of failures tell of outcomes now; the flags of the others. */
static const bool *
update_failures(Sink *sink, const RowGroup *group, bool errors)
{
	bool *wanted = palloc(sizeof(bool) * sink->nrows);
	bool *updated = palloc0(sizeof(bool) * sink->nrows);

	memset(wanted, true, sizeof(bool) * sink->nrows);
	sink_run(sink, errors ? ACTION_UPDATE_ERRORS : ACTION_UPDATE, group, wanted,
			 updated);
	for (int i = 0; i < sink->nrows; i++)
		wanted[i] = !updated[i];
	return wanted;
}

void
sink_run_group(Sink *sink, const RowGroup *group, bool errors, bool *applied)
{
	static const SinkAction actions[][2] = {
		[SINK_INSERT] = {ACTION_INSERT, ACTION_INSERT_ERRORS},
		[SINK_UPSERT] = {ACTION_UPSERT, ACTION_UPSERT_ERRORS},
		[SINK_UPDATE] = {ACTION_UPDATE, ACTION_UPDATE_ERRORS},
	};

	const bool *wanted = NULL;

	if (sink_updates_failures(sink))
		wanted = update_failures(sink, group, errors);
	else if (sink->spec->mode == SINK_UPSERT && !sink->target->is_local &&
			 group->count > 1 && keys_have_order(sink->target))
		wanted = last_of_keys(sink, group);
	sink_run(sink, actions[sink->spec->mode][errors], group, wanted, applied);
}
