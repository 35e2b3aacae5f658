/*-------------------------------------------------------------------------
 *
 * transport.c
 *	  HTTP requests on libcurl's multi_socket interface.
 *
 * Every Origin has a multi handle of its own: its connections are not shared
 * with other credentials, its limits are its own, and freeing it closes them.
 * The sockets of all multi handles are in one epoll descriptor.
 *
 * curl's callbacks only record what they see.  Finished requests are reaped
 * after curl has returned, and only then is the owner's on_done called.  The
 * clock of a request starts when curl is about to send it (PREREQFUNCTION),
 * so that waiting for a connection or a stream does not count.
 *
 * libcurl resolves names in threads of its own, which inherit the signal
 * mask: whoever runs transport_process() and timers_run() has all signals
 * blocked, so that PostgreSQL's handlers run in the main thread only.
 *
 *-------------------------------------------------------------------------
 */
#include "worker/transport.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "worker/timer.h"

#if LIBCURL_VERSION_NUM < 0x075000
#error "modal_batch needs libcurl 7.80 or newer"
#endif

#define MAX_HEADER_BYTES (256 * 1024) /* headers and trailers of a response */
#define MAX_HEADER_NAME 256
#define MAX_IDLE_REQUESTS 256		  /* kept for reuse, per origin */
#define MAX_CACHED_CONNECTIONS 64
#define EVENTS_PER_WAIT 64
#define KICKS_PER_TURN 256
#define DEFAULT_CONNECT_TIMEOUT_MS 10000

/* Why our own callbacks made curl fail a request. */
typedef enum AbortReason
{
	ABORT_NONE,
	ABORT_BODY_TOO_LARGE,
	ABORT_HEADERS_TOO_LARGE,
	ABORT_NO_MEMORY,
	ABORT_BY_OWNER,
	ABORT_HTTP1,
	ABORT_TIMEOUT,
	ABORT_FIRST_BYTE_TIMEOUT
} AbortReason;

struct Request
{
	Origin *origin;
	Request *prev, *next; /* origin's active or idle list */
	CURL *easy;
	struct curl_slist *headers;
	RequestSpec spec;	  /* origin, path and headers are not used later */
	Response response;
	AbortReason abort;
	size_t header_bytes;
	bool first_byte;
	Timer timeout;
	Timer first_byte_timeout;
	char error[CURL_ERROR_SIZE];
};

struct Origin
{
	char *url, *ca_file, *client_cert, *client_key, *proxy;
	OriginConfig config; /* numbers and flags; strings are above */
	bool plain;			 /* http:// */
	bool loopback;		 /* on this machine */
	CURLM *multi;
	Timer timer;		 /* what curl asked for */
	bool kicked;		 /* curl wants to run at once */
	Origin *next_kicked;
	Request *active;
	Request *idle;
	int nidle;
};

/*
 * By descriptor: whose it is, and which events epoll watches.  curl takes an
 * interest in a connection for each request anew.  So a socket that it does
 * not want is taken out of epoll only when it has an event after all.
 */
typedef struct Socket
{
	Origin *origin;	 /* NULL: not watched */
	uint32_t events;
	bool wanted;
	bool connection; /* opened by on_open_socket, so we see its end */
} Socket;

static int epoll_fd = -1;
static Socket *sockets;
static int nsockets;
static Origin *kicked;
static int nconnections;
static int nactive;
static TransportStats stats;
static bool (*fd_reserve)(void);
static void (*fd_release)(void);
static bool h2c_reuse_broken; /* libcurl before 8.0, curl issue 10634 */
static bool h2_trailers_lossy; /* before 8.1; see Response */

double
monotonic_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* --- what curl calls ------------------------------------------------------ */

static bool
socket_table_reserve(int fd)
{
	if (fd >= nsockets)
	{
		int n = fd * 2 + 64;
		Socket *grown = realloc(sockets, n * sizeof(*sockets));

		if (grown == NULL)
			return false;
		memset(grown + nsockets, 0, (n - nsockets) * sizeof(*sockets));
		sockets = grown;
		nsockets = n;
	}
	return true;
}

