/*-------------------------------------------------------------------------
 *
 * transport_curl.c
 *	  Requests over HTTP/1.1, carried by libcurl's multi_socket interface.
 *
 * curl's callbacks only record what they see.  Finished requests are reaped
 * after curl has returned, and only then is the owner's on_done called.
 *
 *-------------------------------------------------------------------------
 */
#include "worker/transport_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define EXPECT_BODY (64 * 1024) /* with a larger body curl may ask first */

/* CURLE_TOO_LARGE, which libcurl has from 8.6 on: seen at run time. */
#define CODE_TOO_LARGE 100

/* --- what curl calls ------------------------------------------------------ */

static int
on_prereq(void *arg, char *conn_primary_ip, char *conn_local_ip,
		  int conn_primary_port, int conn_local_port)
{
	(void) conn_primary_ip;
	(void) conn_local_ip;
	(void) conn_primary_port;
	(void) conn_local_port;
	return request_sent(arg) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static size_t
on_header_line(char *line, size_t size, size_t n, void *arg)
{
	Request *request = arg;
	size_t len = size * n;
	size_t end = len;
	size_t value;
	const char *colon;

	if (!request_head_bytes(request, len))
		return 0;
	colon = memchr(line, ':', len);
	if (colon == NULL || (len >= 5 && memcmp(line, "HTTP/", 5) == 0))
		return len;
	value = colon - line + 1;
	while (value < end && (line[value] == ' ' || line[value] == '\t'))
		value++;
	while (end > value && isspace((unsigned char) line[end - 1]))
		end--;
	request_header(request, line, colon - line, line + value, end - value);
	return len;
}

static size_t
on_data(char *p, size_t size, size_t n, void *arg)
{
	return request_data(arg, p, size * n) ? size * n : 0;
}

/* --- the end of a request ------------------------------------------------- */

/*
 * A head over libcurl's own limits; before 8.6 it calls a line that is too
 * long out of memory.
 */
static bool
head_too_large(const Request *request, CURLcode code)
{
	return (code == CURLE_OUT_OF_MEMORY || (int) code == CODE_TOO_LARGE) &&
		   request->response.sent_at > 0 && !request->body_begun;
}

static TransportError
classify(const Request *request, CURLcode code)
{
	bool sent = request->response.sent_at > 0;

	if (head_too_large(request, code))
		return TRANSPORT_TOO_LARGE;
	switch (code)
	{
		case CURLE_OK:
			return TRANSPORT_OK;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
			return TRANSPORT_TLS;
		case CURLE_OUT_OF_MEMORY:
			return TRANSPORT_MEMORY;
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_URL_MALFORMAT:
		case CURLE_WEIRD_SERVER_REPLY:
		case CURLE_BAD_CONTENT_ENCODING:
			return TRANSPORT_PROTOCOL;
		default:
			if (!sent && request->no_descriptor)
				return TRANSPORT_NO_DESCRIPTOR;
			return sent ? TRANSPORT_LOST : TRANSPORT_CONNECT;
	}
}

static const char *
error_text(const Request *request, CURLcode code)
{
	if (head_too_large(request, code))
		return "response headers are too large";
	return request->error[0] != '\0' ? request->error
									 : curl_easy_strerror(code);
}

uint64_t
curl_moved(const Request *request)
{
	curl_off_t upload = 0;
	curl_off_t download = 0;

	curl_easy_getinfo(request->easy, CURLINFO_SIZE_UPLOAD_T, &upload);
	curl_easy_getinfo(request->easy, CURLINFO_SIZE_DOWNLOAD_T, &download);
	return upload + download;
}

void
curl_figures(Request *request)
{
	Response *response = &request->response;
	curl_off_t upload = 0;
	curl_off_t download = 0;
	long status = 0;
	long request_size = 0;

	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(request->easy, CURLINFO_REQUEST_SIZE, &request_size);
	curl_easy_getinfo(request->easy, CURLINFO_SIZE_UPLOAD_T, &upload);
	curl_easy_getinfo(request->easy, CURLINFO_SIZE_DOWNLOAD_T, &download);
	response->status = status;
	response->bytes_sent = request_size + upload;
	response->bytes_received = request->header_bytes + download;
}

void
curl_drop(Request *request)
{
	curl_multi_remove_handle(request->origin->multi.curl, request->easy);
}

void
curl_reap(void *arg)
{
	Origin *origin = arg;
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(origin->multi.curl, &left)) != NULL)
	{
		CURLcode code = message->data.result;
		char *private;
		Request *request;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		request = (Request *) private;
		request_finish(request, classify(request, code),
					   error_text(request, code));
	}
}

/* --- starting ------------------------------------------------------------- */

