/*-------------------------------------------------------------------------
 *
 * web_http.h
 *	  Web endpoints of apps.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_WEB_HTTP_H
#define MODAL_LOCAL_WEB_HTTP_H

#include "net/http1.h"

extern const HttpHandler web_http;

#endif /* MODAL_LOCAL_WEB_HTTP_H */
