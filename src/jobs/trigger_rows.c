/*-------------------------------------------------------------------------
 *
 * trigger_rows.c
 *	  Rows of another table, made from those of one with a trigger; see
 *	  trigger_rows.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "jobs/nearest_name.h"
#include "jobs/owner.h"
#include "jobs/trigger_check.h"
#include "jobs/trigger_rows.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

Oid
trigger_rows_target(const TriggerSpec *spec)
{
	List *names = textToQualifiedNameList(cstring_to_text(spec->into_table));

	return RangeVarGetRelid(makeRangeVarFromNameList(names), NoLock, false);
}

/* --- what fits ------------------------------------------------------------ */

static void
check_key(Relation source, Relation target, const TriggerSpec *spec)
{
	List *primary = relation_primary_key(RelationGetRelid(source));
	ListCell *lc, *lc2;

	if (primary == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no primary key",
						RelationGetRelationName(source)),
				 errdetail("It says which rows of the other table are made from a row.")));
	if (list_length(primary) != list_length(spec->key))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the key has %d columns, but the primary key of \"%s\" has %d",
						list_length(spec->key), RelationGetRelationName(source),
						list_length(primary))));
	forboth (lc, primary, lc2, spec->key)
	{
		AttrNumber attno = nearest_name_column(target, lfirst(lc2), "key column");
		Oid type = TupleDescAttr(RelationGetDescr(target), attno - 1)->atttypid;
		Oid wanted = get_atttype(RelationGetRelid(source),
								 get_attnum(RelationGetRelid(source), lfirst(lc)));

		if (type != wanted)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("key column \"%s\" is of type %s, but column \"%s\" of \"%s\" is of type %s",
							(char *) lfirst(lc2), format_type_be(type),
							(char *) lfirst(lc), RelationGetRelationName(source),
							format_type_be(wanted))));
	}
}

/* A partition's rows are its parents' own; of the parents' triggers each has a clone. */
static bool
has_rows_of(Oid target, Relation source)
{
	return target == RelationGetRelid(source) ||
		(source->rd_rel->relispartition &&
		 list_member_oid(get_partition_ancestors(RelationGetRelid(source)), target));
}

void
trigger_rows_check(Relation source, const TriggerSpec *spec)
{
	Oid relid = trigger_rows_target(spec);
	Relation target;

	if (has_rows_of(relid, source))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rows of \"%s\" cannot be made from its own rows",
						get_rel_name(relid))));
	if (spec->version_column != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("modal_trigger() has no option \"version_column\" for rows of another table")));
	target = relation_open(relid, AccessShareLock);
	check_key(source, target, spec);
	if (spec->result_column != NULL)
		(void) nearest_name_column(target, spec->result_column, "result column");
	if (spec->ordinality_column != NULL)
		(void) nearest_name_column(target, spec->ordinality_column,
								   "ordinality column");
	relation_close(target, AccessShareLock);
}

/* Does the target's column tell the same keys apart as the source's does? */
static void
check_key_values(Relation target, Form_pg_attribute primary, Form_pg_attribute key)
{
	/* of longer strings it says that they are */
	bool rounds = key->atttypmod >= 0 && key->atttypmod != primary->atttypmod &&
		key->atttypid != VARCHAROID && key->atttypid != BPCHAROID &&
		key->atttypid != VARBITOID && key->atttypid != BITOID;

	if (rounds)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("key column \"%s\" is of type %s, but column \"%s\" is of type %s",
						NameStr(key->attname),
						format_type_with_typemod(key->atttypid, key->atttypmod),
						NameStr(primary->attname),
						format_type_with_typemod(primary->atttypid, primary->atttypmod)),
				 errdetail("Different keys could become the same.")));
	if (key->attcollation != primary->attcollation &&
		(!get_collation_isdeterministic(key->attcollation) ||
		 !get_collation_isdeterministic(primary->attcollation)))
		ereport(ERROR,
				(errcode(ERRCODE_COLLATION_MISMATCH),
				 errmsg("key column \"%s\" of relation \"%s\" has another collation than column \"%s\"",
						NameStr(key->attname), RelationGetRelationName(target),
						NameStr(primary->attname)),
				 errdetail("One of them is not deterministic: keys that differ for one may be equal for the other.")));
}

void
trigger_rows_check_keys(Relation source, Relation target, const TriggerSpec *spec)
{
	List *primary = relation_primary_key(RelationGetRelid(source));
	Bitmapset *keys = NULL;
	ListCell *lc, *lc2;

	forboth (lc, primary, lc2, spec->key)
	{
		AttrNumber attno = get_attnum(RelationGetRelid(source), lfirst(lc));
		AttrNumber key = get_attnum(RelationGetRelid(target), lfirst(lc2));

		if (bms_is_member(key, keys))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("column \"%s\" is named twice in argument \"key\"",
							(char *) lfirst(lc2))));
		keys = bms_add_member(keys, key);
		check_key_values(target, TupleDescAttr(RelationGetDescr(source), attno - 1),
						 TupleDescAttr(RelationGetDescr(target), key - 1));
	}
}

SinkTarget *
trigger_rows_model(Job *job, Oid source, Oid target, const TriggerSpec *spec)
{
	SinkSpec *sink = &job->sink;

	job->by_trigger = true;
	job->kwargs = spec->kwargs;
	job->priority = spec->priority;
	job->owner = relation_owner(source);
	sink->mode = SINK_REPLACE;
	sink->into_table = target;
	sink->source_table = source;
	sink->key_columns = spec->key;
	sink->key_names = relation_primary_key(source);
	sink->check_columns = spec->columns;
	sink->result_column = spec->result_column;
	sink->ordinality_column = spec->ordinality_column;
	return sink_target_get(sink, job->owner);
}

/* --- deleting ------------------------------------------------------------- */

static SPIPlanPtr
prepare(const SinkTarget *target)
{
	StringInfoData sql;
	Oid *types = palloc(sizeof(Oid) * target->nkeys);
	SPIPlanPtr plan;

	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s WHERE ", target->name);
	for (int i = 0; i < target->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(target->desc, target->keys[i] - 1);

		types[i] = att->atttypid;
		appendStringInfo(&sql, "%s%s ", i > 0 ? " AND " : "",
						 quote_identifier(NameStr(att->attname)));
		sink_target_append_equals(target, &sql, target->keys[i]);
		appendStringInfo(&sql, " $%d", i + 1);
	}
	plan = SPI_prepare(sql.data, target->nkeys, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql.data,
			 SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	return plan;
}

void
trigger_rows_delete(SPIPlanPtr *plan, const Job *job, const char *path,
					const SinkTarget *target, Datum *key)
{
	OwnerScope scope;
	int rc;

	owner_enter_row(&scope, job->owner, path);
	SPI_connect();
	if (*plan == NULL)
		*plan = prepare(target);
	/* all that is there now; see ri_PerformCheck */
	rc = SPI_execute_snapshot(*plan, key, NULL, GetLatestSnapshot(),
							  IsolationUsesXactSnapshot() ? GetTransactionSnapshot()
														  : InvalidSnapshot,
							  false, true, 0);
	if (rc != SPI_OK_DELETE)
		elog(ERROR, "could not delete rows: %s", SPI_result_code_string(rc));
	SPI_finish();
	owner_leave(&scope);
}
