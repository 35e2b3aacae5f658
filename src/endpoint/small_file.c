/*-------------------------------------------------------------------------
 *
 * small_file.c
 *	  A file of the database server's host; see small_file.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "endpoint/small_file.h"
#include "storage/fd.h"

char *
small_file_read(const char *path, bool missing_ok, Size *len)
{
	FILE *file = AllocateFile(path, PG_BINARY_R);
	char *text;

	if (file == NULL && errno == ENOENT && missing_ok)
		return NULL;
	if (file == NULL)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not open file \"%s\": %m", path)));
	text = palloc(SMALL_FILE_MAX + 2);
	*len = fread(text, 1, SMALL_FILE_MAX + 1, file);
	if (ferror(file))
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read file \"%s\": %m", path)));
	FreeFile(file);
	if (*len > SMALL_FILE_MAX)
		ereport(ERROR, (errcode(ERRCODE_CONFIG_FILE_ERROR),
						errmsg("file \"%s\" is larger than %d bytes", path,
							   SMALL_FILE_MAX)));
	text[*len] = '\0';
	return text;
}
