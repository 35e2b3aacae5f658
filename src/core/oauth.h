/*-------------------------------------------------------------------------
 *
 * oauth.h
 *	  What is said to the token endpoint of an OAuth 2 server (RFC 6749), and
 *	  what it answers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_OAUTH_H
#define MODAL_CORE_OAUTH_H

#include "core/buf.h"

#define OAUTH_MAX_TOKEN 16384

/* Append a value as a form has it. */
extern void oauth_put_encoded(Buf *out, const char *text);
/* Append a member of a form, with "&" before it unless it is the first. */
extern void oauth_put_member(Buf *form, const char *name, const char *value);
/* Append the base64 of "id:secret", each encoded as in a form (2.3.1). */
extern void oauth_put_basic(Buf *out, const char *id, const char *secret);

typedef struct OAuthReply
{
	char *token;		 /* malloc'd, printable ASCII; NULL: none */
	char *refresh_token; /* malloc'd; NULL: it is still the same */
	double expires_in;	 /* seconds; 0: it does not say */
} OAuthReply;

/* NULL, or what is wrong with it; then there is nothing to be freed. */
extern const char *oauth_take_reply(const char *text, size_t n,
									OAuthReply *reply);
extern void oauth_free_reply(OAuthReply *reply);

/*
 * Append what an error says: "error: error_description" (5.2).  False: it is
 * none of that kind.
 */
extern bool oauth_put_error(Buf *out, const char *text, size_t n);

#endif /* MODAL_CORE_OAUTH_H */
