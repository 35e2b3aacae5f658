/*-------------------------------------------------------------------------
 *
 * query.h
 *	  Parameters in the query of an address.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_QUERY_H
#define MODAL_LOCAL_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As it stands; false, and "": it is not there, or it is too long. */
extern bool query_get(const char *query, const char *name, char *value,
					  size_t size);
/* -1: it is not there, or no index of an input. */
extern int32_t query_index(const char *query, const char *name);

#endif /* MODAL_LOCAL_QUERY_H */
