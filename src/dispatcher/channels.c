/*-------------------------------------------------------------------------
 *
 * channels.c
 *	  Attached processes: fair receive, stale detection, and sending.
 *
 * A channel is known by its slot and the generation it was offered with; a
 * new offer in the same slot means that the process before it is gone.  Each
 * turn takes a bounded number of frames from every channel that may have some.
 * Frames to send wait in a list per channel; how much output may wait there is
 * limited per call by its budget (see frame.h).
 *
 * No turn walks over all channels: processes tell which slots have news
 * (modal_slot_news), what is ready, urgent or broken is in a list of its own.
 * Drivers may break an attachment in any of their callbacks; it is freed at the
 * end of channels_receive() or channels_send(), and nowhere else but at exit
 * and when its slot has a new offer.
 *
 * A peer that sends what is not a frame is detached: its memory is not to be
 * trusted.  An attachment that fails, for want of a descriptor or memory, is
 * its peer's trouble only.
 *
 *-------------------------------------------------------------------------
 */
#include "dispatcher/channels.h"

#include "debug_point.h"
#include "dispatcher/calls.h"
#include "dispatcher/limits.h"
#include "dispatcher/target.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define FRAMES_PER_TURN 32 /* of one channel */
#define POOLED_FRAMES 16

struct OutFrame
{
	OutFrame *next;
	Buf buf;  /* the frame, or the head of a long record */
	/* of a long record: */
	Buf data; /* what follows the head */
	uint32 call;
	Size sent;
	bool is_long;
};

static int my_dispatcher;
static Attachment **by_procno;
static dlist_head attachments = DLIST_STATIC_INIT(attachments);
static dlist_head ready = DLIST_STATIC_INIT(ready);
static dlist_head urgent = DLIST_STATIC_INIT(urgent);
static dlist_head broken = DLIST_STATIC_INIT(broken);
static uint32 nattachments;
static OutFrame *frame_pool;
static int frame_pool_size;

/* --- frames to send ------------------------------------------------------- */

OutFrame *
out_frame_create(void)
{
	OutFrame *frame = frame_pool;

	if (frame != NULL)
	{
		frame_pool = frame->next;
		frame_pool_size--;
		frame->next = NULL;
		return frame;
	}
	frame = calloc(1, sizeof(*frame));
	if (frame != NULL)
		buf_init(&frame->buf, FRAME_MAX, NULL);
	return frame;
}

OutFrame *
out_frame_create_long(uint32 call, Buf *data, Size sent)
{
	OutFrame *frame = calloc(1, sizeof(*frame));

	if (frame == NULL)
		return NULL;
	buf_init(&frame->buf, 0, NULL);
	frame->data = *data;
	buf_init(data, 0, NULL);
	frame->call = call;
	frame->sent = sent;
	frame->is_long = true;
	return frame;
}

static void
out_frame_free(OutFrame *frame)
{
	if (frame->is_long || frame_pool_size >= POOLED_FRAMES)
	{
		buf_free(&frame->buf);
		buf_free(&frame->data);
		free(frame);
		return;
	}
	buf_reset(&frame->buf);
	frame->next = frame_pool;
	frame_pool = frame;
	frame_pool_size++;
}

Buf *
out_frame_buf(OutFrame *frame)
{
	return &frame->buf;
}

void
attachment_break(Attachment *att)
{
	if (!att->broken)
		dlist_push_tail(&broken, &att->broken_node);
	att->broken = true;
}

static void
set_ready(Attachment *att)
{
	if (!att->is_ready)
		dlist_push_tail(&ready, &att->ready_node);
	att->is_ready = true;
}

/*
 * A frame that could not be made would leave the peer waiting for ever:
 * better to lose the channel, which it notices.
 */
void
attachment_send_later(Attachment *att, OutFrame *frame)
{
	if (frame == NULL || frame->buf.failed)
	{
		attachment_break(att);
		if (frame != NULL)
			out_frame_free(frame);
		return;
	}
	*att->out_tail = frame;
	att->out_tail = &frame->next;
	att->nwaiting++;
}

