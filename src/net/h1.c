/*-------------------------------------------------------------------------
 *
 * h1.c
 *	  Requests over HTTP/1.1, carried by libcurl.
 *
 * Requests wait here until the origin's name is known and a connection may be
 * had for them; from then on they are curl's, which keeps the connections.
 *
 * Request and answer belong together by their order alone, so nothing may be
 * left of one when the next begins: whatever comes on a connection while no
 * request uses it ends that connection (multi.c), and before requests are
 * handed to curl we look once more.  A 408 that servers say to idle
 * connections is no answer, either.
 *
 * curl's callbacks only take notes.  What has ended is reaped after curl has
 * returned, and finished in the origin's own turn (run), where owners may
 * start and cancel whatever they like.  While there is nothing to do, the
 * connections are closed after a time, or when others need descriptors, and
 * curl's multi handle with them.
 *
 *-------------------------------------------------------------------------
 */
#include "net/hosts.h"
#include "net/multi.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_CONNECTIONS 1024 /* of an origin that says nothing of it */
#define MIN_KEPT 64			 /* connections that curl keeps */
#define MANY_CONNECTIONS 64
#define MAX_IDLE_S 120.0
#define NAMES_S 60.0		 /* then they are asked for again */
#define EXPECT_BODY (64 * 1024) /* with a larger body curl may ask first */
#define MORE_HEADERS 4		 /* than the owner's */
#define CA_CACHE_S 60L		 /* for which a file of authorities is not read again */

/* CURLE_TOO_LARGE, which libcurl has from 8.6 on: seen at run time. */
#define CODE_TOO_LARGE 100

struct H1
{
	Origin *origin;
	LoopMember member;
	List waiting, ended; /* requests */
	int nwaiting, nrunning;
	bool lacks_descriptors; /* else more would be running */
	LoopMulti multi; /* open while there are connections */
	CURLSH *share;	 /* sessions of TLS */
	Hosts hosts;
	LoopIdle idle;
	Timer expiry; /* of connections that nobody uses */
};

/* What curl is given for a request; kept with it for the next one. */
typedef struct Transfer
{
	CURL *easy;
	CURLU *url;	  /* that easy is set to, parsed */
	Buf url_text; /* empty: easy has one that curl could not parse, or none */
	struct curl_slist headers[MAX_HEADERS + MORE_HEADERS];
	int nheaders;
	SocketClaim claim;
	char error[CURL_ERROR_SIZE];
	bool running;
} Transfer;

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

/* "HTTP/1.1 101 ...": libcurl takes what follows for a body without end. */
static bool
is_other_protocol(const char *line, size_t len)
{
	const char *blank = memchr(line, ' ', len);

	return blank != NULL && line + len - blank > 4 &&
		   memcmp(blank, " 101", 4) == 0;
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
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
	{
		request_head_begins(request);
		if (!is_other_protocol(line, len))
			return len;
		request->abort = ABORT_OTHER_PROTOCOL;
		return 0;
	}
	if (colon == NULL)
		return len;
	value = colon - line + 1;
	while (value < end && (line[value] == ' ' || line[value] == '\t'))
		value++;
	while (end > value && isspace((unsigned char) line[end - 1]))
		end--;
	return request_header(request, line, colon - line, line + value,
						  end - value)
			   ? len
			   : 0;
}

static void
note_status(Request *request)
{
	long status = 0;

	curl_easy_getinfo(request->transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	request->response.status = (int) status;
}

static size_t
on_data(char *p, size_t size, size_t n, void *arg)
{
	note_status(arg);
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
	return (int) code == CODE_TOO_LARGE ||
		   (code == CURLE_OUT_OF_MEMORY && request->response.sent_at > 0 &&
			request->body_received == 0);
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
			return TRANSPORT_PROTOCOL;
		default:
			if (!sent && request->transfer->claim.no_descriptor)
				return TRANSPORT_NO_DESCRIPTOR;
			if (!sent && request->transfer->claim.not_allowed)
				return TRANSPORT_NOT_ALLOWED;
			return sent ? TRANSPORT_LOST : TRANSPORT_CONNECT;
	}
}

static const char *
error_text(const Request *request, CURLcode code)
{
	char *text = request->transfer->error;
	const char *ca_file = request->origin->ca_file;

	if (code == CURLE_SSL_CACERT_BADFILE && ca_file != NULL)
		(void) tls_unreadable_ca(ca_file, text, CURL_ERROR_SIZE);
	if (head_too_large(request, code))
		return "response headers are too large";
	if (classify(request, code) == TRANSPORT_NOT_ALLOWED)
		return NOT_ALLOWED_TEXT;
	return text[0] != '\0' ? text : curl_easy_strerror(code);
}

