/*-------------------------------------------------------------------------
 *
 * tls.c
 *	  How TLS is spoken with one peer; see tls.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/certificates.h"
#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_AHEAD (64 * 1024)
#define MAX_HOST_NAME 256

/* Certificates of authorities: given, in one file, or those of the system. */
struct TrustStore
{
	char *ca; /* or */
	char *ca_file; /* both NULL: the system's */
	FileStamp stamp;
	X509_STORE *store;
	int users; /* freed with the last one */
	TrustStore *next;
};

static TrustStore *stores;

const char *
tls_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	return reason != NULL ? reason : "the connection was closed";
}

/* --- files ---------------------------------------------------------------- */

/* All zero where there is no file. */
static FileStamp
stamp_of(const char *path)
{
	struct stat st;

	if (path == NULL || stat(path, &st) != 0)
		return (FileStamp){0};
	return (FileStamp){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
}

static bool
same_stamp(const FileStamp *a, const FileStamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
		   a->changed.tv_sec == b->changed.tv_sec &&
		   a->changed.tv_nsec == b->changed.tv_nsec;
}

/* Text has none, and does not change. */
static FileStamp
trust_stamp(const Tls *tls)
{
	if (tls->ca != NULL)
		return (FileStamp){0};
	return stamp_of(tls->ca_file != NULL ? tls->ca_file
										 : X509_get_default_cert_file());
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
trust_free(TrustStore *trust)
{
	X509_STORE_free(trust->store);
	free(trust->ca);
	free(trust->ca_file);
	free(trust);
}

static void
trust_leave(TrustStore *trust)
{
	if (trust == NULL || --trust->users > 0)
		return;
	for (TrustStore **at = &stores; *at != NULL; at = &(*at)->next)
	{
		if (*at == trust)
		{
			*at = trust->next;
			break;
		}
	}
	trust_free(trust);
}

static bool
add_certificate(void *arg, X509 *certificate)
{
	return X509_STORE_add_cert(arg, certificate) == 1;
}

static bool
fill_store(X509_STORE *store, const Tls *tls)
{
	char why[256];

	if (tls->ca != NULL)
		return certificates_read(tls->ca, add_certificate, store, why,
								 sizeof(why));
	if (tls->ca_file != NULL)
		return X509_STORE_load_locations(store, tls->ca_file, NULL) == 1;
	return X509_STORE_set_default_paths(store) == 1;
}

/* NULL: it cannot be read. */
static TrustStore *
trust_load(const Tls *tls, const FileStamp *stamp)
{
	TrustStore *trust = calloc(1, sizeof(*trust));

	if (trust == NULL)
		return NULL;
	trust->stamp = *stamp;
	trust->store = X509_STORE_new();
	if (tls->ca != NULL)
		trust->ca = strdup(tls->ca);
	if (tls->ca_file != NULL)
		trust->ca_file = strdup(tls->ca_file);
	if (trust->store == NULL || (tls->ca != NULL && trust->ca == NULL) ||
		(tls->ca_file != NULL && trust->ca_file == NULL) ||
		!fill_store(trust->store, tls))
	{
		trust_free(trust);
		return NULL;
	}
	trust->next = stores;
	stores = trust;
	return trust;
}

static TrustStore *
trust_join(const Tls *tls)
{
	FileStamp stamp = trust_stamp(tls);
	TrustStore *trust = stores;

	while (trust != NULL && (!same_text(trust->ca, tls->ca) ||
							 !same_text(trust->ca_file, tls->ca_file) ||
							 !same_stamp(&trust->stamp, &stamp)))
		trust = trust->next;
	if (trust == NULL)
		trust = trust_load(tls, &stamp);
	if (trust != NULL)
		trust->users++;
	return trust;
}

/* Looked up where a file has been read just now, so that this may wait as well. */
bool
tls_unreadable_ca(const char *ca_file, char *message, size_t size)
{
	FILE *file = fopen(ca_file, "re");
	int error = errno;
	struct passwd entry;
	struct passwd *user = NULL;
	char names[1024];

	if (file != NULL)
	{
		fclose(file);
		return false;
	}
	(void) getpwuid_r(geteuid(), &entry, names, sizeof(names), &user);
	snprintf(message, size,
			 "could not read file \"%s\" as operating system user \"%s\": %s",
			 ca_file, user != NULL ? user->pw_name : "?", strerror(error));
	return true;
}

/* --- contexts ------------------------------------------------------------- */

/* A key with a passphrase cannot be used: nobody is there to be asked. */
static int
no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void) buf;
	(void) size;
	(void) rwflag;
	(void) arg;
	return -1;
}

/* The server gave a session, which the next connection is to resume. */
static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	SSL_CTX *context = SSL_get_SSL_CTX(ssl);
	Tls *tls = SSL_CTX_get_app_data(context);

	if (tls == NULL || tls->context != context) /* of files that have changed */
		return 0;
	SSL_SESSION_free(tls->session);
	tls->session = session;
	return 1;
}

