/*-------------------------------------------------------------------------
 *
 * sink.c
 *	  Writing results; see sink.h.
 *
 * A batch is put into tuplestores that statements see as a table named
 * "modal_rows" (an ephemeral named relation, as transition tables are), whose
 * columns have the types of the target's.  So a statement is prepared once,
 * any type will do, and the executor moves whole batches.
 *
 * Results that are mappings may name different columns; rows are grouped by
 * the columns that they fill, a statement for each group.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/bitmapset.h"
#include "session/job_owner.h"
#include "session/sink_target.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"
#include "worker/sink.h"

#define LOCK_TIMEOUT "1s" /* other jobs must go on meanwhile */
#define STORE_KB (32 * 1024) /* a batch in memory; more goes to a file */

/* Columns of modal_rows: these, then one for each column of the target. */
#define ROW_NUMBER 0	  /* position in the batch */
#define ROW_FINGERPRINT 1 /* of the values that were sent */
#define ROW_ERROR 2
#define ROW_FIRST 3

/* A statement for rows that fill just these columns. */
typedef struct SinkStatement
{
	Bitmapset *columns; /* attribute numbers */
	bool errors;		/* writes the error column */
	SPIPlanPtr plan;
} SinkStatement;

struct Sink
{
	MemoryContext cxt;
	MemoryContext batch_cxt; /* reset after each batch */
	ResourceOwner batch_owner; /* the transaction's: outlives subtransactions */
	int64 job;
	Oid owner;
	const SinkSpec *spec;
	/* the rest for modes that have a table */
	SinkTarget *target;
	TupleDesc rows_desc;	 /* of modal_rows */
	ResultDecoder *keys;	 /* a row of the key columns */
	ResultDecoder *result;	 /* the result column, or a row of nspread */
	int nspread;
	AttrNumber *spread;
	List *statements;		 /* SinkStatement *, in cxt */
};

/* Rows that fill the same columns. */
typedef struct RowGroup
{
	Bitmapset *columns;
	Tuplestorestate *store;
	int count;
} RowGroup;

bool
error_is_transient(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_CONNECTION_EXCEPTION:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE ||
				sqlstate == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ||
				sqlstate == ERRCODE_READ_ONLY_SQL_TRANSACTION;
	}
}

Jsonb *
edata_to_jsonb(const ErrorData *edata, int attempts)
{
	FrameOutput out = {0};

	out.attempts = (uint16) attempts;
	strlcpy(out.sqlstate, unpack_sql_state(edata->sqlerrcode),
			sizeof(out.sqlstate));
	out.retryable = error_is_transient(edata->sqlerrcode);
	out.message.p = edata->message;
	out.message.n = strlen(edata->message);
	return error_to_jsonb(&out);
}

/* --- set-up --------------------------------------------------------------- */

static TupleDesc
make_rows_desc(TupleDesc table)
{
	TupleDesc desc = CreateTemplateTupleDesc(ROW_FIRST + table->natts);

	TupleDescInitEntry(desc, ROW_NUMBER + 1, "n", INT4OID, -1, 0);
	TupleDescInitEntry(desc, ROW_FINGERPRINT + 1, "fingerprint", INT8OID, -1, 0);
	TupleDescInitEntry(desc, ROW_ERROR + 1, "error", JSONBOID, -1, 0);
	for (int i = 0; i < table->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(table, i);
		AttrNumber attno = (AttrNumber) (ROW_FIRST + i + 1);
		char name[NAMEDATALEN];

		snprintf(name, sizeof(name), "c%d", i + 1);
		/* no typmod: the statement's assignment applies the column's own */
		TupleDescInitEntry(desc, attno, name,
						   att->attisdropped ? INT4OID : att->atttypid, -1, 0);
		if (!att->attisdropped)
			TupleDescInitEntryCollation(desc, attno, att->attcollation);
	}
	return desc;
}

/* A row type of some of the table's columns. */
static TupleDesc
columns_desc(TupleDesc table, const AttrNumber *columns, int n)
{
	TupleDesc desc = CreateTemplateTupleDesc(n);

	for (int i = 0; i < n; i++)
	{
		Form_pg_attribute att = TupleDescAttr(table, columns[i] - 1);

		TupleDescInitEntry(desc, (AttrNumber) (i + 1), NameStr(att->attname),
						   att->atttypid, att->atttypmod, 0);
	}
	return desc;
}

