/*-------------------------------------------------------------------------
 *
 * channels.h
 *	  The dispatcher's side of all channels: which processes are attached,
 *	  what they send, what is sent to them.
 *
 * A channel's life: OFFERED by its process, ATTACHED here, gone when either
 * side detaches.  When the process goes, its calls are cancelled at the
 * remote side.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_DISPATCHER_CHANNELS_H
#define MODAL_DISPATCHER_CHANNELS_H

#include "compat.h"

#include "link/shmem.h"

extern void channels_init(int dispatcher);
/*
 * Attach new channels and handle what has arrived, a bounded amount of each;
 * true when there is more to do without waiting.
 */
extern bool channels_receive(void);
/* Push what is to be sent, as far as the queues take it. */
extern void channels_send(void);
/* Show in shared memory what has changed. */
extern void channels_publish(DispatcherShared *shared);
/* Before exit: every peer learns at once. */
extern void channels_detach_all(void);

#endif /* MODAL_DISPATCHER_CHANNELS_H */
