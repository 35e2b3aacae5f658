/*-------------------------------------------------------------------------
 *
 * wire.c
 *	  A map over Modal's API by a client that is nothing else: the ceiling.
 *
 *	  wire URL CA_FILE INPUTS
 *
 * Does what modal_map does on the wire, with no database behind it: FunctionMap,
 * inputs in batches of 49 within the window that the server gives, overlapping
 * long polls that name the inputs waited for, the final acknowledgement.
 * Every result is checked.  Prints inputs per second.
 *
 *-------------------------------------------------------------------------
 */
#include <netdb.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../local/pb.h"

#define BATCH 49
#define DEFAULT_WINDOW 1000
#define MAX_WINDOW 10000
#define JWT_SIZE 512
#define ID_SIZE 64
#define POLL_SECONDS 55.0f
#define WINDOW_BYTES (64 * 1024 * 1024)
#define READ_SIZE (256 * 1024)
#define FORMAT_CBOR 4
#define NO_SLOT (-1)

typedef struct Bytes
{
	uint8_t *data;
	size_t len;
	size_t cap;
} Bytes;

typedef struct Request Request;

struct Request
{
	void (*done)(const uint8_t *message, size_t len);
	Bytes out;
	size_t sent;
	Bytes in;
	int status;
};

/* An input that is under way. */
typedef struct Slot
{
	int32_t idx;
	size_t jwt_len; /* 0: not known yet */
	char jwt[JWT_SIZE];
} Slot;

static SSL *ssl;
static nghttp2_session *session;
static char function_id[ID_SIZE];
static char call_id[ID_SIZE];
static char cursor[ID_SIZE] = "0-0";
static int32_t n_inputs;
static int32_t n_sent;
static int32_t n_done;
static uint32_t window;
static Slot slots[MAX_WINDOW];
static int32_t free_slots[MAX_WINDOW];
static uint32_t n_free;
static int32_t *slot_of; /* by index */
static bool finished;

static void start_poll(void);

static void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fputs("wire: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec * 1e-9;
}

/* --- bytes --------------------------------------------------------------- */

/* Room for n more. */
static uint8_t *
reserve(Bytes *bytes, size_t n)
{
	if (bytes->cap - bytes->len < n)
	{
		bytes->cap = (bytes->len + n) * 2;
		bytes->data = realloc(bytes->data, bytes->cap);
		if (bytes->data == NULL)
			die("out of memory");
	}
	return bytes->data + bytes->len;
}

static void
append(Bytes *bytes, const void *data, size_t n)
{
	memcpy(reserve(bytes, n), data, n);
	bytes->len += n;
}

static void
append_field(Bytes *bytes, uint32_t number, const void *data, size_t n)
{
	uint8_t *p = reserve(bytes, n + 2 * PB_MAX_VARINT);

	bytes->len = (size_t) (pb_put_bytes(p, number, data, n) - bytes->data);
}

static void
append_text(Bytes *bytes, uint32_t number, const char *text)
{
	append_field(bytes, number, text, strlen(text));
}

static void
append_uint(Bytes *bytes, uint32_t number, uint64_t v)
{
	uint8_t *p = reserve(bytes, 2 * PB_MAX_VARINT);

	bytes->len = (size_t) (pb_put_uint(p, number, v) - bytes->data);
}

static void
copy_text(char *out, size_t size, const PbField *field)
{
	if (field->len >= size)
		die("an id is too long");
	memcpy(out, field->data, field->len);
	out[field->len] = '\0';
}

/* --- requests ------------------------------------------------------------ */

