/*-------------------------------------------------------------------------
 *
 * transport_h2.h
 *	  What connections (transport_h2.c) and streams (transport_stream.c) of
 *	  HTTP/2 know of each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_WORKER_TRANSPORT_H2_H
#define MODAL_WORKER_TRANSPORT_H2_H

#include <nghttp2/nghttp2.h>

#include "worker/transport_link.h"

struct H2Connection
{
	H2 *h2;
	H2Connection *next;
	Link *link;
	nghttp2_session *session; /* NULL: not open yet */
	uint32_t nstreams;
	uint32_t nrequests; /* of the streams, those that somebody waits for */
	double idle_since;
	uint64_t heard; /* frames that are more than the beginning */
	bool spoken;    /* has the server said anything? */
	bool settled;   /* has it said what it allows?  Not used before. */
	Timer deadline; /* for that */
	bool doubted;   /* may be dead: takes no requests until it says more */
	bool unread;    /* there may be more to read */
	bool failed;    /* to be closed, its requests have ended */
	Buf out;        /* not written yet */
};

struct H2
{
	Origin *origin;
	LoopMember member;
	H2Connection *connections;
	int nconnections;
	Request *waiting, **waiting_tail;
	Request *ended, **ended_tail;
	Timer pause; /* no attempt before: the last one has failed */
};

/* --- transport_h2.c ------------------------------------------------------- */

/* Its server speaks HTTP/2: it may be used. */
extern void h2_settled(H2Connection *connection);

/* It is to be sent when a connection has room for it. */
extern void h2_wait(H2 *h2, Request *request);
/* It is to be finished like this, soon. */
extern void h2_end(H2 *h2, Request *request, TransportError error,
				   const char *message);

/* --- transport_stream.c --------------------------------------------------- */

/* NULL: no memory. */
extern nghttp2_session *stream_session(H2Connection *connection);
/* Copies path and headers; false: no memory, or too many. */
extern bool stream_prepare(Request *request);
/* Can that path be sent? */
extern bool stream_has_path(const Request *request);
/* On a connection that has room for it. */
extern void stream_submit(H2Connection *connection, Request *request);
/* A request that was not worked on goes out again; false: not any more. */
extern bool stream_try_again(H2 *h2, Request *request);
/* We want no more of a stream; why is in its request, if it still has one. */
extern int stream_reset(nghttp2_session *session, int32_t stream_id);

#endif /* MODAL_WORKER_TRANSPORT_H2_H */
