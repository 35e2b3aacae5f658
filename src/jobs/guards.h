/*-------------------------------------------------------------------------
 *
 * guards.h
 *	  The triggers that guard the tables of jobs stay enabled as they are made:
 *	  refuse_write always, not_replicated for replication.
 *
 * ALTER TABLE ... ENABLE TRIGGER ALL makes them triggers like any other, and
 * pg_dump --data-only --disable-triggers writes that behind the data of each table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_GUARDS_H
#define MODAL_JOBS_GUARDS_H

#include "compat.h"

#include "nodes/parsenodes.h"

/* The table of jobs whose triggers the command enables; InvalidOid: none. */
extern Oid guards_enabled_by(Node *parsetree);
/* It has done so. */
extern void guards_restore(Oid relid);

#endif /* MODAL_JOBS_GUARDS_H */