static void
take_back(Request *request)
{
	H1 *h1 = request->origin->h1;
	Transfer *transfer = request->transfer;

	if (transfer == NULL || !transfer->running)
		return;
	curl_multi_remove_handle(h1->multi.curl, transfer->easy);
	transfer->running = false;
	h1->nrunning--;
	loop_kick(&h1->member); /* there is a place now, or nothing to do */
}

/*
 * What servers say to a connection that was idle for too long may meet the next
 * request on its way: it is no answer to that, which goes out once more unless
 * its owner forbids it.
 */
static bool
met_idle_timeout(const Request *request, CURLcode code)
{
	CURL *easy = request->transfer->easy;
	long status = 0, connects = 1;

	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connects);
	return code == CURLE_OK && status == 408 && connects == 0 &&
		   !request->spec.once && request->spec.on_body == NULL &&
		   request->refusals == 0;
}

static void
wait_again(H1 *h1, Request *request)
{
	request->refusals++;
	request_forget_answer(request);
	request_reset(request);
	request->state = REQUEST_WAITING;
	list_prepend(&h1->waiting, &request->queue);
	h1->nwaiting++;
}

static void
reap(void *owner)
{
	H1 *h1 = owner;
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(h1->multi.curl, &left)) != NULL)
	{
		CURLcode code = message->data.result;
		TransportError error;
		Request *request;
		char *private;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		request = (Request *) private;
		error = classify(request, code);
		if (error == TRANSPORT_CONNECT)
			hosts_distrust(&h1->hosts);
		take_back(request);
		if (met_idle_timeout(request, code))
		{
			wait_again(h1, request);
			continue;
		}
		requests_end(&h1->ended, request, error, error_text(request, code));
	}
}

/* --- a request as curl has it --------------------------------------------- */

#define SET(option, value) SET_OPTION(rc, easy, option, value)

static bool
set_tls(const H1 *h1, CURL *easy)
{
	const Origin *origin = h1->origin;
	/* transfers end before their origin does */
	struct curl_blob blob = {.data = origin->ca,
							 .len = origin->ca != NULL ? strlen(origin->ca) : 0,
							 .flags = CURL_BLOB_NOCOPY};
	CURLcode rc = CURLE_OK;

	SET(CURLOPT_SHARE, h1->share);
	SET(CURLOPT_SSL_VERIFYPEER, origin->config.verify ? 1L : 0L);
	SET(CURLOPT_SSL_VERIFYHOST, origin->config.verify ? 2L : 0L);
#if LIBCURL_VERSION_NUM >= 0x075700
	SET(CURLOPT_CA_CACHE_TIMEOUT, CA_CACHE_S);
#endif
	if (origin->ca != NULL || origin->ca_file != NULL)
		SET(CURLOPT_CAPATH, NULL); /* else the system's would be trusted, too */
	if (origin->ca != NULL)
		SET(CURLOPT_CAINFO_BLOB, &blob);
	if (origin->ca_file != NULL)
		SET(CURLOPT_CAINFO, origin->ca_file);
	if (origin->client_cert != NULL)
		SET(CURLOPT_SSLCERT, origin->client_cert);
	if (origin->client_key != NULL)
		SET(CURLOPT_SSLKEY, origin->client_key);
	/* A key with a passphrase cannot be used: nobody is there to be asked. */
	SET(CURLOPT_KEYPASSWD, "");
	return rc == CURLE_OK;
}

/* What stays the same for all requests of an origin. */
static bool
set_up(Request *request, Transfer *transfer)
{
	Origin *origin = request->origin;
	CURL *easy = transfer->easy;
	CURLcode rc = CURLE_OK;
	const char *protocols = origin->plain ? "http" : "https";

	SET(CURLOPT_PREREQFUNCTION, on_prereq);
	SET(CURLOPT_PREREQDATA, request);
	SET(CURLOPT_HEADERFUNCTION, on_header_line);
	SET(CURLOPT_HEADERDATA, request);
	SET(CURLOPT_WRITEFUNCTION, on_data);
	SET(CURLOPT_WRITEDATA, request);
	SET(CURLOPT_ERRORBUFFER, transfer->error);
	SET(CURLOPT_PRIVATE, request);
	SET(CURLOPT_NOPROGRESS, 1L);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
#if LIBCURL_VERSION_NUM >= 0x075500
	SET(CURLOPT_PROTOCOLS_STR, protocols);
#else
	(void) protocols;
	SET(CURLOPT_PROTOCOLS,
		(long) (origin->plain ? CURLPROTO_HTTP : CURLPROTO_HTTPS));
#endif
	return rc == CURLE_OK && set_tls(origin->h1, easy) &&
		   multi_claim_sockets(easy, &transfer->claim, &origin->h1->multi,
							   origin) &&
		   origin_set_connection(origin, easy);
}

