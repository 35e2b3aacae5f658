/*-------------------------------------------------------------------------
 *
 * sink_target.h
 *	  The table that a job's results go to: is it there, is it fit, may this
 *	  user write to it?
 *
 * Asked when a job is made, so that mistakes are told at once, and again by
 * the runner before it writes, for tables change.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_SESSION_SINK_TARGET_H
#define MODAL_SESSION_SINK_TARGET_H

#include "compat.h"

#include "session/job_store.h"

typedef struct SinkTarget
{
	Oid relid;
	char *name;			/* qualified and quoted */
	TupleDesc desc;		/* a copy, of the whole table */
	int nkeys;
	AttrNumber *keys;	/* of spec->key_columns */
	int nchecks;
	AttrNumber *checks; /* of spec->check_columns */
	AttrNumber result;	/* 0: results are spread over columns */
	AttrNumber error;	/* 0: none */
} SinkTarget;

/*
 * For modes INSERT, UPSERT and UPDATE.  Errors: 42P01 no such table, 42809
 * not a table, 42703 no such column, 42P10 no unique index for UPSERT, 42501
 * not allowed to userid.
 */
extern SinkTarget *sink_target_get(const SinkSpec *spec, Oid userid);

extern Oid relation_owner(Oid relid);
/* The columns of the primary key; NIL when there is none. */
extern List *relation_primary_key(Oid relid);

#endif /* MODAL_SESSION_SINK_TARGET_H */
