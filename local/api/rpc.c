/*-------------------------------------------------------------------------
 *
 * rpc.c
 *	  One gRPC call from its request to its reply.
 *
 * The order: who asks, faults before, a known reply to the same idempotency
 * key, the handler, faults after.  The handler's reply is kept and logged
 * before a fault spoils it: to the server the request was applied.
 *
 *-------------------------------------------------------------------------
 */
#include "api/rpc.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/jwt.h"
#include "calls/idempotency.h"
#include "proto/modal.pb-c.h"

#define PATH_PREFIX "/modal.client.ModalClient/"
#define LOG_BUFFER_SIZE (256 * 1024)
#define STALL_SECONDS 60.0 /* of a client of version "timeout" */
#define OLDEST_VERSION 1   /* major version of clients */
#define MAX_AHEAD (4 * 1024 * 1024) /* of a stream, not taken yet */
#define TYPE_URL "type.modal.com/modal.client.RPCRetryPolicy"

static RpcSettings settings;
static FILE *log_file;
static LoopDeferred log_flush;

static void apply(void *arg);
static void deliver(void *arg);

const char *
rpc_token_id(void)
{
	return settings.token_id;
}

const char *
rpc_token_secret(void)
{
	return settings.token_secret;
}

void
rpc_init(const RpcSettings *rpc_settings)
{
	settings = *rpc_settings;
	if (settings.log_path == NULL)
		return;
	log_file = fopen(settings.log_path, "ae");
	if (log_file == NULL)
		die_errno("cannot open request log \"%s\"", settings.log_path);
	setvbuf(log_file, NULL, _IOFBF, LOG_BUFFER_SIZE);
}

/* --- request log --------------------------------------------------------- */

bool
rpc_logging(void)
{
	return log_file != NULL;
}

void
rpc_log(Rpc *rpc, const char *fmt, ...)
{
	char text[512];
	va_list args;

	if (log_file == NULL)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	buf_put_u8(&rpc->log, '\t');
	buf_put_cstr(&rpc->log, text);
}

static void
flush_log(void *arg)
{
	(void) arg;
	fflush(log_file);
}

/* Once per request; a client's words do not come into the log unchecked. */
static void
write_log(Rpc *rpc, const char *outcome)
{
	const char *attempt = rpc->headers[HEADER_RETRY_ATTEMPT];

	if (log_file == NULL || rpc->logged)
		return;
	rpc->logged = true;
	fprintf(log_file, "%.6f\t%llu\t%s\t%s\t%.3f", loop_wall_time(),
			(unsigned long long) h2_connection_number(rpc->stream),
			rpc->method != NULL ? rpc->method->name : "-", outcome,
			(loop_now() - rpc->received) * 1000);
	if (attempt != NULL)
		fprintf(log_file, "\tretry=%d", atoi(attempt));
	if (rpc->replayed)
		fputs("\treplayed=1", log_file);
	fputs(buf_cstr(&rpc->log), log_file);
	fputc('\n', log_file);
	loop_defer_late(&log_flush, flush_log, NULL);
}

void
rpc_log_event(const char *what, const char *outcome)
{
	if (log_file == NULL)
		return;
	fprintf(log_file, "%.6f\t0\t%s\t%s\t0.000\n", loop_wall_time(), what,
			outcome);
	fflush(log_file);
}

/* --- replies ------------------------------------------------------------- */

static void
answer(Rpc *rpc)
{
	rpc->answered = true;
	rpc->abandoned = NULL;
	if (rpc->status == GRPC_OK && rpc->method->flags & RPC_IDEMPOTENT &&
		!rpc->replayed && rpc->headers[HEADER_IDEMPOTENCY_KEY] != NULL)
		idempotency_put(rpc->method->name,
						rpc->headers[HEADER_IDEMPOTENCY_KEY], &rpc->reply,
						rpc->durable, rpc->method->flags & RPC_REPEATABLE);
	if (rpc->fault.delay_after > 0)
		loop_set_timer(&rpc->delay, rpc->fault.delay_after, deliver, rpc);
	else
		deliver(rpc);
}

