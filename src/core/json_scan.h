/*-------------------------------------------------------------------------
 *
 * json_scan.h
 *	  Where does a JSON value end?
 *
 * Takes what RFC 8259 calls a value and nothing else, and builds nothing: a
 * number may have any size.  (json-c's strict mode refuses integers of more
 * than 64 bits from 0.17 on, and its other mode takes much that is not JSON.)
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_JSON_SCAN_H
#define MODAL_CORE_JSON_SCAN_H

#define JSON_MAX_DEPTH 1000 /* levels of arrays and objects in one value */

/*
 * The text from p, where the value begins, to end, where there must be a zero
 * byte or the end of a line.
 * Returns the byte after the value, or NULL with the reason in *error.
 */
extern const char *json_scan(const char *p, const char *end,
							 const char **error);

/* The same; *at is the place of what is wrong. */
extern const char *json_scan_where(const char *p, const char *end,
								   const char **error, const char **at);

#endif /* MODAL_CORE_JSON_SCAN_H */