static void
set_urgent(Attachment *att)
{
	if (!att->urgent)
		dlist_push_tail(&urgent, &att->urgent_node);
	att->urgent = true;
}

void
attachment_send(Attachment *att, OutFrame *frame)
{
	set_urgent(att);
	attachment_send_later(att, frame);
}

void
attachment_owe_credit(Attachment *att)
{
	set_urgent(att);
	att->owes_credit = true;
}

/* The next part of a long record; the same one until it is wholly sent. */
static shm_mq_result
send_part(Attachment *att, OutFrame *frame, bool last_frame)
{
	uint8 head[64];
	Buf part = {.data = head, .cap = sizeof(head), .limit = sizeof(head)};
	Size total = frame->buf.len + frame->data.len;
	Size n = Min(FRAME_PART_SIZE, total - frame->sent);
	Size of_head = Min(n, frame->buf.len - Min(frame->sent, frame->buf.len));
	Size in_data = frame->sent + of_head - frame->buf.len;
	bool flush = last_frame && frame->sent + n == total;
	shm_mq_iovec iov[3];
	int niov = 0;
	shm_mq_result rc;

	frame_put_part_head(&part, FRAME_OUTPUT_PART, frame->call, total,
						frame->sent, n);
	iov[niov++] = (shm_mq_iovec){(char *) part.data, part.len};
	if (of_head > 0)
		iov[niov++] = (shm_mq_iovec){(char *) frame->buf.data + frame->sent,
									 of_head};
	if (n > of_head)
		iov[niov++] =
			(shm_mq_iovec){(char *) frame->data.data + in_data, n - of_head};
	rc = shm_mq_sendv_flush_compat(att->to_session, iov, niov, true, flush);
	if (rc == SHM_MQ_SUCCESS)
		frame->sent += n;
	return rc;
}

static shm_mq_result
send_frame(Attachment *att, OutFrame *frame)
{
	bool last = frame->next == NULL; /* several frames, one wake-up */
	shm_mq_iovec iov = {(char *) frame->buf.data, frame->buf.len};
	shm_mq_result rc;

	if (!frame->is_long)
		return shm_mq_sendv_flush_compat(att->to_session, &iov, 1, true, last);
	do
		rc = send_part(att, frame, last);
	while (rc == SHM_MQ_SUCCESS &&
		   frame->sent < frame->buf.len + frame->data.len);
	return rc;
}

static void drop_broken(void);

/* The next frame; what is owed has waited until there was none. */
static OutFrame *
next_frame(Attachment *att)
{
	if (att->out_head == NULL && att->owes_credit)
	{
		att->owes_credit = false;
		calls_pay_credit(att);
	}
	return att->out_head;
}

static void
attachment_push(Attachment *att)
{
	OutFrame *frame;

	while ((frame = next_frame(att)) != NULL)
	{
		shm_mq_result rc = send_frame(att, frame);

		if (rc == SHM_MQ_WOULD_BLOCK)
			return;
		if (rc == SHM_MQ_DETACHED)
		{
			attachment_break(att);
			return;
		}
		att->out_head = frame->next;
		att->nwaiting--;
		if (att->out_head == NULL)
			att->out_tail = &att->out_head;
		out_frame_free(frame);
	}
	dlist_delete(&att->urgent_node);
	att->urgent = false;
}

void
channels_send(void)
{
	dlist_mutable_iter iter;

	calls_flush();
	dlist_foreach_modify(iter, &urgent)
	{
		Attachment *att =
			dlist_container(Attachment, urgent_node, iter.cur);

		if (!att->broken)
			attachment_push(att);
	}
	drop_broken();
}

/* --- attaching and detaching ---------------------------------------------- */

