/*-------------------------------------------------------------------------
 *
 * secrets.h
 *	  The secrets of user mappings: which go together, and those that are in
 *	  files.
 *
 * Option NAME_file stands for NAME, with the content of a file, so that a dump
 * holds none.  It is for superusers (options.c), for it is read as the server's
 * operating system user; and for each call, so that a file may be replaced.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_ENDPOINT_SECRETS_H
#define MODAL_ENDPOINT_SECRETS_H

#include "compat.h"

#include "nodes/pg_list.h"

/* HV00D when a mapping has options of which one excludes the other, or lacks one. */
extern void secrets_check_mapping(List *options);
/*
 * The options (DefElem) of a mapping with those that stand in files.  *any:
 * there are some.  Errors: those of the file, HV024 for what is in it.
 */
extern List *secrets_read_files(List *options, bool *any);
/* 28000 when the mapping does not fit the server; options of both. */
extern void secrets_check_use(const char *server, List *options);

#endif /* MODAL_ENDPOINT_SECRETS_H */
