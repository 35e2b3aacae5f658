/*-------------------------------------------------------------------------
 *
 * console.h
 *	  A page that shows what goes on in modal-local.
 *
 *	  GET /console/login?key=KEY	makes the cookie that all others need
 *	  GET /console/, /console/call/ID, /console/functions, ...	the page
 *	  GET /console/FILE				what belongs to it
 *	  GET /console/events			what it shows, now and whenever it changes
 *	  GET /console/input?call=ID&idx=INDEX	all of one input
 *	  POST /console/do/ACTION		see actions.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_CONSOLE_H
#define MODAL_LOCAL_CONSOLE_H

#include "net/http1.h"

extern const HttpHandler console_http;

/* To be called once; url: of this server. */
extern void console_init(const char *url, int port, const char *host);
/* An address that lets in whoever opens it first; valid until the next. */
extern const char *console_link(void);

#endif /* MODAL_LOCAL_CONSOLE_H */
