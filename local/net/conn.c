/*-------------------------------------------------------------------------
 *
 * conn.c
 *	  Connections: the listening socket, TLS or plain, HTTP/2 or HTTP/1.1.
 *
 * Writing is deferred to the end of each round of the loop, so that the
 * replies of a round leave together.  TLS reads from the socket itself, with
 * a large buffer, and writes to memory: many records, one send().  That memory
 * is ours, for OpenSSL's clears all that it has each time that it is emptied.
 *
 *-------------------------------------------------------------------------
 */
#include "net/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop.h"
#include "net/tls.h"
#include "util.h"

#define MAX_CONNECTIONS 1000
#define READ_SIZE (64 * 1024)
#define READS_PER_ROUND 16 /* of one connection, lest others wait */
#define WRITE_SIZE (256 * 1024) /* produced at once */
#define FIRST_BYTES_TIMEOUT 10.0
#define ACCEPT_PAUSE 0.1
#define FIRST_BYTES 3 /* what is enough to tell the protocols apart */
#define TLS_HANDSHAKE 0x16 /* type of TLS's first record */

struct Conn
{
	int fd;
	uint64_t number;
	LoopFd *lfd;
	uint32_t watched; /* events we wait for */
	SSL *ssl;		  /* NULL: plain */
	const Protocol *protocol; /* NULL until the first bytes have come */
	void *session;
	bool finishing; /* close once everything is written */
	bool aborted;
	Buf out;	  /* produced, not yet given to TLS or the socket */
	Buf sealed;	  /* what TLS has made of it */
	size_t sent;  /* bytes that are gone: of sealed, with TLS, else of out */
	LoopDeferred write;
	LoopTimer timer; /* ends the wait for first bytes and handshake; later,
					  * goes on reading in the next round */
};

static struct
{
	int fd;
	LoopFd *lfd;
	SSL_CTX *tls;
	BIO_METHOD *to_buf;
	int n_open;
	uint64_t n_accepted;
	LoopTimer pause; /* set while no descriptor can be had */
} listener = {.fd = -1};

static uint8_t read_buffer[READ_SIZE];

static void conn_write(void *arg);

uint64_t
conn_number(const Conn *conn)
{
	return conn->number;
}

int
conn_count(void)
{
	return listener.n_open;
}

void
conn_wants_write(Conn *conn)
{
	loop_defer_late(&conn->write, conn_write, conn);
}

void
conn_abort(Conn *conn)
{
	conn->aborted = true;
	conn_wants_write(conn);
}

/* Only from the loop, never from within the session. */
static void
conn_free(Conn *conn)
{
	if (conn->protocol != NULL)
		conn->protocol->close(conn->session);
	loop_cancel_deferred(&conn->write);
	loop_clear_timer(&conn->timer);
	loop_remove_fd(conn->lfd);
	if (conn->ssl != NULL)
		SSL_free(conn->ssl);
	if (conn->aborted)
	{
		/* A reset rather than an orderly end. */
		struct linger linger = {.l_onoff = 1};

		setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	}
	close(conn->fd);
	buf_free(&conn->out);
	buf_free(&conn->sealed);
	free(conn);
	listener.n_open--;
	if (listener.lfd != NULL && listener.n_open == MAX_CONNECTIONS - 1)
		loop_modify_fd(listener.lfd, EPOLLIN);
}

static void
first_bytes_timeout(void *arg)
{
	conn_free(arg);
}

static void
watch(Conn *conn, uint32_t events)
{
	if (conn->watched == events)
		return;
	conn->watched = events;
	loop_modify_fd(conn->lfd, events);
}

/* --- writing ------------------------------------------------------------- */

/* TLS writes into a buffer. */
static int
write_sealed(BIO *bio, const char *data, size_t len, size_t *written)
{
	buf_put(BIO_get_data(bio), data, len);
	*written = len;
	return 1;
}

static long
control_sealed(BIO *bio, int command, long number, void *pointer)
{
	(void) bio;
	(void) number;
	(void) pointer;
	return command == BIO_CTRL_FLUSH;
}

static BIO *
open_sealed(Buf *buf)
{
	BIO *bio;

	if (listener.to_buf == NULL)
	{
		listener.to_buf = BIO_meth_new(
			BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "buffer");
		if (listener.to_buf == NULL)
			die("out of memory");
		BIO_meth_set_write_ex(listener.to_buf, write_sealed);
		BIO_meth_set_ctrl(listener.to_buf, control_sealed);
	}
	bio = BIO_new(listener.to_buf);
	if (bio == NULL)
		die("out of memory");
	BIO_set_data(bio, buf);
	BIO_set_init(bio, 1);
	return bio;
}

