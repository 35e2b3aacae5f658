/*-------------------------------------------------------------------------
 *
 * remote_id.h
 *	  Ids of remote calls: "[server:]fc-...".
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_FUNCTIONS_REMOTE_ID_H
#define MODAL_FUNCTIONS_REMOTE_ID_H

#include "compat.h"

#include "endpoint/endpoint.h"

/* The server, which the caller may use, and the id; raises what is wrong. */
extern Endpoint *remote_id_endpoint(text *call, const char **id);

#endif /* MODAL_FUNCTIONS_REMOTE_ID_H */
