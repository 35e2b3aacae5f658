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

bool
blob_join(const char *id, int n, char *etag)
{
	(void) id;
	snprintf(etag, BLOB_ETAG_SIZE, "%032d-%d", 0, n);
	return n % 7 != 6;
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
