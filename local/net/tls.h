/*-------------------------------------------------------------------------
 *
 * tls.h
 *	  The certificate of modal-local and its TLS context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_TLS_H
#define MODAL_LOCAL_TLS_H

#include <openssl/ssl.h>

/*
 * A context that serves the certificate kept in state_dir (ca.pem for clients,
 * server.pem with the key for us) and negotiates h2 or http/1.1.  Makes both
 * files when one is missing, has expired or is not of the host that we listen
 * on; exits when it cannot.
 */
extern SSL_CTX *tls_init(const char *state_dir, const char *host);
/* The reason of the last failure of OpenSSL. */
extern const char *tls_error(void);

#endif /* MODAL_LOCAL_TLS_H */
