/*-------------------------------------------------------------------------
 *
 * blob_upload.c
 *	  Uploads of inputs that are too large to travel inline.
 *
 * BlobCreate answers with one or more places to upload to, each a single URL
 * or a list of URLs for parts; they are tried in turn.  A single upload is a
 * list of one part here.  Every part is retried by itself, and its ETag, the
 * MD5 of what the store has received, is compared with our own.
 *
 * URLs are presigned: they are secrets, and no header of ours goes there.
 *
 *-------------------------------------------------------------------------
 */
#include "modal/blob.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "modal/digest.h"
#include "proto/modal.pb-c.h"

#define PARALLEL_PARTS 8
#define MAX_PARTS 10000
#define MAX_REPLY (1024 * 1024)
#define MD5_HEX_LEN 32

static const RetryPolicy upload_policy = {
	.first = 0.3,
	.growth = 2,
	.most = 10,
	.budget = RETRY_FOREVER,
	.tries = 2,
};

typedef Modal__Client__BlobCreateResponse BlobCreateResponse;
typedef Modal__Client__MultiPartUpload MultiPartUpload;

typedef struct Part
{
	BlobUpload *upload;
	const char *url;
	const uint8_t *p;
	size_t n;
	Digest *digest;
	Request *request;
	Timer again;
	Retry retry;
	bool done;
	uint8_t md5[MD5_LEN];
	char etag[MD5_HEX_LEN + 1];
} Part;

struct BlobUpload
{
	ModalTarget *mt;
	DispatchCall *call;
	const uint8_t *p;
	size_t n;
	BlobUploaded on_done;
	void *arg;
	uint8_t md5[MD5_LEN];
	Digest *digest;
	GrpcCall *create;
	BlobCreateResponse *places;
	size_t place;			  /* being tried */
	const char *blob_id;	  /* of it */
	const char *completion_url; /* NULL: a single part */
	Part *parts;
	size_t nparts, next_part, ndone;
	int active;
	bool digesting; /* a part: the first can be sent while the next one's is made */
	Request *completion;
	Buf completion_body;
	Timer again;			  /* the completion */
	Retry retry;
};

static void try_place(BlobUpload *upload);
static void send_parts(BlobUpload *upload);
static void send_completion(BlobUpload *upload);

static void
hex(const uint8_t *p, size_t n, char *to)
{
	for (size_t i = 0; i < n; i++)
		sprintf(to + 2 * i, "%02x", p[i]);
}

/* --- the end of an upload ------------------------------------------------- */

static void
parts_free(BlobUpload *upload)
{
	for (size_t i = 0; i < upload->nparts; i++)
	{
		if (upload->parts[i].digest != NULL)
			digest_cancel(upload->parts[i].digest);
		if (upload->parts[i].request != NULL)
			request_cancel(upload->parts[i].request);
		timer_cancel(&upload->parts[i].again);
	}
	free(upload->parts);
	upload->parts = NULL;
	upload->nparts = 0;
}

static void
upload_free(BlobUpload *upload)
{
	parts_free(upload);
	if (upload->digest != NULL)
		digest_cancel(upload->digest);
	if (upload->create != NULL)
		grpc_cancel(upload->create);
	if (upload->completion != NULL)
		request_cancel(upload->completion);
	timer_cancel(&upload->again);
	buf_free(&upload->completion_body);
	if (upload->places != NULL)
		modal__client__blob_create_response__free_unpacked(upload->places, NULL);
	free(upload);
}

void
blob_upload_cancel(BlobUpload *upload)
{
	upload_free(upload);
}

static void
upload_failed(BlobUpload *upload, const ModalError *error)
{
	BlobUploaded on_done = upload->on_done;
	void *arg = upload->arg;

	upload_free(upload);
	on_done(arg, NULL, error);
}

static void
upload_failed_memory(BlobUpload *upload)
{
	ModalError error;

	modal_error_memory(&error);
	upload_failed(upload, &error);
}

static void
upload_succeeded(BlobUpload *upload)
{
	BlobUploaded on_done = upload->on_done;
	void *arg = upload->arg;
	char *blob_id = strdup(upload->blob_id);

	if (blob_id == NULL)
	{
		upload_failed_memory(upload);
		return;
	}
	upload_free(upload);
	on_done(arg, blob_id, NULL);
	free(blob_id);
}

