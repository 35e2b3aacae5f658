/*-------------------------------------------------------------------------
 *
 * service_limits.h
 *	  How much goes into one request: for who makes requests, and for who
 *	  estimates how many there will be.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_SERVICE_LIMITS_H
#define MODAL_CORE_SERVICE_LIMITS_H

/* --- Modal ---------------------------------------------------------------- */

#define MAP_CHUNK 49	/* inputs in one request of a map */
#define SPAWN_CHUNK 512 /* the same, asynchronous */
#define SPAWN_CHUNK_BYTES (4 * 1024 * 1024)
/* Larger inputs are uploaded; a function may say something else. */
#define DEFAULT_MAX_INLINE (2 * 1024 * 1024)
#define DEFAULT_MAX_ASYNC_INLINE 8192

/* --- HTTP functions in formats that batch; see options --------------------- */

#define DEFAULT_BATCH_ROWS 1000
#define DEFAULT_BATCH_BYTES (1024 * 1024)

#endif /* MODAL_CORE_SERVICE_LIMITS_H */
