/*-------------------------------------------------------------------------
 *
 * trigger_catalog.h
 *	  Triggers with modal_trigger(), as they stand in pg_trigger.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_TRIGGER_CATALOG_H
#define MODAL_JOBS_TRIGGER_CATALOG_H

#include "compat.h"

#include "access/htup.h"
#include "catalog/pg_trigger.h"
#include "jobs/trigger_spec.h"
#include "utils/rel.h"

typedef struct OurTrigger
{
	HeapTuple tuple; /* a copy */
	Form_pg_trigger form;
	int nargs;
	char **args;
} OurTrigger;

/* catalog is pg_trigger, opened for writing where something is stored. */

/*
 * The trigger, made by this very command or before it; NULL: there is none, or
 * it is not one of ours.
 */
extern OurTrigger *trigger_catalog_get(Relation catalog, Oid trigger);
/* Whose trigger it is, one of ours or not; InvalidOid: there is none. */
extern Oid trigger_catalog_relation(Relation catalog, Oid trigger);
/* The trigger that this one is a clone of, or itself; NULL: there is none. */
extern OurTrigger *trigger_catalog_root(Oid trigger);
/* The table that it was made on, when it is one of that table, or a clone there. */
extern Oid trigger_catalog_table(Oid relid, Oid trigger);
/* All of the relation (OurTrigger *), clones too. */
extern List *trigger_catalog_of(Relation catalog, Oid relid);
/* Those of partitions that were made of this one (OurTrigger *). */
extern List *trigger_catalog_clones(Relation catalog, const OurTrigger *trigger);
/* As many arguments as it has.  All sessions read its table's triggers anew. */
extern void trigger_catalog_store(Relation catalog, OurTrigger *trigger,
								  char **args);

#endif /* MODAL_JOBS_TRIGGER_CATALOG_H */
