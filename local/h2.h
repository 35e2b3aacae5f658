/*-------------------------------------------------------------------------
 *
 * h2.h
 *	  gRPC over HTTP/2: what rpc.c asks of a stream.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_H2_H
#define MODAL_LOCAL_H2_H

#include "api/rpc.h"

/* Send rpc->reply and then the status; or, without a reply, only the status. */
extern void h2_respond(Rpc *rpc);
/* rpc->reply has grown, or the stream is to end. */
extern void h2_resume(Rpc *rpc);

/* Misbehaviour, for faults. */
extern void h2_respond_http_status(Rpc *rpc, int status);
extern void h2_respond_without_trailers(Rpc *rpc);
extern void h2_reset(Rpc *rpc);
extern void h2_goaway(Rpc *rpc, bool refuse);
extern void h2_abort_connection(Rpc *rpc);
extern uint64_t h2_connection_number(const Rpc *rpc);

#endif /* MODAL_LOCAL_H2_H */
