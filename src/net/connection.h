/*-------------------------------------------------------------------------
 *
 * connection.h
 *	  A stream of bytes to an origin's server and back, through its proxy if it
 *	  has one, encrypted unless its URL is http://.
 *
 *	CONNECTING ──► TLS ──► OPEN		any of them ends in FAILED
 *
 * It belongs to whoever opened it, who is told by on_event and alone closes
 * it; also one that has failed is there until then, with its error.  One that
 * its owner has called idle may fail at any time: others need descriptors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_NET_CONNECTION_H
#define MODAL_NET_CONNECTION_H

#include <sys/types.h>

#include "net/hosts.h"
#include "net/internal.h"
#include "net/multi.h"

typedef enum ConnectionState
{
	CONNECTION_CONNECTING,
	CONNECTION_TLS,
	CONNECTION_OPEN,
	CONNECTION_FAILED /* or closed by the peer: see error and message */
} ConnectionState;

struct Connection
{
	ConnectionState state;
	bool h2_offered; /* by TLS (ALPN) */
	TransportError error;
	char message[ERROR_TEXT_SIZE];
	void (*on_event)(void *owner);
	void *owner;
	/* Private. */
	Origin *origin;
	double timeout_s;
	Hosts hosts;
	CURL *easy; /* NULL: not begun, or failed */
	SocketClaim claim;
	char curl_error[CURL_ERROR_SIZE];
	int fd;            /* once it is connected; curl's to close */
	LoopMember member; /* of it */
	SSL *ssl;          /* NULL: plain */
	Timer deadline;    /* until connection_ready() */
	LoopIdle idle;
};

/*
 * Calls on_event whenever it is open or has failed, and when it may be read or
 * written again; never before it has returned, and never from within a library.
 * NULL: no memory.  It fails when it is not ready within timeout_s.
 */
extern Connection *connection_open(Origin *origin, double timeout_s,
								   void (*on_event)(void *owner), void *owner);
/* The peer speaks as it should: there is no deadline any more. */
extern void connection_ready(Connection *connection);
/* Bytes; 0: not now; -1: it has failed. */
extern ssize_t connection_read(Connection *connection, void *to, size_t n);
/*
 * Bytes; 0: not now; -1: no more can be written.  Then it has not failed: what
 * has come can still be read; error and message say what to tell of it.
 */
extern ssize_t connection_write(Connection *connection, const void *from,
								size_t n);
/* Is on_event to be called when it may be written? */
extern void connection_want_write(Connection *connection, bool wanted);
/* Whether it may be closed when others need its descriptor. */
extern void connection_set_idle(Connection *connection, bool idle);
extern void connection_close(Connection *connection);

extern bool connections_init(void);

/*
 * How much a connection may do in a turn.  Reads get smaller where they
 * contain much to do, so that a peer who sends tiny pieces keeps nobody
 * waiting for longer than others.
 */
typedef struct ReadBudget
{
	size_t read_size;     /* of the next read */
	size_t bytes, pieces; /* left in this turn */
} ReadBudget;

#define READ_SIZE (64 * 1024) /* the largest read */

extern void budget_init(ReadBudget *budget);
extern void budget_begin(ReadBudget *budget);
/* A read has brought so much; false: it is enough for this turn. */
extern bool budget_spend(ReadBudget *budget, size_t bytes, size_t pieces);

#endif /* MODAL_NET_CONNECTION_H */
