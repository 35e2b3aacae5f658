/*-------------------------------------------------------------------------
 *
 * transport_link.c
 *	  A stream of bytes to an origin's server and back.
 *
 * curl is asked for a connection only (CURLOPT_CONNECT_ONLY), for a plain URL,
 * and then moves bytes for us, so that whatever it knows of proxies holds.
 * TLS is ours, because curl before 8 takes a connection on which HTTP/2 was
 * agreed for its own.
 *
 *-------------------------------------------------------------------------
 */
#include "worker/transport_link.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define READ_AHEAD (64 * 1024)
#define MAX_HOST_NAME 256
#define CURL_RUN_S 0.5

static void __attribute__((format(printf, 3, 4)))
fail(Link *link, TransportError error, const char *fmt, ...)
{
	va_list args;

	link->state = LINK_FAILED;
	link->error = error;
	va_start(args, fmt);
	vsnprintf(link->message, sizeof(link->message), fmt, args);
	va_end(args);
	loop_leave(&link->member);
}

/* --- TLS ------------------------------------------------------------------ */

static const char *
tls_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	return reason != NULL ? reason : "the connection was closed";
}

static int
bio_read(BIO *bio, char *to, int n)
{
	Link *link = BIO_get_data(bio);
	size_t got = 0;
	CURLcode rc = curl_easy_recv(link->easy, to, n, &got);

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
	Link *link = BIO_get_data(bio);
	size_t put = 0;
	CURLcode rc = curl_easy_send(link->easy, from, n, &put);

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
new_bio(Link *link)
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
		BIO_set_data(bio, link);
		BIO_set_init(bio, 1);
	}
	return bio;
}

/* A key with a passphrase cannot be used: nobody is there to be asked. */
static int
no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void) buf;
	(void) size;
	(void) rwflag;
	(void) arg;
	return 0;
}

static bool
load_files(Link *link, SSL_CTX *ctx)
{
	const Origin *origin = link->origin;
	const char *key =
		origin->client_key != NULL ? origin->client_key : origin->client_cert;

	if (origin->config.verify)
	{
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
		if (origin->ca_file != NULL
				? SSL_CTX_load_verify_locations(ctx, origin->ca_file, NULL) != 1
				: SSL_CTX_set_default_verify_paths(ctx) != 1)
		{
			fail(link, TRANSPORT_TLS,
				 "could not load certificates of authorities (CAfile: %s): %s",
				 origin->ca_file != NULL ? origin->ca_file : "the system's",
				 tls_reason());
			return false;
		}
	}
	if (origin->client_cert != NULL &&
		(SSL_CTX_use_certificate_chain_file(ctx, origin->client_cert) != 1 ||
		 SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
		 SSL_CTX_check_private_key(ctx) != 1))
	{
		fail(link, TRANSPORT_TLS,
			 "could not load client certificate \"%s\" and its key: %s",
			 origin->client_cert, tls_reason());
		return false;
	}
	return true;
}

/* Each connection reads the files anew: they may have been renewed. */
static SSL_CTX *
new_context(Link *link)
{
	static const unsigned char protocols[] = "\x02h2\x08http/1.1";
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (ctx == NULL)
	{
		fail(link, TRANSPORT_MEMORY, "out of memory");
		return NULL;
	}
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
		SSL_CTX_set_alpn_protos(ctx, protocols, sizeof(protocols) - 1) != 0)
		fail(link, TRANSPORT_MEMORY, "out of memory");
	else if (load_files(link, ctx))
	{
		SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
		SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
								  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
								  SSL_MODE_RELEASE_BUFFERS);
		SSL_CTX_set_read_ahead(ctx, 1);
		SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD);
		/* Any certificate in the file is trusted, not only roots. */
		X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx),
									X509_V_FLAG_PARTIAL_CHAIN);
		return ctx;
	}
	SSL_CTX_free(ctx);
	return NULL;
}

