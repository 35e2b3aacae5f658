/*-------------------------------------------------------------------------
 *
 * http1.c
 *	  HTTP/1.1, for uploads and downloads of blobs.
 *
 *	  PUT /blobs/ID				the blob
 *	  PUT /blobs/ID?part=N		a part of it
 *	  POST /blobs/ID?complete=N	joins the parts
 *	  GET /blobs/ID
 *
 * Bodies go to and come from files as they travel, so that memory does not
 * grow with them.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "calls/blobs.h"
#include "net/conn.h"
#include "calls/faults.h"
#include "jwt.h"
#include "md5.h"
#include "util.h"

#define MAX_HEAD (16 * 1024)
#define MAX_XML (1024 * 1024) /* of a list of parts */
#define PATH_PREFIX "/blobs/"
#define FAILING_BODY "FAILURE" /* a PUT of this fails, for tests */

typedef enum State
{
	READ_HEAD,
	READ_BODY,
	SEND_FILE,
	CLOSING /* what is left to be written, and then no more */
} State;

typedef struct Http1
{
	Conn *conn;
	State state;
	Buf in; /* head, or what came too early */
	Buf out;

	/* The request. */
	char method[8];
	char id[BLOB_ID_SIZE];
	int part;	  /* of a PUT; 0: the whole */
	int complete; /* of a POST: how many parts */
	char content_md5[32];
	int64_t body_left;
	bool body_fails;
	int64_t body_seen;
	int fd; /* of the file read or written; -1: none */
	EVP_MD_CTX *md5;
	int64_t file_left;
	bool cut; /* and then the connection ends, too early */
} Http1;

/* --- replies ------------------------------------------------------------- */

static void
respond(Http1 *http, const char *status, const char *headers, const char *body)
{
	buf_printf(&http->out,
			   "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n%s", status,
			   strlen(body), headers, body);
	http->state = READ_HEAD;
	conn_wants_write(http->conn);
}

/* The request's body is not read: the connection ends. */
static void
refuse(Http1 *http, const char *status)
{
	respond(http, status, "Connection: close\r\n", "");
	http->state = CLOSING;
}

static void
forget_request(Http1 *http)
{
	if (http->fd >= 0)
		close(http->fd);
	http->fd = -1;
	EVP_MD_CTX_free(http->md5);
	http->md5 = NULL;
}

/* --- requests ------------------------------------------------------------ */

/* /blobs/ID[?part=N|?complete=N] */
static bool
parse_target(Http1 *http, const char *target)
{
	size_t prefix = strlen(PATH_PREFIX);
	const char *query = strchr(target, '?');
	size_t len = query != NULL ? (size_t) (query - target) : strlen(target);

	http->part = http->complete = 0;
	if (strncmp(target, PATH_PREFIX, prefix) != 0 ||
		!blob_id_valid(target + prefix, len - prefix))
		return false;
	memcpy(http->id, target + prefix, len - prefix);
	http->id[len - prefix] = '\0';
	if (query == NULL)
		return true;
	if (sscanf(query, "?part=%d", &http->part) == 1)
		return http->part > 0 && http->part <= MAX_BLOB_PARTS;
	if (sscanf(query, "?complete=%d", &http->complete) == 1)
		return http->complete > 0 && http->complete <= MAX_BLOB_PARTS;
	return false;
}

/* Value of a header, if line is that header; NULL: it is not. */
static const char *
header_value(const char *line, const char *name)
{
	size_t n = strlen(name);

	if (strncasecmp(line, name, n) != 0 || line[n] != ':')
		return NULL;
	line += n + 1;
	return line + strspn(line, " \t");
}

