/*-------------------------------------------------------------------------
 *
 * channels.c
 *	  Attached processes: fair receive, stale detection, and sending.
 *
 * A channel is known by its slot and the generation it was offered with; a
 * new offer in the same slot means that the process before it is gone.  Each
 * turn takes a bounded number of frames from every channel.  Frames to send
 * wait in a list per channel; how much output may wait there is limited per
 * call by its budget (see frame.h).
 *
 * A peer that sends what is not a frame is detached: its memory is not to be
 * trusted.
 *
 *-------------------------------------------------------------------------
 */
#include "dispatcher/channels.h"

#include "storage/dsm.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "dispatcher/calls.h"

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
static uint32 seen_offers;
static Attachment *attachments;
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
out_frame_create_long(uint32 call, Buf *data)
{
	OutFrame *frame = calloc(1, sizeof(*frame));

	if (frame == NULL)
		return NULL;
	buf_init(&frame->buf, 0, NULL);
	frame->data = *data;
	buf_init(data, 0, NULL);
	frame->call = call;
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

/*
 * A frame that could not be made would leave the peer waiting for ever:
 * better to lose the channel, which it notices.
 */
void
attachment_send_later(Attachment *att, OutFrame *frame)
{
	if (frame == NULL || frame->buf.failed)
	{
		att->broken = true;
		if (frame != NULL)
			out_frame_free(frame);
		return;
	}
	*att->out_tail = frame;
	att->out_tail = &frame->next;
}

void
attachment_send(Attachment *att, OutFrame *frame)
{
	att->urgent = true;
	attachment_send_later(att, frame);
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

static void
attachment_push(Attachment *att)
{
	OutFrame *frame;

	while ((frame = att->out_head) != NULL)
	{
		shm_mq_result rc = send_frame(att, frame);

		if (rc == SHM_MQ_WOULD_BLOCK)
			return;
		if (rc == SHM_MQ_DETACHED)
		{
			att->broken = true;
			return;
		}
		att->out_head = frame->next;
		if (att->out_head == NULL)
			att->out_tail = &att->out_head;
		out_frame_free(frame);
	}
	att->urgent = false;
}

void
channels_send(void)
{
	calls_flush();
	for (Attachment *att = attachments; att != NULL; att = att->next)
	{
		if (att->urgent && !att->broken)
			attachment_push(att);
	}
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
	dsm_detach(att->segment);

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	if (slot->generation == att->generation && slot->state == SLOT_ATTACHED)
		slot->state = SLOT_FREE;
	LWLockRelease(modal_shared->lock);
	free(att);
	nattachments--;
}

static void
drop_attachments(bool (*which)(const Attachment *att, int procno), int procno)
{
	Attachment **at = &attachments;

	while (*at != NULL)
	{
		Attachment *att = *at;

		if (which(att, procno))
		{
			*at = att->next;
			attachment_free(att);
		}
		else
			at = &att->next;
	}
}

static bool
is_any(const Attachment *att, int procno)
{
	(void) att;
	(void) procno;
	return true;
}

static bool
is_broken(const Attachment *att, int procno)
{
	(void) procno;
	return att->broken;
}

static bool
is_of_process(const Attachment *att, int procno)
{
	return att->procno == procno;
}

/* Set up our side of the segment; false when the process is gone already. */
static bool
attach_queues(Attachment *att, dsm_handle handle)
{
	char *base;
	shm_mq *in;
	shm_mq *out;
	MemoryContext old;

	att->segment = dsm_attach(handle);
	if (att->segment == NULL)
		return false;
	dsm_pin_mapping(att->segment);
	if (dsm_segment_map_length(att->segment) < MODAL_CHANNEL_SIZE)
	{
		dsm_detach(att->segment);
		return false;
	}
	base = dsm_segment_address(att->segment);
	in = (shm_mq *) base;
	out = (shm_mq *) (base + MODAL_QUEUE_TO_DISPATCHER);
	shm_mq_set_receiver(in, MyProc);
	shm_mq_set_sender(out, MyProc);

	old = MemoryContextSwitchTo(TopMemoryContext);
	att->from_session = shm_mq_attach(in, att->segment, NULL);
	att->to_session = shm_mq_attach(out, att->segment, NULL);
	MemoryContextSwitchTo(old);
	return true;
}

static void
attach(int procno, const ChannelSlot *offer)
{
	ChannelSlot *slot = modal_slot(my_dispatcher, procno);
	Attachment *att;

	drop_attachments(is_of_process, procno);
	att = calloc(1, sizeof(*att));
	if (att == NULL)
		return;
	att->out_tail = &att->out_head;
	att->dispatcher = my_dispatcher;
	att->procno = procno;
	att->generation = offer->generation;
	att->pid = offer->pid;
	att->userid = offer->userid;
	att->dbid = offer->dbid;
	att->is_runner = offer->is_runner;
	if (!attach_queues(att, offer->handle))
	{
		free(att);
		att = NULL;
	}

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	if (slot->generation == offer->generation && slot->state == SLOT_OFFERED)
		slot->state = att != NULL ? SLOT_ATTACHED : SLOT_FREE;
	LWLockRelease(modal_shared->lock);

	if (att != NULL)
	{
		att->next = attachments;
		attachments = att;
		nattachments++;
	}
}

static void
look_for_offers(void)
{
	DispatcherShared *shared = &modal_shared->dispatchers[my_dispatcher];
	uint32 offers = pg_atomic_read_u32(&shared->offers);

	if (offers == seen_offers)
		return;
	seen_offers = offers;
	pg_read_barrier();
	for (int procno = 0; procno < modal_shared->nslots; procno++)
	{
		ChannelSlot offer;

		LWLockAcquire(modal_shared->lock, LW_SHARED);
		offer = *modal_slot(my_dispatcher, procno);
		LWLockRelease(modal_shared->lock);
		if (offer.state == SLOT_OFFERED)
			attach(procno, &offer);
	}
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
			att->broken = true;
			return false;
		}
		if (!frame_read(&reader, data, len) ||
			!calls_handle_frame(att, &reader, data, len))
		{
			ereport(LOG,
					(errcode(ERRCODE_PROTOCOL_VIOLATION),
					 errmsg("modal_batch dispatcher received a malformed frame from process %d",
							att->pid)));
			att->broken = true;
		}
	}
	return !att->broken;
}

bool
channels_receive(void)
{
	bool more = false;
	bool broken = false;

	look_for_offers();
	for (Attachment *att = attachments; att != NULL; att = att->next)
	{
		if (!att->broken)
			more |= attachment_receive(att);
		broken |= att->broken;
	}
	if (broken)
		drop_attachments(is_broken, 0);
	return more;
}

/* --- the rest ------------------------------------------------------------- */

void
channels_init(int dispatcher)
{
	my_dispatcher = dispatcher;

	/* What a predecessor had attached is lost; what it had not seen, is not. */
	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	for (int procno = 0; procno < modal_shared->nslots; procno++)
	{
		ChannelSlot *slot = modal_slot(dispatcher, procno);

		if (slot->state == SLOT_ATTACHED)
			slot->state = SLOT_FREE;
	}
	LWLockRelease(modal_shared->lock);
	calls_init(dispatcher);

	/* Look at all slots once, whatever the counter says. */
	seen_offers =
		pg_atomic_read_u32(&modal_shared->dispatchers[dispatcher].offers) - 1;
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
	drop_attachments(is_any, 0);
}
