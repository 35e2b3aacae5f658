/*-------------------------------------------------------------------------
 *
 * channel.c
 *	  The link between this process and a dispatcher; see channel.h.
 *
 * A link goes through three states: offered (the segment is announced in our
 * slot; frames may be sent, and wait in the queue), attached (the dispatcher
 * has set itself as the other end) and lost.  An offer survives a restart of
 * the dispatcher, an attached link does not.  A lost link leaves channels[]
 * at once, and its Channel is freed when its last call has been unregistered.
 *
 * Nothing between the first byte of a frame and its last one services
 * interrupts, so a cancelled statement never leaves a frame of which we would
 * not know how much was sent: what the queue does not take is kept in a list.
 * When no call is left to move that list on, the link is dropped; the
 * dispatcher then cancels whatever it had of it.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xlog.h"
#include "common/hashfn.h"
#include "postmaster/bgworker.h"
#include "link/channel.h"
#include "link/shmem.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* How long an offer may wait while no dispatcher runs. */
#define MAX_WITHOUT_DISPATCHER_MS (10 * 1000)
/* How often to look for that. */
#define OFFER_CHECK_MS 1000

typedef struct OutFrame
{
	struct OutFrame *next;
	uint32 call;
	Size len;
	uint8 data[FLEXIBLE_ARRAY_MEMBER];
} OutFrame;

typedef struct ChannelCall
{
	uint32 id;
	void *owner;
	ChannelDeliver deliver;
} ChannelCall;

struct Channel
{
	MemoryContext cxt;
	int dispatcher;
	uint32 slot_generation;
	dsm_segment *segment; /* NULL: lost */
	shm_mq_handle *out;
	shm_mq_handle *in;
	bool attached;
	bool broken;				 /* to be dropped at the next occasion */
	TimestampTz last_dispatcher; /* when one was last seen running */
	uint32 last_call;
	ChannelCall *calls;
	int ncalls;
	int calls_size;
	OutFrame *head; /* not, or only partly, in the queue */
	OutFrame **tail;
	Size unsent;
};

/* The live links of this process. */
static Channel *channels[MODAL_MAX_DISPATCHERS];
static bool exit_registered = false;

/* --- offering ------------------------------------------------------------ */

/* Take back an offer that no dispatcher has seen. */
static void
withdraw_offer(const Channel *ch)
{
	ChannelSlot *slot = modal_slot(ch->dispatcher, MyProcSlot);

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	if (slot->generation == ch->slot_generation && slot->state == SLOT_OFFERED)
		slot->state = SLOT_FREE;
	LWLockRelease(modal_shared->lock);
}

/*
 * Before the segments go.  What the dispatcher has attached it sees go away,
 * and frees the slot itself.
 */
static void
withdraw_at_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	for (int i = 0; i < MODAL_MAX_DISPATCHERS; i++)
		if (channels[i] != NULL)
			withdraw_offer(channels[i]);
}

static void
offer(Channel *ch)
{
	DispatcherShared *dispatcher = &modal_shared->dispatchers[ch->dispatcher];
	ChannelSlot *slot = modal_slot(ch->dispatcher, MyProcSlot);
	Latch *latch;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	slot->state = SLOT_OFFERED;
	ch->slot_generation = ++slot->generation;
	slot->handle = dsm_segment_handle(ch->segment);
	slot->pid = MyProcPid;
	slot->userid = GetSessionUserId();
	slot->dbid = MyDatabaseId;
	slot->is_runner = MyBgworkerEntry != NULL &&
		strcmp(MyBgworkerEntry->bgw_function_name, "modal_runner_main") == 0;
	pg_atomic_fetch_add_u32(&dispatcher->offers, 1);
	latch = dispatcher->latch;
	/* Under the lock: the dispatcher clears its latch pointer under it. */
	if (latch != NULL)
		SetLatch(latch);
	LWLockRelease(modal_shared->lock);
}

static Channel *
create_channel(int dispatcher)
{
	MemoryContext cxt;
	MemoryContext old;
	Channel *ch;
	char *base;
	shm_mq *out;
	shm_mq *in;

	/* Reparented when complete, so that an error leaves nothing behind. */
	cxt = AllocSetContextCreate(CurrentMemoryContext, "modal_batch channel",
								ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	ch = palloc0(sizeof(Channel));
	ch->cxt = cxt;
	ch->dispatcher = dispatcher;
	ch->tail = &ch->head;
	ch->last_dispatcher = GetCurrentTimestamp();

	ch->segment =
		dsm_create(MODAL_CHANNEL_SIZE, DSM_CREATE_NULL_IF_MAXSEGMENTS);
	if (ch->segment == NULL)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
						errmsg("too many dynamic shared memory segments")));
	base = dsm_segment_address(ch->segment);
	out = shm_mq_create(base, MODAL_QUEUE_TO_DISPATCHER);
	in = shm_mq_create(base + MODAL_QUEUE_TO_DISPATCHER, MODAL_QUEUE_TO_SESSION);
	shm_mq_set_sender(out, MyProc);
	shm_mq_set_receiver(in, MyProc);
	ch->out = shm_mq_attach(out, ch->segment, NULL);
	ch->in = shm_mq_attach(in, ch->segment, NULL);
	MemoryContextSwitchTo(old);

	if (!exit_registered)
		before_shmem_exit(withdraw_at_exit, (Datum) 0);
	exit_registered = true;
	MemoryContextSetParent(cxt, TopMemoryContext);
	dsm_pin_mapping(ch->segment);
	channels[dispatcher] = ch;
	offer(ch);
	return ch;
}