/* *pending: some of it has to wait; false: the connection is broken. */
static bool
send_bytes(Conn *conn, Buf *from, bool *pending)
{
	while (conn->sent < from->len)
	{
		ssize_t n = send(conn->fd, from->data + conn->sent,
						 from->len - conn->sent, MSG_NOSIGNAL);

		if (n >= 0)
			conn->sent += (size_t) n;
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
		{
			*pending = true;
			return true;
		}
		else if (errno != EINTR)
			return false;
	}
	*pending = false;
	buf_reset(from);
	conn->sent = 0;
	return true;
}

static bool
send_output(Conn *conn, bool *pending)
{
	size_t written;

	if (conn->ssl == NULL)
		return send_bytes(conn, &conn->out, pending);
	if (conn->out.len > 0)
	{
		if (SSL_write_ex(conn->ssl, conn->out.data, conn->out.len, &written) !=
			1)
			return false;
		buf_reset(&conn->out);
	}
	return send_bytes(conn, &conn->sealed, pending);
}

/*
 * Write until there is no more, or the socket is full; then go on when it is
 * writable.  A slow peer thus holds back what it is sent, not the server.
 */
static void
conn_write(void *arg)
{
	Conn *conn = arg;
	bool pending = false;

	if (conn->aborted)
	{
		conn_free(conn);
		return;
	}
	for (;;)
	{
		if (!send_output(conn, &pending))
		{
			conn_free(conn);
			return;
		}
		if (pending || conn->protocol == NULL)
			break;
		if (!conn->protocol->produce(conn->session, &conn->out, WRITE_SIZE))
			conn->finishing = true;
		if (conn->out.len == 0)
			break;
	}

	if (conn->finishing && !pending)
	{
		conn_free(conn);
		return;
	}
	/* Of one that is to end nothing is read any more. */
	watch(conn, (conn->finishing ? 0 : EPOLLIN) | (pending ? EPOLLOUT : 0));
}

/* --- reading ------------------------------------------------------------- */

static void
start_protocol(Conn *conn, const Protocol *protocol)
{
	loop_clear_timer(&conn->timer);
	conn->protocol = protocol;
	conn->session = protocol->open(conn);
}

/*
 * Decide by the first bytes, without taking them from the socket.  It is not
 * readable before there are that many, or the peer has closed it.
 */
