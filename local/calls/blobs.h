/*-------------------------------------------------------------------------
 *
 * blobs.h
 *	  Payloads that are too large to travel inline: small ones in packs
 *	  (packs.h), large ones in a file each.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_BLOBS_H
#define MODAL_LOCAL_BLOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util.h"

#define BLOB_ID_SIZE 28
/* With what a request says it goes to a process in 4 GB. */
#define MAX_BLOB_SIZE ((int64_t) 3900 * 1024 * 1024)
#define MAX_BLOB_PARTS 10000

extern void blobs_init(const char *state_dir);
extern void blob_new_id(char *out);
/* Is it the id of a blob (that may not be there)? */
extern bool blob_id_valid(const char *id, size_t len);
/* Is it there, whole? */
extern bool blob_exists(const char *id);
/* Keep data under a new id; false: there is no room. */
extern bool blob_write(char *id, const void *data, size_t len);

/* How far something is that is done a piece at a time, between which the loop can turn. */
typedef enum BlobState
{
	BLOB_GOES_ON,
	BLOB_WHOLE,
	BLOB_FAILED
} BlobState;

/* The same of what is large; the data must stay until the end. */
#define LARGE_BLOB (4 * 1024 * 1024)
typedef struct BlobWrite BlobWrite;
extern BlobWrite *blob_write_begin(char *id, const void *data, size_t len);
extern BlobState blob_write_some(BlobWrite *write);
extern void blob_write_free(BlobWrite *write);

/* The content; of a large one its file, mapped: to read it would hold up all. */
typedef struct BlobContent
{
	uint8_t *data; /* NULL: there is none */
	size_t len;
	bool mapped;
} BlobContent;
extern BlobContent blob_get(const char *id);
extern void blob_release(BlobContent *content);

/*
 * An upload of a large one: part 0 is the whole blob, 1 and more are parts of it.  The file
 * counts from blob_finish on.
 */
extern int blob_open_part(const char *id, int part);
extern bool blob_finish_part(const char *id, int part);
/*
 * Join n parts, a piece at a time, for they may be large.  It fails when a part is missing, the disk is full, or another join
 * of them is under way.  The parts stay until they are joined, so that it can be
 * begun again.  etag, then: the MD5 of their MD5s, in hexadecimal, a hyphen and
 * n, as S3 has it.
 */
#define BLOB_ETAG_SIZE 48
typedef struct BlobJoin BlobJoin;
extern BlobJoin *blob_join_begin(const char *id, int n);
extern BlobState blob_join_some(BlobJoin *join, char *etag);
extern void blob_join_free(BlobJoin *join);
extern int blob_open(const char *id, int64_t *size);

#endif /* MODAL_LOCAL_BLOBS_H */
