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
/* What the journal is to know of inputs and outputs. */
extern void attempts_init(void);

#endif /* MODAL_LOCAL_ATTEMPTS_H */
