/*-------------------------------------------------------------------------
 *
 * error.h
 *	  Errors of our own, as opposed to the remote side's, in a job.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_ERROR_H
#define MODAL_JOBS_ERROR_H

#include "compat.h"

#include "core/frame.h"
#include "utils/jsonb.h"

/*
 * Of a statement: do other sessions, or a lack of resources, stand in the way?
 * Not when a procedure says so, such as a trigger of the user's.
 */
extern bool error_is_contention(const ErrorData *edata);
/* Is it trouble of the server's own, such as that, that may pass by itself? */
extern bool error_is_passing(const ErrorData *edata);
/* Of a call or a job: is it one that a later attempt may not meet? */
extern bool error_is_transient(int sqlstate);
/*
 * As the jsonb that every failure has, with DETAIL and HINT; it is text of the
 * database's encoding already.
 */
/* A text of what edata_to_jsonb and error_to_jsonb make, or NULL. */
extern char *error_member(const Jsonb *error, const char *name);
extern Jsonb *edata_to_jsonb(const ErrorData *edata, int attempts);
/*
 * The error with which a remote call has ended, in the current context.  Its
 * text comes from outside: converting it needs a transaction.
 */
extern ErrorData *closed_to_edata(const CallClosed *closed);

#endif /* MODAL_JOBS_ERROR_H */
