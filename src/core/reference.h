/*-------------------------------------------------------------------------
 *
 * reference.h
 *	  Function references, as users write them.
 *
 *	  [server:]app/function[@version][#{options}]
 *	  [server:]app/Class[{parameters}].method[@version][#{options}]
 *	  server:path[?query][#{options}]	(servers with protocol http)
 *
 * parameters and options are JSON objects; options are what
 * modal_with_options() was given (cpu, memory, gpu, …).  Their braces and
 * strings are matched here, the rest of JSON is left to who uses them.
 *
 * An app's name follows the rules of the service; names of functions may
 * also hold letters outside ASCII, as Python identifiers do.
 *
 * A path, which may be empty, is one as a URL has it: percent-encoded, without
 * fragment, without control characters, and without what any server takes for
 * a "." or ".." step; so it must not be encoded twice.  It may have a query, in
 * which all of that is fine.  In both, {1} and {name} stand for arguments of a
 * row, percent-encoded.  Whoever joins it to the URL of a server puts
 * exactly one "/" between them, and does not read it again relative to
 * something: nothing in a path may become part of the host.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_REFERENCE_H
#define MODAL_CORE_REFERENCE_H

#include "core/buf.h"

/* A piece of the reference text; p NULL: absent. */
typedef struct Slice
{
	const char *p;
	size_t n;
} Slice;

typedef struct Reference
{
	Slice server;
	Slice target;	  /* all after "server:", before options: an HTTP path with
					   * its query */
	Slice app;
	Slice class_name; /* absent for a plain function */
	Slice parameters; /* with its braces */
	Slice function;	  /* function or method name */
	int32_t version;  /* 0: the live one */
	Slice options;	  /* with its braces */
	bool placeholders; /* an HTTP path has arguments in it */
} Reference;

/* NULL when text is well formed, else a message in PostgreSQL's style. */
extern const char *reference_parse(const char *text, size_t n, bool http,
								   Reference *ref);
/* What stands after "server:", by which the protocol is known. */
extern const char *reference_parse_rest(const char *text, size_t n, bool http,
										Reference *ref);
/* Is it what a service may call a thing of its own: "fc-…", a call, "fu-…"? */
extern bool object_id_is_valid(Slice id);
/* Is the brace at p the begin of {1} or {name}? */
extern bool reference_is_placeholder(const char *p);
/* Only the part before the first ":" that can be a server's name. */
extern Slice reference_server(const char *text, size_t n);

#endif /* MODAL_CORE_REFERENCE_H */
