/*-------------------------------------------------------------------------
 *
 * packs.c
 *	  Small blobs: many of them in a file, one after the other.
 *
 * A record is a header and the content.  Where each blob is, is kept in memory,
 * and found again at the start by reading the headers; a record that was cut
 * off is the last one of its pack, for each start begins a new pack.
 *
 * A part of the disk is claimed ahead, as for the journal.  When there is no
 * more to claim, or writing fails for all that, no blob is taken any more; what
 * was taken waits in memory.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/packs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "calls/blobs.h"
#include "net/loop.h"
#include "util.h"

#define MAX_PACK (256 * 1024 * 1024) /* bytes, then the next one begins */
#define FLUSH_SIZE (1024 * 1024)
#define CLAIM (4 * 1024 * 1024) /* claimed ahead */
#define RETRY_SECONDS 1.0       /* when writing has failed */
#define NAME_FORMAT "pack-%08" PRIx32

typedef struct Pack
{
	struct Pack *next;
	uint32_t number;
	time_t last; /* blob of it */
} Pack;

typedef struct PackHeader
{
	uint32_t len;
	char id[BLOB_ID_SIZE]; /* text */
} PackHeader;

/* Where a blob is. */
typedef struct Packed
{
	char id[BLOB_ID_SIZE];
	Pack *pack;
	uint32_t at; /* of the content */
	uint32_t len;
} Packed;

static struct
{
	const char *directory;
	Pack *all;   /* the newest first, which alone is written to, if fd is set */
	Table blobs; /* Packed by id */
	int fd;      /* of the newest; -1: the next blob begins a pack */
	int64_t written;
	int64_t claimed; /* up to here the disk is ours */
	Buf out;         /* what follows what is written */
	LoopDeferred flush;
	LoopTimer retry;     /* set: writing has failed */
	const Pack *reading; /* an older one that is open */
	int reading_fd;
} packs = {.fd = -1, .reading_fd = -1};

static char *
path_of(const Pack *pack)
{
	return xasprintf("%s/" NAME_FORMAT, packs.directory, pack->number);
}

/* --- what there is ------------------------------------------------------- */

static Pack *
add_pack(uint32_t number, time_t last)
{
	Pack *pack = xcalloc(sizeof(*pack));
	Pack **link = &packs.all;

	while (*link != NULL && (*link)->number > number)
		link = &(*link)->next;
	*pack = (Pack){.next = *link, .number = number, .last = last};
	*link = pack;
	return pack;
}

/* A later record of an id counts, not the earlier ones. */
static void
note_blob(const char *id, Pack *pack, int64_t at, size_t len)
{
	Packed *packed = table_get_str(&packs.blobs, id);

	if (packed == NULL)
	{
		packed = xcalloc(sizeof(*packed));
		memcpy(packed->id, id, BLOB_ID_SIZE);
		table_put(&packs.blobs, packed->id, strlen(packed->id), packed);
	}
	packed->pack = pack;
	packed->at = (uint32_t) at;
	packed->len = (uint32_t) len;
}

static void
close_reading(void)
{
	if (packs.reading_fd >= 0)
		close(packs.reading_fd);
	packs.reading_fd = -1;
	packs.reading = NULL;
}

/* A descriptor of the pack that is not to be closed; -1: it has gone. */
static int
open_for_reading(const Pack *pack)
{
	char *path;

	if (packs.fd >= 0 && pack == packs.all)
		return packs.fd;
	if (pack == packs.reading)
		return packs.reading_fd;
	close_reading();
	path = path_of(pack);
	packs.reading_fd = open(path, O_RDONLY | O_CLOEXEC);
	free(path);
	if (packs.reading_fd >= 0)
		packs.reading = pack;
	return packs.reading_fd;
}