static nghttp2_nv
nv(const char *name, const char *value)
{
	return (nghttp2_nv){(uint8_t *) (uintptr_t) name,
						(uint8_t *) (uintptr_t) value, strlen(name),
						strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static ssize_t
read_request(nghttp2_session *s, int32_t stream_id, uint8_t *buf, size_t length,
			 uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
	Request *request = source->ptr;
	size_t n = request->out.len - request->sent;

	(void) s;
	(void) stream_id;
	(void) user_data;
	if (n > length)
		n = length;
	memcpy(buf, request->out.data + request->sent, n);
	request->sent += n;
	if (request->sent == request->out.len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t) n;
}

/* A request whose message is to be appended to out. */
static Request *
new_request(void (*done)(const uint8_t *message, size_t len))
{
	static const uint8_t prefix[5];
	Request *request = calloc(1, sizeof(*request));

	if (request == NULL)
		die("out of memory");
	request->done = done;
	request->status = -1;
	append(&request->out, prefix, sizeof(prefix));
	return request;
}

static void
send_request(Request *request, const char *path)
{
	const nghttp2_nv headers[] = {
		nv(":method", "POST"),
		nv(":scheme", "https"),
		nv(":authority", "localhost"),
		nv(":path", path),
		nv("content-type", "application/grpc"),
		nv("te", "trailers"),
		nv("x-modal-client-type", "9"),
		nv("x-modal-client-version", "1.0.0"),
		nv("x-modal-token-id", "ak-local"),
		nv("x-modal-token-secret", "as-local"),
	};
	nghttp2_data_provider provider = {.source.ptr = request,
									  .read_callback = read_request};
	uint32_t len = (uint32_t) (request->out.len - 5);

	for (int i = 0; i < 4; i++)
		request->out.data[1 + i] = (uint8_t) (len >> (24 - 8 * i));
	if (nghttp2_submit_request(session, NULL, headers,
							   sizeof(headers) / sizeof(headers[0]), &provider,
							   request) < 0)
		die("cannot send a request");
}

static int
on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
		  size_t name_len, const uint8_t *value, size_t value_len,
		  uint8_t flags, void *user_data)
{
	Request *request =
		nghttp2_session_get_stream_user_data(s, frame->hd.stream_id);

	(void) flags;
	(void) user_data;
	if (request != NULL && name_len == 11 &&
		memcmp(name, "grpc-status", 11) == 0 && value_len > 0)
		request->status = atoi((const char *) value);
	return 0;
}

static int
on_data(nghttp2_session *s, uint8_t flags, int32_t stream_id,
		const uint8_t *data, size_t len, void *user_data)
{
	Request *request = nghttp2_session_get_stream_user_data(s, stream_id);

	(void) flags;
	(void) user_data;
	if (request != NULL)
		append(&request->in, data, len);
	return 0;
}

static int
on_close(nghttp2_session *s, int32_t stream_id, uint32_t error, void *user_data)
{
	Request *request = nghttp2_session_get_stream_user_data(s, stream_id);

	(void) user_data;
	if (request == NULL)
		return 0;
	if (request->status != 0 || request->in.len < 5)
		die("a request failed: grpc-status %d, HTTP/2 error %u",
			request->status, error);
	request->done(request->in.data + 5, request->in.len - 5);
	free(request->out.data);
	free(request->in.data);
	free(request);
	return 0;
}

/* --- the map ------------------------------------------------------------- */

/* CBOR of an unsigned integer; at most 5 bytes. */
static size_t
encode_int(uint8_t *p, uint32_t v)
{
	if (v < 24)
	{
		p[0] = (uint8_t) v;
		return 1;
	}
	if (v < 0x100)
	{
		p[0] = 0x18;
		p[1] = (uint8_t) v;
		return 2;
	}
	if (v < 0x10000)
	{
		p[0] = 0x19;
		p[1] = (uint8_t) (v >> 8);
		p[2] = (uint8_t) v;
		return 3;
	}
	p[0] = 0x1a;
	for (int i = 0; i < 4; i++)
		p[1 + i] = (uint8_t) (v >> (24 - 8 * i));
	return 5;
}

static void
put_done(const uint8_t *message, size_t len)
{
	PbReader r = pb_reader(message, len);
	PbField item;

	while (pb_next(&r, &item))
	{
		PbReader fields = pb_reader(item.data, item.len);
		PbField field;
		PbField jwt = {0};
		int32_t idx = 0;

		if (item.number != 1)
			continue;
		while (pb_next(&fields, &field))
		{
			if (field.number == 1)
				idx = (int32_t) field.value;
			else if (field.number == 3)
				jwt = field;
		}
		if (idx < 0 || idx >= n_sent || jwt.data == NULL ||
			jwt.len > JWT_SIZE)
			die("unexpected input %d", idx);
		if (slot_of[idx] != NO_SLOT) /* else its output was faster */
		{
			Slot *slot = &slots[slot_of[idx]];

			memcpy(slot->jwt, jwt.data, jwt.len);
			slot->jwt_len = jwt.len;
		}
	}
}

/* One batch, as large as the window allows. */
static void
put_batch(void)
{
	Request *request = new_request(put_done);
	Bytes *out = &request->out;

	append_text(out, 1, function_id);
	append_text(out, 3, call_id);
	for (int i = 0; i < BATCH && n_sent < n_inputs && n_free > 0; i++)
	{
		/* [[idx], {}] as an item { idx, input { args, format, method } } */
		uint8_t args[16] = {0x82, 0x81};
		size_t args_len = 2 + encode_int(args + 2, (uint32_t) n_sent);
		uint8_t item[64];
		uint8_t input[32];
		uint8_t *p;
		size_t input_len;

		args[args_len++] = 0xa0;
		p = pb_put_bytes(input, 1, args, args_len);
		p = pb_put_uint(p, 10, FORMAT_CBOR);
		p = pb_put_bytes(p, 11, "", 0);
		input_len = (size_t) (p - input);
		p = item;
		if (n_sent > 0)
			p = pb_put_uint(p, 1, (uint32_t) n_sent);
		p = pb_put_bytes(p, 2, input, input_len);
		append_field(out, 4, item, (size_t) (p - item));

		slot_of[n_sent] = free_slots[--n_free];
		slots[slot_of[n_sent]] = (Slot){.idx = n_sent};
		n_sent++;
	}
	send_request(request, "/modal.client.ModalClient/FunctionPutInputs");
}

/* What P, the Python SDK, does too: full batches while there is work for them. */
static void
put_inputs(void)
{
	while (n_sent < n_inputs &&
		   (n_free >= BATCH || (int32_t) n_free >= n_inputs - n_sent))
		put_batch();
}

static void
check_output(const PbField *item)
{
	PbReader r = pb_reader(item->data, item->len);
	PbField field;
	PbField result = {0};
	PbField data = {0};
	uint64_t status = 0;
	uint8_t expected[5];
	int32_t idx = 0;

	while (pb_next(&r, &field))
	{
		if (field.number == 1)
			result = field;
		else if (field.number == 2)
			idx = (int32_t) field.value;
	}
	r = pb_reader(result.data, result.len);
	while (pb_next(&r, &field))
	{
		if (field.number == 1)
			status = field.value;
		else if (field.number == 5)
			data = field;
	}
	if (idx < 0 || idx >= n_sent || slot_of[idx] == NO_SLOT)
		die("unexpected output %d", idx);
	if (status != 1 || data.data == NULL ||
		data.len != encode_int(expected, (uint32_t) idx) ||
		memcmp(data.data, expected, data.len) != 0)
		die("wrong output of input %d", idx);
	slots[slot_of[idx]].idx = NO_SLOT;
	free_slots[n_free++] = slot_of[idx];
	slot_of[idx] = NO_SLOT;
	n_done++;
}

static void
poll_done(const uint8_t *message, size_t len)
{
	PbReader r = pb_reader(message, len);
	PbField field;

	while (pb_next(&r, &field))
	{
		if (field.number == 4)
			check_output(&field);
		else if (field.number == 5)
			copy_text(cursor, sizeof(cursor), &field);
	}
	if (n_done < n_inputs)
	{
		put_inputs();
		start_poll();
	}
}

static void
append_poll(Bytes *out, float timeout, const char *last_entry_id, bool clear)
{
	uint32_t bits;
	uint8_t *p;

	memcpy(&bits, &timeout, sizeof(bits));
	append_text(out, 1, call_id);
	p = pb_put_key(reserve(out, 8), 3, PB_FIXED32);
	for (int i = 0; i < 4; i++)
		*p++ = (uint8_t) (bits >> (8 * i));
	out->len = (size_t) (p - out->data);
	append_text(out, 6, last_entry_id);
	if (clear)
		append_uint(out, 7, 1);
}

static void
start_poll(void)
{
	Request *request = new_request(poll_done);

	append_poll(&request->out, POLL_SECONDS, cursor, false);
	for (uint32_t i = 0; i < window; i++)
		if (slots[i].idx != NO_SLOT && slots[i].jwt_len > 0)
			append_field(&request->out, 9, slots[i].jwt, slots[i].jwt_len);
	send_request(request, "/modal.client.ModalClient/FunctionGetOutputs");
}

static void
acknowledge_done(const uint8_t *message, size_t len)
{
	(void) message;
	(void) len;
	finished = true;
}

static void
acknowledge(void)
{
	Request *request = new_request(acknowledge_done);

	append_poll(&request->out, 0, "0-0", true);
	send_request(request, "/modal.client.ModalClient/FunctionGetOutputs");
}

static void
map_done(const uint8_t *message, size_t len)
{
	PbReader r = pb_reader(message, len);
	PbField field;

	window = DEFAULT_WINDOW;
	while (pb_next(&r, &field))
	{
		if (field.number == 1)
			copy_text(call_id, sizeof(call_id), &field);
		else if (field.number == 6 && field.value > 0)
			window = (uint32_t) field.value;
	}
	if (window > MAX_WINDOW)
		window = MAX_WINDOW;
	for (uint32_t i = 0; i < window; i++)
	{
		slots[i].idx = NO_SLOT;
		free_slots[n_free++] = (int32_t) i;
	}
	put_inputs();
	start_poll();
}

static void
start_map(void)
{
	Request *request = new_request(map_done);

	append_text(&request->out, 1, function_id);
	append_uint(&request->out, 4, 2); /* MAP */
	append_uint(&request->out, 6, 4); /* SYNC */
	send_request(request, "/modal.client.ModalClient/FunctionMap");
}

static void
get_done(const uint8_t *message, size_t len)
{
	PbReader r = pb_reader(message, len);
	PbField field;

	while (pb_next(&r, &field))
		if (field.number == 1)
			copy_text(function_id, sizeof(function_id), &field);
}

static void
get_function(void)
{
	Request *request = new_request(get_done);

	append_text(&request->out, 1, "builtin");
	append_text(&request->out, 2, "echo");
	send_request(request, "/modal.client.ModalClient/FunctionGet");
}

/* --- the connection ------------------------------------------------------ */

static void
open_connection(const char *url, const char *ca_file)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *addresses;
	char host[256];
	char port[16];
	int fd = -1;
	int on = 1;

	if (sscanf(url, "https://%255[^:]:%15[0-9]", host, port) != 2)
		die("the URL must be https://HOST:PORT");
	if (getaddrinfo(host, port, &hints, &addresses) != 0)
		die("cannot resolve %s", host);
	for (struct addrinfo *a = addresses; a != NULL && fd < 0; a = a->ai_next)
	{
		fd = socket(a->ai_family, SOCK_STREAM, 0);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0)
		{
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(addresses);
	if (fd < 0)
		die("cannot connect to %s", url);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (ctx == NULL || SSL_CTX_load_verify_locations(ctx, ca_file, NULL) != 1)
		die("cannot use %s", ca_file);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_alpn_protos(ctx, (const uint8_t *) "\x02h2", 3);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_SIZE);
	ssl = SSL_new(ctx);
	SSL_set_tlsext_host_name(ssl, host);
	SSL_set1_host(ssl, host);
	SSL_set_fd(ssl, fd);
	if (SSL_connect(ssl) != 1)
		die("TLS: %s", ERR_reason_error_string(ERR_get_error()));
}

