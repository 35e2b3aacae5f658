/*-------------------------------------------------------------------------
 *
 * suspect.c
 *	  The job that a runner has in its hands; see suspect.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "jobs/suspect.h"
#include "storage/fd.h"
#include "storage/ipc.h"

#define FOLDER "modal_batch"

static int file = -1; /* -1: there is none */
static int64 written = 0; /* what is in it */
static int64 in_hand = 0;
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

/*
 * A full disk, for example.  Jobs run all the same; what the file says is wrong
 * from now on.
 */
static void
go_without(const char *what)
{
	ereport(LOG, (errcode_for_file_access(),
				  errmsg("could not %s file \"%s\": %m", what, path),
				  errdetail("If the server crashes with a job now, nobody will know which one it was.")));
	if (file >= 0)
		close(file);
	file = -1;
	(void) unlink(path);
}

int64
suspect_begin(RunnerKey key)
{
	set_path(key);
	before_shmem_exit(forget, (Datum) 0);
	if (MakePGDirectory(FOLDER) == 0 || errno == EEXIST)
		file = BasicOpenFile(path, O_RDWR | O_CREAT | PG_BINARY);
	if (file < 0)
	{
		go_without("open");
		return 0;
	}
	ReserveExternalFD(); /* until the process ends */
	if (pg_pread(file, &written, sizeof(written), 0) != sizeof(written))
		written = 0;
	return written;
}

void
suspect_set(int64 job)
{
	in_hand = job;
	if (file < 0 || job == written)
		return;
	errno = ENOSPC; /* when only a part of it is written */
	if (pg_pwrite(file, &job, sizeof(job), 0) == sizeof(job))
		written = job;
	else
		go_without("write");
}

int64
suspect_in_hand(void)
{
	return in_hand;
}

void
suspect_forget(RunnerKey key)
{
	set_path(key);
	(void) unlink(path);
}