/* Does the text consist of these? */
static bool
is_url(const Buf *text, const char *scheme, const char *authority,
	   const char *path)
{
	size_t n = strlen(scheme);
	size_t m = strlen(authority);
	size_t k = strlen(path);

	return text->len == n + m + k && memcmp(text->data, scheme, n) == 0 &&
		   memcmp(text->data + n, authority, m) == 0 &&
		   memcmp(text->data + n + m, path, k) == 0;
}

/*
 * curl parses a URL for each request anew, which costs more than all other
 * options together, unless it is given parsed.  One that cannot be parsed it
 * shall report when the request begins.
 */
static bool
set_url(const Request *request, Transfer *transfer)
{
	const Origin *origin = request->origin;
	const char *scheme = origin->plain ? "http://" : "https://";
	const char *path = (const char *) request->lines.data;
	Buf *text = &transfer->url_text;
	CURLcode rc = CURLE_OK;
	bool parsed;

	if (is_url(text, scheme, origin->authority, path))
		return true;
	buf_reset(text);
	buf_put_cstr(text, scheme);
	buf_put_cstr(text, origin->authority);
	buf_put_cstr(text, path);
	if (transfer->url == NULL)
		transfer->url = curl_url();
	if (transfer->url == NULL || text->failed)
		return false;
	parsed = curl_url_set(transfer->url, CURLUPART_URL, buf_cstr(text),
						  CURLU_PATH_AS_IS) == CURLUE_OK;
	SET_OPTION(rc, transfer->easy, CURLOPT_PATH_AS_IS, 1L);
	SET_OPTION(rc, transfer->easy, CURLOPT_URL,
			   parsed ? NULL : buf_cstr(text));
	SET_OPTION(rc, transfer->easy, CURLOPT_CURLU,
			   parsed ? transfer->url : NULL);
	if (!parsed)
		buf_reset(text);
	return rc == CURLE_OK;
}

/* What does not stay the same, but for URL and headers. */
static bool
set_request(const Request *request, Transfer *transfer)
{
	const RequestSpec *spec = &request->spec;
	CURL *easy = transfer->easy;
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
	SET(CURLOPT_CONNECTTIMEOUT_MS,
		spec->connect_timeout_s > 0
			? (long) (spec->connect_timeout_s * 1000)
			: (long) (DEFAULT_CONNECT_TIMEOUT_S * 1000));
	SET(CURLOPT_HTTPHEADER, transfer->headers);
	SET(CURLOPT_RESOLVE, request->origin->h1->hosts.list);
	return rc == CURLE_OK;
}

#undef SET

static void
add_header(Transfer *transfer, const char *line)
{
	struct curl_slist *node = &transfer->headers[transfer->nheaders];

	node->data = (char *) line; /* which curl only reads */
	node->next = NULL;
	if (transfer->nheaders++ > 0)
		node[-1].next = node;
}

/* The owner's, without those that curl would add by itself. */
static void
set_headers(const Request *request, Transfer *transfer)
{
	const RequestSpec *spec = &request->spec;
	const char *line = (const char *) request->lines.data;
	const char *end = line + request->lines.len;
	bool content_type = false;
	bool accept = false;

	transfer->nheaders = 0;
	for (line += strlen(line) + 1; line < end; line += strlen(line) + 1)
	{
		content_type |= strncasecmp(line, "content-type:", 13) == 0;
		accept |= strncasecmp(line, "accept:", 7) == 0;
		add_header(transfer, line);
	}
	if (spec->accept_gzip)
		add_header(transfer, "Accept-Encoding: gzip");
	if (spec->body_len >= EXPECT_BODY)
		add_header(transfer, "Expect:");
	if (!content_type)
		add_header(transfer, "Content-Type:");
	if (!accept)
		add_header(transfer, "Accept:");
}

void
transfer_free(Transfer *transfer)
{
	if (transfer == NULL)
		return;
	curl_easy_cleanup(transfer->easy);
	curl_url_cleanup(transfer->url);
	buf_free(&transfer->url_text);
	free(transfer);
}

