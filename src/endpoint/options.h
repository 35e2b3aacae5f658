/*-------------------------------------------------------------------------
 *
 * options.h
 *	  The options of servers and user mappings: one table, options.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_ENDPOINT_OPTIONS_H
#define MODAL_ENDPOINT_OPTIONS_H

#include "compat.h"

#include "nodes/parsenodes.h"

/* The wrapper that our servers must belong to. */
#define MODAL_WRAPPER_NAME "modal_batch"

/* Options that the session reads itself and the dispatcher need not see. */
extern bool option_is_local(const char *name);

/* 42501 when this is not for who does it; called before it is done. */
extern void options_check_alter(const AlterForeignServerStmt *stmt);

/* An option from elsewhere than the catalogs: HV024 when its value is bad. */
extern void option_check(const char *name, const char *value);

/* 22023 for an option that no reference may have; fits: those that it may. */
pg_noreturn extern void option_refuse_in_reference(const char *name,
												   bool (*fits) (const char *name));

/* The value of an option in a list of DefElem, or NULL. */
extern const char *option_value(List *options, const char *name);
extern bool option_bool(List *options, const char *name, bool dflt);

#endif /* MODAL_ENDPOINT_OPTIONS_H */