static bool
is_one_of(AttrNumber attno, const AttrNumber *columns, int n)
{
	for (int i = 0; i < n; i++)
		if (columns[i] == attno)
			return true;
	return false;
}

/* Columns that results are spread over: those with no other purpose. */
static void
find_spread(Sink *sink)
{
	const SinkTarget *t = sink->target;

	sink->spread = palloc(sizeof(AttrNumber) * Max(t->desc->natts, 1));
	for (AttrNumber attno = 1; attno <= t->desc->natts; attno++)
	{
		Form_pg_attribute att = TupleDescAttr(t->desc, attno - 1);

		if (!att->attisdropped && att->attgenerated == '\0' &&
			att->attidentity != ATTRIBUTE_IDENTITY_ALWAYS &&
			attno != t->error && !is_one_of(attno, t->keys, t->nkeys) &&
			!is_one_of(attno, t->checks, t->nchecks))
			sink->spread[sink->nspread++] = attno;
	}
}

Sink *
sink_create(MemoryContext parent, const Job *job)
{
	MemoryContext cxt = AllocSetContextCreate(parent, "modal_batch sink",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Sink *sink = palloc0(sizeof(Sink));
	SinkTarget *t;

	sink->cxt = cxt;
	sink->batch_cxt = AllocSetContextCreate(cxt, "modal_batch sink batch",
											ALLOCSET_DEFAULT_SIZES);
	sink->job = job->id;
	sink->owner = job->owner;
	sink->spec = &job->sink;
	if (OidIsValid(job->sink.into_table))
	{
		sink->target = t = sink_target_get(sink->spec, sink->owner);
		sink->rows_desc = make_rows_desc(t->desc);
		sink->keys = result_decoder_create(
			cxt, RECORDOID, -1, columns_desc(t->desc, t->keys, t->nkeys));
		if (t->result != 0)
		{
			Form_pg_attribute att = TupleDescAttr(t->desc, t->result - 1);

			sink->result = result_decoder_create(cxt, att->atttypid,
												 att->atttypmod, NULL);
		}
		else
		{
			find_spread(sink);
			sink->result = result_decoder_create(
				cxt, RECORDOID, -1,
				columns_desc(t->desc, sink->spread, sink->nspread));
		}
	}
	MemoryContextSwitchTo(old);
	return sink;
}

void
sink_free(Sink *sink)
{
	ListCell *lc;

	foreach (lc, sink->statements)
		SPI_freeplan(((SinkStatement *) lfirst(lc))->plan);
	MemoryContextDelete(sink->cxt);
}

/* --- statements ----------------------------------------------------------- */

static const char *
column_name(const Sink *sink, AttrNumber attno)
{
	return quote_identifier(
		NameStr(TupleDescAttr(sink->target->desc, attno - 1)->attname));
}

/* "t.k = s.c1 AND …", with the operator that the type itself calls equal. */
static void
append_key_condition(const Sink *sink, StringInfo sql)
{
	const SinkTarget *t = sink->target;

	for (int i = 0; i < t->nkeys; i++)
	{
		Oid type = TupleDescAttr(t->desc, t->keys[i] - 1)->atttypid;
		TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR);
		HeapTuple tup = SearchSysCache1(OPEROID,
										ObjectIdGetDatum(entry->eq_opr));
		Form_pg_operator op;

		if (!HeapTupleIsValid(tup))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("key column \"%s\" has no equality operator",
							column_name(sink, t->keys[i]))));
		op = (Form_pg_operator) GETSTRUCT(tup);
		appendStringInfo(sql, "%st.%s OPERATOR(%s.%s) s.c%d",
						 i > 0 ? " AND " : "", column_name(sink, t->keys[i]),
						 quote_identifier(get_namespace_name(op->oprnamespace)),
						 NameStr(op->oprname), t->keys[i]);
		ReleaseSysCache(tup);
	}
}

static void
append_fingerprint_condition(const Sink *sink, StringInfo sql)
{
	const SinkTarget *t = sink->target;

	if (t->nchecks == 0)
		return;
	appendStringInfoString(sql, " AND modal_batch.fingerprint(");
	for (int i = 0; i < t->nchecks; i++)
		appendStringInfo(sql, "%st.%s", i > 0 ? ", " : "",
						 column_name(sink, t->checks[i]));
	appendStringInfoString(sql, ") OPERATOR(pg_catalog.=) s.fingerprint");
}

