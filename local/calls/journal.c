/*-------------------------------------------------------------------------
 *
 * journal.c
 *	  What survives the end of modal-local: a file of records.
 *
 * Each record is a header (length, checksum, type) and fields; what follows a
 * record that is cut off or damaged does not count.  At the start the records
 * are applied, and what they leave undone is gone on with.
 *
 * Records that nobody needs any more are dropped while the program runs: once
 * the file has grown enough, those still needed are copied to a new one, some
 * in each round of the event loop, and then that takes its place.
 *
 * A part of the disk is claimed ahead.  When there is no more to claim, the
 * journal is "full" and new work is refused, but what has been taken can still
 * be recorded; and if even that fails, records wait in memory.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "calls/packs.h"
#include "net/loop.h"
#include "util.h"

#define HEADER_SIZE 9
#define FLUSH_SIZE (1024 * 1024)
#define RESERVE (4 * 1024 * 1024) /* claimed ahead */
#define RETRY_SECONDS 1.0         /* while there is no room */
#define SLICE (1024 * 1024)       /* copied in a round */
/* The file may grow to twice what was needed, and this. */
#define MAX_GARBAGE (64 * 1024 * 1024)

static struct
{
	int fd; /* -1: nothing is recorded */
	char *path;
	Buf out;
	size_t record; /* where the one being written begins */
	LoopDeferred flush;
	int64_t size;      /* of the file */
	int64_t reserved;  /* up to here the disk is ours */
	int64_t compacted; /* size when it had only what was needed */
	bool full;
	LoopTimer retry;
	const RecordKind *kinds[N_RECORD_TYPES];
} journal = {.fd = -1};

/* The new file that is being made. */
static struct
{
	int fd; /* -1: none */
	char *path;
	int64_t size;
	uint8_t *old; /* the journal, in memory */
	size_t old_len;
	size_t at; /* in it: what is copied up to here */
	Buf out;
	LoopTimer next;
} copy = {.fd = -1};

static void compact(void *arg);

void
journal_register(RecordType type, const RecordKind *kind)
{
	journal.kinds[type] = kind;
}

/* --- writing ------------------------------------------------------------- */

/* Eight bytes at a time, as payloads are not small. */
static uint32_t
checksum(const uint8_t *p, size_t n)
{
	uint64_t hash = n;
	uint64_t word;

	for (; n >= sizeof(word); p += sizeof(word), n -= sizeof(word))
	{
		memcpy(&word, p, sizeof(word));
		hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 32;
	}
	word = 0;
	memcpy(&word, p, n);
	hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t) (hash >> 32);
}

