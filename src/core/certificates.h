/*-------------------------------------------------------------------------
 *
 * certificates.h
 *	  Certificates as text (PEM), such as those of authorities that a server
 *	  option gives.
 *
 * Pure, but for OpenSSL, which reads the certificates themselves; its queue of
 * errors is left empty.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_CERTIFICATES_H
#define MODAL_CORE_CERTIFICATES_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Calls add, unless it is NULL, with each certificate in the text, in order; it
 * takes a reference of its own if it keeps it, and returns false to give up.
 * Between certificates there may be any other text, but no key: then, if a
 * certificate cannot be read, and if there is none, false is returned, and why
 * is a sentence that says it.
 */
extern bool certificates_read(const char *pem,
							  bool (*add)(void *arg, X509 *certificate),
							  void *arg, char *why, size_t why_size);

#endif /* MODAL_CORE_CERTIFICATES_H */