static void
append_update(const Sink *sink, StringInfo sql, const Bitmapset *columns,
			  bool errors)
{
	int attno = -1;
	const char *sep = "";

	appendStringInfo(sql, "UPDATE %s AS t SET ", sink->target->name);
	while ((attno = bms_next_member(columns, attno)) >= 0)
	{
		appendStringInfo(sql, "%s%s = s.c%d", sep, column_name(sink, attno),
						 attno);
		sep = ", ";
	}
	/* a success clears what an earlier failure has left */
	if (sink->target->error != 0)
		appendStringInfo(sql, "%s%s = %s", sep,
						 column_name(sink, sink->target->error),
						 errors ? "s.error" : "NULL");
	appendStringInfoString(sql, " FROM modal_rows AS s WHERE ");
	append_key_condition(sink, sql);
	append_fingerprint_condition(sink, sql);
	appendStringInfoString(sql, " RETURNING s.n");
}

static void
append_insert(const Sink *sink, StringInfo sql, const Bitmapset *columns,
			  bool errors)
{
	const SinkTarget *t = sink->target;
	StringInfoData names, values;
	int attno = -1;
	const char *sep = "";

	initStringInfo(&names);
	initStringInfo(&values);
	for (int i = 0; i < t->nkeys; i++)
	{
		appendStringInfo(&names, "%s%s", sep, column_name(sink, t->keys[i]));
		appendStringInfo(&values, "%ss.c%d", sep, t->keys[i]);
		sep = ", ";
	}
	while ((attno = bms_next_member(columns, attno)) >= 0)
	{
		appendStringInfo(&names, "%s%s", sep, column_name(sink, attno));
		appendStringInfo(&values, "%ss.c%d", sep, attno);
		sep = ", ";
	}
	if (errors)
	{
		appendStringInfo(&names, "%s%s", sep, column_name(sink, t->error));
		appendStringInfo(&values, "%ss.error", sep);
	}
	appendStringInfo(sql, "INSERT INTO %s ", t->name);
	/* a row of defaults has no list of columns */
	if (names.len > 0)
		appendStringInfo(sql, "(%s) ", names.data);
	appendStringInfo(sql, "SELECT %s FROM modal_rows AS s", values.data);
}

static void
append_on_conflict(const Sink *sink, StringInfo sql, const Bitmapset *columns,
				   bool errors)
{
	const SinkTarget *t = sink->target;
	int attno = -1;
	const char *sep = "";

	appendStringInfoString(sql, " ON CONFLICT (");
	for (int i = 0; i < t->nkeys; i++)
		appendStringInfo(sql, "%s%s", i > 0 ? ", " : "",
						 column_name(sink, t->keys[i]));
	appendStringInfoString(sql, ") DO ");
	if (bms_is_empty(columns) && t->error == 0)
	{
		appendStringInfoString(sql, "NOTHING");
		return;
	}
	appendStringInfoString(sql, "UPDATE SET ");
	while ((attno = bms_next_member(columns, attno)) >= 0)
	{
		appendStringInfo(sql, "%s%s = EXCLUDED.%s", sep,
						 column_name(sink, attno), column_name(sink, attno));
		sep = ", ";
	}
	if (t->error != 0)
		appendStringInfo(sql, "%s%s = %s%s", sep, column_name(sink, t->error),
						 errors ? "EXCLUDED." : "NULL",
						 errors ? column_name(sink, t->error) : "");
}

