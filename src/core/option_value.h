/*-------------------------------------------------------------------------
 *
 * option_value.h
 *	  What values the options of servers and user mappings may have.
 *
 * Values end up in URLs, header lines and C strings, so nothing passes that
 * could end a line or become part of something else.  Each function returns
 * NULL when the value is good, else what a good one looks like, as a hint.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_OPTION_VALUE_H
#define MODAL_CORE_OPTION_VALUE_H

#include <stdbool.h>

/* Printable ASCII, and more than nothing: it may become part of a header. */
extern const char *option_text_error(const char *value);
/* Letters, digits and "-": it becomes part of what is signed. */
extern const char *option_word_error(const char *value);
/* A decimal number, without units or spaces around it; whole: digits and a sign. */
extern bool option_number(const char *value, bool whole, double min,
						  double max);
/* One of choices, which are separated by "|". */
extern bool option_choice(const char *value, const char *choices);
/* One or more http or https URLs, with commas between them. */
extern const char *option_url_error(const char *value);
/* A proxy: [scheme://]host[:port][/]. */
extern const char *option_proxy_error(const char *value);
/*
 * Lines of "Name: value".  Refused are also the headers that decide where a
 * request ends, and Authorization, which is a secret.
 */
extern const char *option_headers_error(const char *value);

#endif /* MODAL_CORE_OPTION_VALUE_H */
