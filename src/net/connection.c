/*-------------------------------------------------------------------------
 *
 * connection.c
 *	  A stream of bytes to an origin's server and back; see connection.h.
 *
 * curl is asked for a connection only (CURLOPT_CONNECT_ONLY), for a plain URL,
 * and then moves bytes for us, so that whatever it knows of addresses and
 * proxies holds.  TLS is ours, because curl before 8 takes a connection on
 * which HTTP/2 was agreed for its own.  All are made by one multi handle.
 *
 * Whatever tells the owner (tell) comes last in its function, for the owner
 * may close the connection there.  What fails while the owner is in the midst
 * of using it tells him by the result of what he called, or, if he did not
 * call, by a kick, in the next turn.
 *
 *-------------------------------------------------------------------------
 */
#include "net/connection.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define SMALL_READ 512
#define BYTES_PER_TURN (1024 * 1024)
#define PIECES_PER_TURN 512
#define MANY_PIECES 128 /* in one read */

static LoopMulti connecting;

static void __attribute__((format(printf, 3, 0)))
set_error(Connection *connection, TransportError error, const char *fmt,
		  va_list args)
{
	connection->error = error;
	vsnprintf(connection->message, sizeof(connection->message), fmt, args);
}

/* Its socket is closed with it. */
static void
drop_curl(Connection *connection)
{
	if (connection->easy == NULL)
		return;
	curl_multi_remove_handle(connecting.curl, connection->easy);
	curl_easy_cleanup(connection->easy);
	connection->easy = NULL;
	connection->fd = -1;
}

static void __attribute__((format(printf, 3, 4)))
fail(Connection *connection, TransportError error, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	set_error(connection, error, fmt, args);
	va_end(args);
	connection->state = CONNECTION_FAILED;
	loop_set_idle(&connection->idle, false);
	timer_cancel(&connection->deadline);
	loop_leave(&connection->member);
	hosts_free(&connection->hosts);
	drop_curl(connection);
}

/* The same, where nothing more can be written. */
static ssize_t __attribute__((format(printf, 2, 3)))
fail_write(Connection *connection, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	set_error(connection, TRANSPORT_LOST, fmt, args);
	va_end(args);
	return -1;
}

static void
tell(Connection *connection)
{
	connection->on_event(connection->owner);
}

/* --- bytes ---------------------------------------------------------------- */

static ssize_t
read_plain(Connection *connection, void *to, size_t n)
{
	size_t got = 0;
	CURLcode rc = curl_easy_recv(connection->easy, to, n, &got);

	if (rc == CURLE_OK && got > 0)
		return (ssize_t) got;
	if (rc == CURLE_AGAIN)
		return 0;
	fail(connection, TRANSPORT_LOST, "%s",
		 rc == CURLE_OK ? "the server closed the connection"
						: "the connection was lost");
	return -1;
}

static ssize_t
read_tls(Connection *connection, void *to, size_t n)
{
	SSL *ssl = connection->ssl;
	size_t got = 0;
	int rc;

	ERR_clear_error();
	rc = SSL_read_ex(ssl, to, n, &got);
	if (rc == 1)
		return (ssize_t) got;
	switch (SSL_get_error(ssl, rc))
	{
		case SSL_ERROR_WANT_READ:
		case SSL_ERROR_WANT_WRITE:
			return 0;
		case SSL_ERROR_ZERO_RETURN:
			fail(connection, TRANSPORT_LOST,
				 "the server closed the connection");
			return -1;
		default:
			fail(connection, TRANSPORT_LOST, "the connection was lost: %s",
				 tls_reason());
			return -1;
	}
}

static ssize_t
write_plain(Connection *connection, const void *from, size_t n)
{
	size_t put = 0;
	CURLcode rc = curl_easy_send(connection->easy, from, n, &put);

	if (rc == CURLE_OK)
		return (ssize_t) put;
	if (rc == CURLE_AGAIN)
		return 0;
	return fail_write(connection, "the connection was lost");
}

static ssize_t
write_tls(Connection *connection, const void *from, size_t n)
{
	SSL *ssl = connection->ssl;
	size_t put = 0;
	int rc;

	ERR_clear_error();
	rc = SSL_write_ex(ssl, from, n, &put);
	if (rc == 1)
		return (ssize_t) put;
	switch (SSL_get_error(ssl, rc))
	{
		case SSL_ERROR_WANT_READ:
		case SSL_ERROR_WANT_WRITE:
			return 0;
		default:
			return fail_write(connection, "the connection was lost: %s",
							  tls_reason());
	}
}

