/*-------------------------------------------------------------------------
 *
 * secrets.h
 *	  Secrets and volumes, which options of functions name.
 *
 * A secret is a set of environment variables for the processes that run a
 * function; a volume is only a name here.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_SECRETS_H
#define MODAL_LOCAL_SECRETS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Secret Secret;

/*
 * From the command line: NAME:VARIABLE=VALUE, which adds to the secret of that
 * name; false: malformed, or it has that variable.
 */
extern bool secret_define(const char *text);
/* NULL: there is none. */
extern const Secret *secret_find(const char *name);
extern const char *secret_id(const Secret *secret);
extern bool secret_has(const Secret *secret, const char *variable);
/*
 * One of n variables; name NULL: it has only an id, and is the one that there is
 * if it has the same variables.  NULL: there is none, see *error.
 */
extern const Secret *secret_create(const char *name, size_t n,
								   const char *const *variables,
								   const char *const *values,
								   const char **error);
/*
 * All variables of these secrets, as "NAME=VALUE", ending with NULL: the same
 * pointer for the same ids.  NULL when an id is unknown.
 */
extern char *const *secrets_environment(char *const *ids, size_t n);

extern void volume_define(const char *name);
extern bool volume_exists(const char *name);

#endif /* MODAL_LOCAL_SECRETS_H */
