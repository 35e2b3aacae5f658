/*-------------------------------------------------------------------------
 *
 * extension_version.h
 *	  Do this library and the SQL objects of this database belong together?
 *
 * The C functions of a library work with the objects of all earlier versions:
 * a symbol stays for ever, with its arguments.  The tables of jobs are another
 * matter: whoever reads or writes them checks here first.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_EXTENSION_VERSION_H
#define MODAL_JOBS_EXTENSION_VERSION_H

#include "postgres.h"

/* Is the extension's version in this database the library's? */
extern bool extension_version_fits(void);
/* SQLSTATE 55000 unless it is. */
extern void extension_check_version(void);

#endif /* MODAL_JOBS_EXTENSION_VERSION_H */