/* The name that the certificate must have. */
static bool
set_host(SSL *ssl, const char *host)
{
	char name[MAX_HOST_NAME];
	size_t n = strlen(host);
	unsigned char address[sizeof(struct in6_addr)];

	if (n > 2 && host[0] == '[')
	{
		host++;
		n -= 2;
	}
	if (n >= sizeof(name))
		return false;
	memcpy(name, host, n);
	name[n] = '\0';
	if (inet_pton(AF_INET, name, address) == 1 ||
		inet_pton(AF_INET6, name, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, name) == 1 &&
		   SSL_set_tlsext_host_name(ssl, name) == 1;
}

static void
start_tls(Link *link)
{
	SSL_CTX *ctx;
	BIO *bio = NULL;

	ERR_clear_error();
	ctx = new_context(link);
	if (ctx == NULL)
		return;
	link->ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	if (link->ssl != NULL && set_host(link->ssl, link->origin->host))
		bio = new_bio(link);
	if (bio == NULL)
	{
		fail(link, TRANSPORT_MEMORY, "out of memory");
		return;
	}
	SSL_set_bio(link->ssl, bio, bio);
	SSL_set_connect_state(link->ssl);
	link->state = LINK_ENCRYPTING;
}

static void
handshake(Link *link)
{
	const unsigned char *protocol;
	unsigned int len;
	long verdict;
	int rc;

	ERR_clear_error();
	rc = SSL_do_handshake(link->ssl);
	if (rc == 1)
	{
		SSL_get0_alpn_selected(link->ssl, &protocol, &len);
		link->h2_offered = len == 2 && memcmp(protocol, "h2", 2) == 0;
		link->state = LINK_OPEN;
		return;
	}
	switch (SSL_get_error(link->ssl, rc))
	{
		case SSL_ERROR_WANT_READ:
			link_want_write(link, false);
			return;
		case SSL_ERROR_WANT_WRITE:
			link_want_write(link, true);
			return;
		default:
			break;
	}
	verdict = SSL_get_verify_result(link->ssl);
	if (link->origin->config.verify && verdict != X509_V_OK)
		fail(link, TRANSPORT_TLS, "SSL certificate problem: %s",
			 X509_verify_cert_error_string(verdict));
	else
		fail(link, TRANSPORT_CONNECT, "TLS handshake failed: %s", tls_reason());
}

/* --- bytes ---------------------------------------------------------------- */

/* What a call of OpenSSL has come to, in the terms of link_read. */
static ssize_t
tls_result(Link *link, int rc, size_t n)
{
	if (rc == 1)
		return (ssize_t) n;
	switch (SSL_get_error(link->ssl, rc))
	{
		case SSL_ERROR_WANT_READ:
		case SSL_ERROR_WANT_WRITE:
			return 0;
		case SSL_ERROR_ZERO_RETURN:
			fail(link, TRANSPORT_LOST, "the server closed the connection");
			return -1;
		default:
			fail(link, TRANSPORT_LOST, "the connection was lost: %s",
				 tls_reason());
			return -1;
	}
}

static ssize_t
plain_result(Link *link, CURLcode rc, size_t n)
{
	if (rc == CURLE_OK && n > 0)
		return (ssize_t) n;
	if (rc == CURLE_AGAIN)
		return 0;
	fail(link, TRANSPORT_LOST, "%s",
		 rc == CURLE_OK ? "the server closed the connection"
						: "the connection was lost");
	return -1;
}

ssize_t
link_read(Link *link, void *to, size_t n)
{
	size_t got = 0;
	CURLcode code;
	int rc;

	if (link->ssl == NULL)
	{
		code = curl_easy_recv(link->easy, to, n, &got);
		return plain_result(link, code, got);
	}
	ERR_clear_error();
	rc = SSL_read_ex(link->ssl, to, n, &got);
	return tls_result(link, rc, got);
}

ssize_t
link_write(Link *link, const void *from, size_t n)
{
	size_t put = 0;
	CURLcode code;
	int rc;

	if (link->ssl == NULL)
	{
		code = curl_easy_send(link->easy, from, n, &put);
		return plain_result(link, code, put);
	}
	ERR_clear_error();
	rc = SSL_write_ex(link->ssl, from, n, &put);
	return tls_result(link, rc, put);
}

void
link_want_write(Link *link, bool wanted)
{
	if (!loop_watch(&link->member, link->fd, EPOLLIN | (wanted ? EPOLLOUT : 0)))
		fail(link, TRANSPORT_MEMORY, "out of memory");
}

/* --- opening and closing -------------------------------------------------- */

/* The socket has an event, or a handshake is to begin. */
static void
on_socket_event(void *owner, int fd, uint32_t events)
{
	Link *link = owner;

	(void) fd;
	(void) events;
	if (link->state == LINK_ENCRYPTING)
	{
		handshake(link);
		if (link->state == LINK_ENCRYPTING)
			return;
	}
	link->on_event(link->owner);
}

static void
on_connected(Link *link)
{
	if (curl_easy_getinfo(link->easy, CURLINFO_ACTIVESOCKET, &link->fd) !=
			CURLE_OK ||
		link->fd == CURL_SOCKET_BAD)
	{
		fail(link, TRANSPORT_CONNECT, "the connection was lost");
		return;
	}
	link_want_write(link, false);
	if (link->state == LINK_FAILED)
		return;
	if (link->origin->plain)
		link->state = LINK_OPEN;
	else
		start_tls(link);
}

/* curl has run: has it connected? */
static void
on_curl_run(void *owner)
{
	Link *link = owner;
	CURLMsg *message;
	int left;

	while (link->state == LINK_CONNECTING &&
		   (message = curl_multi_info_read(link->multi.curl, &left)) != NULL)
	{
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		if (code == CURLE_OK)
			on_connected(link);
		else if (code == CURLE_OPERATION_TIMEDOUT)
			fail(link, TRANSPORT_CONNECT, "connection timed out");
		else if (link->no_descriptor)
			fail(link, TRANSPORT_NO_DESCRIPTOR, "too many connections");
		else
			fail(link, TRANSPORT_CONNECT, "%s",
				 link->error_text[0] != '\0' ? link->error_text
											 : curl_easy_strerror(code));
		on_socket_event(link, link->fd, 0);
		return;
	}
}

/*
 * libcurl 7.88 forgets to tell its loop when it gives one of several addresses
 * up, and to be called for the next one.
 */
static void
on_curl_due(void *arg)
{
	Link *link = arg;
	int running;

	if (link->state != LINK_CONNECTING)
		return;
	(void) timer_set(&link->curl_due, monotonic_seconds() + CURL_RUN_S);
	curl_multi_perform(link->multi.curl, &running);
	on_curl_run(link);
}

static bool
set_options(Link *link, double timeout_s)
{
	CURLcode rc = CURLE_OK;
	Buf url;

	buf_init(&url, 0, NULL);
	buf_printf(&url, "http://%s:%s/", link->origin->host, link->origin->port);
#define SET(option, value) SET_OPTION(rc, link->easy, option, value)
	SET(CURLOPT_URL, buf_cstr(&url));
	SET(CURLOPT_CONNECT_ONLY, 1L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long) (timeout_s * 1000));
	SET(CURLOPT_BUFFERSIZE, (long) READ_AHEAD); /* curl reads no more */
	SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
	SET(CURLOPT_OPENSOCKETFUNCTION, loop_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, &link->no_descriptor);
	SET(CURLOPT_ERRORBUFFER, link->error_text);
#undef SET
	if (url.failed)
		rc = CURLE_OUT_OF_MEMORY;
	buf_free(&url);
	return rc == CURLE_OK && origin_set_connection(link->origin, link->easy);
}

