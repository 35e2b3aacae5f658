/*-------------------------------------------------------------------------
 *
 * journal.h
 *	  What survives the end of modal-local: asynchronous calls, with their
 *	  inputs and outputs, variants of functions, and idempotency keys.
 *
 * What is recorded in a round of the event loop is written at its end, before
 * any reply leaves: a client never knows of something that a crash of this
 * process (not of the machine) could undo.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_JOURNAL_H
#define MODAL_LOCAL_JOURNAL_H

#include "calls/calls.h"

/*
 * Take up what the journal says, forget what nobody needs any more, and go on
 * recording.  All functions must be registered already.
 */
extern void journal_init(const char *state_dir);

/* Nothing is recorded before journal_init. */
extern void journal_handle(const Handle *handle);
extern void journal_call(const Call *call);
extern void journal_declared(const Call *call);
extern void journal_cancelled(const Call *call);
extern void journal_input(const Call *call, const NewInput *input);
extern void journal_output(const Call *call, int32_t idx, ResultStatus status,
						   const void *item, size_t len);
/* reply: none when the handler can make it again; see idempotency.h. */
extern void journal_key(const void *key, size_t key_len, const void *reply,
						size_t reply_len);

#endif /* MODAL_LOCAL_JOURNAL_H */
