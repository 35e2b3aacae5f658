/*-------------------------------------------------------------------------
 *
 * channel.h
 *	  The link between this process and a dispatcher: one DSM segment with
 *	  two shm_mq, made at the first call and kept for the process's life.
 *
 * Sending never blocks inside: frames are queued here and pushed as far as
 * the queue takes them; channel_wait() goes on with it.  A frame half sent
 * when a statement is cancelled stays queued and is completed later, so the
 * link survives cancels; only when that is impossible is it dropped
 * (dispatcher gone), and then every open call ends with an error and the next
 * call makes a new link.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LINK_CHANNEL_H
#define MODAL_LINK_CHANNEL_H

#include "compat.h"

#include "core/buf.h"
#include "core/frame.h"

typedef struct Channel Channel;

/*
 * What the channel tells the owner of a call.  Called from channel_poll and
 * channel_wait; must not throw (it may be somebody else who waits) but for want
 * of memory, nor register or unregister calls.  frame is valid only during the
 * call.  reader NULL: the link is lost.
 */
typedef void (*ChannelDeliver) (void *owner, FrameReader *reader,
								const void *frame, Size len);

/*
 * The channel to the dispatcher that serves this foreign server, the same one
 * for all roles, or to one of several, for this process; error 55000.
 */
extern Channel *channel_get(Oid serverid, int dispatchers);
extern uint32 channel_register(Channel *ch, void *owner, ChannelDeliver deliver);
extern void channel_unregister(Channel *ch, uint32 call);
/* Queue a whole frame (copied).  Does not wait. */
extern void channel_send(Channel *ch, const Buf *frame);
/* Bytes queued here and not yet in shared memory. */
extern Size channel_unsent(const Channel *ch);
/* Move what can be moved, both ways, without waiting. */
extern void channel_poll(Channel *ch);
/*
 * The one wait loop: sleep until something arrived, a queued frame moved, the
 * latch was set for another reason, or timeout_ms (-1: none) passed.
 * Services interrupts.  Works on all channels of this process.
 */
extern void channel_wait(long timeout_ms, uint32 wait_event);
/* Has a dispatcher ever taken it?  Tells why a lost link was lost. */
extern bool channel_was_attached(const Channel *ch);

#endif /* MODAL_LINK_CHANNEL_H */
