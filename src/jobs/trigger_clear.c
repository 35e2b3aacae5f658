/*-------------------------------------------------------------------------
 *
 * trigger_clear.c
 *	  Taking back results of rows that have lost an argument; see
 *	  trigger_clear.h.
 *
 * The row is the very one that the trigger has fired for, found by its place.
 * If it has been updated again since, that update has fired the trigger, too.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "jobs/owner.h"
#include "jobs/trigger_clear.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

static SPIPlanPtr
prepare(Relation rel, const SinkSpec *sink)
{
	StringInfoData sql;
	Oid type = TIDOID;
	SPIPlanPtr plan;

	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE ONLY %s SET %s = NULL",
					 quote_qualified_identifier(
						 get_namespace_name(RelationGetNamespace(rel)),
						 RelationGetRelationName(rel)),
					 quote_identifier(sink->result_column));
	if (sink->version_column != NULL)
		appendStringInfo(&sql, ", %s = NULL",
						 quote_identifier(sink->version_column));
	appendStringInfoString(&sql, " WHERE ctid OPERATOR(pg_catalog.=) $1");
	plan = SPI_prepare(sql.data, 1, &type);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql.data,
			 SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	return plan;
}

void
trigger_clear_row(SPIPlanPtr *plan, Relation rel, const ItemPointerData *tid,
				  const Job *job, const char *path)
{
	OwnerScope scope;
	Datum arg = PointerGetDatum(tid);
	int rc;

	owner_enter_row(&scope, job->owner, path);
	SPI_connect();
	if (*plan == NULL)
		*plan = prepare(rel, &job->sink);
	rc = SPI_execute_plan(*plan, &arg, NULL, false, 0);
	if (rc != SPI_OK_UPDATE)
		elog(ERROR, "could not take back a result: %s",
			 SPI_result_code_string(rc));
	SPI_finish();
	owner_leave(&scope);
}

void
trigger_clear_forget(SPIPlanPtr *plan)
{
	if (*plan != NULL)
		SPI_freeplan(*plan);
	*plan = NULL;
}