static void
open_session(void)
{
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES},
	};
	nghttp2_session_callbacks *callbacks;

	nghttp2_session_callbacks_new(&callbacks);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
															  on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	nghttp2_session_client_new(&session, callbacks, NULL);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 1);
	nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
										  WINDOW_BYTES);
}

/* Write all there is to write, then read what there is to read. */
static void
exchange(void)
{
	static Bytes out;
	static uint8_t in[READ_SIZE];
	const uint8_t *data;
	ssize_t n;
	int got;

	out.len = 0;
	while ((n = nghttp2_session_mem_send(session, &data)) > 0)
		append(&out, data, (size_t) n);
	if (out.len > 0 && SSL_write(ssl, out.data, (int) out.len) <= 0)
		die("the connection broke while writing");
	do
	{
		got = SSL_read(ssl, in, sizeof(in));
		if (got <= 0)
			die("the connection broke");
		if (nghttp2_session_mem_recv(session, in, (size_t) got) < 0)
			die("HTTP/2 error");
	} while (SSL_has_pending(ssl) && SSL_pending(ssl) > 0);
}

int
main(int argc, char **argv)
{
	double begin;
	double seconds;

	if (argc != 4 || (n_inputs = atoi(argv[3])) <= 0)
		die("usage: wire URL CA_FILE INPUTS");
	slot_of = malloc((size_t) n_inputs * sizeof(*slot_of));
	if (slot_of == NULL)
		die("out of memory");
	open_connection(argv[1], argv[2]);
	open_session();
	get_function();
	while (function_id[0] == '\0')
		exchange();

	begin = now();
	start_map();
	while (n_done < n_inputs)
		exchange();
	seconds = now() - begin;
	acknowledge();
	while (!finished)
		exchange();
	printf("%.0f\n", n_inputs / seconds);
	return 0;
}
