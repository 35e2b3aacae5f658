/*-------------------------------------------------------------------------
 *
 * attempts.h
 *	  What calls.c asks of attempts.c; the rest is in calls.h and exec.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_ATTEMPTS_H
#define MODAL_LOCAL_ATTEMPTS_H

#include "calls/calls.h"

/* Give out an output that a fault has kept back. */
extern void attempts_release_held(Call *call);
/* From the journal: an output that was given, an input that has none. */
extern void attempts_restore_output(Call *call, int32_t idx, const void *item,
									size_t len, ResultStatus status);
extern void attempts_take_input(Call *call, const NewInput *input);

#endif /* MODAL_LOCAL_ATTEMPTS_H */
