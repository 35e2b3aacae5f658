/*-------------------------------------------------------------------------
 *
 * modal.h
 *	  What the parts of the Modal driver share.
 *
 * modal.c		target state, driver entry points, requests nobody waits for
 * auth.c, grpc.c	tokens; requests, tried again
 * lookup.c		reference to FunctionHandle: FunctionGet, FunctionBindParams
 * class.c		class parameters and with-options as messages
 * call.c		one call with its inputs, on the control or input plane
 * sync.c, map.c, generator.c, spawn.c, follow.c	the kinds of calls
 * inputs.c, poll.c	their inputs on the way out, outputs on the way in
 * wire.c		requests and replies
 * output.c		results as FrameOutput; blobs of results
 * control.c	questions
 * blob_upload.c, blob_download.c	payloads that do not travel inline
 * digest.c		of what is uploaded, in pieces
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_MODAL_MODAL_H
#define MODAL_MODAL_MODAL_H

#include "core/call_state.h"
#include "core/list.h"
#include "core/reference.h"
#include "dispatcher/call.h"
#include "dispatcher/target.h"
#include "errors.h"
#include "modal/auth.h"
#include "modal/grpc.h"
#include "proto/modal.pb-c.h"

/* enum values of modal.proto that are used by hand-written messages */
#define DATA_FORMAT_PICKLE 1
#define DATA_FORMAT_GENERATOR_DONE 3
#define DATA_FORMAT_CBOR 4

#define LONG_POLL_S 55.0

typedef struct FunctionHandle
{
	ListNode age;		 /* in the target's cache; see cached */
	int refs;
	bool cached;
	char *key;			 /* the reference */
	double expires;		 /* monotonic */
	char *function_id;
	char *method_name;	 /* "" for plain functions */
	char *web_url;		 /* "" unless it is a web function */
	bool is_generator;
	bool accepts_cbor;
	uint32_t version;
	size_t max_inline;	 /* larger inputs are uploaded */
	size_t max_async_inline;
	GrpcService *plane;	 /* input plane, or NULL */
	char *metadata_json; /* for LOOKUP */
} FunctionHandle;

typedef struct Background Background;
typedef struct InputPlane InputPlane;

typedef struct ModalTarget
{
	Target *target;
	GrpcService *control;
	AuthCache *auth;
	const char *environment; /* "" is the workspace's default */
	bool allow_pickle;
	Map handles;			 /* those cached, by reference */
	List handles_by_age;	 /* the same, oldest first */
	InputPlane *planes;
	int nplanes;
	List background;		 /* requests that nobody waits for */
} ModalTarget;

/* Why a call cannot go on. */
typedef struct ModalError
{
	const char *sqlstate;
	bool retryable;
	const char *hint;	/* NULL for none; must live until modal_fail */
	char message[1024];
	char detail[1024];	/* "" for none */
} ModalError;

extern void modal_error(ModalError *error, const char *sqlstate,
						const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
extern void modal_error_grpc(ModalError *error, const GrpcResult *result,
							 const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
extern void modal_error_memory(ModalError *error);
/* "app/function" in app, environment: for messages and details. */
extern void modal_fail(DispatchCall *call, const ModalError *error);

/* Of a reply's warnings, so many are passed on: no session keeps more. */
#define MAX_SERVER_WARNINGS 16

/* --- modal.c ------------------------------------------------------------- */

extern void modal_warn(DispatchCall *call, Modal__Client__Warning **warnings,
					   size_t n);
/* A request whose outcome nobody waits for.  spec->on_done and arg unused. */
extern void modal_background(ModalTarget *mt, GrpcSpec *spec);
extern void modal_cancel_remote(ModalTarget *mt, const char *call_id,
								bool terminate);
/* The same for a FunctionMap under way, which is taken over. */
extern void modal_cancel_when_started(ModalTarget *mt, GrpcCall *start,
									  bool terminate);
extern GrpcService *modal_input_plane(ModalTarget *mt, const char *url,
									  const char *region);

/* Calls with inputs or outputs, and questions. */
extern const CallDriver modal_call_driver;
extern const CallDriver modal_control_driver;

/* --- lookup.c ------------------------------------------------------ */

typedef struct Lookup Lookup;
/* handle NULL: see error.  The handle comes with a reference. */
typedef void (*LookupDone)(void *arg, FunctionHandle *handle,
						   const ModalError *error);

/* From the cache, with a reference; NULL when it must be looked up. */
extern FunctionHandle *handle_cached(ModalTarget *mt, Slice reference);
extern Lookup *lookup_start(ModalTarget *mt, DispatchCall *call,
							LookupDone on_done, void *arg);
extern void lookup_cancel(Lookup *lookup);
extern void handle_release(FunctionHandle *handle);
extern void handles_init(ModalTarget *mt);
extern void handles_free(ModalTarget *mt);
/* The service does not know it any more. */
extern void handle_invalidate(ModalTarget *mt, FunctionHandle *handle);

#endif /* MODAL_MODAL_MODAL_H */
