/*-------------------------------------------------------------------------
 *
 * blob_http.c
 *	  Uploads and downloads of blobs.
 *
 *	  PUT /blobs/ID				the blob
 *	  PUT /blobs/ID?part=N		a part of it
 *	  POST /blobs/ID?complete=N	joins the parts
 *	  GET /blobs/ID
 *
 * Small blobs are taken and given whole, large ones as they travel.
 *
 *-------------------------------------------------------------------------
 */
#include "api/blob_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base64.h"
#include "calls/blobs.h"
#include "calls/faults.h"
#include "calls/packs.h"
#include "md5.h"
#include "net/loop.h"
#include "util.h"

#define MAX_XML (1024 * 1024) /* of a list of parts */
#define PATH_PREFIX "/blobs/"
#define FAILING_BODY "FAILURE" /* a PUT of this fails, for tests */
#define READ_SIZE (16 * 1024)
#define CONTENT_TYPE "Content-Type: application/octet-stream\r\n"

typedef struct Transfer
{
	char id[BLOB_ID_SIZE];
	int part;     /* of a PUT; 0: the whole */
	int complete; /* of a POST: how many parts */
	char *content_md5;
	bool body_fails;
	int64_t body_seen;
	int fd;     /* of the file read or written; -1: none */
	bool small; /* a PUT that is collected */
	Buf content;
	EVP_MD_CTX *md5;
	int64_t file_left;
	bool cut;
	BlobJoin *join; /* of the parts; NULL: none is under way */
	LoopTimer turn; /* at which it goes on */
} Transfer;

static bool
is_put(const HttpRequest *request)
{
	return strcmp(request->method, "PUT") == 0;
}

static void
respond(HttpRequest *request, const char *status, const char *headers,
		const char *body)
{
	http_respond(request, status, headers, body, strlen(body));
}

/* /blobs/ID[?part=N|?complete=N] */
static bool
parse_target(Transfer *t, const char *target)
{
	size_t prefix = strlen(PATH_PREFIX);
	const char *query = strchr(target, '?');
	size_t len = query != NULL ? (size_t) (query - target) : strlen(target);

	if (!blob_id_valid(target + prefix, len - prefix))
		return false;
	memcpy(t->id, target + prefix, len - prefix);
	t->id[len - prefix] = '\0';
	if (query == NULL)
		return true;
	if (sscanf(query, "?part=%d", &t->part) == 1)
		return t->part > 0 && t->part <= MAX_BLOB_PARTS;
	if (sscanf(query, "?complete=%d", &t->complete) == 1)
		return t->complete > 0 && t->complete <= MAX_BLOB_PARTS;
	return false;
}

static int64_t
blob_max_body(const HttpRequest *request)
{
	return is_put(request) ? MAX_BLOB_SIZE : MAX_XML;
}

/* Half of it, and then the end of the connection: a fault for tests. */
static void
begin_cut_download(HttpRequest *request, const uint8_t *small, size_t len)
{
	Transfer *t = request->state;

	buf_put(&t->content, small, len / 2);
	t->cut = true;
	http_respond_long(request, "200 OK", CONTENT_TYPE, (int64_t) len);
}

static void
begin_download(HttpRequest *request, const Fault *fault)
{
	Transfer *t = request->state;
	int64_t size;
	size_t len;
	uint8_t *small = pack_get(t->id, &len);

	if (small != NULL)
	{
		if (fault->truncate)
			begin_cut_download(request, small, len);
		else
			http_respond(request, "200 OK", CONTENT_TYPE, small, len);
		free(small);
		return;
	}
	t->fd = blob_open(t->id, &size);
	if (t->fd < 0)
	{
		respond(request, "404 Not Found", "", "");
		return;
	}
	t->cut = fault->truncate;
	t->file_left = t->cut ? size / 2 : size;
	http_respond_long(request, "200 OK", CONTENT_TYPE, size);
}

/* A misbehaviour asked for; true: the request is dealt with. */
static bool
misbehave(HttpRequest *request, const Fault *fault)
{
	char status[32];

	if (!fault->active || fault->truncate)
		return false;
	if (fault->http_status == 0)
	{
		http_abort(request);
		return true;
	}
	snprintf(status, sizeof(status), "%d Fault", fault->http_status);
	http_refuse(request, status);
	return true;
}

static void
blob_begin(HttpRequest *request)
{
	Transfer *t = xcalloc(sizeof(*t));
	Fault fault;

	t->fd = -1;
	buf_init(&t->content, SMALL_BLOB, xbuf_realloc);
	request->state = t;
	if (!parse_target(t, request->target))
	{
		http_refuse(request, "404 Not Found");
		return;
	}
	fault = faults_for_rpc(request->method, NULL);
	if (misbehave(request, &fault))
		return;
	if (strcmp(request->method, "GET") == 0)
	{
		begin_download(request, &fault);
		return;
	}
	t->body_fails = request->length == (int64_t) strlen(FAILING_BODY);
	if (!is_put(request))
		return;
	t->content_md5 = http_header(request, "content-md5");
	t->md5 = md5_begin();
	t->small = t->part == 0 && request->length <= SMALL_BLOB;
	if (t->small)
		return;
	if (pack_has(t->id))
	{
		http_refuse(request, "409 Conflict");
		return;
	}
	t->fd = blob_open_part(t->id, t->part);
	if (t->fd < 0)
		http_refuse(request, "507 Insufficient Storage");
}

