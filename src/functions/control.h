/*-------------------------------------------------------------------------
 *
 * control.h
 *	  Questions to a service: one request each, answered by a JSON object.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_FUNCTIONS_CONTROL_H
#define MODAL_FUNCTIONS_CONTROL_H

#include "compat.h"

#include "core/frame.h"
#include "endpoint/endpoint.h"
#include "funcapi.h"
#include "utils/jsonb.h"

/*
 * Ask, and wait for the answer.  rest is a function reference, or for
 * CONTROL_CALL_* the id of a remote call, without "server:"; request, which
 * may be NULL, a JSON object.  Raises what the service answers instead.
 */
extern Jsonb *control_ask(const Endpoint *endpoint, const char *rest,
						  ControlOp op, const char *request);
/* The same, as the JSON that came, in UTF-8. */
extern char *control_ask_text(const Endpoint *endpoint, const char *rest,
							  ControlOp op, const char *request, Size *len);
/* A member of the answer as text; NULL when absent or null. */
extern char *control_member(Jsonb *answer, const char *name);
/* The members that have the names of the result's columns, as a row. */
extern Datum control_row(FunctionCallInfo fcinfo, Jsonb *answer);

#endif /* MODAL_FUNCTIONS_CONTROL_H */
