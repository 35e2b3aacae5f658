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
#ifndef MODAL_JOBS_SINK_TARGET_H
#define MODAL_JOBS_SINK_TARGET_H

#include "compat.h"

#include "jobs/store.h"
#include "lib/stringinfo.h"
#include "nodes/bitmapset.h"
#include "utils/relcache.h"

/* Of spec->source_table. */
typedef struct SinkSource
{
	Oid relid;
	char *name;	  /* qualified and quoted */
	List *keys;	  /* char *, of its primary key */
	List *checks; /* char *, of spec->check_columns */
	AttrNumber *attnos; /* of these */
} SinkSource;

typedef struct SinkTarget
{
	Oid relid;
	char *name;			/* qualified and quoted */
	TupleDesc desc;		/* a copy, of the whole table */
	/* by number, for a copy does not say what is generated */
	Bitmapset *not_written; /* generated columns, and those GENERATED ALWAYS AS
							 * IDENTITY */
	Bitmapset *not_stored;	/* of these, those that are VIRTUAL */
	int nkeys;
	AttrNumber *keys;	/* of spec->key_columns */
	int nchecks;
	AttrNumber *checks; /* of spec->check_columns */
	AttrNumber result;	/* 0: results are spread over columns */
	AttrNumber error;	/* 0: none */
	AttrNumber ordinality; /* 0: none */
	/*
	 * Do its rows live here, where statements can read a tuplestore?  Not those
	 * of a foreign table, a view, or a table that Citus distributes.
	 */
	bool is_local;
	bool takes_conflicts; /* ON CONFLICT finds the row of a key */
	bool has_key_index;	  /* that finds few rows for a key, if any */
	Oid row_type;
	AttrNumber version; /* 0: none */
	SinkSource *source; /* NULL: none */
} SinkTarget;

/*
 * For modes INSERT, UPSERT, UPDATE and REPLACE.  Errors: 42P01 no such table,
 * 42809 it cannot be written so, 42703 no such column, 42P10 no unique index for
 * UPSERT, 42804 or 42883 a column of a type that does not fit, 428C9 one that cannot
 * be written, 22023 one for two purposes, 42501 not allowed to userid.
 */
extern SinkTarget *sink_target_get(const SinkSpec *spec, Oid userid);
/* None of its columns, nor of its source's, gets another name in this transaction. */
extern void sink_target_hold(const SinkSpec *spec);
/*
 * Error 55P03 when the table or a column has another name now, or there are
 * other columns, or of other types: what was made of the target is of no use any
 * more, but the job's row has the new names.  All of it stays as it is for the
 * rest of the transaction.
 */
extern void sink_target_recheck(const SinkTarget *target);

/*
 * Append the operator that the column's type itself calls equal; error 42883
 * when there is none.
 */
extern void sink_target_append_equals(const SinkTarget *target, StringInfo sql,
									  AttrNumber attno);

/* A column of that name for what is written: not one that the table fills itself. */
extern AttrNumber sink_target_written_column(Relation rel, const char *name,
											 const char *role);
extern Oid relation_owner(Oid relid);
/* The columns of the primary key; NIL when there is none. */
extern List *relation_primary_key(Oid relid);

#endif /* MODAL_JOBS_SINK_TARGET_H */
