/*-------------------------------------------------------------------------
 *
 * generated_follow.h
 *	  A declaration of a generated column follows the columns that it names.
 *
 * It is a trigger (trigger_spec.h), so tables and owners are followed by
 * PostgreSQL.  Columns stand in its arguments as text; what becomes of them is
 * seen here:
 *
 *	- It depends on each as an index does: a column that is dropped takes it
 *	  along.  PostgreSQL's own dependencies say so, recorded when it is made,
 *	  restored or pg_upgraded.
 *	- So does one of rows of another table, of that and its columns.
 *	- A column that gets another name gets it in the declaration as well, and
 *	  in jobs whose results are still to come.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_GENERATED_FOLLOW_H
#define MODAL_JOBS_GENERATED_FOLLOW_H

#include "compat.h"

#include "jobs/trigger_spec.h"

/* The declaration has been made. */
extern void generated_depend(Oid trigger, Oid relid, const TriggerSpec *spec);
/* The column is being altered by this command. */
extern void generated_follow_column(Oid relid, AttrNumber attno);
/* The table is: its name stands in declarations of rows that are its. */
extern void generated_follow_table(Oid relid);
/* The schema is: its name is part of its tables'. */
extern void generated_follow_schema(Oid nsp);
/*
 * The other table that a trigger, or the one of which it is a clone, fills:
 * what its text says was true when it was made.  InvalidOid: there is none.
 */
extern Oid generated_other_table(Oid trigger);
/* The declarations that fill this table (OurTrigger *), clones not. */
extern List *generated_sources(Oid relid);

#endif /* MODAL_JOBS_GENERATED_FOLLOW_H */
