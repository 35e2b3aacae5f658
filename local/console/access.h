/*-------------------------------------------------------------------------
 *
 * access.h
 *	  Who may look into the console.
 *
 * Whoever knows the port may not: a link that works once makes a cookie.  And
 * a page of another site, in the browser of somebody who may look, must not be
 * able to act for him.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_ACCESS_H
#define MODAL_LOCAL_ACCESS_H

#include <stdbool.h>

#include "net/http1.h"

#define ACCESS_COOKIE_SIZE 160

extern void access_init(int port, const char *host);
/* A key for one login; those of a few links before stay good. */
extern const char *access_new_key(void);
/* Uses up the key, and makes a header's value; false: it is not one of ours. */
extern bool access_login(const char *key, char *cookie);

/* All of these in begin(), while there are headers. */

/* Does the request name this machine, and not one that was made to lead here? */
extern bool access_right_host(const HttpRequest *request);
extern bool access_has_cookie(const HttpRequest *request);
/* Does it come from a page of ours? */
extern bool access_from_page(const HttpRequest *request);

#endif /* MODAL_LOCAL_ACCESS_H */