ssize_t
connection_read(Connection *connection, void *to, size_t n)
{
	if (connection->state == CONNECTION_FAILED)
		return -1;
	return connection->ssl != NULL ? read_tls(connection, to, n)
								   : read_plain(connection, to, n);
}

ssize_t
connection_write(Connection *connection, const void *from, size_t n)
{
	if (connection->state == CONNECTION_FAILED)
		return -1;
	return connection->ssl != NULL ? write_tls(connection, from, n)
								   : write_plain(connection, from, n);
}

void
connection_want_write(Connection *connection, bool wanted)
{
	if (connection->state == CONNECTION_FAILED)
		return;
	if (!loop_watch(&connection->member, connection->fd,
					EPOLLIN | (wanted ? EPOLLOUT : 0)))
	{
		fail(connection, TRANSPORT_MEMORY, "out of memory");
		loop_kick(&connection->member);
	}
}

/* --- budgets -------------------------------------------------------------- */

void
budget_init(ReadBudget *budget)
{
	budget->read_size = READ_SIZE;
	budget_begin(budget);
}

void
budget_begin(ReadBudget *budget)
{
	budget->bytes = BYTES_PER_TURN;
	budget->pieces = PIECES_PER_TURN;
}

bool
budget_spend(ReadBudget *budget, size_t bytes, size_t pieces)
{
	if (pieces > MANY_PIECES && budget->read_size > SMALL_READ)
		budget->read_size /= 2;
	else if (pieces < MANY_PIECES / 4 && budget->read_size < READ_SIZE)
		budget->read_size *= 2;
	budget->bytes -= bytes < budget->bytes ? bytes : budget->bytes;
	budget->pieces -= pieces < budget->pieces ? pieces : budget->pieces;
	return budget->bytes > 0 && budget->pieces > 0;
}

/* --- idle ones ------------------------------------------------------------ */

void
connection_set_idle(Connection *connection, bool is_idle)
{
	loop_set_idle(&connection->idle,
				  is_idle && connection->state == CONNECTION_OPEN);
}

static void
on_evicted(void *owner)
{
	Connection *connection = owner;

	fail(connection, TRANSPORT_LOST, "closed for want of descriptors");
	loop_kick(&connection->member);
}

/* --- opening: TLS --------------------------------------------------------- */

static int
bio_read(BIO *bio, char *to, int n)
{
	Connection *connection = BIO_get_data(bio);
	size_t got = 0;
	CURLcode rc = curl_easy_recv(connection->easy, to, n, &got);

	BIO_clear_retry_flags(bio);
	if (rc == CURLE_OK)
		return (int) got;
	if (rc == CURLE_AGAIN)
		BIO_set_retry_read(bio);
	return -1;
}

static int
bio_write(BIO *bio, const char *from, int n)
{
	Connection *connection = BIO_get_data(bio);
	size_t put = 0;
	CURLcode rc = curl_easy_send(connection->easy, from, n, &put);

	BIO_clear_retry_flags(bio);
	if (rc == CURLE_OK)
		return (int) put;
	if (rc == CURLE_AGAIN)
		BIO_set_retry_write(bio);
	return -1;
}

static long
bio_control(BIO *bio, int command, long number, void *pointer)
{
	(void) bio;
	(void) number;
	(void) pointer;
	return command == BIO_CTRL_FLUSH;
}

/* What OpenSSL reads and writes: curl's connection. */
static BIO *
new_bio(Connection *connection)
{
	static BIO_METHOD *method;
	BIO *bio;

	if (method == NULL)
	{
		method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK,
							  "curl connection");
		if (method == NULL)
			return NULL;
		BIO_meth_set_read(method, bio_read);
		BIO_meth_set_write(method, bio_write);
		BIO_meth_set_ctrl(method, bio_control);
	}
	bio = BIO_new(method);
	if (bio != NULL)
	{
		BIO_set_data(bio, connection);
		BIO_set_init(bio, 1);
	}
	return bio;
}

