/*-------------------------------------------------------------------------
 *
 * gunzip.h
 *	  Compressed bodies ("Content-Encoding: gzip", RFC 9110, 8.4.1.3), piece by
 *	  piece.  Memory is the C library's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_GUNZIP_H
#define MODAL_CORE_GUNZIP_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Gunzip Gunzip;

typedef enum GunzipResult
{
	GUNZIP_OK,
	GUNZIP_STOPPED, /* by put */
	GUNZIP_BAD      /* this is not gzip */
} GunzipResult;

extern Gunzip *gunzip_create(void); /* NULL: no memory */
/* What this piece contains is given to put, which returns false to stop. */
extern GunzipResult
gunzip_feed(Gunzip *gunzip, const void *p, size_t n,
			 bool (*put)(void *arg, const void *p, size_t n), void *arg);
/* Has the end been there? */
extern bool gunzip_complete(const Gunzip *gunzip);
extern void gunzip_free(Gunzip *gunzip);

#endif /* MODAL_CORE_GUNZIP_H */
