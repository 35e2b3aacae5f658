/*-------------------------------------------------------------------------
 *
 * channel_memory.h
 *	  The memory in which a channel's two queues are.
 *
 * To make, map and unlink a DSM segment takes longer than a call.  So a number
 * of places is reserved in main shared memory at server start, and only
 * channels beyond that number get segments of their own.
 *
 * A place is held by both ends, the process and the dispatcher, and is free
 * again when both have released it: the first by its exit callback, the second
 * by its own.  What was in it is wiped before anybody else gets it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LINK_CHANNEL_MEMORY_H
#define MODAL_LINK_CHANNEL_MEMORY_H

#include "compat.h"

#include "storage/dsm.h"

/* Two shm_mq side by side, session to dispatcher first. */
#define MODAL_QUEUE_TO_DISPATCHER ((Size) 128 * 1024)
#define MODAL_QUEUE_TO_SESSION ((Size) 512 * 1024)
#define MODAL_CHANNEL_SIZE (MODAL_QUEUE_TO_DISPATCHER + MODAL_QUEUE_TO_SESSION)

/* How the other end finds it. */
typedef struct ChannelAddress
{
	int place;		   /* in main shared memory, or -1 */
	dsm_handle handle; /* if it is none */
} ChannelAddress;

typedef struct ChannelMemory
{
	ChannelAddress address;
	dsm_segment *segment; /* NULL if it is a place, or not mapped */
	char *base;			  /* NULL if it is not mapped */
} ChannelMemory;

extern Size channel_memory_size(void);
extern void channel_memory_startup(void);

/* For a new channel.  Error 53000: there are too many segments. */
extern void channel_memory_create(ChannelMemory *memory);
/*
 * What another process has made.  To be called while the offer with this
 * address stands, under modal_shared->lock: from then on a place is ours, too,
 * until it is released.
 */
extern void channel_memory_hold(ChannelMemory *memory, ChannelAddress address);
/*
 * Then it can be mapped; false if it is gone.  Like dsm_attach(), it throws
 * when there is no descriptor or memory.
 */
extern bool channel_memory_attach(ChannelMemory *memory);
/* After shm_mq_detach of both queues; also after a failure to map it. */
extern void channel_memory_release(ChannelMemory *memory);

#endif /* MODAL_LINK_CHANNEL_MEMORY_H */