/* Prepared once for each set of columns; needs modal_rows registered. */
static SPIPlanPtr
get_statement(Sink *sink, const Bitmapset *columns, bool errors)
{
	SinkStatement *stmt;
	StringInfoData sql;
	MemoryContext old;
	ListCell *lc;

	foreach (lc, sink->statements)
	{
		stmt = lfirst(lc);
		if (stmt->errors == errors && bms_equal(stmt->columns, columns))
			return stmt->plan;
	}
	initStringInfo(&sql);
	if (sink->spec->mode == SINK_UPDATE)
		append_update(sink, &sql, columns, errors);
	else
	{
		append_insert(sink, &sql, columns, errors);
		if (sink->spec->mode == SINK_UPSERT)
			append_on_conflict(sink, &sql, columns, errors);
	}

	old = MemoryContextSwitchTo(sink->cxt);
	stmt = palloc0(sizeof(SinkStatement));
	stmt->columns = bms_copy(columns);
	stmt->errors = errors;
	MemoryContextSwitchTo(old);
	stmt->plan = SPI_prepare(sql.data, 0, NULL);
	if (stmt->plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql.data,
			 SPI_result_code_string(SPI_result));
	SPI_keepplan(stmt->plan);
	old = MemoryContextSwitchTo(sink->cxt);
	sink->statements = lappend(sink->statements, stmt);
	MemoryContextSwitchTo(old);
	return stmt->plan;
}

/*
 * Run the group's statement.  Of an UPDATE, rows that it did not return are
 * stale (in *applied, one flag for each row of the batch, they stay false).
 */
static void
run_statement(Sink *sink, const RowGroup *group, bool errors, bool *applied)
{
	EphemeralNamedRelationData enr = {0};
	SPIPlanPtr plan;
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
	plan = get_statement(sink, group->columns, errors);
	rc = SPI_execute_plan(plan, NULL, NULL, false, 0);
	if (rc < 0)
		elog(ERROR, "could not write results: %s", SPI_result_code_string(rc));
	if (rc == SPI_OK_UPDATE_RETURNING)
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			bool isnull;

			applied[DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i],
												SPI_tuptable->tupdesc, 1,
												&isnull))] = true;
		}
	SPI_finish();
}

/* --- decoding ------------------------------------------------------------- */

static RowGroup *
get_group(Sink *sink, List **groups, Bitmapset *columns)
{
	RowGroup *group;
	ResourceOwner owner = CurrentResourceOwner;
	ListCell *lc;

	foreach (lc, *groups)
	{
		group = lfirst(lc);
		if (bms_equal(group->columns, columns))
			return group;
	}
	group = palloc0(sizeof(RowGroup));
	group->columns = bms_copy(columns);
	CurrentResourceOwner = sink->batch_owner;
	group->store = tuplestore_begin_heap(false, false, STORE_KB);
	CurrentResourceOwner = owner;
	*groups = lappend(*groups, group);
	return group;
}

/* The fingerprint and the key columns, from the input's meta data. */
static void
decode_meta(Sink *sink, const SinkRow *row, Datum *values, bool *isnull)
{
	const SinkTarget *t = sink->target;
	const uint8 *p = row->input.meta;
	Size n = row->input.meta_len;
	Datum *keys = palloc0(sizeof(Datum) * Max(t->nkeys, 1));
	bool *nulls = palloc0(sizeof(bool) * Max(t->nkeys, 1));
	bool *found = palloc0(sizeof(bool) * Max(t->nkeys, 1));

	if (t->nchecks > 0)
	{
		uint64 hash;

		if (n < sizeof(hash))
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
							errmsg("a stored input is damaged")));
		memcpy(&hash, p, sizeof(hash));
		values[ROW_FINGERPRINT] = Int64GetDatum((int64) hash);
		isnull[ROW_FINGERPRINT] = false;
		p += sizeof(hash);
		n -= sizeof(hash);
	}
	if (t->nkeys == 0)
		return;
	/* it was written as the keyword arguments of a call: [[], {…}] */
	result_decode_row(sink->keys, PAYLOAD_CBOR, p + 2, n - 2, -1, keys, nulls,
					  found);
	for (int i = 0; i < t->nkeys; i++)
	{
		values[ROW_FIRST + t->keys[i] - 1] = keys[i];
		isnull[ROW_FIRST + t->keys[i] - 1] = nulls[i] || !found[i];
	}
}

