/*-------------------------------------------------------------------------
 *
 * trigger_spec.h
 *	  The arguments of modal_trigger(): what they mean, and how they are
 *	  written.
 *
 *	function, argument columns, result column [, options]
 *	function						a webhook (webhook.h)
 *
 * The fourth argument makes it the declaration of a generated column
 * (generated.h): a JSON object with any of
 *
 *	kwargs			object, keyword arguments of every call
 *	version_column	name of the column that takes the version of the function
 *	skip_nulls		boolean (true): rows with a NULL argument are not sent
 *	priority		integer (0), of its jobs
 *
 * or, with one of these, the declaration of rows of another table, one or more
 * for each row of this one (trigger_rows.h), whose columns they name; then the
 * result column may be empty:
 *
 *	into_table		qualified name of that table
 *	key				array, names of its columns for this table's primary key
 *	ordinality_column	name of the column that numbers the rows
 *
 * It stands in no other place: what PostgreSQL does with a trigger (dumps,
 * owners, partitions, drops) is done with the declaration.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_TRIGGER_SPEC_H
#define MODAL_JOBS_TRIGGER_SPEC_H

#include "compat.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#define TRIGGER_WEBHOOK_ARGS 1
#define TRIGGER_MIN_ARGS 3
#define TRIGGER_MAX_ARGS 4
#define TRIGGER_FUNCTION 0
#define TRIGGER_COLUMNS 1
#define TRIGGER_RESULT 2
#define TRIGGER_OPTIONS 3

typedef struct TriggerSpec
{
	char *function;
	bool webhook; /* then that is all */
	List *columns; /* char *, the arguments */
	char *result_column;
	bool declared; /* generated; else what follows is not set */
	Jsonb *kwargs; /* NULL: none */
	char *version_column; /* NULL: none */
	bool skip_nulls;
	int32 priority;
	char *into_table; /* NULL: a generated column; else the rest is, too */
	List *key;		  /* char * */
	char *ordinality_column; /* NULL: none */
} TriggerSpec;

/* Error 22023, with what may have been meant. */
extern void trigger_spec_read(TriggerSpec *spec, int nargs, char **args);
/* The arguments of a declared one: TRIGGER_MAX_ARGS of them. */
extern char **trigger_spec_write(const TriggerSpec *spec);
/*
 * Give the new name to what the spec calls by the old one; false when that is
 * nothing.
 */
extern bool trigger_spec_rename(TriggerSpec *spec, const char *old_name,
								const char *new_name);
/* The same for columns of the other table. */
extern bool trigger_spec_rename_other(TriggerSpec *spec, const char *old_name,
									  const char *new_name);

#endif /* MODAL_JOBS_TRIGGER_SPEC_H */
