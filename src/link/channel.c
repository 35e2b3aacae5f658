/*-------------------------------------------------------------------------
 *
 * channel.c
 *	  The link between this process and a dispatcher; see channel.h.
 *
 * A link goes through three states: offered (its memory is announced in our
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
#include "core/map.h"
#include "link/channel.h"
#include "link/shmem.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "values/values.h"

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
	void *owner;
	ChannelDeliver deliver;
} ChannelCall;

struct Channel
{
	MemoryContext cxt;
	int dispatcher;
	uint32 slot_generation;
	ChannelMemory memory; /* released: lost */
	shm_mq_handle *out;
	shm_mq_handle *in;
	bool attached;
	bool broken;				 /* to be dropped at the next occasion */
	TimestampTz last_dispatcher; /* when one was last seen running */
	uint32 last_call;
	Map calls; /* id -> ChannelCall */
	OutFrame *head; /* not, or only partly, in the queue */
	OutFrame **tail;
	Size unsent;
};

/* The live links of this process. */
static Channel *channels[MODAL_MAX_DISPATCHERS];
static bool exit_registered = false;

/* --- news ---------------------------------------------------------------- */

/*
 * The dispatcher is to look at our queue.  The queue has woken it already, but
 * it may have looked too early.
 */
static void
tell_dispatcher(const Channel *ch, PGPROC *dispatcher)
{
	modal_slot_news(ch->dispatcher, MyProcSlot);
	if (dispatcher != NULL)
		SetLatch(&dispatcher->procLatch);
}

/* NULL: it has not attached itself yet. */
static PGPROC *
dispatcher_of(const Channel *ch)
{
	return shm_mq_get_receiver(shm_mq_get_queue(ch->out));
}

static bool
is_lost(const Channel *ch)
{
	return ch->memory.base == NULL;
}

static void lose_channel(Channel *ch);

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
 * Before the memory goes, which nobody would tell the dispatcher.  It sees the
 * end of what it has attached, and frees the slot.
 */
static void
withdraw_at_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	for (int i = 0; i < MODAL_MAX_DISPATCHERS; i++)
		if (channels[i] != NULL)
			lose_channel(channels[i]);
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
	slot->memory = ch->memory.address;
	slot->pid = MyProcPid;
	slot->userid = GetSessionUserId();
	slot->dbid = MyDatabaseId;
	slot->is_runner = MyBgworkerEntry != NULL &&
		strcmp(MyBgworkerEntry->bgw_function_name, "modal_runner_main") == 0;
	modal_slot_news(ch->dispatcher, MyProcSlot);
	latch = dispatcher->latch;
	/* Under the lock: the dispatcher clears its latch pointer under it. */
	if (latch != NULL)
		SetLatch(latch);
	LWLockRelease(modal_shared->lock);
}