Channel *
channel_get(const void *endpoint_options, Size len)
{
	int dispatcher;

	modal_check_preloaded();
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot call remote functions during recovery"),
				 errhint("Call them on the primary server.")));

	dispatcher = hash_bytes(endpoint_options, (int) len) %
		(uint32) modal_shared->ndispatchers;
	/* Whether the link is still up is known after looking at it. */
	if (channels[dispatcher] != NULL)
		channel_poll(channels[dispatcher]);
	if (channels[dispatcher] == NULL)
		return create_channel(dispatcher);
	return channels[dispatcher];
}

/* --- losing a link ------------------------------------------------------- */

static void
free_if_unused(Channel *ch)
{
	if (ch->segment == NULL && ch->ncalls == 0)
		MemoryContextDelete(ch->cxt);
}

/* Give the link up, and tell the owners of its calls. */
static void
lose_channel(Channel *ch)
{
	if (ch->segment == NULL)
		return;
	withdraw_offer(ch);
	shm_mq_detach(ch->out);
	shm_mq_detach(ch->in);
	dsm_detach(ch->segment);
	ch->segment = NULL;
	channels[ch->dispatcher] = NULL;

	while (ch->head != NULL)
	{
		OutFrame *frame = ch->head;

		ch->head = frame->next;
		pfree(frame);
	}
	ch->tail = &ch->head;
	ch->unsent = 0;

	for (int i = 0; i < ch->ncalls; i++)
		ch->calls[i].deliver(ch->calls[i].owner, NULL, NULL, 0);
}

/*
 * An offer that nobody takes: because the dispatcher could not (it frees the
 * slot), or because none is running.
 */
static bool
offer_failed(Channel *ch)
{
	ChannelSlot *slot = modal_slot(ch->dispatcher, MyProcSlot);
	TimestampTz now = GetCurrentTimestamp();
	bool running;
	bool refused;

	LWLockAcquire(modal_shared->lock, LW_SHARED);
	running = modal_shared->dispatchers[ch->dispatcher].pid != 0;
	refused = slot->generation != ch->slot_generation ||
		slot->state == SLOT_FREE;
	LWLockRelease(modal_shared->lock);

	if (running)
		ch->last_dispatcher = now;
	return refused ||
		TimestampDifferenceExceeds(ch->last_dispatcher, now,
								   MAX_WITHOUT_DISPATCHER_MS);
}

bool
channel_alive(const Channel *ch)
{
	return ch->segment != NULL;
}

bool
channel_was_attached(const Channel *ch)
{
	return ch->attached;
}

/* --- calls ---------------------------------------------------------------- */

uint32
channel_register(Channel *ch, void *owner, ChannelDeliver deliver)
{
	ChannelCall *call;

	if (ch->ncalls == ch->calls_size)
	{
		int size = Max(8, ch->calls_size * 2);

		if (ch->calls == NULL)
			ch->calls = MemoryContextAlloc(ch->cxt, size * sizeof(ChannelCall));
		else
			ch->calls = repalloc(ch->calls, size * sizeof(ChannelCall));
		ch->calls_size = size;
	}
	if (ch->last_call == PG_UINT32_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("too many remote calls in one session")));
	call = &ch->calls[ch->ncalls++];
	call->id = ++ch->last_call;
	call->owner = owner;
	call->deliver = deliver;
	return call->id;
}

/* Inputs of the call that have not begun to travel need not do so any more. */
static void
drop_unsent_inputs(Channel *ch, uint32 call)
{
	OutFrame **at = &ch->head;

	/* The first one may be half sent already. */
	if (*at != NULL)
		at = &(*at)->next;
	while (*at != NULL)
	{
		OutFrame *frame = *at;
		FrameHeader header;

		memcpy(&header, frame->data, sizeof(header));
		if (frame->call == call &&
			(header.type == FRAME_INPUTS || header.type == FRAME_INPUT_PART))
		{
			*at = frame->next;
			ch->unsent -= frame->len;
			pfree(frame);
		}
		else
			at = &frame->next;
	}
	ch->tail = at;
}

