/*-------------------------------------------------------------------------
 *
 * small_file.h
 *	  A file of the database server's host, read as its operating system user.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_ENDPOINT_SMALL_FILE_H
#define MODAL_ENDPOINT_SMALL_FILE_H

#include "compat.h"

#define SMALL_FILE_MAX (64 * 1024)

/*
 * Its bytes, palloc'd, with a zero behind them; NULL: there is none, and
 * missing_ok.  Errors: that of the operation, F0000 when it is larger.
 */
extern char *small_file_read(const char *path, bool missing_ok, Size *len);

#endif /* MODAL_ENDPOINT_SMALL_FILE_H */
