/*-------------------------------------------------------------------------
 *
 * tls.h
 *	  How TLS is spoken with one peer: what is trusted, who we are, and the
 *	  session that the next connection resumes.
 *
 * One per origin, and one per proxy that is spoken to by TLS.  The files are
 * read when the first connection is made, and again when they have changed.
 * Certificates of authorities are shared by all who name the same file or give
 * the same text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_NET_TLS_H
#define MODAL_NET_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "net/net.h"

/* By which a file is known to be the same as before. */
typedef struct FileStamp
{
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed;
} FileStamp;

typedef struct TrustStore TrustStore;

/* Embedded in its owner; the strings are his. */
typedef struct Tls
{
	const char *ca;		 /* certificates of authorities as text, or */
	const char *ca_file; /* a file of them; both NULL: the system's */
	const char *client_cert, *client_key;
	bool verify;
	/* Private. */
	SSL_CTX *context; /* NULL: not made yet */
	TrustStore *trust;
	FileStamp cert_stamp, key_stamp;
	SSL_SESSION *session; /* to be resumed; NULL: none */
} Tls;

extern void tls_init(Tls *tls, const char *ca, const char *ca_file,
					 const char *client_cert, const char *client_key,
					 bool verify);
/* When no connection uses it any more. */
extern void tls_free(Tls *tls);
/*
 * For a connection to that host, which the certificate must name.  NULL: error
 * and message say why.
 */
extern SSL *tls_connect(Tls *tls, const char *host, bool offer_h2,
						TransportError *error, char *message,
						size_t message_size);
/* A handshake has failed: the session may be why. */
extern void tls_forget_session(Tls *tls);
/*
 * If the file of authorities cannot be read at all, a message that says so, and
 * for whom; false: that is not what is wrong.
 */
extern bool tls_unreadable_ca(const char *ca_file, char *message, size_t size);
/* Why the last call of OpenSSL has failed. */
extern const char *tls_reason(void);

#endif /* MODAL_NET_TLS_H */
