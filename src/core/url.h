/*-------------------------------------------------------------------------
 *
 * url.h
 *	  URLs of services: the one place that takes them apart.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_URL_H
#define MODAL_CORE_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pointers into the text. */
typedef struct Url
{
	bool plain;       /* http:// */
	const char *host; /* an IPv6 address with its brackets */
	size_t host_len;
	uint16_t port;
	const char *authority; /* host[:port], without the scheme's usual port */
	size_t authority_len;
	const char *path; /* and query; may be empty */
	size_t path_len;
} Url;

/*
 * NULL when it is an absolute http or https URL in printable ASCII, without
 * user name, password and fragment; else what is wrong with it, as a sentence.
 */
extern const char *url_parse(const char *text, size_t n, Url *url);
/* Is the host this machine, by its name alone? */
extern bool url_is_loopback(const Url *url);

#endif /* MODAL_CORE_URL_H */
