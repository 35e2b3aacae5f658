/*-------------------------------------------------------------------------
 *
 * calls.h
 *	  Between channels.c, which moves frames, and the drivers: the open calls
 *	  of each channel.  calls.c implements the driver's side in call.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_DISPATCHER_CALLS_H
#define MODAL_DISPATCHER_CALLS_H

#include "compat.h"

#include "core/map.h"
#include "dispatcher/call.h"
#include "lib/ilist.h"
#include "link/shmem.h"
#include "storage/dsm.h"

typedef struct OutFrame OutFrame;
typedef struct OpenCall OpenCall;

/* An attached process. */
typedef struct Attachment
{
	int dispatcher;
	int procno;
	uint32 generation; /* of the slot */
	int pid;
	Oid userid;
	Oid dbid;
	bool is_runner;
	dlist_node node;	   /* all of them */
	dlist_node ready_node; /* is_ready: there may be something to receive */
	dlist_node urgent_node; /* urgent: there is something to be sent now */
	dlist_node broken_node; /* broken: to be dropped in this turn */
	bool is_ready, urgent, broken;
	bool owes_credit;	   /* its calls are to be told their shares */
	ChannelMemory memory;
	shm_mq_handle *from_session, *to_session;
	OutFrame *out_head, **out_tail; /* waiting to be sent */
	uint32 nwaiting;				/* of them */
	Map calls;		   /* open ones, by number */
} Attachment;

/* channels.c: NULL means out of memory, and is fine for attachment_send. */
extern OutFrame *out_frame_create(void);
extern Buf *out_frame_buf(OutFrame *frame);
/*
 * A record that is longer than a frame, and travels in parts: begins in buf,
 * and goes on with data, whose memory is taken over.  So many bytes of it have
 * been sent already.
 */
extern OutFrame *out_frame_create_long(uint32 call, Buf *data, Size sent);
extern void attachment_send(Attachment *att, OutFrame *frame);
/* The same, with the next frame that is sent: the peer need not wake up. */
extern void attachment_send_later(Attachment *att, OutFrame *frame);

/*
 * Shares of its calls have changed: calls_pay_credit() is asked for them once
 * nothing waits to be sent.
 */
extern void attachment_owe_credit(Attachment *att);

/* Its peer could not be told what has become of something: it is let go. */
extern void attachment_break(Attachment *att);

/* calls.c */
extern void calls_init(int dispatcher);
/* False: not a frame that may come now. */
extern bool calls_handle_frame(Attachment *att, FrameReader *reader,
							   const void *frame, Size len);
extern void calls_cancel_all(Attachment *att);
/* Tell the attachment's calls what they may send now, with at most a frame each. */
extern void calls_pay_credit(Attachment *att);
/* Queue what calls have collected for their readers. */
extern void calls_flush(void);
extern void calls_publish(DispatcherShared *shared);

#endif /* MODAL_DISPATCHER_CALLS_H */
