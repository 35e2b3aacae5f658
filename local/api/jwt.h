/*-------------------------------------------------------------------------
 *
 * jwt.h
 *	  The auth tokens of clients, which are signed (HS256).
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_JWT_H
#define MODAL_LOCAL_JWT_H

#include "util.h"

/* A token that is good until "expires" (Unix seconds), in the arena. */
extern const char *jwt_sign_client(Arena *arena, const char *subject,
								   double expires, const char *secret);
extern bool jwt_verify_client(const char *token, double now,
							  const char *secret);

#endif /* MODAL_LOCAL_JWT_H */