static void
unwatch(int fd)
{
	/* Fails when the socket is closed already, which has the effect. */
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	sockets[fd].origin = NULL;
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	Origin *origin = arg;
	struct epoll_event event = {0};
	Socket *entry;

	(void) easy;
	(void) unused;
	if (!socket_table_reserve(fd))
		return -1;
	entry = &sockets[fd];

	entry->wanted = what != CURL_POLL_REMOVE;
	if (what == CURL_POLL_REMOVE)
	{
		if (!entry->connection)
			unwatch(fd);
		return 0;
	}

	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	event.data.fd = fd;
	if (entry->origin == origin && entry->events == event.events)
		return 0;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0 &&
		(errno != EEXIST ||
		 epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0))
		return -1;
	entry->origin = origin;
	entry->events = event.events;
	return 0;
}

static void
kick(Origin *origin)
{
	if (!origin->kicked)
	{
		origin->kicked = true;
		origin->next_kicked = kicked;
		kicked = origin;
	}
}

static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	Origin *origin = arg;

	(void) multi;
	if (timeout_ms < 0)
		timer_cancel(&origin->timer);
	else if (timeout_ms == 0)
		kick(origin);
	else if (!timer_set(&origin->timer,
						monotonic_seconds() + timeout_ms / 1000.0))
		return -1;
	return 0;
}

static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	curl_socket_t fd;

	(void) arg;
	(void) purpose;
	if (fd_reserve != NULL && !fd_reserve())
		return CURL_SOCKET_BAD;
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
				address->protocol);
	if (fd >= 0 && socket_table_reserve(fd))
	{
		sockets[fd] = (Socket){.connection = true};
		nconnections++;
		return fd;
	}
	if (fd >= 0)
		close(fd);
	if (fd_release != NULL)
		fd_release();
	return CURL_SOCKET_BAD;
}

static int
on_close_socket(void *arg, curl_socket_t fd)
{
	(void) arg;
	sockets[fd] = (Socket){0};
	close(fd);
	if (fd_release != NULL)
		fd_release();
	nconnections--;
	return 0;
}

/* The request is about to be sent: its clock starts. */
static int
on_prereq(void *arg, char *conn_primary_ip, char *conn_local_ip,
		  int conn_primary_port, int conn_local_port)
{
	Request *request = arg;

	(void) conn_primary_ip;
	(void) conn_local_ip;
	(void) conn_primary_port;
	(void) conn_local_port;
	request->response.sent_at = monotonic_seconds();
	if ((request->spec.timeout_s > 0 &&
		 !timer_set(&request->timeout,
					request->response.sent_at + request->spec.timeout_s)) ||
		(request->spec.first_byte_timeout_s > 0 &&
		 !timer_set(&request->first_byte_timeout,
					request->response.sent_at +
						request->spec.first_byte_timeout_s)))
	{
		request->abort = ABORT_NO_MEMORY;
		return CURL_PREREQFUNC_ABORT;
	}
	return CURL_PREREQFUNC_OK;
}

static void
note_first_byte(Request *request)
{
	if (request->first_byte)
		return;
	request->first_byte = true;
	timer_cancel(&request->first_byte_timeout);
	request->response.first_byte_s =
		monotonic_seconds() - request->response.sent_at;
}

static size_t
on_header_line(char *line, size_t size, size_t n, void *arg)
{
	Request *request = arg;
	size_t len = size * n;
	size_t end = len;
	size_t name_len;
	size_t value;
	const char *colon;
	char name[MAX_HEADER_NAME];

	note_first_byte(request);
	request->header_bytes += len;
	if (request->header_bytes > MAX_HEADER_BYTES)
	{
		request->abort = ABORT_HEADERS_TOO_LARGE;
		return 0;
	}

	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
	{
		request->response.http2 = len > 5 && line[5] == '2';
		if (request->origin->config.http2_required &&
			!request->response.http2)
		{
			request->abort = ABORT_HTTP1;
			return 0;
		}
		return len;
	}
	colon = memchr(line, ':', len);
	if (colon == NULL || request->spec.on_header == NULL)
		return len;

	name_len = colon - line;
	if (name_len == 0 || name_len > sizeof(name))
		return len;
	for (size_t i = 0; i < name_len; i++)
		name[i] = tolower((unsigned char) line[i]);
	value = name_len + 1;
	while (value < end && (line[value] == ' ' || line[value] == '\t'))
		value++;
	while (end > value && isspace((unsigned char) line[end - 1]))
		end--;
	request->spec.on_header(request->spec.arg, name, name_len, line + value,
							end - value);
	return len;
}