/* This place does not work: the next one, or the end. */
static void
place_failed(BlobUpload *upload, const Response *response, const char *why)
{
	ModalError error;

	parts_free(upload);
	upload->place++;
	modal_error(&error, MODAL_SQLSTATE_CONNECTION, NULL,
				"could not upload an input of %zu bytes", upload->n);
	error.retryable = true;
	if (response != NULL && response->error != TRANSPORT_OK)
	{
		snprintf(error.detail, sizeof(error.detail), "%s", response->message);
		blob_error_final(&error, response);
	}
	else if (response != NULL)
		snprintf(error.detail, sizeof(error.detail),
				 "The object store answered with HTTP status %d%s%s.",
				 response->status, why[0] != '\0' ? ", and " : "", why);
	if (upload->places->upload_types_oneof_case ==
			MODAL__CLIENT__BLOB_CREATE_RESPONSE__UPLOAD_TYPES_ONEOF__NOT_SET ||
		upload->place >= upload->places->n_blob_ids)
		upload_failed(upload, &error);
	else
		try_place(upload);
}

/* --- parts ---------------------------------------------------------------- */

/* ETag: W/"hex", with or without prefix and quotes. */
static void
on_part_header(void *arg, const char *name, size_t name_len, const char *value,
			   size_t value_len)
{
	Part *part = arg;

	if (name_len != 4 || memcmp(name, "etag", 4) != 0)
		return;
	if (value_len > 2 && memcmp(value, "W/", 2) == 0)
	{
		value += 2;
		value_len -= 2;
	}
	if (value_len >= 2 && value[0] == '"' && value[value_len - 1] == '"')
	{
		value++;
		value_len -= 2;
	}
	if (value_len == MD5_HEX_LEN)
		memcpy(part->etag, value, MD5_HEX_LEN);
}

static bool
etag_matches(const Part *part)
{
	char expected[MD5_HEX_LEN + 1];

	hex(part->md5, MD5_LEN, expected);
	return strcasecmp(part->etag, expected) == 0;
}

static void
on_part_done(void *arg, Response *response)
{
	Part *part = arg;
	BlobUpload *upload = part->upload;
	bool good = response->error == TRANSPORT_OK && response->status / 100 == 2;
	bool intact = part->etag[0] == '\0' ? upload->completion_url == NULL
										: etag_matches(part);

	part->request = NULL;
	upload->active--;
	blob_count_traffic(upload->call, response);
	if (good && intact)
	{
		part->done = true;
		upload->ndone++;
		if (upload->ndone < upload->nparts)
			send_parts(upload);
		else if (upload->completion_url != NULL)
			send_completion(upload);
		else
			upload_succeeded(upload);
	}
	else if (blob_try_again(&part->retry, &upload_policy, &part->again, response))
		upload->call->retries++;
	else
		place_failed(upload, response,
					 good ? "what it stored is not what was sent" : "");
}

static bool
send_part(Part *part)
{
	BlobUpload *upload = part->upload;
	RequestSpec spec = {0};
	const char *headers[3] = {NULL};
	char md5_header[64];
	Buf md5;

	buf_init(&md5, 0, NULL);
	if (upload->completion_url == NULL)
	{
		base64_encode(&md5, part->md5, MD5_LEN);
		snprintf(md5_header, sizeof(md5_header), "Content-MD5: %s",
				 buf_cstr(&md5));
		headers[0] = "Content-Type: application/octet-stream";
		headers[1] = md5_header;
	}
	spec.origin = upload->mt->target->origin;
	spec.method = "PUT";
	spec.path = part->url;
	spec.headers = headers;
	spec.body = part->p;
	spec.body_len = part->n;
	spec.max_body = MAX_REPLY;
	spec.stall_timeout_s = upload->mt->control->response_timeout;
	spec.on_header = on_part_header;
	spec.on_done = on_part_done;
	spec.arg = part;
	part->etag[0] = '\0';
	part->request = request_start(&spec);
	buf_free(&md5);
	if (part->request == NULL)
		return false;
	upload->active++;
	return true;
}

static void
on_part_retry(void *arg)
{
	Part *part = arg;

	if (!send_part(part))
		upload_failed_memory(part->upload);
}

static void
on_part_digest(void *arg, const uint8_t *md5, const uint8_t *sha256)
{
	Part *part = arg;
	BlobUpload *upload = part->upload;

	(void) sha256;
	part->digest = NULL;
	upload->digesting = false;
	upload->active--;
	if (md5 != NULL)
		memcpy(part->md5, md5, MD5_LEN);
	if (md5 == NULL || !send_part(part))
		upload_failed_memory(upload);
	else
		send_parts(upload);
}

/* The digest of the only part is known; any other part's is made first. */
static bool
begin_part(Part *part)
{
	BlobUpload *upload = part->upload;

	if (upload->nparts == 1)
	{
		memcpy(part->md5, upload->md5, MD5_LEN);
		return send_part(part);
	}
	part->digest =
		digest_start(part->p, part->n, false, on_part_digest, part);
	if (part->digest == NULL)
		return false;
	upload->digesting = true;
	upload->active++;
	return true;
}