static bool
make_transfer(Request *request)
{
	Transfer *transfer;

	if (request->transfer != NULL)
		return true;
	transfer = calloc(1, sizeof(*transfer));
	if (transfer == NULL)
		return false;
	buf_init(&transfer->url_text, 0, NULL);
	transfer->easy = curl_easy_init();
	if (transfer->easy != NULL && set_up(request, transfer))
	{
		request->transfer = transfer;
		return true;
	}
	transfer_free(transfer);
	return false;
}

/* It is curl's now.  False: no memory. */
static bool
begin(H1 *h1, Request *request)
{
	Transfer *transfer = request->transfer;
	double timeout = request->spec.connect_timeout_s;

	multi_claim_begin(&transfer->claim);
	transfer->error[0] = '\0';
	set_headers(request, transfer);
	if (!set_url(request, transfer) || !set_request(request, transfer))
		return false;
	multi_expect_connection(&h1->multi, timeout > 0 ? timeout
													: DEFAULT_CONNECT_TIMEOUT_S);
	if (curl_multi_add_handle(h1->multi.curl, transfer->easy) != CURLM_OK)
		return false;
	request->state = REQUEST_SENT;
	transfer->running = true;
	h1->nrunning++;
	return true;
}

/* --- the origin's turn ---------------------------------------------------- */

static Request *
pop_waiting(H1 *h1)
{
	ListNode *node = list_pop(&h1->waiting);

	h1->nwaiting--;
	return LIST_OWNER(Request, queue, node);
}

static void
fail_waiting(H1 *h1, TransportError error, const char *message)
{
	while (h1->nwaiting > 0)
		requests_end(&h1->ended, pop_waiting(h1), error, message);
	loop_kick(&h1->member);
}

static void
on_hosts_known(void *owner, const char *error)
{
	H1 *h1 = owner;

	/* Else the old ones are as good as any. */
	if (error != NULL && (h1->hosts.refused || h1->hosts.known_at == 0))
		fail_waiting(h1, h1->hosts.refused ? TRANSPORT_NOT_ALLOWED : TRANSPORT_CONNECT,
					 error);
	loop_kick(&h1->member);
}

/* Is the name known?  If not, or not since just now, then it is asked for. */
static bool
hosts_known(H1 *h1)
{
	double known_at = h1->hosts.known_at;

	if (!hosts_are_names(h1->origin))
		return true;
	if ((known_at == 0 || monotonic_seconds() - known_at > NAMES_S) &&
		!hosts_are_asked(&h1->hosts) &&
		!hosts_ask(&h1->hosts, h1->origin, on_hosts_known, h1))
		fail_waiting(h1, TRANSPORT_MEMORY, "out of memory");
	return known_at > 0;
}

static int
most_running(const H1 *h1)
{
	int most = h1->origin->config.max_connections;

	return most > 0 ? most : MAX_CONNECTIONS;
}

static bool
open_multi(H1 *h1)
{
	const OriginConfig *config = &h1->origin->config;
	int most = most_running(h1);

	if (h1->multi.curl != NULL)
		return true;
	if (!multi_open(&h1->multi, reap, h1))
		return false;
	if (config->max_connections > 0)
		curl_multi_setopt(h1->multi.curl, CURLMOPT_MAX_TOTAL_CONNECTIONS,
						  (long) config->max_connections);
	/* Fewer would be closed and opened again all the time. */
	curl_multi_setopt(h1->multi.curl, CURLMOPT_MAXCONNECTS,
					  (long) (most > MIN_KEPT ? most : MIN_KEPT));
	return true;
}

/*
 * For one more request, if it needs another connection.  Who has many leaves
 * some to others.
 */
static bool
have_descriptor(const H1 *h1)
{
	int more = h1->nrunning + 1 - (int) h1->multi.sockets.count;

	/* some of them have begun, and have no socket yet */
	if (more <= 0)
		return true;
	return h1->nrunning < MANY_CONNECTIONS ? loop_make_room()
										   : loop_leaves_some(more);
}

