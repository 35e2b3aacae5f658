/*-------------------------------------------------------------------------
 *
 * grpc_status.h
 *	  The status of a gRPC call: trailers to codes, codes to SQLSTATEs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_MODAL_GRPC_STATUS_H
#define MODAL_MODAL_GRPC_STATUS_H

#include "modal/grpc.h"

typedef struct GrpcTrailers
{
	int status;	 /* -1: none seen */
	Buf message; /* decoded */
	Buf details; /* base64, as received */
} GrpcTrailers;

extern void grpc_trailers_init(GrpcTrailers *trailers);
extern void grpc_trailers_reset(GrpcTrailers *trailers);
extern void grpc_trailers_free(GrpcTrailers *trailers);
/* One header or trailer; those of no interest are ignored. */
extern void grpc_trailers_add(GrpcTrailers *trailers, const char *name,
							  size_t name_len, const char *value,
							  size_t value_len);
/* Does the service say when to come back (RPCRetryPolicy)? */
extern bool grpc_trailers_delay(const GrpcTrailers *trailers, double *seconds);

extern GrpcStatus grpc_status_of_http(int status);
extern GrpcStatus grpc_status_of_transport(TransportError error);

#endif /* MODAL_MODAL_GRPC_STATUS_H */
