/*-------------------------------------------------------------------------
 *
 * certificates.c
 *	  Certificates as text; see certificates.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/certificates.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

static bool
is_certificate(const char *name)
{
	return strcmp(name, PEM_STRING_X509) == 0 ||
		   strcmp(name, PEM_STRING_X509_OLD) == 0;
}

static const char *
reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text != NULL ? text : "it is damaged";
}

/* Nothing but the end of the text kept OpenSSL from finding another one. */
static bool
at_end(void)
{
	unsigned long error = ERR_peek_last_error();

	return ERR_GET_LIB(error) == ERR_LIB_PEM &&
		   ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

/* What stands between two lines of dashes, as a certificate. */
static X509 *
decode(const char *name, const unsigned char *data, long n, int number,
	   char *why, size_t why_size)
{
	const unsigned char *end = data;
	X509 *certificate;

	if (!is_certificate(name))
	{
		snprintf(why, why_size,
				 "The value must have certificates only, and no key or anything else that begins with dashes.");
		return NULL;
	}
	certificate = d2i_X509(NULL, &end, n);
	if (certificate == NULL)
		snprintf(why, why_size, "Certificate %d cannot be read: %s.", number,
				 reason());
	return certificate;
}

static bool
read_all(BIO *bio, bool (*add)(void *arg, X509 *certificate), void *arg,
		 char *why, size_t why_size)
{
	char *name, *header;
	unsigned char *data;
	long n;

	for (int number = 1;; number++)
	{
		X509 *certificate;
		bool added;

		if (PEM_read_bio(bio, &name, &header, &data, &n) != 1)
		{
			if (!at_end())
				snprintf(why, why_size, "Certificate %d cannot be read: %s.",
						 number, reason());
			else if (number == 1)
				snprintf(why, why_size,
						 "The value must be the text of a certificate, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----.");
			return at_end() && number > 1;
		}
		certificate = decode(name, data, n, number, why, why_size);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_free(data);
		if (certificate == NULL)
			return false;
		added = add == NULL || add(arg, certificate);
		X509_free(certificate);
		if (!added)
		{
			snprintf(why, why_size, "Certificate %d cannot be used: %s.",
					 number, reason());
			return false;
		}
	}
}

bool
certificates_read(const char *pem, bool (*add)(void *arg, X509 *certificate),
				  void *arg, char *why, size_t why_size)
{
	BIO *bio;
	bool good = false;

	ERR_clear_error();
	bio = BIO_new_mem_buf(pem, -1);
	if (bio != NULL)
		good = read_all(bio, add, arg, why, why_size);
	else
		snprintf(why, why_size, "There is no memory for it.");
	BIO_free(bio);
	ERR_clear_error();
	return good;
}
