/*-------------------------------------------------------------------------
 *
 * console.c
 *	  A page that shows what goes on in modal-local: its requests.
 *
 * Nothing is answered without the cookie but the login; nothing is done that
 * does not come from a page of ours.  What functions print, return and raise is
 * JSON here and text there, and the policy lets the page run nothing else but
 * its own files.
 *
 *-------------------------------------------------------------------------
 */
#include "console/console.h"

#include <stdlib.h>

#include "calls/calls.h"
#include "console/access.h"
#include "console/actions.h"
#include "console/assets.h"
#include "console/events.h"
#include "console/json.h"
#include "console/query.h"
#include "console/state.h"
#include "core/cbor.h"
#include "util.h"

#define PREFIX "/console"
#define MAX_BODY (1024 * 1024)
#define COMMON_HEADERS \
	"Content-Security-Policy: default-src 'none'; script-src 'self'; " \
	"style-src 'self'; connect-src 'self'; img-src 'self'; " \
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n" \
	"X-Content-Type-Options: nosniff\r\n" \
	"Referrer-Policy: no-referrer\r\n" \
	"Cross-Origin-Resource-Policy: same-origin\r\n" \
	"Cross-Origin-Opener-Policy: same-origin\r\n" \
	"Cache-Control: no-store\r\n"

/* After a link on another site has been followed, the browser sends the cookie only then. */
static const char refusal[] =
	"<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\">"
	"<title>modal-local</title><h1>Not let in</h1>"
	"<p>Open the address that modal-local printed when it was started. It works "
	"once; <code>kill -USR1</code> makes it print another one."
	"<p><a href=\"\">Try again</a>";

static const char other_host[] =
	"modal-local's console answers to localhost, to addresses, and to the name "
	"that --host gives.\n";

static char *base_url;

void
console_init(const char *url, int port, const char *host)
{
	base_url = xstrdup(url);
	access_init(port, host);
}

const char *
console_link(void)
{
	static char *link;

	free(link);
	link = xasprintf("%s" PREFIX "/login?key=%s", base_url, access_new_key());
	return link;
}

/* --- answers ------------------------------------------------------------- */

static void
respond(HttpRequest *request, const char *status, const char *type,
		const char *more, const void *body, size_t len)
{
	char *headers = xasprintf("Content-Type: %s\r\n" COMMON_HEADERS "%s", type,
							  more);

	http_respond(request, status, headers, body, len);
	free(headers);
}

static void
respond_json(HttpRequest *request, json_object *answer)
{
	const char *text = json_object_to_json_string_ext(
		answer, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

	respond(request, "200 OK", "application/json", "", text, strlen(text));
	json_object_put(answer);
}

static void
refuse(HttpRequest *request)
{
	respond(request, "403 Forbidden", "text/html; charset=utf-8", "", refusal,
			strlen(refusal));
}

static void
not_found(HttpRequest *request)
{
	respond(request, "404 Not Found", "text/plain", "", "Not found\n", 10);
}

/* --- what is read -------------------------------------------------------- */

static void
login(HttpRequest *request, const char *query)
{
	char key[64];
	char cookie[ACCESS_COOKIE_SIZE];
	char *headers;

	if (!query_get(query, "key", key, sizeof(key)) ||
		!access_login(key, cookie))
	{
		refuse(request);
		return;
	}
	headers = xasprintf("Set-Cookie: %s\r\nLocation: " PREFIX "/\r\n", cookie);
	respond(request, "303 See Other", "text/plain", headers, "", 0);
	free(headers);
}

static void
get_input(HttpRequest *request, const char *query)
{
	int32_t idx = query_index(query, "idx");
	json_object *answer = NULL;
	uint64_t number;
	char id[32];

	query_get(query, "call", id, sizeof(id));
	if (idx >= 0 && call_id_parse(id, &number))
		answer = state_input(number, idx);
	if (answer != NULL)
		respond_json(request, answer);
	else
		not_found(request);
}

/* Each view of the page has an address of its own. */
static bool
is_view(const char *path, size_t len)
{
	static const char *const views[] = {"", "functions", "machine"};

	if (len > 5 && strncmp(path, "call/", 5) == 0)
		return true;
	if (len > 9 && strncmp(path, "function/", 9) == 0)
		return true;
	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++)
		if (strlen(views[i]) == len && memcmp(views[i], path, len) == 0)
			return true;
	return false;
}