/* What stays the same for all requests of an origin. */
static bool
set_up(Request *request)
{
	const Origin *origin = request->origin;
	CURL *easy = request->easy;
	CURLcode rc = CURLE_OK;
	bool may_be_plain = origin->plain || origin->loopback;
	const char *protocols = may_be_plain ? "http,https" : "https";

#define SET(option, value) SET_OPTION(rc, easy, option, value)
	SET(CURLOPT_OPENSOCKETFUNCTION, loop_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, &request->no_descriptor);
	SET(CURLOPT_PREREQFUNCTION, on_prereq);
	SET(CURLOPT_PREREQDATA, request);
	SET(CURLOPT_HEADERFUNCTION, on_header_line);
	SET(CURLOPT_HEADERDATA, request);
	SET(CURLOPT_WRITEFUNCTION, on_data);
	SET(CURLOPT_WRITEDATA, request);
	SET(CURLOPT_ERRORBUFFER, request->error);
	SET(CURLOPT_PRIVATE, request);
	SET(CURLOPT_NOPROGRESS, 1L);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
#if LIBCURL_VERSION_NUM >= 0x075500
	SET(CURLOPT_PROTOCOLS_STR, protocols);
#else
	(void) protocols;
	SET(CURLOPT_PROTOCOLS,
		(long) (CURLPROTO_HTTPS | (may_be_plain ? CURLPROTO_HTTP : 0)));
#endif
	SET(CURLOPT_SSL_VERIFYPEER, origin->config.verify ? 1L : 0L);
	SET(CURLOPT_SSL_VERIFYHOST, origin->config.verify ? 2L : 0L);
	if (origin->ca_file != NULL)
		SET(CURLOPT_CAINFO, origin->ca_file);
	if (origin->client_cert != NULL)
		SET(CURLOPT_SSLCERT, origin->client_cert);
	if (origin->client_key != NULL)
		SET(CURLOPT_SSLKEY, origin->client_key);
	return rc == CURLE_OK && origin_set_connection(origin, easy);
}

/*
 * curl parses a URL for each request anew, which costs more than all other
 * options together, unless it is given parsed.  One that cannot be parsed it
 * shall report when the request begins.
 */
static bool
set_url(Request *request)
{
	const char *path = request->spec.path;
	const char *base = strstr(path, "://") != NULL ? "" : request->origin->url;
	size_t base_len = strlen(base);
	size_t path_len = strlen(path);
	Buf *text = &request->url_text;
	CURLcode rc = CURLE_OK;
	bool parsed;

	if (text->len > 0 && text->len == base_len + path_len &&
		memcmp(text->data, base, base_len) == 0 &&
		memcmp(text->data + base_len, path, path_len) == 0)
		return true;
	buf_reset(text);
	buf_put(text, base, base_len);
	buf_put(text, path, path_len);
	if (request->url == NULL)
		request->url = curl_url();
	if (request->url == NULL || text->failed)
		return false;
	parsed = curl_url_set(request->url, CURLUPART_URL, buf_cstr(text),
						  CURLU_GUESS_SCHEME | CURLU_NON_SUPPORT_SCHEME) ==
			 CURLUE_OK;
	SET_OPTION(rc, request->easy, CURLOPT_URL, parsed ? NULL : buf_cstr(text));
	SET_OPTION(rc, request->easy, CURLOPT_CURLU, parsed ? request->url : NULL);
	if (!parsed)
		buf_reset(text);
	return rc == CURLE_OK;
}

/* What does not, but for URL and headers. */
static bool
set_request(Request *request)
{
	const RequestSpec *spec = &request->spec;
	CURL *easy = request->easy;
	CURLcode rc = CURLE_OK;
	bool get = strcmp(spec->method, "GET") == 0;

	if (get)
		SET(CURLOPT_HTTPGET, 1L);
	else
	{
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDS, spec->body_len > 0 ? spec->body : "");
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) spec->body_len);
	}
	SET(CURLOPT_CUSTOMREQUEST,
		get || strcmp(spec->method, "POST") == 0 ? NULL : spec->method);
	SET(CURLOPT_ACCEPT_ENCODING, spec->accept_gzip ? "gzip" : NULL);
	SET(CURLOPT_CONNECTTIMEOUT_MS, spec->connect_timeout_s > 0
									   ? (long) (spec->connect_timeout_s * 1000)
									   : (long) DEFAULT_CONNECT_TIMEOUT_MS);
	SET(CURLOPT_HTTPHEADER, request->headers);
#undef SET
	return rc == CURLE_OK;
}

/* There is room for the line already. */
static void
add_header(Request *request, const char *line)
{
	struct curl_slist *node = &request->headers[request->nheaders];
	size_t size = strlen(line) + 1;

	node->data = (char *) buf_extend(&request->lines, size);
	memcpy(node->data, line, size);
	node->next = NULL;
	if (request->nheaders++ > 0)
		node[-1].next = node;
}

/* The owner's headers, without those that curl would add by itself. */
static bool
build_headers(Request *request)
{
	static const char no_expect[] = "Expect:", no_type[] = "Content-Type:",
					  no_accept[] = "Accept:";
	const RequestSpec *spec = &request->spec;
	bool content_type = false;
	bool accept = false;
	size_t size = sizeof(no_expect) + sizeof(no_type) + sizeof(no_accept);
	int n = 0;

	while (spec->headers != NULL && spec->headers[n] != NULL)
		size += strlen(spec->headers[n++]) + 1;
	request->nheaders = 0;
	if (n > MAX_HEADERS - 3 || !buf_reserve(&request->lines, size))
		return false;
	for (int i = 0; i < n; i++)
	{
		const char *line = spec->headers[i];

		content_type |= strncasecmp(line, "content-type:", 13) == 0;
		accept |= strncasecmp(line, "accept:", 7) == 0;
		add_header(request, line);
	}
	if (spec->body_len >= EXPECT_BODY)
		add_header(request, no_expect);
	if (!content_type)
		add_header(request, no_type);
	if (!accept)
		add_header(request, no_accept);
	return true;
}

bool
curl_start(Request *request)
{
	if (request->easy == NULL)
	{
		request->easy = curl_easy_init();
		if (request->easy == NULL)
			return false;
		if (!set_up(request))
		{
			curl_easy_cleanup(request->easy);
			request->easy = NULL;
			return false;
		}
	}
	request->no_descriptor = false;
	return build_headers(request) && set_url(request) && set_request(request) &&
		   curl_multi_add_handle(request->origin->multi.curl, request->easy) ==
			   CURLM_OK;
}
