/*-------------------------------------------------------------------------
 *
 * http1.h
 *	  HTTP/1.1: requests and responses, one after the other on a connection.
 *
 * What they are about is the business of handlers, of which main.c gives one
 * for each kind of path.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_HTTP1_H
#define MODAL_LOCAL_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

#define HTTP_MAX_METHOD 8
#define HTTP_MAX_TARGET 8192

typedef struct HttpHandler HttpHandler;

typedef struct HttpRequest
{
	char method[HTTP_MAX_METHOD];
	char target[HTTP_MAX_TARGET]; /* path and query */
	const char *headers;		  /* lines, as they came; only in begin() */
	int64_t length;				  /* of the body */
	void *state;				  /* the handler's, NULL at first */
} HttpRequest;

struct HttpHandler
{
	const char *prefix;	 /* of the paths that are its own */
	const char *methods; /* "GET PUT": those it knows */
	int64_t (*max_body)(const HttpRequest *request);
	/* The head has come.  May answer already; else the body follows. */
	void (*begin)(HttpRequest *request);
	void (*body)(HttpRequest *request, const uint8_t *data, size_t len);
	/* All of the body has come: answer, now or later. */
	void (*complete)(HttpRequest *request);
	/*
	 * After http_respond_long: add about room bytes of the response's body;
	 * false: that was the last.  *cut: the connection ends, too early.
	 */
	bool (*produce)(HttpRequest *request, Buf *out, size_t room, bool *cut);
	/* The request is over, answered or not. */
	void (*close)(HttpRequest *request);
};

/* To be called once, before there are connections; the last is NULL. */
extern void http_init(const HttpHandler *const *handlers);

/* The value of a header, to be freed; NULL: it is not there. */
extern char *http_header(const HttpRequest *request, const char *name);

/* headers: whole lines, but for Content-Length. */
extern void http_respond(HttpRequest *request, const char *status,
						 const char *headers, const void *body, size_t len);
/* The head only; the body comes from produce(). */
extern void http_respond_long(HttpRequest *request, const char *status,
							  const char *headers, int64_t len);
/*
 * The head only, of a body without an end: what is sent from time to time,
 * until the peer leaves.  unsent: how much of it the peer has not taken yet.
 */
extern void http_stream_begin(HttpRequest *request, const char *status,
							  const char *headers);
extern void http_stream_send(HttpRequest *request, const void *data,
							 size_t len);
extern size_t http_stream_unsent(const HttpRequest *request);
/* What is left of the request is not read: the connection ends. */
extern void http_refuse(HttpRequest *request, const char *status);
/* Cut the connection. */
extern void http_abort(HttpRequest *request);

#endif /* MODAL_LOCAL_HTTP1_H */