static bool
load_trust(Tls *tls, SSL_CTX *context, char *message, size_t size)
{
	const char *reason;

	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	tls->trust = trust_join(tls);
	if (tls->trust != NULL &&
		SSL_CTX_set1_verify_cert_store(context, tls->trust->store) == 1)
		return true;
	reason = tls_reason();
	if (tls->ca_file == NULL || !tls_unreadable_ca(tls->ca_file, message, size))
		snprintf(message, size,
				 "could not load certificates of authorities (%s): %s",
				 tls->ca != NULL ? "option ssl_ca"
				 : tls->ca_file != NULL ? tls->ca_file
										: "the system's",
				 reason);
	return false;
}

static bool
load_files(Tls *tls, SSL_CTX *context, char *message, size_t size)
{
	const char *key =
		tls->client_key != NULL ? tls->client_key : tls->client_cert;

	if (tls->verify && !load_trust(tls, context, message, size))
		return false;
	if (tls->client_cert != NULL &&
		(SSL_CTX_use_certificate_chain_file(context, tls->client_cert) != 1 ||
		 SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
		 SSL_CTX_check_private_key(context) != 1))
	{
		snprintf(message, size,
				 "could not load client certificate \"%s\" and its key, which "
				 "must have no passphrase: %s",
				 tls->client_cert, tls_reason());
		return false;
	}
	tls->cert_stamp = stamp_of(tls->client_cert);
	tls->key_stamp = stamp_of(key);
	return true;
}

static void
set_up(Tls *tls, SSL_CTX *context)
{
	SSL_CTX_set_app_data(context, tls);
	SSL_CTX_set_default_passwd_cb(context, no_passphrase);
	SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
								  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
								  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT |
												SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, on_new_session);
	/* Any certificate in the file is trusted, not only roots. */
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context),
								X509_V_FLAG_PARTIAL_CHAIN);
}

void
tls_forget_session(Tls *tls)
{
	SSL_SESSION_free(tls->session);
	tls->session = NULL;
}

/* Connections that use the context keep it until they end. */
static void
drop_context(Tls *tls)
{
	tls_forget_session(tls);
	SSL_CTX_free(tls->context);
	tls->context = NULL;
	trust_leave(tls->trust);
	tls->trust = NULL;
}

static bool
files_have_changed(const Tls *tls)
{
	const char *key =
		tls->client_key != NULL ? tls->client_key : tls->client_cert;
	FileStamp trust = trust_stamp(tls);
	FileStamp cert = stamp_of(tls->client_cert);
	FileStamp of_key = stamp_of(key);

	return (tls->trust != NULL && !same_stamp(&tls->trust->stamp, &trust)) ||
		   !same_stamp(&tls->cert_stamp, &cert) ||
		   !same_stamp(&tls->key_stamp, &of_key);
}

static bool
open_context(Tls *tls, TransportError *error, char *message, size_t size)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	*error = TRANSPORT_MEMORY;
	snprintf(message, size, "out of memory");
	if (context == NULL)
		return false;
	set_up(tls, context);
	tls->context = context;
	if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1)
	{
		*error = TRANSPORT_TLS;
		if (load_files(tls, context, message, size))
			return true;
	}
	drop_context(tls);
	return false;
}

void
tls_init(Tls *tls, const char *ca, const char *ca_file,
		 const char *client_cert, const char *client_key, bool verify)
{
	*tls = (Tls){.ca = ca,
				 .ca_file = ca_file,
				 .client_cert = client_cert,
				 .client_key = client_key,
				 .verify = verify};
}

void
tls_free(Tls *tls)
{
	drop_context(tls);
}

/* --- connections ---------------------------------------------------------- */

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

static bool
offer(SSL *ssl, bool h2)
{
	static const unsigned char both[] = "\x02h2\x08http/1.1";
	static const unsigned char old[] = "\x08http/1.1";

	return (h2 ? SSL_set_alpn_protos(ssl, both, sizeof(both) - 1)
			   : SSL_set_alpn_protos(ssl, old, sizeof(old) - 1)) == 0;
}

SSL *
tls_connect(Tls *tls, const char *host, bool offer_h2, TransportError *error,
			char *message, size_t message_size)
{
	SSL *ssl;

	ERR_clear_error();
	if (tls->context != NULL && files_have_changed(tls))
		drop_context(tls);
	if (tls->context == NULL &&
		!open_context(tls, error, message, message_size))
		return NULL;
	ssl = SSL_new(tls->context);
	if (ssl == NULL || !set_host(ssl, host) || !offer(ssl, offer_h2) ||
		(tls->session != NULL && SSL_set_session(ssl, tls->session) != 1))
	{
		*error = TRANSPORT_MEMORY;
		snprintf(message, message_size, "out of memory");
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_connect_state(ssl);
	return ssl;
}