static void
begin_tls(Connection *connection)
{
	Origin *origin = connection->origin;
	TransportError error;
	char message[ERROR_TEXT_SIZE];
	BIO *bio;

	connection->ssl = tls_connect(&origin->tls, origin->host, true, &error,
								  message, sizeof(message));
	if (connection->ssl == NULL)
	{
		fail(connection, error, "%s", message);
		return;
	}
	bio = new_bio(connection);
	if (bio == NULL)
	{
		fail(connection, TRANSPORT_MEMORY, "out of memory");
		return;
	}
	SSL_set_bio(connection->ssl, bio, bio);
	connection->state = CONNECTION_TLS;
}

static void
handshake_failed(Connection *connection)
{
	Tls *tls = &connection->origin->tls;
	long verdict = SSL_get_verify_result(connection->ssl);

	tls_forget_session(tls);
	if (tls->verify && verdict != X509_V_OK)
		fail(connection, TRANSPORT_TLS, "SSL certificate problem: %s",
			 X509_verify_cert_error_string(verdict));
	else
		fail(connection, TRANSPORT_CONNECT, "TLS handshake failed: %s",
			 tls_reason());
}

static void
note_protocol(Connection *connection)
{
	const unsigned char *protocol;
	unsigned int len;

	SSL_get0_alpn_selected(connection->ssl, &protocol, &len);
	connection->h2_offered = len == 2 && memcmp(protocol, "h2", 2) == 0;
	connection->state = CONNECTION_OPEN;
}

static void
handshake(Connection *connection)
{
	int rc;

	ERR_clear_error();
	rc = SSL_do_handshake(connection->ssl);
	if (rc == 1)
	{
		note_protocol(connection);
		return;
	}
	switch (SSL_get_error(connection->ssl, rc))
	{
		case SSL_ERROR_WANT_READ:
			connection_want_write(connection, false);
			break;
		case SSL_ERROR_WANT_WRITE:
			connection_want_write(connection, true);
			break;
		default:
			handshake_failed(connection);
			break;
	}
}

/* Goes on as far as it can without waiting, and tells what it has come to. */
static void
advance(Connection *connection)
{
	if (connection->state == CONNECTION_TLS)
		handshake(connection);
	if (connection->state == CONNECTION_OPEN ||
		connection->state == CONNECTION_FAILED)
		tell(connection);
}

static void
on_socket_event(void *owner, uint32_t events)
{
	(void) events;
	advance(owner);
}

/* It has failed, and its owner was not there to be told. */
static void
on_kick(void *owner)
{
	tell(owner);
}

/* --- opening: by curl ----------------------------------------------------- */

static void
begin_bytes(Connection *connection)
{
	curl_socket_t fd;

	if (curl_easy_getinfo(connection->easy, CURLINFO_ACTIVESOCKET, &fd) !=
			CURLE_OK ||
		fd == CURL_SOCKET_BAD)
	{
		fail(connection, TRANSPORT_CONNECT, "the connection was lost");
		return;
	}
	connection->fd = fd;
	multi_hand_over(&connecting, fd);
	connection_want_write(connection, false);
	if (connection->state == CONNECTION_FAILED)
		return;
	if (connection->origin->plain)
		connection->state = CONNECTION_OPEN;
	else
		begin_tls(connection);
}

static void
connected(Connection *connection, CURLcode code)
{
	char text[CURL_ERROR_SIZE];

	memcpy(text, connection->curl_error, sizeof(text));
	if (code == CURLE_OK)
		begin_bytes(connection);
	else if (connection->claim.no_descriptor)
		fail(connection, TRANSPORT_NO_DESCRIPTOR, "too many connections");
	else if (connection->claim.not_allowed)
		fail(connection, TRANSPORT_NOT_ALLOWED, "%s", NOT_ALLOWED_TEXT);
	else
	{
		hosts_distrust(&connection->hosts);
		fail(connection, TRANSPORT_CONNECT, "%s",
			 code == CURLE_OPERATION_TIMEDOUT ? "connection timed out"
			 : text[0] != '\0'				  ? text
											  : curl_easy_strerror(code));
	}
	advance(connection);
}

/* curl has run: who is connected, or cannot be? */
static void
on_curl_run(void *unused)
{
	CURLMsg *message;
	int left;

	(void) unused;
	while ((message = curl_multi_info_read(connecting.curl, &left)) != NULL)
	{
		CURLcode code = message->data.result;
		char *private;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		connected((Connection *) private, code);
	}
}