static void
send_parts(BlobUpload *upload)
{
	while (upload->next_part < upload->nparts && !upload->digesting &&
		   upload->active < PARALLEL_PARTS)
	{
		if (!begin_part(&upload->parts[upload->next_part++]))
		{
			upload_failed_memory(upload);
			return;
		}
	}
}

/* --- completion of multipart uploads -------------------------------------- */

/* hex(md5(all parts' md5s))-N, somewhere in the reply. */
static bool
completion_matches(BlobUpload *upload, const Response *response)
{
	char expected[MD5_HEX_LEN + 16];
	uint8_t md5[MD5_LEN];
	Buf all;
	Buf body = response->body;
	bool ok;

	buf_init(&all, 0, NULL);
	for (size_t i = 0; i < upload->nparts; i++)
		buf_put(&all, upload->parts[i].md5, MD5_LEN);
	ok = !all.failed &&
		EVP_Digest(all.data, all.len, md5, NULL, EVP_md5(), NULL) == 1;
	buf_free(&all);
	if (!ok)
		return false;
	hex(md5, MD5_LEN, expected);
	snprintf(expected + MD5_HEX_LEN, 16, "-%zu", upload->nparts);
	return strstr(buf_cstr(&body), expected) != NULL;
}

static void
on_completed(void *arg, Response *response)
{
	BlobUpload *upload = arg;
	bool good = response->error == TRANSPORT_OK && response->status / 100 == 2;

	upload->completion = NULL;
	blob_count_traffic(upload->call, response);
	if (good && completion_matches(upload, response))
		upload_succeeded(upload);
	else if (blob_try_again(&upload->retry, &upload_policy, &upload->again,
							response))
		upload->call->retries++;
	else
		place_failed(upload, response,
					 good ? "what it stored is not what was sent" : "");
}

static void
on_completion_retry(void *arg)
{
	send_completion(arg);
}

static void
send_completion(BlobUpload *upload)
{
	RequestSpec spec = {0};
	Buf *body = &upload->completion_body;

	buf_reset(body);
	buf_put_cstr(body, "<CompleteMultipartUpload>\n");
	for (size_t i = 0; i < upload->nparts; i++)
		buf_printf(body,
				   "<Part>\n<PartNumber>%zu</PartNumber>\n<ETag>\"%s\"</ETag>\n</Part>\n",
				   i + 1, upload->parts[i].etag);
	buf_put_cstr(body, "</CompleteMultipartUpload>");
	spec.origin = upload->mt->target->origin;
	spec.method = "POST";
	spec.path = upload->completion_url;
	spec.body = body->data;
	spec.body_len = body->len;
	spec.max_body = MAX_REPLY;
	spec.stall_timeout_s = upload->mt->control->response_timeout;
	spec.on_done = on_completed;
	spec.arg = upload;
	upload->completion = body->failed ? NULL : request_start(&spec);
	if (upload->completion == NULL)
		upload_failed_memory(upload);
}

/* --- places --------------------------------------------------------------- */

static bool
make_parts(BlobUpload *upload, char **urls, size_t nurls, size_t part_len)
{
	if (nurls == 0 || nurls > MAX_PARTS || part_len == 0 ||
		(upload->n + part_len - 1) / part_len != nurls)
		return false;
	for (size_t i = 0; i < nurls; i++)
	{
		if (!origin_may_ask(upload->mt->target->origin, urls[i]))
			return false;
	}
	upload->parts = calloc(nurls, sizeof(Part));
	if (upload->parts == NULL)
		return false;
	upload->nparts = nurls;
	upload->next_part = upload->ndone = 0;
	upload->active = 0;
	upload->digesting = false;
	retry_progress(&upload->retry);
	for (size_t i = 0; i < nurls; i++)
	{
		Part *part = &upload->parts[i];
		size_t at = i * part_len;

		part->upload = upload;
		part->url = urls[i];
		part->p = upload->p + at;
		part->n = upload->n - at < part_len ? upload->n - at : part_len;
		timer_init(&part->again, on_part_retry, part);
	}
	return true;
}

static bool
make_multipart(BlobUpload *upload, const MultiPartUpload *multipart)
{
	upload->completion_url = multipart->completion_url;
	return multipart->part_length > 0 &&
		origin_may_ask(upload->mt->target->origin, multipart->completion_url) &&
		make_parts(upload, multipart->upload_urls, multipart->n_upload_urls,
				   (size_t) multipart->part_length);
}

static bool
make_single(BlobUpload *upload, char **url)
{
	upload->completion_url = NULL;
	return make_parts(upload, url, 1, upload->n);
}