static size_t
on_data(char *p, size_t size, size_t n, void *arg)
{
	Request *request = arg;
	size_t len = size * n;

	note_first_byte(request);
	if (request->spec.on_body != NULL)
	{
		if (!request->spec.on_body(request->spec.arg, p, len))
		{
			request->abort = ABORT_BY_OWNER;
			return 0;
		}
		return len;
	}
	if (len > request->spec.max_body - request->response.body.len)
	{
		request->abort = ABORT_BODY_TOO_LARGE;
		return 0;
	}
	buf_put(&request->response.body, p, len);
	if (request->response.body.failed)
	{
		request->abort = ABORT_NO_MEMORY;
		return 0;
	}
	return len;
}

/* --- the end of a request ------------------------------------------------- */

static TransportError
classify(const Request *request, CURLcode code)
{
	bool sent = request->response.sent_at > 0;

	switch (request->abort)
	{
		case ABORT_NONE:
			break;
		case ABORT_BODY_TOO_LARGE:
		case ABORT_HEADERS_TOO_LARGE:
			return TRANSPORT_TOO_LARGE;
		case ABORT_NO_MEMORY:
			return TRANSPORT_MEMORY;
		case ABORT_BY_OWNER:
			return TRANSPORT_ABORTED;
		case ABORT_HTTP1:
			return TRANSPORT_CONNECT;
		case ABORT_TIMEOUT:
		case ABORT_FIRST_BYTE_TIMEOUT:
			return TRANSPORT_TIMEOUT;
	}

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
			return sent ? TRANSPORT_LOST : TRANSPORT_CONNECT;
	}
}

static const char *
error_text(const Request *request, CURLcode code)
{
	switch (request->abort)
	{
		case ABORT_NONE:
			break;
		case ABORT_BODY_TOO_LARGE:
			return "response body is too large";
		case ABORT_HEADERS_TOO_LARGE:
			return "response headers are too large";
		case ABORT_NO_MEMORY:
			return "out of memory";
		case ABORT_BY_OWNER:
			return "response was abandoned";
		case ABORT_HTTP1:
			return "server does not offer HTTP/2";
		case ABORT_TIMEOUT:
			return "request timed out";
		case ABORT_FIRST_BYTE_TIMEOUT:
			return "server accepted the request and did not answer in time";
	}
	return request->error[0] != '\0' ? request->error : curl_easy_strerror(code);
}

static void
collect_figures(Request *request)
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
	response->finished_at = monotonic_seconds();
	if (response->sent_at > 0)
		response->total_s = response->finished_at - response->sent_at;
	stats.requests++;
	stats.bytes_sent += response->bytes_sent;
	stats.bytes_received += response->bytes_received;
}

static void
unlink_active(Request *request)
{
	Origin *origin = request->origin;

	if (request->prev != NULL)
		request->prev->next = request->next;
	else
		origin->active = request->next;
	if (request->next != NULL)
		request->next->prev = request->prev;
	nactive--;
}

static void
request_destroy(Request *request)
{
	curl_slist_free_all(request->headers);
	buf_free(&request->response.body);
	curl_easy_cleanup(request->easy);
	free(request);
}

/* Off the multi handle, and to the idle list. */
static void
request_retire(Request *request)
{
	Origin *origin = request->origin;

	timer_cancel(&request->timeout);
	timer_cancel(&request->first_byte_timeout);
	curl_slist_free_all(request->headers);
	request->headers = NULL;
	buf_free(&request->response.body);
	if (origin->nidle >= MAX_IDLE_REQUESTS)
	{
		request_destroy(request);
		return;
	}
	request->next = origin->idle;
	origin->idle = request;
	origin->nidle++;
}

static void
request_finish(Request *request, CURLcode code)
{
	void (*on_done)(void *, Response *) = request->spec.on_done;
	Response *response = &request->response;

	collect_figures(request);
	response->error = classify(request, code);
	response->trailers_may_be_lost = h2_trailers_lossy && response->http2;
	if (response->error != TRANSPORT_OK)
		snprintf(response->message, sizeof(response->message), "%s",
				 error_text(request, code));
	curl_multi_remove_handle(request->origin->multi, request->easy);
	unlink_active(request);
	timer_cancel(&request->timeout);
	timer_cancel(&request->first_byte_timeout);

	on_done(request->spec.arg, response);
	request_retire(request);
}

static void
on_timeout(void *arg)
{
	Request *request = arg;

	request->abort = ABORT_TIMEOUT;
	request_finish(request, CURLE_OPERATION_TIMEDOUT);
}