void
channel_unregister(Channel *ch, uint32 call)
{
	for (int i = 0; i < ch->ncalls; i++)
	{
		if (ch->calls[i].id == call)
		{
			ch->calls[i] = ch->calls[--ch->ncalls];
			break;
		}
	}
	if (ch->segment != NULL)
	{
		drop_unsent_inputs(ch, call);
		channel_push(ch);
		/* Nobody would move the rest on. */
		if (ch->broken || (ch->ncalls == 0 && ch->head != NULL))
			lose_channel(ch);
	}
	free_if_unused(ch);
}

static ChannelCall *
find_call(Channel *ch, uint32 id)
{
	for (int i = 0; i < ch->ncalls; i++)
		if (ch->calls[i].id == id)
			return &ch->calls[i];
	return NULL;
}

/* --- sending -------------------------------------------------------------- */

static shm_mq_result
send_frame(Channel *ch, const void *p, Size len)
{
	shm_mq_result rc = shm_mq_send_compat(ch->out, len, p, true);

	if (rc == SHM_MQ_DETACHED)
		ch->broken = true;
	return rc;
}

void
channel_push(Channel *ch)
{
	while (ch->head != NULL && !ch->broken)
	{
		OutFrame *frame = ch->head;

		if (send_frame(ch, frame->data, frame->len) != SHM_MQ_SUCCESS)
			return;
		ch->head = frame->next;
		if (ch->head == NULL)
			ch->tail = &ch->head;
		ch->unsent -= frame->len;
		pfree(frame);
	}
}

/*
 * Also called while a transaction is aborted, hence no error: a frame that
 * cannot be kept costs the link.
 */
void
channel_send(Channel *ch, const Buf *buf)
{
	FrameHeader header;
	OutFrame *frame;

	Assert(!buf->failed && buf->len >= sizeof(FrameHeader));
	if (ch->segment == NULL || ch->broken)
		return;
	channel_push(ch);
	if (ch->head == NULL &&
		send_frame(ch, buf->data, buf->len) != SHM_MQ_WOULD_BLOCK)
		return;

	frame = MemoryContextAllocExtended(
		ch->cxt, offsetof(OutFrame, data) + buf->len, MCXT_ALLOC_NO_OOM);
	if (frame == NULL)
	{
		ch->broken = true;
		return;
	}
	memcpy(&header, buf->data, sizeof(header));
	frame->next = NULL;
	frame->call = header.call;
	frame->len = buf->len;
	memcpy(frame->data, buf->data, buf->len);
	*ch->tail = frame;
	ch->tail = &frame->next;
	ch->unsent += frame->len;
}

Size
channel_unsent(const Channel *ch)
{
	return ch->unsent;
}

/* --- receiving and waiting ------------------------------------------------ */

/* Hand one frame to its call; false when it is not a frame at all. */
static bool
dispatch_frame(Channel *ch, const void *data, Size len)
{
	FrameReader reader;
	ChannelCall *call;

	if (!frame_read(&reader, data, len))
		return false;
	call = find_call(ch, reader.header.call);
	/* Otherwise it is for a call that was cancelled. */
	if (call != NULL)
		call->deliver(call->owner, &reader, data, len);
	return true;
}

/* Returns whether anything was received or the link was lost. */
static bool
poll_channel(Channel *ch)
{
	bool progress = false;

	if (!ch->attached)
		ch->attached = shm_mq_get_sender(shm_mq_get_queue(ch->in)) != NULL;
	channel_push(ch);
	while (!ch->broken)
	{
		Size len;
		void *data;
		shm_mq_result rc = shm_mq_receive(ch->in, &len, &data, true);

		if (rc == SHM_MQ_WOULD_BLOCK)
			break;
		progress = true;
		if (rc == SHM_MQ_DETACHED || !dispatch_frame(ch, data, len))
			ch->broken = true;
	}
	if (ch->broken || (!ch->attached && offer_failed(ch)))
	{
		lose_channel(ch);
		progress = true;
	}
	return progress;
}

void
channel_poll(Channel *ch)
{
	if (ch->segment == NULL)
		return;
	poll_channel(ch);
	free_if_unused(ch);
}

/* As channel_poll, for all; *offered: does one wait for its dispatcher? */
static bool
poll_all(bool *offered)
{
	bool progress = false;

	*offered = false;
	for (int i = 0; i < MODAL_MAX_DISPATCHERS; i++)
	{
		Channel *ch = channels[i];

		if (ch == NULL)
			continue;
		progress |= poll_channel(ch);
		*offered |= !ch->attached;
		free_if_unused(ch);
	}
	return progress;
}

void
channel_wait(long timeout_ms, uint32 wait_event)
{
	int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
	bool offered;

	/* Somebody else may have reset the latch since we looked last. */
	if (poll_all(&offered))
		return;
	if (offered && (timeout_ms < 0 || timeout_ms > OFFER_CHECK_MS))
		timeout_ms = OFFER_CHECK_MS;
	if (timeout_ms >= 0)
		events |= WL_TIMEOUT;
	(void) WaitLatch(MyLatch, events, timeout_ms, wait_event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	(void) poll_all(&offered);
}