static void
attachment_free(Attachment *att)
{
	ChannelSlot *slot = modal_slot(my_dispatcher, att->procno);
	OutFrame *frame;

	calls_cancel_all(att);
	while ((frame = att->out_head) != NULL)
	{
		att->out_head = frame->next;
		out_frame_free(frame);
	}
	shm_mq_detach(att->from_session);
	shm_mq_detach(att->to_session);
	channel_memory_release(&att->memory);

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	if (slot->generation == att->generation && slot->state == SLOT_ATTACHED)
		slot->state = SLOT_FREE;
	LWLockRelease(modal_shared->lock);
	dlist_delete(&att->node);
	if (att->is_ready)
		dlist_delete(&att->ready_node);
	if (att->urgent)
		dlist_delete(&att->urgent_node);
	if (att->broken)
		dlist_delete(&att->broken_node);
	by_procno[att->procno] = NULL;
	free(att);
	nattachments--;
}

static void
drop_broken(void)
{
	/* The end of its calls may break others. */
	while (!dlist_is_empty(&broken))
		attachment_free(dlist_head_element(Attachment, broken_node, &broken));
}

/*
 * Set up our side of the queues; false when the process is gone already.  The
 * second time, when the first attempt has failed, they may be ours already.
 */
static bool
attach_queues(Attachment *att)
{
	shm_mq *in;
	shm_mq *out;

	if (!channel_memory_attach(&att->memory))
		return false;
	in = (shm_mq *) att->memory.base;
	out = (shm_mq *) (att->memory.base + MODAL_QUEUE_TO_DISPATCHER);
	if (shm_mq_get_receiver(in) == NULL)
		shm_mq_set_receiver(in, MyProc);
	att->from_session = shm_mq_attach(in, att->memory.segment, NULL);
	if (shm_mq_get_sender(out) == NULL)
		shm_mq_set_sender(out, MyProc);
	DEBUG_POINT("dispatcher-half-attached");
	att->to_session = shm_mq_attach(out, att->memory.segment, NULL);
	return true;
}

/*
 * The same, where PostgreSQL's own functions throw: when there is no
 * descriptor, or no memory, for one more segment.
 */
static bool
try_attach_queues(Attachment *att)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	volatile bool attached = false;

	PG_TRY();
	{
		DEBUG_POINT("dispatcher-attach");
		attached = attach_queues(att);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(TopMemoryContext);
		EmitErrorReport();
		FlushErrorState();
		if (att->from_session != NULL)
			shm_mq_detach(att->from_session);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	if (!attached)
		channel_memory_release(&att->memory);
	return attached;
}

/* False: the offer does not stand any more. */
static bool
hold_offer(Attachment *att, const ChannelSlot *offer)
{
	const ChannelSlot *slot = modal_slot(my_dispatcher, att->procno);
	bool stands;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	stands =
		slot->generation == offer->generation && slot->state == SLOT_OFFERED;
	if (stands)
		channel_memory_hold(&att->memory, offer->memory);
	LWLockRelease(modal_shared->lock);
	return stands;
}

static Attachment *
create_attachment(int procno, const ChannelSlot *offer)
{
	Attachment *att = calloc(1, sizeof(*att));

	if (att == NULL)
		return NULL;
	map_init(&att->calls, NULL);
	att->out_tail = &att->out_head;
	att->dispatcher = my_dispatcher;
	att->procno = procno;
	att->generation = offer->generation;
	att->pid = offer->pid;
	att->userid = offer->userid;
	att->dbid = offer->dbid;
	att->is_runner = offer->is_runner;
	if (hold_offer(att, offer) && try_attach_queues(att))
		return att;
	free(att);
	return NULL;
}

