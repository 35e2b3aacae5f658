/*-------------------------------------------------------------------------
 *
 * sigv4.h
 *	  AWS Signature Version 4 of a request.
 *
 * libcurl can sign, too; but that of Debian 12 signs wrongly what has a query
 * that is not sorted, or ":" or "%" in its path, as all of Bedrock's models and
 * Lambda's ARNs have, and it does not carry our HTTP/2.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_SIGV4_H
#define MODAL_CORE_SIGV4_H

#include <time.h>

#include "core/buf.h"

typedef struct SigV4Keys
{
	const char *access_key_id;
	const char *secret_access_key;
	const char *session_token; /* NULL: none */
	const char *region;
	const char *service;
} SigV4Keys;

typedef struct SigV4Request
{
	const char *method;
	const char *host;	/* of the header Host, if headers has none */
	const char *target; /* path and query, as they are sent */
	const char *const *headers; /* "name: value", NULL at the end */
	const void *body;
	size_t body_len;
} SigV4Request;

#define SIGV4_MAX_LINES 4

/*
 * Append the headers that make it a signed one, each with a zero behind it, and
 * return how many there are; 0: no memory.  Signed are the host, Content-Type
 * and all that begins with X-Amz-.
 */
extern int sigv4_sign(const SigV4Keys *keys, const SigV4Request *request,
					  time_t now, Buf *lines);

#endif /* MODAL_CORE_SIGV4_H */