static void
set_error(Rpc *rpc, GrpcStatus status, const char *message)
{
	buf_reset(&rpc->reply);
	rpc->status = status;
	rpc->message = message;
}

/* Do what the fault asks instead of a proper reply; false: reply properly. */
static bool
misbehave(Rpc *rpc)
{
	const Fault *fault = &rpc->fault;

	if (fault->goaway)
		h2_goaway(rpc->stream, !fault->after);
	if (fault->drop)
	{
		write_log(rpc, "dropped");
		h2_abort_connection(rpc->stream);
		return true;
	}
	if (fault->reset || (fault->goaway && !fault->after))
	{
		write_log(rpc, fault->reset ? "reset" : "refused");
		if (fault->reset)
			h2_reset(rpc->stream);
		return true;
	}
	if (fault->http_status != 0)
	{
		write_log(rpc, "http");
		grpc_respond_http_status(rpc, fault->http_status);
		return true;
	}
	if (fault->status == GRPC_OK)
		return false;
	set_error(rpc, fault->status, "fault on demand");
	if (fault->retry_after >= 0)
	{
		Modal__Client__RPCRetryPolicy policy =
			MODAL__CLIENT__RPCRETRY_POLICY__INIT;
		Modal__Client__Any any = MODAL__CLIENT__ANY__INIT;
		Modal__Client__Any *anys[] = {&any};
		Modal__Client__RPCStatus status = MODAL__CLIENT__RPCSTATUS__INIT;
		uint8_t *details;

		policy.retry_after_secs = (float) fault->retry_after;
		any.type_url = TYPE_URL;
		any.value.len = protobuf_c_message_get_packed_size(&policy.base);
		any.value.data = arena_alloc(&rpc->arena, any.value.len);
		protobuf_c_message_pack(&policy.base, any.value.data);
		status.code = fault->status;
		status.message = "fault on demand";
		status.n_details = 1;
		status.details = anys;
		rpc->details_len = protobuf_c_message_get_packed_size(&status.base);
		details = arena_alloc(&rpc->arena, rpc->details_len);
		protobuf_c_message_pack(&status.base, details);
		rpc->details = details;
	}
	return false;
}

static void
deliver(void *arg)
{
	Rpc *rpc = arg;

	if (rpc->fault.active && rpc->fault.after && misbehave(rpc))
		return;
	write_log(rpc, grpc_status_name(rpc->status));
	if (rpc->fault.empty && rpc->status == GRPC_OK)
	{
		buf_reset(&rpc->reply);
		grpc_put_prefix(&rpc->reply, 0);
	}
	if (rpc->fault.truncate && rpc->reply.len > GRPC_PREFIX_SIZE)
		rpc->reply.len -= (rpc->reply.len - GRPC_PREFIX_SIZE + 1) / 2;
	if (rpc->fault.no_trailers)
		grpc_respond_without_trailers(rpc);
	else
		grpc_respond(rpc);
}

void
rpc_fail(Rpc *rpc, GrpcStatus status, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	set_error(rpc, status, arena_strndup(&rpc->arena, text, strlen(text)));
	answer(rpc);
}

uint8_t *
rpc_reply_open(Rpc *rpc, size_t max)
{
	buf_reserve(&rpc->reply, GRPC_PREFIX_SIZE + max);
	return rpc->reply.data + rpc->reply.len + GRPC_PREFIX_SIZE;
}

static void
close_message(Rpc *rpc, const uint8_t *end)
{
	size_t before = rpc->reply.len;

	grpc_put_prefix(&rpc->reply,
					(size_t) (end - rpc->reply.data) - before -
						GRPC_PREFIX_SIZE);
	rpc->reply.len = (size_t) (end - rpc->reply.data);
}

void
rpc_reply_close(Rpc *rpc, const uint8_t *end)
{
	close_message(rpc, end);
	answer(rpc);
}

static void
append_message(Rpc *rpc, const ProtobufCMessage *message)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	uint8_t *at = rpc_reply_open(rpc, len);

	protobuf_c_message_pack(message, at);
	close_message(rpc, at + len);
}

void
rpc_reply_message(Rpc *rpc, const ProtobufCMessage *message)
{
	append_message(rpc, message);
	answer(rpc);
}