/* The reply has a list of places, or, from older servers, one. */
static bool
use_place(BlobUpload *upload)
{
	BlobCreateResponse *reply = upload->places;
	size_t i = upload->place;

	switch (reply->upload_types_oneof_case)
	{
		case MODAL__CLIENT__BLOB_CREATE_RESPONSE__UPLOAD_TYPES_ONEOF_UPLOAD_URLS:
			if (i >= reply->n_blob_ids || i >= reply->upload_urls->n_items)
				return false;
			upload->blob_id = reply->blob_ids[i];
			return make_single(upload, &reply->upload_urls->items[i]);
		case MODAL__CLIENT__BLOB_CREATE_RESPONSE__UPLOAD_TYPES_ONEOF_MULTIPARTS:
			if (i >= reply->n_blob_ids || i >= reply->multiparts->n_items)
				return false;
			upload->blob_id = reply->blob_ids[i];
			return make_multipart(upload, reply->multiparts->items[i]);
		default:
			break;
	}
	upload->blob_id = reply->blob_id;
	switch (reply->upload_type_oneof_case)
	{
		case MODAL__CLIENT__BLOB_CREATE_RESPONSE__UPLOAD_TYPE_ONEOF_UPLOAD_URL:
			return make_single(upload, &reply->upload_url);
		case MODAL__CLIENT__BLOB_CREATE_RESPONSE__UPLOAD_TYPE_ONEOF_MULTIPART:
			return make_multipart(upload, reply->multipart);
		default:
			return false;
	}
}

static void
try_place(BlobUpload *upload)
{
	ModalError error;

	if (use_place(upload) && upload->blob_id[0] != '\0')
	{
		send_parts(upload);
		return;
	}
	modal_error(&error, MODAL_SQLSTATE_PROTOCOL, NULL,
				"the service names no place for an input of %zu bytes that can be used",
				upload->n);
	upload_failed(upload, &error);
}

static void
on_created(void *arg, const GrpcResult *result)
{
	BlobUpload *upload = arg;
	ModalError error;

	upload->create = NULL;
	if (result->status != GRPC_OK)
	{
		modal_error_grpc(&error, result,
						 "could not upload an input of %zu bytes", upload->n);
		upload_failed(upload, &error);
		return;
	}
	upload->places =
		grpc_unpack(result, &modal__client__blob_create_response__descriptor);
	if (upload->places == NULL)
	{
		modal_error(&error, MODAL_SQLSTATE_PROTOCOL, NULL,
					"the reply of the service to BlobCreate cannot be read");
		upload_failed(upload, &error);
		return;
	}
	try_place(upload);
}

static void
on_digests(void *arg, const uint8_t *md5, const uint8_t *sha256)
{
	BlobUpload *upload = arg;
	Modal__Client__BlobCreateRequest request =
		MODAL__CLIENT__BLOB_CREATE_REQUEST__INIT;
	GrpcSpec spec;
	Buf md5_text;
	Buf sha256_text;

	upload->digest = NULL;
	if (md5 == NULL)
	{
		upload_failed_memory(upload);
		return;
	}
	memcpy(upload->md5, md5, MD5_LEN);
	buf_init(&md5_text, 0, NULL);
	buf_init(&sha256_text, 0, NULL);
	base64_encode(&md5_text, md5, MD5_LEN);
	base64_encode(&sha256_text, sha256, SHA256_LEN);
	request.content_md5 = (char *) buf_cstr(&md5_text);
	request.content_sha256_base64 = (char *) buf_cstr(&sha256_text);
	request.content_length = upload->n;
	spec = grpc_spec(upload->mt->control, "BlobCreate", upload->call,
					 on_created, upload);
	grpc_pack(&spec.request, &request.base);
	upload->create = grpc_start(&spec);
	buf_free(&md5_text);
	buf_free(&sha256_text);
	if (upload->create == NULL)
		upload_failed_memory(upload);
}

BlobUpload *
blob_upload(ModalTarget *mt, DispatchCall *call, const void *p, size_t n,
			BlobUploaded on_done, void *arg)
{
	BlobUpload *upload = calloc(1, sizeof(*upload));

	if (upload == NULL)
		return NULL;
	upload->mt = mt;
	upload->call = call;
	upload->p = p;
	upload->n = n;
	upload->on_done = on_done;
	upload->arg = arg;
	buf_init(&upload->completion_body, MAX_REPLY, NULL);
	timer_init(&upload->again, on_completion_retry, upload);
	upload->digest = digest_start(p, n, true, on_digests, upload);
	if (upload->digest == NULL)
	{
		upload_free(upload);
		return NULL;
	}
	return upload;
}
