/*-------------------------------------------------------------------------
 *
 * judge.h
 *	  What the end of a request means for its rows, and how to say it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_HTTP_JUDGE_H
#define MODAL_HTTP_JUDGE_H

#include "core/http_format.h"
#include "core/http_reply.h"
#include "dispatcher/target.h"
#include "net/net.h"

#define LONGEST_PAUSE 600.0 /* a peer cannot stop us for longer */

typedef enum Verdict
{
	VERDICT_GOOD,	   /* the reply holds results */
	VERDICT_POLL,	   /* accepted: ask again later */
	VERDICT_DEFER,	   /* not now: wait, free of charge */
	VERDICT_RETRY,	   /* may go well another time */
	VERDICT_BAD_ROWS,  /* a row's fault: find it by halving */
	VERDICT_FAIL_ROWS, /* all these rows fail */
	VERDICT_FAIL_CALL  /* no row can go well */
} Verdict;

typedef struct Failure
{
	Verdict verdict;
	const char *sqlstate;
	const char *hint; /* or NULL */
	bool executed;	  /* may the function have seen the rows? */
	bool rejected;	  /* by an overloaded service: it wants less */
	bool blameless;	  /* it has nothing to do with these very rows */
	bool unreachable; /* there was no connection */
} Failure;

/* own_request: path or query are those of a single row. */
extern Failure judge_response(HttpBodyFormat format, bool own_request,
							  const Response *response);
/*
 * For a person: what happened, without secrets, appended to message.  form,
 * which may be NULL, knows where a body has its message; type is the media type
 * of the answer, "" if that says nothing.
 */
extern void judge_describe(const Target *target, const ReplyForm *form,
						   Response *response, const char *type, Buf *message);
/* The same for a good status, where problem is what is wrong with the body. */
extern void judge_describe_reply(const Target *target, const Response *response,
								 const char *type, const char *problem,
								 Buf *message);
/* Header Retry-After in seconds, but not more than most; 0: none. */
extern double judge_retry_after(const char *value, size_t n, double most);
/* Append text of the peer, without secrets, cut at a limit. */
extern void judge_quote(const Target *target, const char *text, size_t n,
						Buf *message);

#endif /* MODAL_HTTP_JUDGE_H */