static bool
read_at(int fd, void *to, size_t len, int64_t at)
{
	size_t n = 0;

	while (n < len)
	{
		ssize_t got = pread(fd, (uint8_t *) to + n, len - n, at + (off_t) n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		n += (size_t) got;
	}
	return true;
}

static void
note_blobs_of(Pack *pack, int64_t size)
{
	int fd = open_for_reading(pack);
	int64_t at = 0;
	PackHeader header;

	while (fd >= 0 && read_at(fd, &header, sizeof(header), at))
	{
		at += (int64_t) sizeof(header);
		if (header.len > SMALL_BLOB || at + header.len > size ||
			header.id[BLOB_ID_SIZE - 1] != '\0' ||
			!blob_id_valid(header.id, strlen(header.id)))
			return;
		note_blob(header.id, pack, at, header.len);
		at += header.len;
	}
}

void
packs_init(const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;

	packs.directory = directory;
	buf_init(&packs.out, 0, xbuf_realloc);
	while (dir != NULL && (entry = readdir(dir)) != NULL)
	{
		uint32_t number;
		struct stat st;

		if (sscanf(entry->d_name, NAME_FORMAT, &number) == 1 &&
			fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
			note_blobs_of(add_pack(number, st.st_mtime), st.st_size);
	}
	if (dir != NULL)
		closedir(dir);
}

/* --- writing ------------------------------------------------------------- */

/* All or nothing counts: what is written again is the same. */
static void
flush(void *arg)
{
	size_t done = 0;

	(void) arg;
	while (done < packs.out.len)
	{
		ssize_t n = pwrite(packs.fd, packs.out.data + done,
						   packs.out.len - done, packs.written + (off_t) done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
		{
			complain("cannot write a file of blobs: %s", strerror(errno));
			loop_set_timer(&packs.retry, RETRY_SECONDS, flush, NULL);
			return;
		}
		done += (size_t) n;
	}
	loop_clear_timer(&packs.retry);
	packs.written += (int64_t) done;
	buf_reset(&packs.out);
}

void
packs_flush(void)
{
	if (packs.out.len > 0 && packs.retry.place == 0)
		flush(NULL);
}

/* No more goes to the newest one; false: not now. */
static bool
end_pack(void)
{
	packs_flush();
	if (packs.out.len > 0)
		return false;
	/* Its claim that is not used; if it stays, it goes with the pack. */
	if (packs.fd >= 0 && ftruncate(packs.fd, packs.written) != 0)
		complain("cannot truncate a file of blobs: %s", strerror(errno));
	if (packs.fd >= 0)
		close(packs.fd);
	packs.fd = -1;
	return true;
}

static bool
begin_pack(void)
{
	uint32_t number = packs.all != NULL ? packs.all->number + 1 : 0;
	Pack next = {.number = number};
	char *path = path_of(&next);

	packs.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	free(path);
	if (packs.fd < 0)
		return false;
	packs.written = packs.claimed = 0;
	add_pack(number, time(NULL));
	return true;
}

/* Room for so many bytes more. */
static bool
make_room(size_t len)
{
	int64_t end = packs.written + (int64_t) (packs.out.len + len);

	if (packs.retry.place != 0)
		return false;
	if (packs.fd >= 0 && end > MAX_PACK && !end_pack())
		return false;
	if (packs.fd < 0)
	{
		if (!begin_pack())
			return false;
		end = (int64_t) len;
	}
	if (end <= packs.claimed)
		return true;
	if (fallocate(packs.fd, FALLOC_FL_KEEP_SIZE, packs.claimed, CLAIM) == 0)
		packs.claimed += CLAIM;
	else if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
		return false;
	return true; /* or there are file systems that cannot say */
}

bool
pack_put(const char *id, const void *data, size_t len)
{
	PackHeader header = {.len = (uint32_t) len};

	if (!make_room(sizeof(header) + len))
		return false;
	memcpy(header.id, id, strlen(id));
	buf_put(&packs.out, &header, sizeof(header));
	note_blob(header.id, packs.all, packs.written + (int64_t) packs.out.len,
			  len);
	buf_put(&packs.out, data, len);
	packs.all->last = time(NULL);
	if (packs.out.len > FLUSH_SIZE)
		flush(NULL);
	else
		loop_defer(&packs.flush, flush, NULL);
	return true;
}

/* --- reading ------------------------------------------------------------- */

bool
pack_has(const char *id)
{
	return table_get_str(&packs.blobs, id) != NULL;
}

uint8_t *
pack_get(const char *id, size_t *len)
{
	const Packed *packed = table_get_str(&packs.blobs, id);
	uint8_t *data;
	int fd;

	if (packed == NULL)
		return NULL;
	data = xmalloc(packed->len > 0 ? packed->len : 1);
	*len = packed->len;
	if (packs.fd >= 0 && packed->pack == packs.all &&
		packed->at >= packs.written)
	{
		memcpy(data, packs.out.data + (packed->at - packs.written),
			   packed->len);
		return data;
	}
	fd = open_for_reading(packed->pack);
	if (fd >= 0 && read_at(fd, data, packed->len, packed->at))
		return data;
	*len = 0;
	free(data);
	return NULL;
}

/* --- the end of blobs ---------------------------------------------------- */

static void
drop_pack(Pack *pack)
{
	char *path = path_of(pack);

	if (pack == packs.reading)
		close_reading();
	for (size_t i = 0; i < packs.blobs.size; i++)
	{
		Packed *packed = packs.blobs.entries[i].value;

		if (packed == NULL || packed->pack != pack)
			continue;
		table_delete(&packs.blobs, packed->id, strlen(packed->id));
		free(packed);
	}
	unlink(path);
	free(path);
	free(pack);
}

void
packs_remove_old(double life)
{
	Pack **link = &packs.all;
	time_t now = time(NULL);

	/* Else one that is written to now and then would never be old. */
	if (!end_pack())
		return;
	while (*link != NULL)
	{
		Pack *pack = *link;

		if ((double) (now - pack->last) <= life)
		{
			link = &pack->next;
			continue;
		}
		*link = pack->next;
		drop_pack(pack);
	}
}
