/*-------------------------------------------------------------------------
 *
 * tls.c
 *	  The certificate of modal-local and its TLS context.
 *
 * The certificate is signed by an authority made for it alone, whose key is
 * forgotten at once: whoever trusts ca.pem trusts this one server and nobody
 * can sign another.
 *
 *-------------------------------------------------------------------------
 */
#include "net/tls.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/conn.h"
#include "util.h"

#define VALID_DAYS 3650
#define SECONDS_PER_DAY 86400
#define RENEW_SECONDS (7 * SECONDS_PER_DAY)
#define READ_BUFFER_SIZE (64 * 1024)
#define SERVER_NAMES "DNS:localhost,IP:127.0.0.1,IP:::1"

const char *
tls_error(void)
{
	unsigned long code = ERR_get_error();
	const char *reason = ERR_reason_error_string(code);

	ERR_clear_error();
	return reason != NULL ? reason : "unknown TLS failure";
}

static void
check(bool ok, const char *what)
{
	if (!ok)
		die("cannot make the certificate: %s: %s", what, tls_error());
}

/* --- certificates -------------------------------------------------------- */

static void
add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *extension;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	check(extension != NULL && X509_add_ext(cert, extension, -1) == 1, value);
	X509_EXTENSION_free(extension);
}

/* The host that we listen on, when that is a name beside SERVER_NAMES; else NULL. */
static const char *
further_name(const char *host)
{
	static const char *const others[] = {"localhost", "127.0.0.1", "::1",
										 "0.0.0.0", "::"};

	for (int i = 0; i < 5; i++)
		if (strcmp(host, others[i]) == 0)
			return NULL;
	if (conn_is_address(host))
		return host;
	for (const char *p = host; *p != '\0'; p++)
		if (!isalnum((unsigned char) *p) && *p != '.' && *p != '-')
			return NULL;
	return host;
}

static void
add_names(X509 *cert, X509 *issuer, const char *further)
{
	char *names = further == NULL
					  ? xstrdup(SERVER_NAMES)
					  : xasprintf(SERVER_NAMES ",%s:%s",
								  conn_is_address(further) ? "IP" : "DNS",
								  further);

	add_extension(cert, issuer, NID_subject_alt_name, names);
	free(names);
}

/* Of an authority (issuer NULL), or of a server, which may have a further name. */
static X509 *
make_certificate(EVP_PKEY *key, const char *common_name, X509 *issuer,
				 EVP_PKEY *issuer_key, const char *further)
{
	X509 *cert = X509_new();
	X509_NAME *name;
	uint64_t serial;

	check(cert != NULL, "new certificate");
	random_bytes(&serial, sizeof(serial));
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1 | 1);
	/* A day back, for clocks that differ. */
	X509_gmtime_adj(X509_getm_notBefore(cert), -SECONDS_PER_DAY);
	X509_gmtime_adj(X509_getm_notAfter(cert),
					(long) VALID_DAYS * SECONDS_PER_DAY);
	X509_set_pubkey(cert, key);
	name = X509_get_subject_name(cert);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
							   (const unsigned char *) common_name, -1, -1, 0);
	X509_set_issuer_name(cert, issuer != NULL ? X509_get_subject_name(issuer)
											  : name);
	add_extension(cert, issuer != NULL ? issuer : cert,
				  NID_subject_key_identifier, "hash");
	if (issuer == NULL)
	{
		add_extension(cert, cert, NID_basic_constraints,
					  "critical,CA:TRUE,pathlen:0");
		add_extension(cert, cert, NID_key_usage, "critical,keyCertSign");
	}
	else
	{
		add_extension(cert, issuer, NID_authority_key_identifier, "keyid");
		add_extension(cert, issuer, NID_basic_constraints, "CA:FALSE");
		add_extension(cert, issuer, NID_key_usage,
					  "critical,digitalSignature");
		add_extension(cert, issuer, NID_ext_key_usage, "serverAuth");
		add_names(cert, issuer, further);
	}
	check(X509_sign(cert, issuer_key, EVP_sha256()) > 0, "signature");
	return cert;
}

/* Written aside and renamed: a reader never sees half a file. */
static void
write_pem(const char *path, int mode, X509 *cert, EVP_PKEY *key)
{
	char *aside = xasprintf("%s.new", path);
	int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (file == NULL)
		die_errno("cannot create \"%s\"", aside);
	check(PEM_write_X509(file, cert) == 1, "certificate");
	if (key != NULL)
		check(PEM_write_PKCS8PrivateKey(file, key, NULL, NULL, 0, NULL,
										NULL) == 1, "key");
	if (fclose(file) != 0 || rename(aside, path) != 0)
		die_errno("cannot write \"%s\"", path);
	free(aside);
}

static void
make_files(const char *ca_path, const char *server_path, const char *further)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256");
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *ca;
	X509 *cert;

	check(ca_key != NULL && key != NULL, "key");
	ca = make_certificate(ca_key, "modal-local authority", NULL, ca_key, NULL);
	cert = make_certificate(key, "localhost", ca, ca_key, further);
	write_pem(server_path, 0600, cert, key);
	write_pem(ca_path, 0644, ca, NULL);
	X509_free(cert);
	X509_free(ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
}

static bool
has_name(X509 *cert, const char *name)
{
	return name == NULL || X509_check_host(cert, name, 0, 0, NULL) == 1 ||
		   X509_check_ip_asc(cert, name, 0) == 1;
}

/* Is there a certificate (of that name) that is valid for some time yet? */
static bool
usable(const char *path, const char *name)
{
	FILE *file = fopen(path, "re");
	X509 *cert;
	time_t later = time(NULL) + RENEW_SECONDS;
	bool ok;

	if (file == NULL)
	{
		if (errno != ENOENT)
			die_errno("cannot read \"%s\"", path);
		return false;
	}
	cert = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	ok = cert != NULL && has_name(cert, name) &&
		 X509_cmp_time(X509_get0_notAfter(cert), &later) > 0;
	X509_free(cert);
	ERR_clear_error();
	return ok;
}

/* --- context ------------------------------------------------------------- */

static int
select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
				const unsigned char *in, unsigned int in_len, void *arg)
{
	static const unsigned char ours[] = "\x02h2\x08http/1.1";

	(void) ssl;
	(void) arg;
	if (SSL_select_next_proto((unsigned char **) out, out_len, ours,
							  sizeof(ours) - 1, in, in_len) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

SSL_CTX *
tls_init(const char *state_dir, const char *host)
{
	const char *further = further_name(host);
	char *ca_path = xasprintf("%s/ca.pem", state_dir);
	char *server_path = xasprintf("%s/server.pem", state_dir);
	SSL_CTX *ctx;

	if (!usable(ca_path, NULL) || !usable(server_path, further))
		make_files(ca_path, server_path, further);
	ctx = SSL_CTX_new(TLS_server_method());
	if (ctx == NULL)
		die("cannot make a TLS context: %s", tls_error());
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_BUFFER_SIZE);
	SSL_CTX_set_alpn_select_cb(ctx, select_protocol, NULL);
	if (SSL_CTX_use_certificate_chain_file(ctx, server_path) != 1 ||
		SSL_CTX_use_PrivateKey_file(ctx, server_path, SSL_FILETYPE_PEM) != 1)
		die("cannot use the certificate in \"%s\": %s", server_path,
			tls_error());
	free(server_path);
	free(ca_path);
	return ctx;
}
