/*-------------------------------------------------------------------------
 *
 * suspect.c
 *	  The job that a runner has in its hands; see suspect.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "jobs/suspect.h"
#include "storage/fd.h"
#include "storage/ipc.h"

#define FOLDER "modal_batch"

static volatile int64 *suspect = NULL; /* in the file */
static char path[MAXPGPATH];

static void
set_path(RunnerKey key)
{
	snprintf(path, sizeof(path), FOLDER "/%u.%u", key.dbid, key.owner);
}

/* An orderly end: there is nothing to know. */
static void
forget(int code, Datum arg)
{
	(void) code;
	(void) arg;
	(void) unlink(path);
}

static void
failed(const char *what)
{
	ereport(ERROR, (errcode_for_file_access(),
					errmsg("could not %s file \"%s\": %m", what, path)));
}

int64
suspect_begin(RunnerKey key)
{
	int fd;
	void *at;

	if (MakePGDirectory(FOLDER) < 0 && errno != EEXIST)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not create directory \"%s\": %m", FOLDER)));
	set_path(key);
	fd = OpenTransientFile(path, O_RDWR | O_CREAT | PG_BINARY);
	if (fd < 0)
		failed("open");
	if (ftruncate(fd, sizeof(int64)) < 0)
		failed("write");
	at = mmap(NULL, sizeof(int64), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		failed("map");
	CloseTransientFile(fd);
	suspect = at;
	before_shmem_exit(forget, (Datum) 0);
	return *suspect;
}

void
suspect_set(int64 job)
{
	*suspect = job;
}

void
suspect_forget(RunnerKey key)
{
	set_path(key);
	(void) unlink(path);
}
