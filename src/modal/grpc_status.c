/*-------------------------------------------------------------------------
 *
 * grpc_status.c
 *	  What a gRPC server said about the outcome of a call.
 *
 * Everything here comes from outside: lengths are limited, and what cannot be
 * decoded counts as not said.
 *
 *-------------------------------------------------------------------------
 */
#include "modal/grpc_status.h"

#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "errors.h"
#include "proto/modal.pb-c.h"

#define MAX_MESSAGE 4096
#define MAX_DETAILS (64 * 1024)
#define RETRY_POLICY_TYPE "/modal.client.RPCRetryPolicy"

void
grpc_trailers_init(GrpcTrailers *trailers)
{
	trailers->status = -1;
	buf_init(&trailers->message, MAX_MESSAGE, NULL);
	buf_init(&trailers->details, MAX_DETAILS, NULL);
}

void
grpc_trailers_reset(GrpcTrailers *trailers)
{
	trailers->status = -1;
	buf_reset(&trailers->message);
	buf_reset(&trailers->details);
}

void
grpc_trailers_free(GrpcTrailers *trailers)
{
	buf_free(&trailers->message);
	buf_free(&trailers->details);
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Percent-encoding; malformed escapes stay as they are. */
static void
decode_message(Buf *out, const char *p, size_t n)
{
	buf_reset(out);
	for (size_t i = 0; i < n && out->len < MAX_MESSAGE; i++)
	{
		int hi = -1;
		int lo = -1;

		if (p[i] == '%' && i + 2 < n)
		{
			hi = hex_value(p[i + 1]);
			lo = hex_value(p[i + 2]);
		}
		if (hi >= 0 && lo >= 0)
		{
			buf_put_u8(out, hi * 16 + lo);
			i += 2;
		}
		else
			buf_put_u8(out, p[i]);
	}
}

static bool
is_name(const char *name, size_t len, const char *wanted)
{
	return strlen(wanted) == len && memcmp(name, wanted, len) == 0;
}

void
grpc_trailers_add(GrpcTrailers *trailers, const char *name, size_t name_len,
				  const char *value, size_t value_len)
{
	if (name_len < 5 || memcmp(name, "grpc-", 5) != 0)
		return;
	if (is_name(name, name_len, "grpc-status"))
	{
		int status = 0;

		if (value_len == 0 || value_len > 3)
			return;
		for (size_t i = 0; i < value_len; i++)
		{
			if (value[i] < '0' || value[i] > '9')
				return;
			status = status * 10 + (value[i] - '0');
		}
		trailers->status = status <= GRPC_UNAUTHENTICATED ? status
														  : GRPC_UNKNOWN;
	}
	else if (is_name(name, name_len, "grpc-message"))
		decode_message(&trailers->message, value, value_len);
	else if (is_name(name, name_len, "grpc-status-details-bin"))
	{
		buf_reset(&trailers->details);
		buf_put(&trailers->details, value, value_len);
	}
}

static bool
has_suffix(const char *text, const char *suffix)
{
	size_t n = strlen(text);
	size_t m = strlen(suffix);

	return n >= m && strcmp(text + n - m, suffix) == 0;
}

static bool
find_policy(const Modal__Client__RPCStatus *status, double *seconds)
{
	for (size_t i = 0; i < status->n_details; i++)
	{
		const Modal__Client__Any *any = status->details[i];
		Modal__Client__RPCRetryPolicy *policy;

		if (!has_suffix(any->type_url, RETRY_POLICY_TYPE))
			continue;
		policy = modal__client__rpcretry_policy__unpack(NULL, any->value.len,
														 any->value.data);
		if (policy == NULL)
			return false;
		*seconds = policy->retry_after_secs;
		modal__client__rpcretry_policy__free_unpacked(policy, NULL);
		return true;
	}
	return false;
}

bool
grpc_trailers_delay(const GrpcTrailers *trailers, double *seconds)
{
	Modal__Client__RPCStatus *status;
	Buf bytes;
	bool found = false;

	if (trailers->details.len == 0)
		return false;
	buf_init(&bytes, MAX_DETAILS, NULL);
	if (base64_decode(&bytes, (const char *) trailers->details.data,
					  trailers->details.len))
	{
		status = modal__client__rpcstatus__unpack(NULL, bytes.len, bytes.data);
		if (status != NULL)
		{
			found = find_policy(status, seconds);
			modal__client__rpcstatus__free_unpacked(status, NULL);
		}
	}
	buf_free(&bytes);
	return found;
}

GrpcStatus
grpc_status_of_http(int status)
{
	switch (status)
	{
		case 200:
			return GRPC_INTERNAL;
		case 400:
			return GRPC_INTERNAL;
		case 401:
			return GRPC_UNAUTHENTICATED;
		case 403:
			return GRPC_PERMISSION_DENIED;
		case 404:
			return GRPC_UNIMPLEMENTED;
		case 429:
		case 502:
		case 503:
		case 504:
			return GRPC_UNAVAILABLE;
		default:
			return GRPC_UNKNOWN;
	}
}

GrpcStatus
grpc_status_of_transport(TransportError error)
{
	switch (error)
	{
		case TRANSPORT_OK:
			return GRPC_OK;
		case TRANSPORT_CONNECT:
		case TRANSPORT_TLS:
		case TRANSPORT_LOST:
		case TRANSPORT_REFUSED:
		case TRANSPORT_NO_DESCRIPTOR:
			return GRPC_UNAVAILABLE;
		case TRANSPORT_NOT_ALLOWED:
			return GRPC_PERMISSION_DENIED;
		case TRANSPORT_TIMEOUT:
			return GRPC_DEADLINE_EXCEEDED;
		case TRANSPORT_ABORTED:
			return GRPC_CANCELLED;
		case TRANSPORT_TOO_LARGE:
		case TRANSPORT_PROTOCOL:
		case TRANSPORT_CODING:
		case TRANSPORT_MEMORY:
			return GRPC_INTERNAL;
	}
	return GRPC_UNKNOWN;
}

const char *
grpc_sqlstate(const GrpcResult *result)
{
	switch (result->transport)
	{
		case TRANSPORT_CONNECT:
		case TRANSPORT_TLS:
			return MODAL_SQLSTATE_CONNECT;
		case TRANSPORT_TOO_LARGE:
			return MODAL_SQLSTATE_TOO_LARGE;
		case TRANSPORT_PROTOCOL:
		case TRANSPORT_CODING:
			return MODAL_SQLSTATE_PROTOCOL;
		case TRANSPORT_NOT_ALLOWED:
			return MODAL_SQLSTATE_PERMISSION;
		default:
			break;
	}
	switch (result->status)
	{
		case GRPC_INVALID_ARGUMENT:
		case GRPC_OUT_OF_RANGE:
			return MODAL_SQLSTATE_REFERENCE;
		case GRPC_NOT_FOUND:
			return MODAL_SQLSTATE_NOT_FOUND;
		case GRPC_PERMISSION_DENIED:
			return MODAL_SQLSTATE_PERMISSION;
		case GRPC_RESOURCE_EXHAUSTED:
			return MODAL_SQLSTATE_RESOURCES;
		case GRPC_FAILED_PRECONDITION:
		case GRPC_ABORTED:
		case GRPC_ALREADY_EXISTS:
			return MODAL_SQLSTATE_NO_DISPATCHER;
		case GRPC_UNIMPLEMENTED:
			return MODAL_SQLSTATE_UNSUPPORTED;
		case GRPC_DATA_LOSS:
			return MODAL_SQLSTATE_PROTOCOL;
		case GRPC_UNAUTHENTICATED:
			return MODAL_SQLSTATE_AUTH;
		default:
			return MODAL_SQLSTATE_CONNECTION;
	}
}

bool
grpc_worth_retrying(const GrpcResult *result)
{
	if (result->transport == TRANSPORT_TLS ||
		result->transport == TRANSPORT_NOT_ALLOWED ||
		result->transport == TRANSPORT_TOO_LARGE ||
		result->transport == TRANSPORT_PROTOCOL ||
		result->transport == TRANSPORT_CODING)
		return false;
	switch (result->status)
	{
		case GRPC_CANCELLED:
		case GRPC_UNKNOWN:
		case GRPC_DEADLINE_EXCEEDED:
		case GRPC_INTERNAL:
		case GRPC_UNAVAILABLE:
		case GRPC_RESOURCE_EXHAUSTED:
		case GRPC_ABORTED:
			return true;
		default:
			return false;
	}
}

const char *
grpc_hint(const GrpcResult *result)
{
	switch (result->status)
	{
		case GRPC_UNAUTHENTICATED:
			return "Check token_id and token_secret of the user mapping.";
		case GRPC_FAILED_PRECONDITION:
			return "If the client is too old for the service, set the server option client_version.";
		default:
			break;
	}
	if (result->transport == TRANSPORT_NOT_ALLOWED)
		return "A superuser may add it to setting modal_batch.allowed_hosts.";
	if (result->transport == TRANSPORT_TLS)
		return "Check the server options ssl_ca and ssl_ca_file, and the certificate of the service.";
	if (result->transport == TRANSPORT_CONNECT)
		return "Check the server option url, and that the service is reachable from the database server.";
	return NULL;
}