static void
begin_waiting(H1 *h1)
{
	if (h1->nwaiting == 0)
		return;
	if (!origin_may_ask_proxy(h1->origin))
	{
		fail_waiting(h1, TRANSPORT_NOT_ALLOWED, NOT_ALLOWED_TEXT);
		return;
	}
	if (!hosts_known(h1))
		return;
	if (!open_multi(h1))
	{
		fail_waiting(h1, TRANSPORT_MEMORY, "out of memory");
		return;
	}
	multi_end_disturbed(&h1->multi);
	while (h1->nwaiting > 0 && h1->nrunning < most_running(h1))
	{
		bool room = have_descriptor(h1);
		Request *request;

		/* Those that run give theirs back. */
		h1->lacks_descriptors = !room;
		if (!room && h1->nrunning > 0)
			break;
		request = pop_waiting(h1);
		if (!room)
			requests_end(&h1->ended, request, TRANSPORT_NO_DESCRIPTOR,
						 "too many connections");
		else if (!begin(h1, request))
			requests_end(&h1->ended, request, TRANSPORT_MEMORY,
						 "out of memory");
	}
}

static void
run(void *owner)
{
	H1 *h1 = owner;

	loop_set_idle(&h1->idle, false);
	h1->lacks_descriptors = false;
	begin_waiting(h1);
	if (h1->nrunning == 0 && h1->nwaiting == 0 && h1->multi.curl != NULL)
	{
		loop_set_idle(&h1->idle, true);
		(void) timer_set(&h1->expiry, monotonic_seconds() + MAX_IDLE_S);
	}
	requests_finish(&h1->ended);
}

/* Nobody needs the connections, or others need descriptors. */
static void
close_idle(void *arg)
{
	H1 *h1 = arg;

	loop_set_idle(&h1->idle, false);
	timer_cancel(&h1->expiry);
	if (h1->nrunning == 0)
		multi_close(&h1->multi);
}

/* --- what request.c and others call --------------------------------------- */

static bool
start(Request *request)
{
	H1 *h1 = request->origin->h1;

	loop_kick(&h1->member);
	if (!request_has_path(request))
	{
		requests_end(&h1->ended, request, TRANSPORT_PROTOCOL,
					 "the URL is malformed");
		return true;
	}
	if (!make_transfer(request))
		return false;
	request->state = REQUEST_WAITING;
	list_append(&h1->waiting, &request->queue);
	h1->nwaiting++;
	return true;
}

static uint64_t
moved(const Request *request)
{
	curl_off_t upload = 0;

	if (request->transfer != NULL)
		curl_easy_getinfo(request->transfer->easy, CURLINFO_SIZE_UPLOAD_T,
						  &upload);
	return request->header_bytes + request->body_received + upload;
}

static void
figures(Request *request)
{
	if (request->transfer == NULL || request->response.sent_at == 0)
		return;
	note_status(request);
	request->body_sent =
		moved(request) - request->header_bytes - request->body_received;
}

static void
drop(Request *request)
{
	if (request->state == REQUEST_WAITING)
		request->origin->h1->nwaiting--;
	take_back(request);
	list_remove(&request->queue);
	request->state = REQUEST_FINISHED;
}

static void
cut(Request *request)
{
	H1 *h1 = request->origin->h1;

	if (h1->multi.curl != NULL)
		multi_cut(&h1->multi);
}

const Carrier h1_carrier = {.http2 = false,
							.start = start,
							.moved = moved,
							.figures = figures,
							.drop = drop,
							.cut = cut};

H1 *
h1_create(Origin *origin)
{
	H1 *h1 = calloc(1, sizeof(*h1));

	if (h1 == NULL)
		return NULL;
	h1->origin = origin;
	loop_member_init(&h1->member, NULL, run, h1);
	list_init(&h1->waiting);
	list_init(&h1->ended);
	timer_init(&h1->expiry, close_idle, h1);
	h1->idle = (LoopIdle){.evict = close_idle, .owner = h1};
	h1->share = curl_share_init();
	if (h1->share == NULL ||
		curl_share_setopt(h1->share, CURLSHOPT_SHARE,
						  CURL_LOCK_DATA_SSL_SESSION) != CURLSHE_OK)
	{
		h1_free(h1);
		return NULL;
	}
	return h1;
}

bool
h1_lacks_descriptors(const H1 *h1)
{
	return h1->lacks_descriptors;
}

/* When its requests are gone. */
void
h1_free(H1 *h1)
{
	if (h1 == NULL)
		return;
	MUST(h1->nrunning == 0 && h1->nwaiting == 0);
	multi_close(&h1->multi);
	curl_share_cleanup(h1->share);
	hosts_free(&h1->hosts);
	timer_cancel(&h1->expiry);
	loop_set_idle(&h1->idle, false);
	loop_leave(&h1->member);
	free(h1);
}
