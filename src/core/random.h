/*-------------------------------------------------------------------------
 *
 * random.h
 *	  Chance, from the kernel: for keys that nobody can guess, and for pauses
 *	  that differ from process to process.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_RANDOM_H
#define MODAL_CORE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* A process that forks must not have used it: both would go on alike. */
extern void random_bytes(uint8_t *to, size_t n); /* at most 256 */
/* Uniform in [0,1). */
extern double random_unit(void);

#endif /* MODAL_CORE_RANDOM_H */
