/*-------------------------------------------------------------------------
 *
 * h2.h
 *	  What connections (h2.c) and streams (stream.c) of HTTP/2 know of each
 *	  other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_NET_H2_H
#define MODAL_NET_H2_H

#include <nghttp2/nghttp2.h>

#include "net/connection.h"

struct H2Connection
{
	H2 *h2;
	ListNode node;            /* of its origin's */
	Connection *connection;   /* NULL: given to HTTP/1.1 */
	nghttp2_session *session; /* NULL: not open yet */
	List requests; /* of its streams, those that somebody waits for */
	uint32_t nstreams;
	double idle_since;
	uint64_t heard; /* frames that are more than the beginning */
	bool spoken;    /* has the server said anything? */
	bool settled;   /* has it said what it allows?  Not used before. */
	bool doubted;   /* may be dead: takes no requests until it says more */
	bool unread;    /* there may be more to read */
	bool failed;    /* to be closed, its requests have ended */
	Buf out;        /* not written yet */
	ReadBudget budget;
	uint64_t frames;      /* that have come, or what is as much work */
	uint64_t idle_frames; /* of them, those that brought nothing forward */
	uint64_t idle_bytes;  /* the same; some frames are seen by nghttp2 alone */
	double counted_since; /* idle_frames */
	double heard_at;
	Timer alive; /* while there are streams: is it still there? */
	bool pinged; /* and was asked */
};

struct H2
{
	Origin *origin;
	LoopMember member;
	List connections;
	int nconnections;
	List waiting, ended; /* requests */
	Timer pause;         /* no attempt before: the last one has failed */
	bool h1_required;    /* those that wait go over HTTP/1.1 */
	double ping_after_s; /* of silence */
};

/* --- h2.c ----------------------------------------------------------------- */

/* Its server speaks HTTP/2: it may be used. */
extern void h2_settled(H2Connection *h2c);
/* It has one stream more, or one less. */
extern void h2_stream_opened(H2Connection *h2c, Request *request);
extern void h2_stream_closed(H2Connection *h2c);
/* What has come brought a request forward. */
extern void h2_progress(H2Connection *h2c);
extern void h2_goaway(H2Connection *h2c, uint32_t error_code);
/* It is to be sent before all others, when a connection has room for it. */
extern void h2_wait_again(H2 *h2, Request *request);
/* It is to be finished like this, soon. */
extern void h2_end(H2 *h2, Request *request, TransportError error,
				   const char *message);

/* --- stream.c ------------------------------------------------------------- */

/* NULL: no memory. */
extern nghttp2_session *stream_session(H2Connection *h2c);
/* On a connection that has room for it. */
extern void stream_submit(H2Connection *h2c, Request *request);
/*
 * It was not begun: it goes out again, or, when that has been in vain too
 * often, ends as refused, for its owner to decide.
 */
extern void stream_refused(H2 *h2, Request *request, const char *message);
/* We want no more of a stream; why is in its request, if it still has one. */
extern int stream_reset(nghttp2_session *session, int32_t stream_id);

#endif /* MODAL_NET_H2_H */
