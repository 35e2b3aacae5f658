/*
 * modal-local's HTTP/1.1: whatever comes, in whatever pieces, is answered with
 * HTTP or the end of the connection.  Blobs and connections are stand-ins.
 */
#include "fuzz.h"

#include <fcntl.h>

#include "api/blob_http.h"
#include "calls/blobs.h"
#include "calls/faults.h"
#include "calls/packs.h"
#include "net/conn.h"
#include "net/http1.h"
#include "net/loop.h"

#define MAX_OUTPUT (256 * 1024)
#define BLOB_LENGTH 20000

static bool aborted;

void
conn_wants_write(Conn *conn)
{
	(void) conn;
}

void
conn_abort(Conn *conn)
{
	(void) conn;
	aborted = true;
}

Fault
faults_for_rpc(const char *name, const char *header)
{
	Fault none = {.retry_after = -1};

	(void) name;
	(void) header;
	return none;
}

bool
blob_id_valid(const char *id, size_t len)
{
	(void) id;
	return len > 0 && len < BLOB_ID_SIZE;
}

int
blob_open_part(const char *id, int part)
{
	(void) id;
	(void) part;
	return open("/dev/null", O_WRONLY);
}

bool
blob_finish_part(const char *id, int part)
{
	(void) id;
	return part % 7 != 6;
}

struct BlobJoin
{
	int n;
	int turns;
};

BlobJoin *
blob_join_begin(const char *id, int n)
{
	BlobJoin *join = calloc(1, sizeof(*join));

	(void) id;
	REQUIRE(join != NULL);
	join->n = n;
	return join;
}

BlobState
blob_join_some(BlobJoin *join, char *etag)
{
	if (join->turns++ < join->n % 3)
		return BLOB_GOES_ON;
	snprintf(etag, BLOB_ETAG_SIZE, "%032d-%d", 0, join->n);
	return join->n % 7 != 6 ? BLOB_WHOLE : BLOB_FAILED;
}

void
blob_join_free(BlobJoin *join)
{
	free(join);
}

/* One timer is enough: a connection has one request at a time. */
static LoopTimer *due;

void
loop_set_timer(LoopTimer *timer, double seconds, LoopCallback cb, void *arg)
{
	REQUIRE(seconds == 0);
	timer->cb = cb;
	timer->arg = arg;
	due = timer;
}

void
loop_clear_timer(LoopTimer *timer)
{
	if (due == timer)
		due = NULL;
}

static void
run_timers(void)
{
	while (due != NULL)
	{
		LoopTimer *timer = due;

		due = NULL;
		timer->cb(timer->arg);
	}
}

bool
pack_put(const char *id, const void *data, size_t len)
{
	return id[0] != 'f' || len == 0 || *(const uint8_t *) data != 'f';
}

bool
pack_has(const char *id)
{
	return id[0] == 'p';
}

uint8_t *
pack_get(const char *id, size_t *len)
{
	*len = strlen(id);
	return pack_has(id) ? (uint8_t *) strdup(id) : NULL;
}

/* A file that is shorter than it was said to be, for some. */
int
blob_open(const char *id, int64_t *size)
{
	*size = BLOB_LENGTH;
	return id[0] == 'x'
			   ? -1
			   : open(id[0] == 's' ? "/dev/null" : "/dev/zero", O_RDONLY);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const HttpHandler *const handlers[] = {&blob_http, NULL};
	void *session;
	size_t piece;
	bool open = true;
	Buf out;

	if (!take_piece_size(&data, &size, &piece))
		return 0;
	http_init(handlers);
	aborted = false;
	buf_init(&out, 0, NULL);
	session = http1_protocol.open(NULL);
	while (size > 0 && open && !aborted && out.len < MAX_OUTPUT)
	{
		size_t now = piece < size ? piece : size;
		size_t before;

		open = http1_protocol.receive(session, data, now);
		data += now;
		size -= now;
		do
		{
			run_timers();
			before = out.len;
			if (!http1_protocol.produce(session, &out, out.len + 4096))
				open = false;
		} while (open && out.len > before && out.len < MAX_OUTPUT);
	}
	http1_protocol.close(session);
	REQUIRE(out.len == 0 || memcmp(out.data, "HTTP/1.1 ", 9) == 0);
	buf_free(&out);
	return 0;
}