/* The result; returns the columns that it fills. */
static Bitmapset *
decode_result(Sink *sink, const SinkRow *row, Datum *values, bool *isnull)
{
	AttrNumber attno = sink->target->result;
	Bitmapset *columns = NULL;
	int n = sink->nspread;
	Datum *spread;
	bool *nulls, *found;

	if (attno != 0)
	{
		values[ROW_FIRST + attno - 1] =
			result_decode(sink->result, row->format, row->data, row->len,
						  &isnull[ROW_FIRST + attno - 1]);
		return bms_make_singleton(attno);
	}
	spread = palloc0(sizeof(Datum) * Max(n, 1));
	nulls = palloc0(sizeof(bool) * Max(n, 1));
	found = palloc0(sizeof(bool) * Max(n, 1));
	result_decode_row(sink->result, row->format, row->data, row->len,
					  n == 1 ? 0 : -1, spread, nulls, found);
	for (int i = 0; i < n; i++)
		if (found[i])
		{
			attno = sink->spread[i];
			values[ROW_FIRST + attno - 1] = spread[i];
			isnull[ROW_FIRST + attno - 1] = nulls[i];
			columns = bms_add_member(columns, attno);
		}
	return columns;
}

static void
decode_row(Sink *sink, SinkRow *rows, int n, List **groups)
{
	int natts = sink->rows_desc->natts;
	Datum *values = palloc0(sizeof(Datum) * natts);
	bool *isnull = palloc(sizeof(bool) * natts);
	SinkRow *row = &rows[n];
	Bitmapset *columns = NULL;
	RowGroup *group;
	MemoryContext row_cxt;

	memset(isnull, true, sizeof(bool) * natts);
	values[ROW_NUMBER] = Int32GetDatum(n);
	isnull[ROW_NUMBER] = false;
	decode_meta(sink, row, values, isnull);
	if (row->outcome == SINK_FAILED)
	{
		values[ROW_ERROR] = JsonbPGetDatum(row->error);
		isnull[ROW_ERROR] = false;
	}
	else
		columns = decode_result(sink, row, values, isnull);

	row_cxt = MemoryContextSwitchTo(sink->batch_cxt);
	group = get_group(sink, groups, columns);
	MemoryContextSwitchTo(row_cxt);
	tuplestore_putvalues(group->store, sink->rows_desc, values, isnull);
	group->count++;
}

/* --- subtransactions ------------------------------------------------------ */

/* What a PG_TRY around an internal subtransaction must restore. */
typedef struct SubScope
{
	MemoryContext cxt;
	ResourceOwner owner;
} SubScope;

static void
sub_begin(SubScope *sub)
{
	sub->cxt = CurrentMemoryContext;
	sub->owner = CurrentResourceOwner;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(sub->cxt);
}

static void
sub_commit(const SubScope *sub)
{
	ReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(sub->cxt);
	CurrentResourceOwner = sub->owner;
}

/* In PG_CATCH: roll back and return the error, unless it is transient. */
static ErrorData *
sub_abort(const SubScope *sub)
{
	ErrorData *edata;

	MemoryContextSwitchTo(sub->cxt);
	edata = CopyErrorData();
	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(sub->cxt);
	CurrentResourceOwner = sub->owner;
	if (error_is_transient(edata->sqlerrcode))
		ReThrowError(edata);
	return edata;
}

static void
fail_row(SinkRow *row, const ErrorData *edata)
{
	row->outcome = SINK_FAILED;
	row->error = edata_to_jsonb(edata, row->attempts);
}

/*
 * Decode the rows [lo, hi) that have the wanted outcome, from *next on, until
 * one cannot be decoded; that one fails.  False when all were seen.
 */
static bool
decode_some(Sink *sink, SinkRow *rows, int hi, SinkOutcome wanted,
			volatile int *next, List **groups)
{
	MemoryContext row_cxt = AllocSetContextCreate(
		sink->batch_cxt, "modal_batch sink row", ALLOCSET_DEFAULT_SIZES);
	SubScope sub;
	ErrorData *volatile edata = NULL;

	sub_begin(&sub);
	PG_TRY();
	{
		MemoryContextSwitchTo(row_cxt);
		for (; *next < hi; (*next)++)
		{
			if (rows[*next].outcome != wanted)
				continue;
			CHECK_FOR_INTERRUPTS();
			decode_row(sink, rows, *next, groups);
			MemoryContextReset(row_cxt);
		}
		sub_commit(&sub);
	}
	PG_CATCH();
	{
		edata = sub_abort(&sub);
	}
	PG_END_TRY();
	MemoryContextDelete(row_cxt);
	if (edata == NULL)
		return false;
	fail_row(&rows[(*next)++], edata);
	return true;
}