Link *
link_open(const Origin *origin, double timeout_s, void (*on_event)(void *),
		  void *owner)
{
	Link *link = calloc(1, sizeof(*link));

	if (link == NULL)
		return NULL;
	link->origin = origin;
	link->fd = CURL_SOCKET_BAD;
	link->member = (LoopMember){.on_event = on_socket_event, .owner = link};
	link->on_event = on_event;
	link->owner = owner;
	timer_init(&link->curl_due, on_curl_due, link);
	link->easy = curl_easy_init();
	if (link->easy == NULL || !multi_open(&link->multi, on_curl_run, link) ||
		!set_options(link, timeout_s) ||
		!timer_set(&link->curl_due, monotonic_seconds() + CURL_RUN_S) ||
		curl_multi_add_handle(link->multi.curl, link->easy) != CURLM_OK)
	{
		link_close(link);
		return NULL;
	}
	return link;
}

void
link_close(Link *link)
{
	if (link->ssl != NULL)
	{
		/* A farewell, if it can be said without waiting. */
		if (link->state == LINK_OPEN)
			SSL_shutdown(link->ssl);
		SSL_free(link->ssl);
	}
	if (link->easy != NULL && link->multi.curl != NULL)
		curl_multi_remove_handle(link->multi.curl, link->easy);
	curl_easy_cleanup(link->easy);
	timer_cancel(&link->curl_due);
	multi_close(&link->multi);
	loop_leave(&link->member);
	free(link);
}
