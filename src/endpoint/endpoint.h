/*-------------------------------------------------------------------------
 *
 * endpoint.h
 *	  From a function reference to an Endpoint: where a call goes and with
 *	  whose credentials.
 *
 * Endpoints are cached by server, user and options of the reference, and thrown
 * away when the catalogs say that what they were made from has changed; a
 * caller keeps using the one it has until its call ends.  What is in files
 * (use_os_config, NAME_file) is read for each call.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_ENDPOINT_ENDPOINT_H
#define MODAL_ENDPOINT_ENDPOINT_H

#include "compat.h"

#include "core/frame.h"
#include "core/reference.h"
#include "values/values.h"

typedef enum EndpointProtocol
{
	ENDPOINT_MODAL,
	ENDPOINT_HTTP
} EndpointProtocol;

/* How an HTTP function wants its rows; see docs/http.md. */
typedef enum HttpFormat
{
	HTTP_JSON,
	HTTP_JSON_LINES,
	HTTP_BIGQUERY,
	HTTP_SNOWFLAKE,
	HTTP_REDSHIFT,
	HTTP_WEBHOOK,
	HTTP_BULK				/* of jobs alone: see http/bulk.h */
} HttpFormat;

typedef struct Endpoint
{
	Oid serverid;
	Oid userid;				/* whose mapping it is */
	char *server_name;
	EndpointProtocol protocol;
	HttpFormat format;		/* ENDPOINT_HTTP */
	bool args_as_object;	/* HTTP_JSON, HTTP_WEBHOOK: keys are argument names */
	bool has_form;			/* ENDPOINT_HTTP: form says more about requests */
	RequestForm form;		/* its path is in the reference that was asked for */
	bool allow_pickle;
	bool uncached;			/* something of it is in files, or variables */
	uint32 window;			/* server option, 0: see endpoint_window */
	int dispatchers;		/* that calls are spread over */
	/* server options, -1: none; see jobs/limits.h */
	int32 max_failures, max_job_inputs;
	char *ordered_by;		/* HTTP_WEBHOOK: see jobs/webhook.h; or NULL */
	/* options of server and mapping as the dispatcher wants them: a list of
	 * frame_put_option() pairs, sorted by name.  Holds secrets: never show. */
	char *options;
	Size options_len;
} Endpoint;

/*
 * Look up the server that a reference names, check USAGE as the effective
 * user, and find the user's mapping.  A reference that names none goes to
 * modal_batch.server, if that was set for the whole database, or by a role
 * that could act as userid anyway: else a caller would choose where the data
 * and the credentials of a SECURITY DEFINER function's owner go.
 *
 * *rest is set to the reference without "server:", a pointer into reference;
 * it is a good one by the rules of the server's protocol (core/reference.h).
 * Errors: 42704 no such server, 42501 no USAGE, 28000 no mapping or no token in
 * it, 22023 malformed reference.
 */
extern Endpoint *endpoint_get(const char *reference, Oid userid,
							  const char **rest);
/* The same for "[server:]…" where the rest is no function: not looked at. */
extern Endpoint *endpoint_get_by_prefix(const char *text, Oid userid,
										const char **rest);
/*
 * The same for a reference that is kept with an object, and used when others
 * run their statements (a trigger): of a reference that names no server, what
 * the session has set as modal_batch.server says nothing.
 */
extern Endpoint *endpoint_get_stored(const char *reference, Oid userid,
									 const char **rest);
/* Where a reference that names no server goes. */
extern const char *endpoint_default_server(Oid userid);
/* Free the copy now, secrets wiped; resetting its context does as well. */
extern void endpoint_release(Endpoint *endpoint);

/*
 * How many inputs of a call may be in flight: the server's option, else
 * modal_batch.max_in_flight; for HTTP functions a multiple of that, because
 * many inputs share a request, and those that wait for a retry hold up no
 * others.
 */
extern uint32 endpoint_window(const Endpoint *endpoint);

/* Do both write inputs alike, and send them to the same place? */
extern bool endpoint_is_same(const Endpoint *a, const Endpoint *b);

/* How its inputs are written; refers to the endpoint. */
extern ArgFormat endpoint_arg_format(const Endpoint *endpoint);

/*
 * Keyword arguments of all inputs of a call, as JSON, for formats whose
 * requests have a place for them; of a template with many rows, all that stands
 * around these.  NULL: none, or every input carries them.
 */
extern char *endpoint_common_kwargs(const Endpoint *endpoint, Jsonb *kwargs);

/* The whole reference again, options included: for job rows. */
extern char *endpoint_reference(const Endpoint *endpoint, const char *rest);
/*
 * What views, logs and errors call a function: "server:reference", without
 * options, and a path without its query: there may be secrets in them.
 */
extern char *endpoint_label(const Endpoint *endpoint, const char *rest);
/* The same of a reference that no endpoint is known of, or that is malformed. */
extern char *reference_label(const char *reference);

#endif /* MODAL_ENDPOINT_ENDPOINT_H */