/* Lines after the first; returns the status of a refusal, or NULL. */
static const char *
parse_headers(Http1 *http, char *lines)
{
	bool has_length = false;
	char *rest;

	http->body_left = 0;
	http->content_md5[0] = '\0';
	for (char *line = strtok_r(lines, "\r\n", &rest); line != NULL;
		 line = strtok_r(NULL, "\r\n", &rest))
	{
		const char *value;
		char *end;

		if ((value = header_value(line, "content-length")) != NULL)
		{
			http->body_left = strtoll(value, &end, 10);
			if (end == value || http->body_left < 0)
				return "400 Bad Request";
			has_length = true;
		}
		else if ((value = header_value(line, "content-md5")) != NULL)
			snprintf(http->content_md5, sizeof(http->content_md5), "%s",
					 value);
		else if (header_value(line, "expect") != NULL)
			buf_put_cstr(&http->out, "HTTP/1.1 100 Continue\r\n\r\n");
	}
	if (!has_length && strcmp(http->method, "GET") != 0)
		return "411 Length Required";
	if (http->body_left >
		(strcmp(http->method, "PUT") == 0 ? MAX_BLOB_SIZE : MAX_XML))
		return "413 Content Too Large";
	return NULL;
}

static void
begin_download(Http1 *http, const Fault *fault)
{
	http->fd = blob_open(http->id, &http->file_left);
	if (http->fd < 0)
	{
		respond(http, "404 Not Found", "", "");
		return;
	}
	buf_printf(&http->out,
			   "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\n"
			   "Content-Type: application/octet-stream\r\n\r\n",
			   (long long) http->file_left);
	http->cut = fault->truncate;
	if (http->cut)
		http->file_left /= 2;
	http->state = http->cut && http->file_left == 0 ? CLOSING : SEND_FILE;
	conn_wants_write(http->conn);
}

/* A misbehaviour asked for; true: the request is dealt with. */
static bool
misbehave(Http1 *http, const Fault *fault)
{
	char status[32];

	if (!fault->active || fault->truncate)
		return false;
	if (fault->http_status == 0)
	{
		conn_abort(http->conn);
		return true;
	}
	snprintf(status, sizeof(status), "%d Fault", fault->http_status);
	refuse(http, status);
	return true;
}

/* The head is complete: text, of which it may change any byte. */
static void
begin_request(Http1 *http, char *head)
{
	char *first_end = strstr(head, "\r\n");
	char target[256];
	const char *error;
	Fault fault;

	*first_end = '\0';
	if (sscanf(head, "%7s %255s HTTP/1.1", http->method, target) != 2 ||
		(strcmp(http->method, "GET") != 0 &&
		 strcmp(http->method, "PUT") != 0 &&
		 strcmp(http->method, "POST") != 0))
	{
		refuse(http, "405 Method Not Allowed");
		return;
	}
	error = parse_headers(http, first_end + 2);
	if (error == NULL && !parse_target(http, target))
		error = "404 Not Found";
	if (error != NULL)
	{
		refuse(http, error);
		return;
	}
	fault = faults_for_rpc(http->method, NULL);
	if (misbehave(http, &fault))
		return;
	if (strcmp(http->method, "GET") == 0)
	{
		begin_download(http, &fault);
		return;
	}
	http->state = READ_BODY;
	http->body_seen = 0;
	http->body_fails = http->body_left == (int64_t) strlen(FAILING_BODY);
	if (strcmp(http->method, "PUT") == 0)
	{
		http->md5 = md5_begin();
		http->fd = blob_open_part(http->id, http->part);
		if (http->fd < 0)
			refuse(http, "507 Insufficient Storage");
	}
}

static void
finish_put(Http1 *http)
{
	uint8_t digest[MD5_SIZE];
	char hex[2 * MD5_SIZE + 1];
	char base64[32] = "";
	char etag[64];

	md5_end(http->md5, digest);
	http->md5 = NULL;
	md5_hex(hex, digest);
	base64_encode(base64, digest, sizeof(digest));
	forget_request(http);
	/* Ours is without the padding. */
	if (http->content_md5[0] != '\0' &&
		strncmp(http->content_md5, base64, strlen(base64)) != 0)
		respond(http, "400 Bad Digest", "", "");
	else if (http->body_fails)
		respond(http, "500 Internal Server Error", "", "");
	else if (!blob_finish_part(http->id, http->part))
		respond(http, "507 Insufficient Storage", "", "");
	else
	{
		snprintf(etag, sizeof(etag), "ETag: \"%s\"\r\n", hex);
		respond(http, "200 OK", etag, "");
	}
}

