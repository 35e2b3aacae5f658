/*-------------------------------------------------------------------------
 *
 * options.h
 *	  The options of servers and user mappings: one table, options.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_SESSION_OPTIONS_H
#define MODAL_SESSION_OPTIONS_H

#include "compat.h"

#include "nodes/pg_list.h"

/* Options that the session reads itself and the dispatcher need not see. */
extern bool option_is_local(const char *name);

/* An option from elsewhere than the catalogs: HV024 when its value is bad. */
extern void option_check(const char *name, const char *value);

/* The value of an option in a list of DefElem, or NULL. */
extern const char *option_value(List *options, const char *name);
extern bool option_bool(List *options, const char *name, bool dflt);

#endif /* MODAL_SESSION_OPTIONS_H */