static void
on_first_byte_timeout(void *arg)
{
	Request *request = arg;

	request->abort = ABORT_FIRST_BYTE_TIMEOUT;
	request_finish(request, CURLE_OPERATION_TIMEDOUT);
}

static void
reap(Origin *origin)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(origin->multi, &left)) != NULL)
	{
		CURLcode code = message->data.result;
		char *request;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
		request_finish((Request *) request, code);
	}
}

/* --- driving curl --------------------------------------------------------- */

static void
drive(Origin *origin, curl_socket_t fd, int mask)
{
	int running;

	curl_multi_socket_action(origin->multi, fd, mask, &running);
	reap(origin);
}

static void
on_origin_timer(void *arg)
{
	drive(arg, CURL_SOCKET_TIMEOUT, 0);
}

void
transport_run(void)
{
	/* Bounded, so that a busy origin does not keep the event loop here. */
	for (int i = 0; i < KICKS_PER_TURN && kicked != NULL; i++)
	{
		Origin *origin = kicked;

		kicked = origin->next_kicked;
		origin->kicked = false;
		drive(origin, CURL_SOCKET_TIMEOUT, 0);
	}
}

void
transport_process(void)
{
	struct epoll_event events[EVENTS_PER_WAIT];
	int n;

	transport_run();
	n = epoll_wait(epoll_fd, events, EVENTS_PER_WAIT, 0);
	for (int i = 0; i < n; i++)
	{
		int fd = events[i].data.fd;
		int mask = 0;

		/* An event before may have closed it. */
		if (sockets[fd].origin == NULL)
			continue;
		if (!sockets[fd].wanted)
		{
			unwatch(fd);
			continue;
		}
		if (events[i].events & (EPOLLIN | EPOLLHUP))
			mask |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			mask |= CURL_CSELECT_OUT;
		if (events[i].events & EPOLLERR)
			mask |= CURL_CSELECT_ERR;
		drive(sockets[fd].origin, fd, mask);
	}
	transport_run();
}

bool
transport_init(bool (*reserve_fd)(void), void (*release_fd)(void))
{
	unsigned int version;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return false;
	fd_reserve = reserve_fd;
	fd_release = release_fd;
	if (fd_reserve != NULL && !fd_reserve())
		return false;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	version = curl_version_info(CURLVERSION_NOW)->version_num;
	h2c_reuse_broken = version < 0x080000;
	h2_trailers_lossy = version < 0x080100;
	return epoll_fd >= 0;
}

int
transport_fd(void)
{
	return epoll_fd;
}

bool
transport_busy(void)
{
	return kicked != NULL;
}

void
transport_stats(TransportStats *to)
{
	*to = stats;
}

int
transport_connections(void)
{
	return nconnections;
}

int
transport_active(void)
{
	return nactive;
}

/* --- origins -------------------------------------------------------------- */

static bool
copy_string(char **to, const char *from)
{
	*to = NULL;
	if (from == NULL || from[0] == '\0')
		return true;
	*to = strdup(from);
	return *to != NULL;
}

static bool
is_loopback(const char *url)
{
	const char *host = strstr(url, "://");
	size_t n;

	if (host == NULL)
		return false;
	host += 3;
	n = strcspn(host, "/?#");
	if (memchr(host, '@', n) != NULL)
		return false;
	if (host[0] == '[')
		return strncmp(host, "[::1]", 5) == 0;
	n = strcspn(host, ":/?#");
	return (n == 9 && memcmp(host, "localhost", 9) == 0) ||
		(n == 9 && memcmp(host, "127.0.0.1", 9) == 0);
}