/* Writes what it can and drops that from the buffer; false: not all. */
static bool
write_buffer(int fd, Buf *out, int64_t *size)
{
	size_t done = 0;

	while (done < out->len)
	{
		ssize_t n = write(fd, out->data + done, out->len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		done += (size_t) n;
	}
	*size += (int64_t) done;
	buf_consume(out, done);
	return out->len == 0;
}

/* Claim disk for what comes next; false: there is none. */
static bool
reserve(void)
{
	if (journal.size + RESERVE / 2 <= journal.reserved)
		return true;
	if (fallocate(journal.fd, FALLOC_FL_KEEP_SIZE, journal.size, RESERVE) == 0)
		journal.reserved = journal.size + RESERVE;
	else if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
		return false;
	return true; /* or there are file systems that cannot say */
}

static void
flush(void *arg)
{
	bool room;
	int error;

	(void) arg;
	packs_flush(); /* outputs that are recorded may be there */
	room = write_buffer(journal.fd, &journal.out, &journal.size);
	error = errno;
	if (room)
	{
		room = reserve();
		error = errno;
	}
	if (!room && !journal.full)
		complain("cannot write \"%s\": %s; new asynchronous inputs are refused",
				 journal.path, strerror(error));
	else if (room && journal.full)
		complain("there is room for \"%s\" again", journal.path);
	journal.full = !room;
	if (!room)
		loop_set_timer(&journal.retry, RETRY_SECONDS, flush, NULL);
	else if (copy.fd < 0 && journal.size > 2 * journal.compacted + MAX_GARBAGE)
		loop_set_timer(&copy.next, 0, compact, NULL);
}

bool
journal_full(void)
{
	return journal.full;
}

bool
journal_begin(RecordType type)
{
	static const uint8_t header[HEADER_SIZE - 1];

	if (journal.fd < 0)
		return false;
	journal.record = journal.out.len;
	buf_put(&journal.out, header, sizeof(header));
	buf_put_u8(&journal.out, type);
	return true;
}

void
journal_number(uint64_t value)
{
	buf_put(&journal.out, &value, sizeof(value));
}

void
journal_double(double value)
{
	buf_put(&journal.out, &value, sizeof(value));
}

void
journal_text(const void *data, size_t len)
{
	uint32_t size = (uint32_t) len;

	buf_put(&journal.out, &size, sizeof(size));
	buf_put(&journal.out, data, len);
}

void
journal_end(void)
{
	uint8_t *header = journal.out.data + journal.record;
	uint32_t len = (uint32_t) (journal.out.len - journal.record - HEADER_SIZE);
	uint32_t sum = checksum(header + HEADER_SIZE - 1, len + 1);

	memcpy(header, &len, sizeof(len));
	memcpy(header + sizeof(len), &sum, sizeof(sum));
	if (journal.out.len > FLUSH_SIZE)
		flush(NULL);
	else
		loop_defer(&journal.flush, flush, NULL);
}

/* --- reading ------------------------------------------------------------- */

/* The record at *at, which moves behind it; false: there is none. */
static bool
next_record(const uint8_t **at, const uint8_t *end, Record *record)
{
	uint32_t len;
	uint32_t sum;
	uint8_t type;

	if (end - *at < HEADER_SIZE)
		return false;
	memcpy(&len, *at, sizeof(len));
	memcpy(&sum, *at + sizeof(len), sizeof(sum));
	type = (*at)[HEADER_SIZE - 1];
	if (len > (size_t) (end - *at) - HEADER_SIZE ||
		sum != checksum(*at + HEADER_SIZE - 1, (size_t) len + 1) || type == 0 ||
		type >= N_RECORD_TYPES)
		return false;
	*record = (Record){.type = (RecordType) type,
					   .data = *at,
					   .len = HEADER_SIZE + (size_t) len,
					   .p = *at + HEADER_SIZE};
	*at += record->len;
	return true;
}

uint64_t
record_number(Record *record)
{
	uint64_t value = 0;

	if ((size_t) (record->data + record->len - record->p) < sizeof(value))
	{
		record->failed = true;
		return 0;
	}
	memcpy(&value, record->p, sizeof(value));
	record->p += sizeof(value);
	return value;
}

double
record_double(Record *record)
{
	uint64_t bits = record_number(record);
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

Text
record_text(Record *record)
{
	uint32_t len;
	Text text = {record->p, 0};
	size_t left = (size_t) (record->data + record->len - record->p);

	if (left < sizeof(len))
	{
		record->failed = true;
		return text;
	}
	memcpy(&len, record->p, sizeof(len));
	if (len > left - sizeof(len))
	{
		record->failed = true;
		return text;
	}
	text.data = record->p + sizeof(len);
	text.len = len;
	record->p += sizeof(len) + len;
	return text;
}

char *
record_string(Record *record)
{
	Text text = record_text(record);

	return xasprintf("%.*s", (int) text.len, (const char *) text.data);
}

/* Each of these works on a copy, whose fields have not been read. */
static void
take(Record record)
{
	const RecordKind *kind = journal.kinds[record.type];

	if (kind->take != NULL)
		kind->take(&record);
}

static bool
needed(Record record)
{
	const RecordKind *kind = journal.kinds[record.type];

	return kind->needed == NULL || kind->needed(&record);
}

static void
resume(Record record)
{
	const RecordKind *kind = journal.kinds[record.type];

	if (kind->resume != NULL && needed(record))
		kind->resume(&record);
}

/* --- making it smaller --------------------------------------------------- */

static void
end_copy(void)
{
	if (copy.fd >= 0)
	{
		close(copy.fd);
		unlink(copy.path);
	}
	copy.fd = -1;
	if (copy.old != NULL)
		munmap(copy.old, copy.old_len);
	copy.old = NULL;
	buf_reset(&copy.out);
	/* Not before it has grown again. */
	journal.compacted = journal.size;
}

/* The journal as it is now into memory; false: it cannot be. */
static bool
map_journal(void)
{
	int fd = open(journal.path, O_RDONLY | O_CLOEXEC);

	if (copy.old != NULL)
		munmap(copy.old, copy.old_len);
	copy.old = NULL;
	copy.old_len = (size_t) journal.size;
	if (fd < 0)
		return false;
	copy.old = copy.old_len > 0
				   ? mmap(NULL, copy.old_len, PROT_READ, MAP_PRIVATE, fd, 0)
				   : NULL;
	if (copy.old == MAP_FAILED)
		copy.old = NULL;
	close(fd);
	return copy.old != NULL;
}

static bool
begin_copy(void)
{
	copy.fd = open(copy.path,
				   O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	copy.size = 0;
	copy.at = 0;
	return copy.fd >= 0 && map_journal();
}

/* Up to so many bytes of the old file. */
static bool
copy_slice(size_t max)
{
	const uint8_t *at = copy.old + copy.at;
	const uint8_t *end = copy.old + copy.old_len;
	const uint8_t *limit = (size_t) (end - at) > max ? at + max : end;
	Record record;

	while (at < limit && next_record(&at, end, &record))
		if (needed(record))
			buf_put(&copy.out, record.data, record.len);
	copy.at = (size_t) (at - copy.old);
	return write_buffer(copy.fd, &copy.out, &copy.size);
}

/* The copy has all: it is the journal from now on. */
static bool
take_place(void)
{
	if (rename(copy.path, journal.path) != 0)
		return false;
	close(journal.fd);
	journal.fd = copy.fd;
	journal.size = copy.size;
	journal.reserved = 0;
	copy.fd = -1;
	return true;
}

/*
 * A slice in each round.  Records that come meanwhile are written to the old
 * file, so that it counts as long as it is there, and copied after the others.
 */
static void
compact(void *arg)
{
	bool ok = copy.fd >= 0 || begin_copy();

	(void) arg;
	ok = ok && copy_slice(SLICE);
	if (ok && copy.at == copy.old_len)
	{
		flush(NULL);
		ok = journal.out.len == 0 && map_journal();
		if (ok && copy.old_len - copy.at <= SLICE)
		{
			if (copy_slice(SLICE) && copy.at == copy.old_len)
				take_place();
			end_copy();
			return;
		}
	}
	if (ok)
		loop_set_timer(&copy.next, 0, compact, NULL);
	else
		end_copy();
}

/* --- the start ----------------------------------------------------------- */

void
journal_init(const char *state_dir)
{
	const uint8_t *at;
	const uint8_t *end;
	Record record;
	struct stat st;
	int fd;

	journal.path = xasprintf("%s/journal", state_dir);
	copy.path = xasprintf("%s.new", journal.path);
	buf_init(&journal.out, 0, xbuf_realloc);
	buf_init(&copy.out, 0, xbuf_realloc);
	fd = open(journal.path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) != 0)
		die_errno("cannot open \"%s\"", journal.path);
	journal.size = st.st_size;
	if (journal.size > 0 && !map_journal())
		die_errno("cannot read \"%s\"", journal.path);
	at = copy.old;
	end = at + (copy.old != NULL ? copy.old_len : 0);
	while (next_record(&at, end, &record))
		take(record);
	/* A record that was cut off would hide those written after it. */
	if (at != end && ftruncate(fd, at - copy.old) != 0)
		die_errno("cannot write \"%s\"", journal.path);
	end = at;
	journal.size = end - copy.old;
	journal.fd = fd;

	/* From here on outputs are recorded, also those of these inputs. */
	for (at = copy.old; next_record(&at, end, &record);)
		resume(record);
	flush(NULL);
	if (journal.size > 0)
		loop_set_timer(&copy.next, 0, compact, NULL);
}