void
rpc_reply_empty(Rpc *rpc)
{
	rpc_reply_close(rpc, rpc_reply_open(rpc, 0));
}

void
rpc_stream_begin(Rpc *rpc)
{
	rpc->streaming = true;
	grpc_respond(rpc);
}

void
rpc_stream_send(Rpc *rpc, const ProtobufCMessage *message)
{
	append_message(rpc, message);
	h2_resume(rpc->stream);
}

void
rpc_stream_end(Rpc *rpc, GrpcStatus status)
{
	rpc->status = status;
	rpc->answered = true;
	rpc->abandoned = NULL;
	rpc->ended = true;
	rpc->more = NULL;
	write_log(rpc, grpc_status_name(status));
	h2_resume(rpc->stream);
}

bool
rpc_stream_full(Rpc *rpc, void (*more)(Rpc *rpc))
{
	/* What is gone counts as well, as its place is not used again before. */
	bool full = rpc->reply.len >= MAX_AHEAD;

	rpc->more = full ? more : NULL;
	return full;
}

static void
ask_for_more(void *arg)
{
	Rpc *rpc = arg;
	void (*more)(Rpc *rpc) = rpc->more;

	rpc->more = NULL;
	if (more != NULL)
		more(rpc);
}

void
rpc_reply_taken(Rpc *rpc)
{
	if (rpc->more != NULL)
		loop_set_timer(&rpc->delay, 0, ask_for_more, rpc);
}

void *
rpc_unpack(Rpc *rpc, const ProtobufCMessageDescriptor *type)
{
	ProtobufCAllocator allocator = arena_allocator(&rpc->arena);
	ProtobufCMessage *message = protobuf_c_message_unpack(
		type, &allocator, rpc->request_len, rpc->request);

	if (message == NULL)
		rpc_fail(rpc, GRPC_INTERNAL, "request is not a %s", type->short_name);
	return message;
}

/* --- who asks ------------------------------------------------------------ */

static bool
secret_matches(const char *given, const char *right)
{
	return given != NULL && strlen(given) == strlen(right) &&
		   CRYPTO_memcmp(given, right, strlen(right)) == 0;
}

bool
rpc_has_token(const Rpc *rpc)
{
	/* The same pair, with any refresh token, is an OAuth client. */
	bool oauth = rpc->headers[HEADER_REFRESH_TOKEN] != NULL;
	const char *id = rpc->headers[oauth ? HEADER_OAUTH_CLIENT_ID
										: HEADER_TOKEN_ID];
	const char *secret = rpc->headers[oauth ? HEADER_OAUTH_CLIENT_SECRET
											: HEADER_TOKEN_SECRET];

	return secret_matches(id, settings.token_id) &&
		   secret_matches(secret, settings.token_secret);
}

static bool
check_token(Rpc *rpc)
{
	const char *auth = rpc->headers[HEADER_AUTH_TOKEN];

	if (!rpc_has_token(rpc))
	{
		rpc_fail(rpc, GRPC_UNAUTHENTICATED,
				 "Token missing or not known to this server");
		return false;
	}
	if (auth == NULL && rpc->method->flags & RPC_INPUT_PLANE)
	{
		rpc_fail(rpc, GRPC_UNAUTHENTICATED,
				 "The input plane needs an auth token");
		return false;
	}
	if (auth != NULL &&
		!jwt_verify_client(auth, loop_wall_time(), settings.token_secret))
	{
		rpc_fail(rpc, GRPC_UNAUTHENTICATED, "Invalid or expired auth token");
		return false;
	}
	return true;
}