static void
finish_request(Http1 *http)
{
	char etag[BLOB_ETAG_SIZE];
	char body[256];

	if (strcmp(http->method, "PUT") == 0)
		finish_put(http);
	else if (http->complete == 0)
		respond(http, "400 Bad Request", "", "");
	else if (!blob_join(http->id, http->complete, etag))
		respond(http, "400 Invalid Part", "", "");
	else
	{
		snprintf(body, sizeof(body),
				 "<CompleteMultipartUploadResult><ETag>\"%s\"</ETag>"
				 "</CompleteMultipartUploadResult>",
				 etag);
		respond(http, "200 OK", "Content-Type: application/xml\r\n", body);
	}
}

/* Part of the body; returns how much was of this request. */
static size_t
take_body(Http1 *http, const uint8_t *data, size_t len)
{
	if ((int64_t) len > http->body_left)
		len = (size_t) http->body_left;
	http->body_left -= (int64_t) len;
	if (len > 0 && http->fd >= 0)
	{
		size_t done = 0;

		EVP_DigestUpdate(http->md5, data, len);
		while (done < len)
		{
			ssize_t n = write(http->fd, data + done, len - done);

			if (n < 0)
			{
				refuse(http, "507 Insufficient Storage");
				return len;
			}
			done += (size_t) n;
		}
	}
	for (size_t i = 0; i < len && http->body_fails; i++)
		http->body_fails =
			data[i] == (uint8_t) FAILING_BODY[http->body_seen++];
	return len;
}

/* --- sessions ------------------------------------------------------------ */

static void *
http1_open(Conn *conn)
{
	Http1 *http = xcalloc(sizeof(*http));

	http->conn = conn;
	http->fd = -1;
	buf_init(&http->in, 0, xbuf_realloc);
	buf_init(&http->out, 0, xbuf_realloc);
	return http;
}

/* Requests that have come whole, one after the other. */
static void
process(Http1 *http)
{
	while (http->state == READ_HEAD || http->state == READ_BODY)
	{
		if (http->state == READ_BODY)
		{
			buf_consume(&http->in,
						take_body(http, http->in.data, http->in.len));
			if (http->body_left > 0 || http->state != READ_BODY)
				return;
			finish_request(http);
		}
		else
		{
			char *head = (char *) (uintptr_t) buf_cstr(&http->in);
			char *end = strstr(head, "\r\n\r\n");
			size_t len;

			if (end == NULL)
			{
				if (http->in.len > MAX_HEAD || strlen(head) < http->in.len)
					refuse(http, "400 Bad Request");
				return;
			}
			len = (size_t) (end - head) + 4;
			end[2] = '\0';
			begin_request(http, head);
			buf_consume(&http->in, len);
		}
	}
}

static bool
http1_receive(void *session, const uint8_t *data, size_t len)
{
	Http1 *http = session;

	if (http->state == CLOSING)
		return false;
	/* A long body goes straight to its file. */
	if (http->state == READ_BODY && http->in.len == 0)
	{
		size_t taken = take_body(http, data, len);

		data += taken;
		len -= taken;
	}
	if (http->in.len + len > MAX_HEAD + MAX_XML)
		return false;
	buf_put(&http->in, data, len);
	process(http);
	return http->state != CLOSING;
}

static bool
http1_produce(void *session, Buf *out, size_t room)
{
	Http1 *http = session;

	buf_put(out, http->out.data, http->out.len);
	buf_reset(&http->out);
	while (http->state == SEND_FILE && out->len < room)
	{
		uint8_t data[16 * 1024];
		size_t want = http->file_left < (int64_t) sizeof(data)
						  ? (size_t) http->file_left
						  : sizeof(data);
		ssize_t n = want > 0 ? read(http->fd, data, want) : 0;

		if (n > 0)
		{
			buf_put(out, data, (size_t) n);
			http->file_left -= n;
			continue;
		}
		/* A file that ends early cannot be told but by ending, too. */
		http->state = http->file_left > 0 || http->cut ? CLOSING : READ_HEAD;
		forget_request(http);
		process(http);
	}
	return http->state != CLOSING;
}

static void
http1_close(void *session)
{
	Http1 *http = session;

	forget_request(http);
	buf_free(&http->in);
	buf_free(&http->out);
	free(http);
}

const Protocol http1_protocol = {http1_open, http1_receive, http1_produce,
								 http1_close};
