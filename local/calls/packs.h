/*-------------------------------------------------------------------------
 *
 * packs.h
 *	  Small blobs: many of them in a file, one after the other.
 *
 * A file for each would cost more than all else that is done with a result of
 * a few kilobytes.  What was put is on disk before the round of the event loop
 * ends, and so before anybody is told of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_PACKS_H
#define MODAL_LOCAL_PACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SMALL_BLOB (64 * 1024) /* no more than so many bytes */

extern void packs_init(const char *directory);
/* Keep data under an id, instead of what it had; false: there is no room. */
extern bool pack_put(const char *id, const void *data, size_t len);
extern bool pack_has(const char *id);
/* The content, to be freed; NULL: there is no such blob here. */
extern uint8_t *pack_get(const char *id, size_t *len);
/* Write now what was put. */
extern void packs_flush(void);
/* Those that are older than so many seconds. */
extern void packs_remove_old(double life);

#endif /* MODAL_LOCAL_PACKS_H */