/* --- writing -------------------------------------------------------------- */

static void
free_groups(List *groups)
{
	ListCell *lc;

	foreach (lc, groups)
		tuplestore_end(((RowGroup *) lfirst(lc))->store);
}

/* Run the groups' statements; on failure nothing is written. */
static ErrorData *
run_statements(Sink *sink, List *groups, bool errors, bool *applied)
{
	SubScope sub;
	ErrorData *volatile edata = NULL;
	ListCell *lc;

	sub_begin(&sub);
	PG_TRY();
	{
		foreach (lc, groups)
			run_statement(sink, lfirst(lc), errors, applied);
		sub_commit(&sub);
	}
	PG_CATCH();
	{
		edata = sub_abort(&sub);
	}
	PG_END_TRY();
	return edata;
}

/*
 * A statement was refused: is it the table, rather than a row?  Then the
 * error of sink_target_get ends the job, or it begins anew with the table as
 * it is now.
 */
static void
recheck_table(const Sink *sink, const ErrorData *edata)
{
	SinkTarget *now;

	if (ERRCODE_TO_CATEGORY(edata->sqlerrcode) !=
		ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION)
		return;
	now = sink_target_get(sink->spec, sink->owner);
	if (strcmp(now->name, sink->target->name) != 0 ||
		!equalTupleDescs(now->desc, sink->target->desc))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s has been altered", now->name)));
}

/*
 * Write the rows [lo, hi) whose outcome is SUCCEEDED.  The recursion is as
 * deep as a batch can be halved.
 */
static void
write_range(Sink *sink, SinkRow *rows, int lo, int hi, bool *applied)
{
	List *groups = NIL;
	ErrorData *edata;
	volatile int next = lo;
	int count = 0;
	int last = lo;

	while (decode_some(sink, rows, hi, SINK_SUCCEEDED, &next, &groups))
		CHECK_FOR_INTERRUPTS();
	for (int i = lo; i < hi; i++)
		if (rows[i].outcome == SINK_SUCCEEDED)
		{
			count++;
			last = i;
		}
	edata = count == 0 ? NULL : run_statements(sink, groups, false, applied);
	free_groups(groups);
	if (edata == NULL)
		return;
	recheck_table(sink, edata);
	if (count == 1)
	{
		fail_row(&rows[last], edata);
		return;
	}
	write_range(sink, rows, lo, (lo + hi) / 2, applied);
	write_range(sink, rows, (lo + hi) / 2, hi, applied);
}

/* Tell the table about failures; it need not be able to take them. */
static void
write_errors(Sink *sink, SinkRow *rows, int nrows, bool *applied)
{
	List *groups = NIL;
	ErrorData *edata;
	volatile int next = 0;

	while (decode_some(sink, rows, nrows, SINK_FAILED, &next, &groups))
		CHECK_FOR_INTERRUPTS();
	edata = groups == NIL ? NULL : run_statements(sink, groups, true, applied);
	free_groups(groups);
	if (edata != NULL)
		ereport(LOG,
				(errmsg("job " INT64_FORMAT ": could not write failures to column \"%s\": %s",
						sink->job, sink->spec->error_column, edata->message)));
}

/*
 * Constraints are checked at once: a deferred one would fail the whole
 * transaction at its end, and deferred triggers would run as the runner.
 */
static void
write_to_table(Sink *sink, SinkRow *rows, int nrows)
{
	OwnerScope scope;
	bool *applied = palloc0(sizeof(bool) * nrows);

	owner_enter(&scope, sink->owner, sink->spec->search_path);
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0);
	SPI_finish();
	write_range(sink, rows, 0, nrows, applied);
	if (sink->spec->mode == SINK_UPDATE)
		for (int i = 0; i < nrows; i++)
			if (rows[i].outcome == SINK_SUCCEEDED && !applied[i])
				rows[i].outcome = SINK_STALE;
	if (sink->target->error != 0)
		write_errors(sink, rows, nrows, applied);
	owner_leave(&scope);
}

/* --- modal_batch.result --------------------------------------------------- */

static Datum
unix_time(double t, bool *isnull)
{
	*isnull = t <= 0;
	return *isnull ? (Datum) 0 : DirectFunctionCall1(float8_timestamptz,
													 Float8GetDatum(t));
}

