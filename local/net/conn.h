/*-------------------------------------------------------------------------
 *
 * conn.h
 *	  Connections: the listening socket, TLS or plain, HTTP/2 or HTTP/1.1.
 *
 * All on one port: the first bytes tell them apart (TLS's record type, the
 * preface of HTTP/2, or else HTTP/1.1, which only serves blobs).
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_CONN_H
#define MODAL_LOCAL_CONN_H

#include <stdint.h>

#include "core/buf.h"

typedef struct Conn Conn;
typedef struct Protocol Protocol;

/* What speaks on a connection: HTTP/2 (h2.c) or HTTP/1.1 (http1.c). */
struct Protocol
{
	void *(*open)(Conn *conn);
	/* Takes what arrived; false: close the connection after what is written. */
	bool (*receive)(void *session, const uint8_t *data, size_t len);
	/*
	 * Adds what is to be written, about "room" bytes; false: nothing more will
	 * come and the connection is to be closed.
	 */
	bool (*produce)(void *session, Buf *out, size_t room);
	void (*close)(void *session);
};

extern const Protocol h2_protocol;
extern const Protocol http1_protocol;

/*
 * Take host and port (0: any free one), whose number is returned; listen and
 * accept connections.  Both exit when they cannot.
 */
extern int conn_bind(const char *host, int port);
extern void conn_listen(const char *state_dir, const char *host);
/* Is it an address, not a name? */
extern bool conn_is_address(const char *host);
extern void conn_stop_listening(void);

/* There is something to write: it will be, at the end of this round. */
extern void conn_wants_write(Conn *conn);
/* Cut the connection at the end of this round, with nothing more written. */
extern void conn_abort(Conn *conn);
/* A number that tells connections apart in the request log. */
extern uint64_t conn_number(const Conn *conn);
/* How many are open, and since when (loop_now) none has been. */
extern int conn_count(void);

#endif /* MODAL_LOCAL_CONN_H */