static void
get_file(HttpRequest *request, const char *path, size_t len)
{
	const Asset *asset = is_view(path, len) ? asset_find("index.html", 10)
											: asset_find(path, len);

	if (asset != NULL)
		respond(request, "200 OK", asset->type, "", asset->data, asset->len);
	else
		not_found(request);
}

static bool
path_is(const char *path, size_t len, const char *name)
{
	return strlen(name) == len && memcmp(path, name, len) == 0;
}

static void
get(HttpRequest *request, const char *path, const char *query)
{
	size_t len = strcspn(path, "?");

	if (path_is(path, len, "login"))
		login(request, query);
	else if (!access_has_cookie(request))
		refuse(request);
	else if (path_is(path, len, "events"))
		events_begin(request, query);
	else if (path_is(path, len, "input"))
		get_input(request, query);
	else
		get_file(request, path, len);
}

/* --- requests ------------------------------------------------------------ */

/* The state of a request that sends something; of others, a stream's. */
typedef struct Post
{
	bool refused; /* it is read all the same, so that the answer is, too */
	Buf body;
} Post;

static bool
is_post(const HttpRequest *request)
{
	return strcmp(request->method, "POST") == 0;
}

static int64_t
console_max_body(const HttpRequest *request)
{
	return is_post(request) ? MAX_BODY : 0;
}

static void
console_begin(HttpRequest *request)
{
	const char *path = request->target + strlen(PREFIX);
	const char *query = strchr(request->target, '?');
	Post *post;

	if (!access_right_host(request))
	{
		respond(request, "421 Misdirected Request", "text/plain", "",
				other_host, strlen(other_host));
		return;
	}
	if (path[0] != '/')
	{
		if (path[0] == '\0')
			respond(request, "303 See Other", "text/plain",
					"Location: " PREFIX "/\r\n", "", 0);
		else
			not_found(request);
		return;
	}
	if (!is_post(request))
	{
		get(request, path + 1, query != NULL ? query + 1 : "");
		return;
	}
	post = xcalloc(sizeof(*post));
	post->refused =
		!access_has_cookie(request) || !access_from_page(request);
	buf_init(&post->body, MAX_BODY, xbuf_realloc);
	request->state = post;
}

static void
console_body(HttpRequest *request, const uint8_t *data, size_t len)
{
	if (is_post(request))
		buf_put(&((Post *) request->state)->body, data, len);
}

static void
console_complete(HttpRequest *request)
{
	static const char prefix[] = PREFIX "/do/";
	Post *post = request->state;
	json_object *body;
	json_object *answer = NULL;

	if (post->refused)
	{
		refuse(request);
		return;
	}
	body = json_tokener_parse(buf_cstr(&post->body));
	if (json_object_is_type(body, json_type_object) &&
		utf8_valid(post->body.data, post->body.len) &&
		strncmp(request->target, prefix, strlen(prefix)) == 0)
		answer = action_do(request->target + strlen(prefix), body);
	json_object_put(body);
	if (answer != NULL)
		respond_json(request, answer);
	else
		respond(request, "400 Bad Request", "text/plain", "", "Bad request\n",
				12);
}

static void
console_close(HttpRequest *request)
{
	Post *post = request->state;

	if (post == NULL)
		return;
	if (!is_post(request))
	{
		events_close(request);
		return;
	}
	buf_free(&post->body);
	free(post);
}

const HttpHandler console_http = {
	.prefix = PREFIX,
	.methods = "GET POST",
	.max_body = console_max_body,
	.begin = console_begin,
	.body = console_body,
	.complete = console_complete,
	.close = console_close,
};