static bool
set_options(Connection *connection)
{
	CURL *easy = connection->easy;
	CURLcode rc = CURLE_OK;
	Buf url;

	buf_init(&url, 0, NULL);
	buf_printf(&url, "http://%s:%d/", connection->origin->host,
			   (int) connection->origin->port);
	SET_OPTION(rc, easy, CURLOPT_URL, buf_cstr(&url));
	SET_OPTION(rc, easy, CURLOPT_CONNECT_ONLY, 1L);
	SET_OPTION(rc, easy, CURLOPT_CONNECTTIMEOUT_MS,
			   (long) (connection->timeout_s * 1000));
	SET_OPTION(rc, easy, CURLOPT_BUFFERSIZE, (long) READ_SIZE);
	SET_OPTION(rc, easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
	SET_OPTION(rc, easy, CURLOPT_RESOLVE, connection->hosts.list);
	SET_OPTION(rc, easy, CURLOPT_ERRORBUFFER, connection->curl_error);
	SET_OPTION(rc, easy, CURLOPT_PRIVATE, (char *) connection);
	if (url.failed)
		rc = CURLE_OUT_OF_MEMORY;
	buf_free(&url);
	return rc == CURLE_OK &&
		   multi_claim_sockets(easy, &connection->claim, &connecting,
							   connection->origin) &&
		   origin_set_connection(connection->origin, easy);
}

/* To the proxy, if there is one.  False: no memory. */
static bool
begin_connect(Connection *connection)
{
	if (!origin_may_ask_proxy(connection->origin))
	{
		fail(connection, TRANSPORT_NOT_ALLOWED, "%s", NOT_ALLOWED_TEXT);
		loop_kick(&connection->member);
		return true;
	}
	if (!loop_make_room())
	{
		fail(connection, TRANSPORT_NO_DESCRIPTOR, "too many connections");
		loop_kick(&connection->member);
		return true;
	}
	connection->easy = curl_easy_init();
	if (connection->easy == NULL || !set_options(connection))
		return false;
	multi_expect_connection(&connecting, connection->timeout_s);
	return curl_multi_add_handle(connecting.curl, connection->easy) == CURLM_OK;
}

static void
on_hosts_known(void *owner, const char *error)
{
	Connection *connection = owner;

	if (error == NULL && begin_connect(connection))
		return;
	fail(connection,
		 error == NULL				 ? TRANSPORT_MEMORY
		 : connection->hosts.refused ? TRANSPORT_NOT_ALLOWED
									 : TRANSPORT_CONNECT,
		 "%s", error != NULL ? error : "out of memory");
	tell(connection);
}

static void
on_deadline(void *arg)
{
	Connection *connection = arg;

	fail(connection, TRANSPORT_CONNECT, "%s",
		 connection->state == CONNECTION_OPEN ? "server does not answer"
											  : "connection timed out");
	tell(connection);
}

bool
connections_init(void)
{
	return multi_open(&connecting, on_curl_run, NULL);
}

Connection *
connection_open(Origin *origin, double timeout_s, void (*on_event)(void *),
				void *owner)
{
	Connection *connection = calloc(1, sizeof(*connection));

	if (connection == NULL)
		return NULL;
	connection->origin = origin;
	connection->timeout_s = timeout_s;
	connection->fd = -1;
	connection->on_event = on_event;
	connection->owner = owner;
	connection->idle = (LoopIdle){.evict = on_evicted, .owner = connection};
	loop_member_init(&connection->member, on_socket_event, on_kick, connection);
	timer_init(&connection->deadline, on_deadline, connection);
	if (!timer_set(&connection->deadline, monotonic_seconds() + timeout_s) ||
		!(hosts_are_names(origin)
			  ? hosts_ask(&connection->hosts, origin, on_hosts_known, connection)
			  : begin_connect(connection)))
	{
		connection_close(connection);
		return NULL;
	}
	return connection;
}

void
connection_ready(Connection *connection)
{
	timer_cancel(&connection->deadline);
}

void
connection_close(Connection *connection)
{
	/* A farewell, if it can be said without waiting. */
	if (connection->state == CONNECTION_OPEN && connection->ssl != NULL)
		SSL_shutdown(connection->ssl);
	SSL_free(connection->ssl);
	timer_cancel(&connection->deadline);
	loop_set_idle(&connection->idle, false);
	loop_leave(&connection->member);
	hosts_free(&connection->hosts);
	drop_curl(connection);
	free(connection);
}
