/*-------------------------------------------------------------------------
 *
 * server.h
 *	  From a function reference to an Endpoint: where a call goes and with
 *	  whose credentials.
 *
 * Endpoints are cached by (server, user) and thrown away when the catalog
 * says that the server or the mapping has changed; a caller keeps using the
 * one it has until its call ends.  With option use_os_config, environment and
 * file are read for each call.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_SESSION_SERVER_H
#define MODAL_SESSION_SERVER_H

#include "compat.h"

#include "core/frame.h"
#include "core/reference.h"

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
	HTTP_REDSHIFT
} HttpFormat;

typedef struct Endpoint
{
	Oid serverid;
	Oid userid;				/* whose mapping it is */
	char *server_name;
	EndpointProtocol protocol;
	HttpFormat format;		/* ENDPOINT_HTTP */
	bool args_as_object;	/* HTTP_JSON: keys are argument names */
	bool allow_pickle;
	bool os_config;			/* option use_os_config: not cached */
	uint32 window;			/* server option, 0: see endpoint_window */
	/* options of server and mapping as the dispatcher wants them: a list of
	 * frame_put_option() pairs, sorted by name.  Holds secrets: never show. */
	char *options;
	Size options_len;
} Endpoint;

/*
 * Look up the server that a reference names (or modal_batch.server), check
 * USAGE as the effective user, and find the user's mapping.  *rest is set to
 * the reference without "server:", a pointer into reference; what it says is
 * not looked at here.  Errors: 42704 no such server, 42501 no
 * USAGE, 28000 no mapping or no token in it, 22023 malformed reference.
 */
extern Endpoint *endpoint_get(const char *reference, Oid userid,
							  const char **rest);
extern Endpoint *endpoint_get_by_server(Oid serverid, Oid userid);
/* Free the copy now, secrets wiped; resetting its context does as well. */
extern void endpoint_release(Endpoint *endpoint);

/*
 * How many inputs of a call may be in flight: the server's option, else
 * modal_batch.window; for HTTP functions a multiple of that, because many
 * inputs share a request, and those that wait for a retry hold up no others.
 */
extern uint32 endpoint_window(const Endpoint *endpoint);

/* The whole reference again, options included: for job rows. */
extern char *endpoint_reference(const Endpoint *endpoint, const char *rest);
/* What views and errors call a function: "server:reference", no options. */
extern char *endpoint_label(const Endpoint *endpoint, const char *rest);

#endif /* MODAL_SESSION_SERVER_H */