static bool
detect(Conn *conn)
{
	uint8_t first[FIRST_BYTES];
	ssize_t n = recv(conn->fd, first, sizeof(first), MSG_PEEK);
	int one = 1;

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return true;
	if (n < (ssize_t) sizeof(first))
		return false;
	setsockopt(conn->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
	if (first[0] != TLS_HANDSHAKE)
	{
		start_protocol(conn, memcmp(first, "PRI", sizeof(first)) == 0
								 ? &h2_protocol
								 : &http1_protocol);
		return true;
	}
	conn->ssl = SSL_new(listener.tls);
	if (conn->ssl == NULL)
		return false;
	SSL_set_rfd(conn->ssl, conn->fd);
	SSL_set0_wbio(conn->ssl, open_sealed(&conn->sealed));
	SSL_set_accept_state(conn->ssl);
	return true;
}

/* Is the handshake over?  False also when it failed (*broken). */
static bool
handshake(Conn *conn, bool *broken)
{
	const unsigned char *name;
	unsigned int len;
	int rc = SSL_do_handshake(conn->ssl);

	conn_wants_write(conn);
	if (rc != 1)
	{
		*broken = SSL_get_error(conn->ssl, rc) != SSL_ERROR_WANT_READ;
		ERR_clear_error();
		return false;
	}
	SSL_get0_alpn_selected(conn->ssl, &name, &len);
	start_protocol(conn, len == 2 && memcmp(name, "h2", 2) == 0
							 ? &h2_protocol
							 : &http1_protocol);
	return true;
}

/* One read: bytes, 0 when there are none yet, -1 at the end or on error. */
static ssize_t
read_some(Conn *conn)
{
	ssize_t n;

	if (conn->ssl != NULL)
	{
		int rc = SSL_read(conn->ssl, read_buffer, sizeof(read_buffer));

		if (rc > 0)
			return rc;
		rc = SSL_get_error(conn->ssl, rc);
		ERR_clear_error();
		return rc == SSL_ERROR_WANT_READ ? 0 : -1;
	}
	n = recv(conn->fd, read_buffer, sizeof(read_buffer), 0);
	if (n > 0)
		return n;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return 0;
	return -1;
}

static void
conn_read(void *arg)
{
	Conn *conn = arg;
	bool broken = false;

	if (conn->protocol == NULL && conn->ssl == NULL && !detect(conn))
	{
		conn_free(conn);
		return;
	}
	if (conn->protocol == NULL)
	{
		if (conn->ssl == NULL)
			return;
		if (!handshake(conn, &broken))
		{
			if (broken)
				conn->finishing = true; /* the alert is still to be written */
			return;
		}
	}
	for (int i = 0; i < READS_PER_ROUND && !conn->finishing; i++)
	{
		ssize_t n = read_some(conn);

		if (n == 0)
			return;
		if (n < 0)
		{
			conn_free(conn);
			return;
		}
		if (!conn->protocol->receive(conn->session, read_buffer, (size_t) n))
			conn->finishing = true;
		conn_wants_write(conn);
	}
	/* TLS may hold decrypted bytes that epoll knows nothing of. */
	if (!conn->finishing)
		loop_set_timer(&conn->timer, 0, conn_read, conn);
}

static void
conn_event(void *arg, uint32_t events)
{
	Conn *conn = arg;

	if (events & EPOLLOUT)
		conn_wants_write(conn);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		conn_read(conn);
}

/* --- listening ----------------------------------------------------------- */

static void
accept_again(void *arg)
{
	(void) arg;
	loop_modify_fd(listener.lfd, EPOLLIN);
}

static void
accept_connections(void *arg, uint32_t events)
{
	int on = 1;
	int first_bytes = FIRST_BYTES;

	(void) arg;
	(void) events;
	while (listener.n_open < MAX_CONNECTIONS)
	{
		int fd = accept4(listener.fd, NULL, NULL,
						 SOCK_NONBLOCK | SOCK_CLOEXEC);
		Conn *conn;

		if (fd < 0)
		{
			/* One that cannot be accepted would wake us again at once. */
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
				errno == ENOMEM)
			{
				loop_modify_fd(listener.lfd, 0);
				loop_set_timer(&listener.pause, ACCEPT_PAUSE, accept_again,
							   NULL);
			}
			return;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &first_bytes,
				   sizeof(first_bytes));
		conn = xcalloc(sizeof(*conn));
		conn->fd = fd;
		conn->number = ++listener.n_accepted;
		buf_init(&conn->out, 0, xbuf_realloc);
		buf_init(&conn->sealed, 0, xbuf_realloc);
		conn->watched = EPOLLIN;
		conn->lfd = loop_add_fd(fd, EPOLLIN, conn_event, conn);
		loop_set_timer(&conn->timer, FIRST_BYTES_TIMEOUT, first_bytes_timeout,
					   conn);
		listener.n_open++;
	}
	loop_modify_fd(listener.lfd, 0);
}

int
conn_bind(const char *host, int port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
							 .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *address;
	union
	{
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} bound = {0};
	socklen_t bound_len = sizeof(bound);
	char service[16];
	int on = 1;
	int rc;

	snprintf(service, sizeof(service), "%d", port);
	rc = getaddrinfo(host, service, &hints, &address);
	if (rc != 0)
		die("cannot resolve host \"%s\": %s", host, gai_strerror(rc));
	listener.fd = socket(address->ai_family,
						 SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener.fd < 0)
		die_errno("cannot create a socket");
	setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener.fd, address->ai_addr, address->ai_addrlen) != 0 ||
		getsockname(listener.fd, &bound.any, &bound_len) != 0)
		die_errno("cannot listen on %s port %d", host, port);
	freeaddrinfo(address);
	return ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port
												 : bound.v4.sin_port);
}

bool
conn_is_address(const char *host)
{
	struct in6_addr address;

	return inet_pton(AF_INET, host, &address) == 1 ||
		   inet_pton(AF_INET6, host, &address) == 1;
}

void
conn_listen(const char *state_dir, const char *host)
{
	listener.tls = tls_init(state_dir, host);
	if (listen(listener.fd, SOMAXCONN) != 0)
		die_errno("cannot listen");
	listener.lfd = loop_add_fd(listener.fd, EPOLLIN, accept_connections, NULL);
}

void
conn_stop_listening(void)
{
	loop_clear_timer(&listener.pause);
	loop_remove_fd(listener.lfd);
	listener.lfd = NULL;
	close(listener.fd);
}