/* A place in shared memory is no resource that an error would give back. */
static void
create_queues(Channel *ch)
{
	shm_mq *out;
	shm_mq *in;

	channel_memory_create(&ch->memory);
	PG_TRY();
	{
		out = shm_mq_create(ch->memory.base, MODAL_QUEUE_TO_DISPATCHER);
		in = shm_mq_create(ch->memory.base + MODAL_QUEUE_TO_DISPATCHER,
						   MODAL_QUEUE_TO_SESSION);
		shm_mq_set_sender(out, MyProc);
		shm_mq_set_receiver(in, MyProc);
		ch->out = shm_mq_attach(out, ch->memory.segment, NULL);
		ch->in = shm_mq_attach(in, ch->memory.segment, NULL);
	}
	PG_CATCH();
	{
		channel_memory_release(&ch->memory);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static Channel *
create_channel(int dispatcher)
{
	MemoryContext cxt;
	MemoryContext old;
	Channel *ch;

	/* Reparented when complete, so that an error leaves nothing behind. */
	cxt = AllocSetContextCreate(CurrentMemoryContext, "modal_batch channel",
								ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	ch = palloc0(sizeof(Channel));
	ch->cxt = cxt;
	ch->dispatcher = dispatcher;
	ch->tail = &ch->head;
	map_init(&ch->calls, buf_palloc);
	ch->last_dispatcher = GetCurrentTimestamp();

	create_queues(ch);
	MemoryContextSwitchTo(old);

	if (!exit_registered)
		before_shmem_exit(withdraw_at_exit, (Datum) 0);
	exit_registered = true;
	MemoryContextSetParent(cxt, TopMemoryContext);
	if (ch->memory.segment != NULL)
		dsm_pin_mapping(ch->memory.segment);
	channels[dispatcher] = ch;
	offer(ch);
	return ch;
}

Channel *
channel_get(Oid serverid, int dispatchers)
{
	Oid server[2] = {MyDatabaseId, serverid};
	uint32 dispatcher;

	modal_check_preloaded();
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot call remote functions during recovery"),
				 errhint("Call them on the primary server.")));

	dispatcher = hash_bytes((const unsigned char *) server, sizeof(server)) %
		(uint32) modal_shared->ndispatchers;
	dispatcher = (dispatcher + (uint32) (MyProcSlot % dispatchers)) %
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
	if (is_lost(ch) && ch->calls.count == 0)
		MemoryContextDelete(ch->cxt);
}

/* Give the link up, and tell the owners of its calls. */
static void
lose_channel(Channel *ch)
{
	MapVisit visit = {0};
	ChannelCall *call;
	PGPROC *dispatcher;

	if (is_lost(ch))
		return;
	withdraw_offer(ch);
	dispatcher = dispatcher_of(ch);
	shm_mq_detach(ch->out);
	shm_mq_detach(ch->in);
	tell_dispatcher(ch, dispatcher);
	channel_memory_release(&ch->memory);
	channels[ch->dispatcher] = NULL;

	while (ch->head != NULL)
	{
		OutFrame *frame = ch->head;

		ch->head = frame->next;
		pfree(frame);
	}
	ch->tail = &ch->head;
	ch->unsent = 0;

	while ((call = map_next(&ch->calls, &visit)) != NULL)
		call->deliver(call->owner, NULL, NULL, 0);
}

/*
 * Has the offer been taken?  It is the slot that says so: queues that have a
 * dispatcher's process may still be ones that it could not attach wholly.
 * False: it will not be, because the dispatcher could not (it frees the slot),
 * or because none is running.
 */
static bool
look_at_offer(Channel *ch)
{
	ChannelSlot *slot = modal_slot(ch->dispatcher, MyProcSlot);
	TimestampTz now = GetCurrentTimestamp();
	bool running;
	bool refused;

	LWLockAcquire(modal_shared->lock, LW_SHARED);
	running = modal_shared->dispatchers[ch->dispatcher].pid != 0;
	refused = slot->generation != ch->slot_generation ||
		slot->state == SLOT_FREE;
	ch->attached = !refused && slot->state == SLOT_ATTACHED;
	LWLockRelease(modal_shared->lock);

	if (running)
		ch->last_dispatcher = now;
	return !refused &&
		!TimestampDifferenceExceeds(ch->last_dispatcher, now,
									MAX_WITHOUT_DISPATCHER_MS);
}

bool
channel_was_attached(const Channel *ch)
{
	return ch->attached;
}

/* --- sending -------------------------------------------------------------- */

static shm_mq_result
send_frame(Channel *ch, const void *p, Size len)
{
	shm_mq_result rc = shm_mq_send_compat(ch->out, len, p, true);

	if (rc == SHM_MQ_DETACHED)
		ch->broken = true;
	else
		tell_dispatcher(ch, dispatcher_of(ch));
	return rc;
}

/* Move queued frames into shared memory as far as they fit. */
static void
push_frames(Channel *ch)
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

/* --- calls ---------------------------------------------------------------- */

uint32
channel_register(Channel *ch, void *owner, ChannelDeliver deliver)
{
	MemoryContext old = MemoryContextSwitchTo(ch->cxt);
	ChannelCall *call;

	if (ch->last_call == PG_UINT32_MAX ||
		!map_reserve(&ch->calls, ch->calls.count + 1))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("too many remote calls in one session")));
	call = palloc(sizeof(ChannelCall));
	call->owner = owner;
	call->deliver = deliver;
	(void) map_put(&ch->calls, ++ch->last_call, call);
	MemoryContextSwitchTo(old);
	return ch->last_call;
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
	pfree(map_remove(&ch->calls, call));
	if (!is_lost(ch))
	{
		drop_unsent_inputs(ch, call);
		push_frames(ch);
		/* Nobody would move the rest on. */
		if (ch->broken || (ch->calls.count == 0 && ch->head != NULL))
			lose_channel(ch);
	}
	free_if_unused(ch);
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
	if (is_lost(ch) || ch->broken)
		return;
	push_frames(ch);
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
	call = map_get(&ch->calls, reader.header.call);
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
	bool stands = ch->attached || look_at_offer(ch);

	push_frames(ch);
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
	if (ch->broken || !stands)
	{
		lose_channel(ch);
		progress = true;
	}
	return progress;
}

void
channel_poll(Channel *ch)
{
	if (is_lost(ch))
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
