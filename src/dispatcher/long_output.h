/*-------------------------------------------------------------------------
 *
 * long_output.h
 *	  Outputs that do not fit into a frame.
 *
 * They travel in parts (frame.h).  What has come of the one output of a call can
 * be sent before the rest is here: its reader need not wait for it to travel
 * twice, one way after the other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_DISPATCHER_LONG_OUTPUT_H
#define MODAL_DISPATCHER_LONG_OUTPUT_H

#include "dispatcher/calls.h"

/* Of an output's record, in bytes; all zero: nothing has been sent. */
typedef struct LongOutput
{
	size_t size;
	size_t sent;
} LongOutput;

/* Of a record of that size. */
extern bool long_output_is(size_t size);
/*
 * So many bytes of out->data have come.  What is sent of them is copied; not
 * all is, if the peer reads slowly.
 */
extern void long_output_more(LongOutput *begun, Attachment *att, uint32 call,
							 const FrameOutput *out, size_t come);
/* Is it of the size that was begun, if one was? */
extern bool long_output_goes_on(const LongOutput *begun,
								const FrameOutput *out);
/* All of it has come, and goes on; data that are all of owner are taken over. */
extern void long_output_end(LongOutput *begun, Attachment *att, uint32 call,
							const FrameOutput *out, Buf *owner);

#endif /* MODAL_DISPATCHER_LONG_OUTPUT_H */
