/*-------------------------------------------------------------------------
 *
 * events.h
 *	  Server-sent events: what has changed, to pages that are open.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_EVENTS_H
#define MODAL_LOCAL_EVENTS_H

#include "net/http1.h"

/*
 * Answers the request with a stream of events, of a call, too, if its query
 * names one: call=ID&show=all|running|failed&from=INDEX.  To be closed by
 * events_close.
 */
extern void events_begin(HttpRequest *request, const char *query);
extern void events_close(HttpRequest *request);

#endif /* MODAL_LOCAL_EVENTS_H */