Origin *
origin_create(const OriginConfig *config)
{
	Origin *origin = calloc(1, sizeof(*origin));
	long cached = MAX_CACHED_CONNECTIONS;

	if (origin == NULL)
		return NULL;
	timer_init(&origin->timer, on_origin_timer, origin);
	origin->config = *config;
	origin->plain = strncmp(config->url, "http://", 7) == 0;
	origin->loopback = is_loopback(config->url);
	origin->multi = curl_multi_init();
	if (!copy_string(&origin->url, config->url) ||
		!copy_string(&origin->ca_file, config->ca_file) ||
		!copy_string(&origin->client_cert, config->client_cert) ||
		!copy_string(&origin->client_key, config->client_key) ||
		!copy_string(&origin->proxy, config->proxy) || origin->multi == NULL)
	{
		origin_free(origin);
		return NULL;
	}

	curl_multi_setopt(origin->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(origin->multi, CURLMOPT_SOCKETDATA, origin);
	curl_multi_setopt(origin->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(origin->multi, CURLMOPT_TIMERDATA, origin);
	if (config->max_connections > 0)
	{
		curl_multi_setopt(origin->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
						  (long) config->max_connections);
		if (config->max_connections > cached)
			cached = config->max_connections;
	}
	curl_multi_setopt(origin->multi, CURLMOPT_MAXCONNECTS, cached);
	if (config->max_streams > 0)
		curl_multi_setopt(origin->multi, CURLMOPT_MAX_CONCURRENT_STREAMS,
						  (long) config->max_streams);
	return origin;
}

void
origin_free(Origin *origin)
{
	Request *request;

	if (origin == NULL)
		return;
	while (origin->active != NULL)
		request_cancel(origin->active);
	while ((request = origin->idle) != NULL)
	{
		origin->idle = request->next;
		request_destroy(request);
	}
	if (origin->multi != NULL)
		curl_multi_cleanup(origin->multi);
	timer_cancel(&origin->timer);
	for (Origin **at = &kicked; *at != NULL; at = &(*at)->next_kicked)
	{
		if (*at == origin)
		{
			*at = origin->next_kicked;
			break;
		}
	}
	for (int fd = 0; fd < nsockets; fd++)
	{
		if (sockets[fd].origin == origin)
			sockets[fd].origin = NULL;
	}
	free(origin->url);
	free(origin->ca_file);
	free(origin->client_cert);
	free(origin->client_key);
	free(origin->proxy);
	free(origin);
}

/* --- requests ------------------------------------------------------------- */

/* Options that stay the same for all requests of an origin. */
static bool
set_fixed_options(Request *request)
{
	Origin *origin = request->origin;
	CURL *easy = request->easy;
	CURLcode rc = CURLE_OK;
	bool may_be_plain = origin->plain || origin->loopback;
	const char *protocols = may_be_plain ? "http,https" : "https";

#define SET(option, value) \
	(rc = rc == CURLE_OK ? curl_easy_setopt(easy, option, value) : rc)

	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_NOPROGRESS, 1L);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
#if LIBCURL_VERSION_NUM >= 0x075500
	SET(CURLOPT_PROTOCOLS_STR, protocols);
#else
	(void) protocols;
	SET(CURLOPT_PROTOCOLS,
		(long) (CURLPROTO_HTTPS | (may_be_plain ? CURLPROTO_HTTP : 0)));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Giving up must not wait for a resolver thread. */
	SET(CURLOPT_QUICK_EXIT, 1L);
#endif
	SET(CURLOPT_PROXY, origin->proxy != NULL ? origin->proxy : "");
	SET(CURLOPT_NOPROXY, "");
	SET(CURLOPT_SSL_VERIFYPEER, origin->config.verify ? 1L : 0L);
	SET(CURLOPT_SSL_VERIFYHOST, origin->config.verify ? 2L : 0L);
	if (origin->ca_file != NULL)
		SET(CURLOPT_CAINFO, origin->ca_file);
	if (origin->client_cert != NULL)
		SET(CURLOPT_SSLCERT, origin->client_cert);
	if (origin->client_key != NULL)
		SET(CURLOPT_SSLKEY, origin->client_key);
	if (origin->config.keepalive_s > 0)
	{
		SET(CURLOPT_TCP_KEEPALIVE, 1L);
		SET(CURLOPT_TCP_KEEPIDLE, (long) origin->config.keepalive_s);
		SET(CURLOPT_TCP_KEEPINTVL, (long) origin->config.keepalive_s);
	}
	SET(CURLOPT_PIPEWAIT, origin->config.http2 ? 1L : 0L);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
	SET(CURLOPT_PREREQFUNCTION, on_prereq);
	SET(CURLOPT_PREREQDATA, request);
	SET(CURLOPT_HEADERFUNCTION, on_header_line);
	SET(CURLOPT_HEADERDATA, request);
	SET(CURLOPT_WRITEFUNCTION, on_data);
	SET(CURLOPT_WRITEDATA, request);
	SET(CURLOPT_ERRORBUFFER, request->error);
	SET(CURLOPT_PRIVATE, request);
	return rc == CURLE_OK;
}

static Request *
request_create(Origin *origin)
{
	Request *request = origin->idle;

	if (request != NULL)
	{
		origin->idle = request->next;
		origin->nidle--;
		return request;
	}
	request = calloc(1, sizeof(*request));
	if (request == NULL)
		return NULL;
	request->origin = origin;
	timer_init(&request->timeout, on_timeout, request);
	timer_init(&request->first_byte_timeout, on_first_byte_timeout, request);
	request->easy = curl_easy_init();
	if (request->easy == NULL || !set_fixed_options(request))
	{
		request_destroy(request);
		return NULL;
	}
	return request;
}

static bool
add_header(Request *request, const char *line)
{
	struct curl_slist *list = curl_slist_append(request->headers, line);

	if (list == NULL)
		return false;
	request->headers = list;
	return true;
}

/* The owner's headers, without those that curl would add by itself. */
static bool
build_headers(Request *request, const char *const *headers)
{
	bool content_type = false;
	bool accept = false;

	for (; headers != NULL && *headers != NULL; headers++)
	{
		content_type |= strncasecmp(*headers, "content-type:", 13) == 0;
		accept |= strncasecmp(*headers, "accept:", 7) == 0;
		if (!add_header(request, *headers))
			return false;
	}
	return add_header(request, "Expect:") &&
		(content_type || add_header(request, "Content-Type:")) &&
		(accept || add_header(request, "Accept:"));
}

static long
http_version(const Origin *origin, bool plain, bool whole_url)
{
	if (!origin->config.http2)
		return CURL_HTTP_VERSION_1_1;
	if (!plain)
		return CURL_HTTP_VERSION_2TLS;
	return whole_url ? CURL_HTTP_VERSION_1_1
					 : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
}

static bool
set_request_options(Request *request, const RequestSpec *spec)
{
	Origin *origin = request->origin;
	CURL *easy = request->easy;
	CURLcode rc = CURLE_OK;
	bool whole_url = strstr(spec->path, "://") != NULL;
	bool plain = whole_url ? strncmp(spec->path, "http://", 7) == 0
						   : origin->plain;
	long version = http_version(origin, plain, whole_url);
	bool no_reuse =
		h2c_reuse_broken && version == CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
	bool get = strcmp(spec->method, "GET") == 0;
	Buf url;

	if (whole_url && plain && !origin->plain &&
		!(origin->loopback && is_loopback(spec->path)))
		rc = CURLE_UNSUPPORTED_PROTOCOL;
	else if (whole_url)
		SET(CURLOPT_URL, spec->path);
	else
	{
		buf_init(&url, 0, NULL);
		buf_put_cstr(&url, origin->url);
		buf_put_cstr(&url, spec->path);
		SET(CURLOPT_URL, buf_cstr(&url));
		if (url.failed)
			rc = CURLE_OUT_OF_MEMORY;
		buf_free(&url);
	}
	SET(CURLOPT_HTTP_VERSION, version);
	SET(CURLOPT_FRESH_CONNECT, no_reuse ? 1L : 0L);
	SET(CURLOPT_FORBID_REUSE, no_reuse ? 1L : 0L);
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
	SET(CURLOPT_HTTPHEADER, request->headers);
	SET(CURLOPT_ACCEPT_ENCODING, spec->accept_gzip ? "gzip" : NULL);
	SET(CURLOPT_CONNECTTIMEOUT_MS,
		spec->connect_timeout_s > 0 ? (long) (spec->connect_timeout_s * 1000)
									: (long) DEFAULT_CONNECT_TIMEOUT_MS);
	return rc == CURLE_OK;
#undef SET
}

Request *
request_start(const RequestSpec *spec)
{
	Origin *origin = spec->origin;
	Request *request = request_create(origin);

	if (request == NULL)
		return NULL;
	request->spec = *spec;
	memset(&request->response, 0, sizeof(request->response));
	buf_init(&request->response.body, 0, NULL);
	request->abort = ABORT_NONE;
	request->header_bytes = 0;
	request->first_byte = false;
	request->error[0] = '\0';

	if (!build_headers(request, spec->headers) ||
		!set_request_options(request, spec) ||
		curl_multi_add_handle(origin->multi, request->easy) != CURLM_OK)
	{
		request_destroy(request);
		return NULL;
	}
	request->prev = NULL;
	request->next = origin->active;
	if (origin->active != NULL)
		origin->active->prev = request;
	origin->active = request;
	nactive++;
	return request;
}

void
request_cancel(Request *request)
{
	curl_multi_remove_handle(request->origin->multi, request->easy);
	unlink_active(request);
	request_retire(request);
}
