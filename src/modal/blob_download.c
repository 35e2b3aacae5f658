/*-------------------------------------------------------------------------
 *
 * blob_download.c
 *	  Downloads of results that did not travel inline, and what uploads and
 *	  downloads have in common.
 *
 * URLs are presigned: they are secrets, and no header of ours goes there.
 *
 *-------------------------------------------------------------------------
 */
#include "modal/blob.h"

#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "proto/modal.pb-c.h"

#define SLOW_DOWN_DELAY 1.0		/* more, after HTTP 503 */

static const RetryPolicy download_policy = {
	.first = 0.1,
	.growth = 2,
	.most = 10,
	.budget = RETRY_FOREVER,
	.tries = 4,
};

/* The store's host is the service's choice, so that it may be a refused one. */
static bool
is_final(const Response *response)
{
	return response->error == TRANSPORT_NOT_ALLOWED ||
		response->error == TRANSPORT_TLS ||
		response->error == TRANSPORT_TOO_LARGE;
}

bool
blob_try_again(Retry *retry, const RetryPolicy *policy, Timer *timer,
			   const Response *response)
{
	double now = monotonic_seconds();
	double least = response->status == 503 ? SLOW_DOWN_DELAY : 0;

	return !is_final(response) && retry_failed(retry, policy, now) &&
		timer_set(timer,
				  now + retry_pause(retry, policy, now, random_unit(), least));
}

void
blob_error_final(ModalError *error, const Response *response)
{
	const GrpcResult result = {.transport = response->error};

	if (!is_final(response))
		return;
	error->sqlstate = grpc_sqlstate(&result);
	error->hint = grpc_hint(&result);
	error->retryable = false;
}

void
blob_count_traffic(DispatchCall *call, const Response *response)
{
	call->requests++;
	call->bytes_out += response->bytes_sent;
	call->bytes_in += response->bytes_received;
	call_touch(call);
}

struct BlobDownload
{
	ModalTarget *mt;
	DispatchCall *call;
	BlobMayHold may_hold;	/* NULL: whatever comes may */
	BlobMore on_more;		/* NULL: nobody wants to know */
	BlobDownloaded on_done;
	void *arg;
	GrpcCall *get;
	char *url;
	Request *request;
	Timer again;
	Retry retry;
};

static void
download_free(BlobDownload *download)
{
	if (download->get != NULL)
		grpc_cancel(download->get);
	if (download->request != NULL)
		request_cancel(download->request);
	timer_cancel(&download->again);
	free(download->url);
	free(download);
}

void
blob_download_cancel(BlobDownload *download)
{
	download_free(download);
}

static void
download_failed(BlobDownload *download, const ModalError *error)
{
	BlobDownloaded on_done = download->on_done;
	void *arg = download->arg;

	download_free(download);
	on_done(arg, NULL, error);
}

static void
on_downloaded(void *arg, Response *response)
{
	BlobDownload *download = arg;
	ModalError error;

	download->request = NULL;
	blob_count_traffic(download->call, response);
	if (response->error == TRANSPORT_OK && response->status / 100 == 2)
	{
		BlobDownloaded on_done = download->on_done;
		void *owner = download->arg;

		download_free(download);
		on_done(owner, &response->body, NULL);
		return;
	}
	if (response->error == TRANSPORT_ABORTED)
	{
		download_failed(download, NULL);
		return;
	}
	if (blob_try_again(&download->retry, &download_policy, &download->again,
					   response))
	{
		download->call->retries++;
		return;
	}
	if (response->error == TRANSPORT_OK)
		modal_error(&error, MODAL_SQLSTATE_CONNECTION, NULL,
					"could not download a result: the object store answered with HTTP status %d",
					response->status);
	else if (response->error == TRANSPORT_TOO_LARGE)
		modal_error(&error, MODAL_SQLSTATE_TOO_LARGE, NULL,
					"result of a remote function is larger than modal_batch.max_payload");
	else
		modal_error(&error, MODAL_SQLSTATE_CONNECTION, NULL,
					"could not download a result: %s", response->message);
	error.retryable = true;
	blob_error_final(&error, response);
	download_failed(download, &error);
}

/* What is larger, the session would refuse. */
static size_t
max_body(const DispatchCall *call)
{
	uint64_t max = call->open.max_output;

	return max > 0 && max < FRAME_MAX_PAYLOAD ? max : FRAME_MAX_PAYLOAD;
}

static bool
may_hold(void *arg, uint64_t bytes)
{
	const BlobDownload *download = arg;

	return download->may_hold(download->arg, bytes);
}

static void
on_more(void *arg, const Buf *body, uint64_t length)
{
	const BlobDownload *download = arg;

	download->on_more(download->arg, body, length);
}

static void
send_download(void *arg)
{
	BlobDownload *download = arg;
	RequestSpec spec = {0};
	ModalError error;

	spec.origin = download->mt->target->origin;
	spec.method = "GET";
	spec.path = download->url;
	spec.max_body = max_body(download->call);
	spec.stall_timeout_s = download->mt->control->response_timeout;
	spec.may_hold = download->may_hold != NULL ? may_hold : NULL;
	spec.on_more = download->on_more != NULL ? on_more : NULL;
	spec.on_done = on_downloaded;
	spec.arg = download;
	download->request = request_start(&spec);
	if (download->request == NULL)
	{
		modal_error_memory(&error);
		download_failed(download, &error);
	}
}

static void
on_blob_url(void *arg, const GrpcResult *result)
{
	BlobDownload *download = arg;
	Modal__Client__BlobGetResponse *reply = NULL;
	ModalError error;

	download->get = NULL;
	if (result->status != GRPC_OK)
	{
		modal_error_grpc(&error, result, "could not download a result");
		download_failed(download, &error);
		return;
	}
	reply = grpc_unpack(result, &modal__client__blob_get_response__descriptor);
	if (reply != NULL &&
		origin_may_ask(download->mt->target->origin, reply->download_url))
		download->url = strdup(reply->download_url);
	if (reply != NULL)
		modal__client__blob_get_response__free_unpacked(reply, NULL);
	if (download->url == NULL)
	{
		modal_error(&error, MODAL_SQLSTATE_PROTOCOL, NULL,
					"the reply of the service to BlobGet cannot be read");
		download_failed(download, &error);
		return;
	}
	send_download(download);
}

BlobDownload *
blob_download(ModalTarget *mt, DispatchCall *call, Slice blob_id,
			  BlobMayHold may_hold, BlobMore on_more, BlobDownloaded on_done,
			  void *arg)
{
	BlobDownload *download = calloc(1, sizeof(*download));
	Modal__Client__BlobGetRequest request =
		MODAL__CLIENT__BLOB_GET_REQUEST__INIT;
	GrpcSpec spec;
	char *id = strndup(blob_id.p, blob_id.n);

	if (download == NULL || id == NULL)
	{
		free(download);
		free(id);
		return NULL;
	}
	download->mt = mt;
	download->call = call;
	download->may_hold = may_hold;
	download->on_more = on_more;
	download->on_done = on_done;
	download->arg = arg;
	timer_init(&download->again, send_download, download);
	spec = grpc_spec(mt->control, "BlobGet", call, on_blob_url, download);
	request.blob_id = id;
	grpc_pack(&spec.request, &request.base);
	download->get = grpc_start(&spec);
	free(id);
	if (download->get == NULL)
	{
		download_free(download);
		return NULL;
	}
	return download;
}