static void
blob_body(HttpRequest *request, const uint8_t *data, size_t len)
{
	Transfer *t = request->state;
	size_t done = 0;

	for (size_t i = 0; i < len && t->body_fails; i++)
		t->body_fails = data[i] == (uint8_t) FAILING_BODY[t->body_seen++];
	if (t->md5 == NULL)
		return;
	EVP_DigestUpdate(t->md5, data, len);
	if (t->small)
		buf_put(&t->content, data, len);
	while (t->fd >= 0 && done < len)
	{
		ssize_t n = write(t->fd, data + done, len - done);

		if (n < 0)
		{
			http_refuse(request, "507 Insufficient Storage");
			return;
		}
		done += (size_t) n;
	}
}

/* What has come counts; false: there is no room. */
static bool
keep_upload(Transfer *t)
{
	if (t->small)
		return pack_put(t->id, t->content.data, t->content.len);
	close(t->fd);
	t->fd = -1;
	return blob_finish_part(t->id, t->part);
}

static void
finish_put(HttpRequest *request)
{
	Transfer *t = request->state;
	uint8_t digest[MD5_SIZE];
	char hex[2 * MD5_SIZE + 1];
	char base64[32] = "";
	char etag[64];

	md5_end(t->md5, digest);
	t->md5 = NULL;
	md5_hex(hex, digest);
	base64_encode(base64, digest, sizeof(digest));
	/* Ours is without the padding. */
	if (t->content_md5 != NULL &&
		strncmp(t->content_md5, base64, strlen(base64)) != 0)
		respond(request, "400 Bad Digest", "", "");
	else if (t->body_fails)
		respond(request, "500 Internal Server Error", "", "");
	else if (!keep_upload(t))
		respond(request, "507 Insufficient Storage", "", "");
	else
	{
		snprintf(etag, sizeof(etag), "ETag: \"%s\"\r\n", hex);
		respond(request, "200 OK", etag, "");
	}
}

static void
join_turn(void *arg)
{
	HttpRequest *request = arg;
	Transfer *t = request->state;
	char etag[BLOB_ETAG_SIZE];
	char body[256];

	switch (blob_join_some(t->join, etag))
	{
		case BLOB_GOES_ON:
			loop_set_timer(&t->turn, 0, join_turn, request);
			return;
		case BLOB_FAILED:
			respond(request, "400 Invalid Part", "", "");
			return;
		case BLOB_WHOLE:
			snprintf(body, sizeof(body),
					 "<CompleteMultipartUploadResult><ETag>\"%s\"</ETag>"
					 "</CompleteMultipartUploadResult>",
					 etag);
			respond(request, "200 OK", "Content-Type: application/xml\r\n",
					body);
	}
}

static void
blob_complete(HttpRequest *request)
{
	Transfer *t = request->state;

	if (is_put(request))
		finish_put(request);
	else if (t->complete == 0)
		respond(request, "400 Bad Request", "", "");
	else
	{
		t->join = blob_join_begin(t->id, t->complete);
		loop_set_timer(&t->turn, 0, join_turn, request);
	}
}

static bool
blob_produce(HttpRequest *request, Buf *out, size_t room, bool *cut)
{
	Transfer *t = request->state;

	if (t->fd < 0)
	{
		buf_put(out, t->content.data, t->content.len);
		*cut = t->cut;
		return false;
	}
	while (out->len < room)
	{
		uint8_t data[READ_SIZE];
		size_t want =
			t->file_left < READ_SIZE ? (size_t) t->file_left : READ_SIZE;
		ssize_t n = want > 0 ? read(t->fd, data, want) : 0;

		if (n <= 0)
		{
			/* A file that ends early cannot be told but by ending, too. */
			*cut = t->cut || t->file_left > 0;
			return false;
		}
		buf_put(out, data, (size_t) n);
		t->file_left -= n;
	}
	return true;
}

static void
blob_close(HttpRequest *request)
{
	Transfer *t = request->state;

	if (t == NULL)
		return;
	if (t->fd >= 0)
		close(t->fd);
	loop_clear_timer(&t->turn);
	blob_join_free(t->join);
	EVP_MD_CTX_free(t->md5);
	buf_free(&t->content);
	free(t->content_md5);
	free(t);
}

const HttpHandler blob_http = {
	.prefix = PATH_PREFIX,
	.methods = "GET PUT POST",
	.max_body = blob_max_body,
	.begin = blob_begin,
	.body = blob_body,
	.complete = blob_complete,
	.produce = blob_produce,
	.close = blob_close,
};
