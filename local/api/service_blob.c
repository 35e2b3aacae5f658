/*-------------------------------------------------------------------------
 *
 * service_blob.c
 *	  Where to upload and download large payloads; blob_http.c does that.
 *
 * URLs are plain HTTP on the same port, on the host that the client has
 * reached us by, and need no token: knowing the id of a blob is enough.
 *
 *-------------------------------------------------------------------------
 */
#include "api/service.h"
#include "calls/blobs.h"
#include "options.h"

static char *
blob_url(Rpc *rpc, const char *id, const char *suffix)
{
	return arena_printf(&rpc->arena, "http://%s/blobs/%s%s",
						rpc->headers[HEADER_AUTHORITY], id, suffix);
}

static void
reply_multipart(Rpc *rpc, Modal__Client__BlobCreateResponse *reply,
				const char *id, int64_t length)
{
	Modal__Client__MultiPartUpload upload =
		MODAL__CLIENT__MULTI_PART_UPLOAD__INIT;
	Modal__Client__MultiPartUpload *uploads[] = {&upload};
	Modal__Client__MultiPartUploadList list =
		MODAL__CLIENT__MULTI_PART_UPLOAD_LIST__INIT;
	int64_t part = options.max_part;
	size_t n;

	if (part < length / (MAX_BLOB_PARTS - 1))
		part = length / (MAX_BLOB_PARTS - 1);
	n = (size_t) ((length + part - 1) / part);
	upload.part_length = part;
	upload.n_upload_urls = n;
	upload.upload_urls = arena_alloc(&rpc->arena, n * sizeof(char *));
	for (size_t i = 0; i < n; i++)
		upload.upload_urls[i] = blob_url(
			rpc, id, arena_printf(&rpc->arena, "?part=%zu", i + 1));
	upload.completion_url =
		blob_url(rpc, id, arena_printf(&rpc->arena, "?complete=%zu", n));
	list.n_items = 1;
	list.items = uploads;
	if (!options.new_blob_fields)
	{
		reply->upload_type_oneof_case =
			MODAL__CLIENT__BLOB_CREATE_RESPONSE__UPLOAD_TYPE_ONEOF_MULTIPART;
		reply->multipart = &upload;
	}
	if (!options.old_blob_fields)
	{
		reply->upload_types_oneof_case =
			MODAL__CLIENT__BLOB_CREATE_RESPONSE__UPLOAD_TYPES_ONEOF_MULTIPARTS;
		reply->multiparts = &list;
	}
	rpc_reply_message(rpc, &reply->base);
}

static void
reply_single(Rpc *rpc, Modal__Client__BlobCreateResponse *reply,
			 const char *id)
{
	char *url = blob_url(rpc, id, "");
	Modal__Client__UploadUrlList list = MODAL__CLIENT__UPLOAD_URL_LIST__INIT;

	list.n_items = 1;
	list.items = &url;
	if (!options.new_blob_fields)
	{
		reply->upload_type_oneof_case =
			MODAL__CLIENT__BLOB_CREATE_RESPONSE__UPLOAD_TYPE_ONEOF_UPLOAD_URL;
		reply->upload_url = url;
	}
	if (!options.old_blob_fields)
	{
		reply->upload_types_oneof_case =
			MODAL__CLIENT__BLOB_CREATE_RESPONSE__UPLOAD_TYPES_ONEOF_UPLOAD_URLS;
		reply->upload_urls = &list;
	}
	rpc_reply_message(rpc, &reply->base);
}

void
service_blob_create(Rpc *rpc)
{
	Modal__Client__BlobCreateRequest *request =
		rpc_unpack(rpc, &modal__client__blob_create_request__descriptor);
	Modal__Client__BlobCreateResponse reply =
		MODAL__CLIENT__BLOB_CREATE_RESPONSE__INIT;
	char id[BLOB_ID_SIZE];
	char *ids[] = {id};

	if (request == NULL)
		return;
	if (request->content_length < 0 || request->content_length > MAX_BLOB_SIZE)
	{
		rpc_fail(rpc, GRPC_INVALID_ARGUMENT,
				 "content_length must be from 0 to %lld",
				 (long long) MAX_BLOB_SIZE);
		return;
	}
	blob_new_id(id);
	rpc_log(rpc, "blob=%s", id);
	rpc_log(rpc, "bytes=%lld", (long long) request->content_length);
	if (!options.new_blob_fields)
		reply.blob_id = id;
	if (!options.old_blob_fields)
	{
		reply.n_blob_ids = 1;
		reply.blob_ids = ids;
	}
	if (request->content_length > 2 * options.max_part)
		reply_multipart(rpc, &reply, id, request->content_length);
	else
		reply_single(rpc, &reply, id);
}

void
service_blob_get(Rpc *rpc)
{
	Modal__Client__BlobGetRequest *request =
		rpc_unpack(rpc, &modal__client__blob_get_request__descriptor);
	Modal__Client__BlobGetResponse reply =
		MODAL__CLIENT__BLOB_GET_RESPONSE__INIT;

	if (request == NULL)
		return;
	if (!blob_exists(request->blob_id))
	{
		rpc_fail(rpc, GRPC_NOT_FOUND, "Blob '%s' not found", request->blob_id);
		return;
	}
	rpc_log(rpc, "blob=%s", request->blob_id);
	reply.download_url = blob_url(rpc, request->blob_id, "");
	rpc_reply_message(rpc, &reply.base);
}