/* What is shown of an input: its key columns. */
static Datum
input_jsonb(const Sink *sink, const SinkRow *row, bool *isnull)
{
	Size skip = sink->spec->check_columns == NIL ? 0 : sizeof(uint64);

	*isnull = sink->spec->key_columns == NIL ||
		row->input.meta_len < skip + 2;
	if (*isnull)
		return (Datum) 0;
	return JsonbPGetDatum(cbor_item_to_jsonb(row->input.meta + skip + 2,
											 row->input.meta_len - skip - 2));
}

static void
put_result(Sink *sink, const SinkRow *row, Tuplestorestate *store,
		   TupleDesc desc)
{
	Datum values[9] = {0};
	bool isnull[9] = {0};
	bool failed = row->outcome == SINK_FAILED;

	values[0] = Int64GetDatum(sink->job);
	values[1] = Int64GetDatum(row->ordinal);
	values[2] = input_jsonb(sink, row, &isnull[2]);
	isnull[3] = failed;
	if (!failed)
		values[3] = JsonbPGetDatum(
			result_to_jsonb(row->format, row->data, row->len));
	isnull[4] = isnull[8] = !failed;
	values[5] = Int32GetDatum(row->attempts);
	values[6] = unix_time(row->started_at, &isnull[6]);
	values[7] = unix_time(row->finished_at, &isnull[7]);
	if (failed)
	{
		Buf record;

		values[4] = JsonbPGetDatum(row->error);
		buf_init(&record, MaxAllocSize, buf_palloc);
		chunk_put(&record, row->input.meta, row->input.meta_len,
				  row->input.payload, row->input.payload_len);
		values[8] = PointerGetDatum(
			cstring_to_text_with_len((char *) record.data, record.len));
	}
	tuplestore_putvalues(store, desc, values, isnull);
}

/*
 * Put the rows with that outcome, from *next on, until one cannot be shown as
 * jsonb; that one fails.  False when all were seen.
 */
static bool
put_results(Sink *sink, SinkRow *rows, int nrows, SinkOutcome wanted,
			volatile int *next, Tuplestorestate *store, TupleDesc desc)
{
	MemoryContext row_cxt = AllocSetContextCreate(
		sink->batch_cxt, "modal_batch sink row", ALLOCSET_DEFAULT_SIZES);
	SubScope sub;
	ErrorData *volatile edata = NULL;

	sub_begin(&sub);
	PG_TRY();
	{
		MemoryContextSwitchTo(row_cxt);
		for (; *next < nrows; (*next)++)
		{
			if (rows[*next].outcome != wanted)
				continue;
			put_result(sink, &rows[*next], store, desc);
			MemoryContextReset(row_cxt);
		}
		sub_commit(&sub);
	}
	PG_CATCH();
	{
		edata = sub_abort(&sub);
	}
	PG_END_TRY();
	MemoryContextDelete(row_cxt);
	if (edata == NULL)
		return false;
	fail_row(&rows[(*next)++], edata);
	return true;
}

/* Failures of every job; of jobs without a table, all results. */
static void
write_to_result(Sink *sink, SinkRow *rows, int nrows)
{
	TupleDesc desc = job_store_result_desc();
	Tuplestorestate *store = tuplestore_begin_heap(false, false, STORE_KB);
	volatile int next = 0;

	if (sink->spec->mode == SINK_RESULT)
		while (put_results(sink, rows, nrows, SINK_SUCCEEDED, &next, store,
						   desc))
			CHECK_FOR_INTERRUPTS();
	next = 0;
	(void) put_results(sink, rows, nrows, SINK_FAILED, &next, store, desc);
	if (tuplestore_tuple_count(store) > 0)
		job_store_add_results(store, tuplestore_tuple_count(store));
	tuplestore_end(store);
}

void
sink_write(Sink *sink, SinkRow *rows, int nrows)
{
	MemoryContext old = MemoryContextSwitchTo(sink->batch_cxt);

	/* what an aborted attempt has left */
	MemoryContextReset(sink->batch_cxt);
	sink->batch_owner = CurrentResourceOwner;
	if (sink->target != NULL)
		write_to_table(sink, rows, nrows);
	write_to_result(sink, rows, nrows);
	MemoryContextSwitchTo(old);
}
