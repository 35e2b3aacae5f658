/*-------------------------------------------------------------------------
 *
 * nearest_name.h
 *	  Which of some names may have been meant, for the hint of an error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_NEAREST_NAME_H
#define MODAL_JOBS_NEAREST_NAME_H

#include "compat.h"

#include "utils/rel.h"

typedef struct NearestName
{
	const char *wanted;
	char *name; /* NULL: none is near */
	int distance;
} NearestName;

/* No more than three letters may differ, as in the parser's own hints. */
extern NearestName nearest_name_to(const char *wanted);
extern void nearest_name_consider(NearestName *nearest, const char *name);

/*
 * The column's number; error 42703, which calls it a role ("result column",
 * …), when there is none.
 */
extern AttrNumber nearest_name_column(Relation rel, const char *name,
									  const char *role);
/* The same of a column that triggers see; error 428C9 when it is not stored. */
extern AttrNumber nearest_stored_column(Relation rel, const char *name,
										const char *role);
/* Has it a value only where a query reads it?  (PostgreSQL 18) */
extern bool is_virtual_column(Form_pg_attribute att);

#endif /* MODAL_JOBS_NEAREST_NAME_H */
