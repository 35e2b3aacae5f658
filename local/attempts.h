/*-------------------------------------------------------------------------
 *
 * attempts.h
 *	  What calls.c asks of attempts.c; the rest is in calls.h and exec.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_ATTEMPTS_H
#define MODAL_LOCAL_ATTEMPTS_H

#include "calls.h"

/* Give out an output that a fault has kept back. */
extern void attempts_release_held(Call *call);
/* Put an output or a status in place without running anything (journal.c). */
extern void attempts_add_output(Call *call, int32_t idx, const void *item,
								size_t len, ResultStatus status);

#endif /* MODAL_LOCAL_ATTEMPTS_H */
