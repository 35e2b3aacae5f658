/*-------------------------------------------------------------------------
 *
 * blob_http.h
 *	  Uploads and downloads of blobs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_BLOB_HTTP_H
#define MODAL_LOCAL_BLOB_HTTP_H

#include "net/http1.h"

extern const HttpHandler blob_http;

#endif /* MODAL_LOCAL_BLOB_HTTP_H */