/* False when the Rpc has been answered, or its answer stalls. */
static bool
check_identity(Rpc *rpc)
{
	const char *type = rpc->headers[HEADER_CLIENT_TYPE];
	const char *version = rpc->headers[HEADER_CLIENT_VERSION];
	const char *missing = NULL;

	if (type == NULL)
		missing = "x-modal-client-type";
	else if (version == NULL)
		missing = "x-modal-client-version";
	else if (strcmp(type, "1") == 0 &&
			 rpc->headers[HEADER_PYTHON_VERSION] == NULL)
		missing = "x-modal-python-version";
	if (missing != NULL)
	{
		rpc_fail(rpc, GRPC_FAILED_PRECONDITION, "Missing %s header", missing);
		return false;
	}
	if (strcmp(version, "unauthenticated") == 0)
	{
		rpc_fail(rpc, GRPC_UNAUTHENTICATED, "Client is not authenticated");
		return false;
	}
	if (strcmp(version, "timeout") == 0)
	{
		rpc->status = GRPC_DEADLINE_EXCEEDED;
		loop_set_timer(&rpc->delay, STALL_SECONDS, deliver, rpc);
		return false;
	}
	if (strcmp(version, "deprecated") != 0 && atoi(version) < OLDEST_VERSION)
	{
		rpc_fail(rpc, GRPC_FAILED_PRECONDITION, "Old client");
		return false;
	}
	if (strcmp(type, "1") != 0 && strcmp(type, "8") != 0 &&
		strcmp(type, "9") != 0)
	{
		rpc_fail(rpc, GRPC_FAILED_PRECONDITION, "Unknown client type");
		return false;
	}
	return check_token(rpc);
}

const char *
rpc_client(const Rpc *rpc)
{
	const char *type = rpc->headers[HEADER_CLIENT_TYPE];

	switch (type != NULL ? atoi(type) : 0)
	{
		case 1:
			return "Python client";
		case 8:
			return "JavaScript client";
		case 9:
			return "modal_batch or Go client";
		default:
			return NULL;
	}
}

/* --- dispatch ------------------------------------------------------------ */

static void
apply(void *arg)
{
	Rpc *rpc = arg;

	if (rpc->fault.active && !rpc->fault.after && misbehave(rpc))
		return;
	if (rpc->status != GRPC_OK)
	{
		answer(rpc);
		return;
	}
	if (rpc->method->flags & RPC_IDEMPOTENT &&
		rpc->headers[HEADER_IDEMPOTENCY_KEY] != NULL)
	{
		const Buf *known = idempotency_get(
			rpc->method->name, rpc->headers[HEADER_IDEMPOTENCY_KEY]);

		rpc->replayed = known != NULL;
		if (known != NULL && known->len > 0)
		{
			buf_put(&rpc->reply, known->data, known->len);
			answer(rpc);
			return;
		}
	}
	rpc->method->handler(rpc);
}

/* NULL: there is no such method. */
static const RpcMethod *
find_method(const char *name)
{
	for (const RpcMethod *m = settings.methods; m->name != NULL; m++)
		if (strcmp(m->name, name) == 0)
			return m;
	return NULL;
}

void
rpc_dispatch(Rpc *rpc)
{
	const char *path = rpc->headers[HEADER_PATH];
	const char *method = rpc->headers[HEADER_METHOD];
	const char *type = rpc->headers[HEADER_CONTENT_TYPE];
	const char *te = rpc->headers[HEADER_TE];
	size_t prefix = strlen(PATH_PREFIX);

	if (method == NULL || strcmp(method, "POST") != 0 || te == NULL ||
		strcmp(te, "trailers") != 0 || type == NULL ||
		strncmp(type, "application/grpc", strlen("application/grpc")) != 0)
	{
		grpc_respond_http_status(rpc, 400);
		return;
	}
	if (path != NULL && strncmp(path, PATH_PREFIX, prefix) == 0)
		rpc->method = find_method(path + prefix);
	if (rpc->method == NULL)
	{
		set_error(rpc, GRPC_UNIMPLEMENTED, "Method not found!");
		rpc->answered = true;
		deliver(rpc);
		return;
	}
	if (!check_identity(rpc))
		return;
	rpc->fault = faults_for_rpc(rpc->method->name, rpc->headers[HEADER_FAULT]);
	if (rpc->fault.delay_before > 0)
		loop_set_timer(&rpc->delay, rpc->fault.delay_before, apply, rpc);
	else
		apply(rpc);
}

void
rpc_stream_closed(Rpc *rpc)
{
	loop_clear_timer(&rpc->delay);
	if (rpc->abandoned != NULL)
		rpc->abandoned(rpc);
	if (rpc->method != NULL)
		write_log(rpc, "abandoned");
}