static void
attach(int procno, const ChannelSlot *offer)
{
	ChannelSlot *slot = modal_slot(my_dispatcher, procno);
	Attachment *att;

	if (by_procno[procno] != NULL)
		attachment_free(by_procno[procno]);
	att = create_attachment(procno, offer);
	if (att == NULL && targets_drop_unused())
	{
		/* That may be all that is missing: look at it again. */
		modal_slot_news(my_dispatcher, procno);
		SetLatch(MyLatch);
		return;
	}

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	if (slot->generation == offer->generation && slot->state == SLOT_OFFERED)
		slot->state = att != NULL ? SLOT_ATTACHED : SLOT_FREE;
	LWLockRelease(modal_shared->lock);

	if (att == NULL)
		return;
	by_procno[procno] = att;
	dlist_push_tail(&attachments, &att->node);
	nattachments++;
	set_ready(att);
}

static void
look_at_slot(int procno)
{
	ChannelSlot offer;

	LWLockAcquire(modal_shared->lock, LW_SHARED);
	offer = *modal_slot(my_dispatcher, procno);
	LWLockRelease(modal_shared->lock);
	if (offer.state == SLOT_OFFERED)
		attach(procno, &offer);
	else if (by_procno[procno] != NULL)
		set_ready(by_procno[procno]);
}

static void
look_at_news(void)
{
	uint32 news = modal_take_news(my_dispatcher);
	int procno;

	while ((procno = modal_next_news(my_dispatcher, &news)) >= 0)
		look_at_slot(procno);
}

/* --- receiving ------------------------------------------------------------ */

/* True when the channel may have more than this turn's share. */
static bool
attachment_receive(Attachment *att)
{
	for (int i = 0; i < FRAMES_PER_TURN && !att->broken; i++)
	{
		Size len;
		void *data;
		FrameReader reader;
		shm_mq_result rc = shm_mq_receive(att->from_session, &len, &data, true);

		if (rc == SHM_MQ_WOULD_BLOCK)
			return false;
		if (rc == SHM_MQ_DETACHED)
		{
			attachment_break(att);
			return false;
		}
		if (!frame_read(&reader, data, len) ||
			!calls_handle_frame(att, &reader, data, len))
		{
			ereport(LOG,
					(errcode(ERRCODE_PROTOCOL_VIOLATION),
					 errmsg("modal_batch dispatcher received a malformed frame from process %d",
							att->pid)));
			attachment_break(att);
		}
	}
	return !att->broken;
}

bool
channels_receive(void)
{
	static dlist_node last; /* compilers mistrust one on the stack */

	look_at_news();
	/* Those that have more wait for the next turn, behind the mark. */
	dlist_push_tail(&ready, &last);
	while (dlist_head_node(&ready) != &last)
	{
		Attachment *att =
			dlist_head_element(Attachment, ready_node, &ready);

		dlist_delete(&att->ready_node);
		att->is_ready = false;
		if (!att->broken && attachment_receive(att))
			set_ready(att);
	}
	dlist_delete(&last);
	drop_broken();
	return !dlist_is_empty(&ready);
}

/* --- the rest ------------------------------------------------------------- */

void
channels_init(int dispatcher)
{
	my_dispatcher = dispatcher;
	by_procno = MemoryContextAllocZero(
		TopMemoryContext, modal_shared->nslots * sizeof(Attachment *));
	limits_init(dispatcher);
	targets_init();
	calls_init(dispatcher);

	/*
	 * What a predecessor had attached is lost; what it had not seen, is not,
	 * but it may have taken the news of it.
	 */
	for (int procno = 0; procno < modal_shared->nslots; procno++)
	{
		ChannelSlot *slot = modal_slot(dispatcher, procno);

		LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
		if (slot->state == SLOT_ATTACHED)
			slot->state = SLOT_FREE;
		LWLockRelease(modal_shared->lock);
		look_at_slot(procno);
	}
}

void
channels_publish(DispatcherShared *shared)
{
	pg_atomic_write_u32(&shared->channels, nattachments);
	calls_publish(shared);
}

void
channels_detach_all(void)
{
	while (!dlist_is_empty(&attachments))
		attachment_free(dlist_head_element(Attachment, node, &attachments));
}
