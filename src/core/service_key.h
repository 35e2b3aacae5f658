/*-------------------------------------------------------------------------
 *
 * service_key.h
 *	  The key of a Google service account, and what it is traded for tokens
 *	  with: a JSON web token that it signs (RFC 7523).
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_SERVICE_KEY_H
#define MODAL_CORE_SERVICE_KEY_H

#include <time.h>

#include "core/buf.h"

typedef struct ServiceKey ServiceKey;

/*
 * From the JSON text that Google gives out.  NULL: *error says what is wrong
 * with it, as a hint, without a part of it.
 */
extern ServiceKey *service_key_parse(const char *json, const char **error);
extern void service_key_free(ServiceKey *key);

/*
 * Append the signed assertion for a token endpoint: for an access token of
 * that scope, or (scope NULL) an identity token for that audience.  False: no
 * memory.
 */
extern bool service_key_assert(const ServiceKey *key, const char *endpoint,
							   const char *scope, const char *audience,
							   time_t now, Buf *assertion);

#endif /* MODAL_CORE_SERVICE_KEY_H */
