/*-------------------------------------------------------------------------
 *
 * map.c
 *	  Maps: what they have beyond other calls that are waited for (sync.c),
 *	  which is how lost inputs are found.
 *
 * On the control plane a poll names the inputs that should be in progress, so
 * that the service can report the ones that it has lost.  That list is long,
 * so it is sent only when there is reason to doubt: after a short poll that
 * brought nothing, and now and then while outputs keep coming.  On an input
 * plane there is a request for that (MapCheckInputs).
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "modal/call.h"

#define LISTLESS_POLL_S 2.0		/* a poll that does not name its inputs */
#define LISTING_INTERVAL_S 5.0
#define CHECK_INTERVAL_S 1.0	/* MapCheckInputs */

typedef struct MapCall
{
	SyncCall sync;
	bool poll_was_empty;
	double last_listing;
	GrpcCall *check;	/* MapCheckInputs */
	int64_t *checked;	/* the items it asks about, in order */
	uint32_t nchecked;
	Timer check_timer;
} MapCall;

#define MAP_CALL(mc) ((MapCall *) (mc))

/* --- lost inputs on an input plane ---------------------------------------- */

static void
check_later(MapCall *map)
{
	timer_set(&map->check_timer, monotonic_seconds() + CHECK_INTERVAL_S);
}

static void
on_check(void *arg, const GrpcResult *result)
{
	ModalCall *mc = arg;
	MapCall *map = MAP_CALL(mc);

	map->check = NULL;
	check_later(map);
	if (result->status != GRPC_OK)
		return;
	wire_apply_lost(mc, map->checked, map->nchecked, result);
	modal_call_pump(mc);
}

static void
on_check_timer(void *arg)
{
	ModalCall *mc = arg;
	MapCall *map = MAP_CALL(mc);
	GrpcSpec spec;

	if (call_state_count(&map->sync.items) == 0)
	{
		check_later(map);
		return;
	}
	spec = wire_check(mc, &map->checked, &map->nchecked, on_check);
	grpc_end(&spec.request);
	map->check = grpc_start(&spec);
}

/* --- polls ---------------------------------------------------------------- */

static bool
map_wants_poll(ModalCall *mc, PollWish *wish)
{
	MapCall *map = MAP_CALL(mc);
	double now = monotonic_seconds();

	if (call_state_count(&map->sync.items) == 0)
		return false;
	if (mc->plane != NULL)
		return true;
	if (map->last_listing == 0)
		map->last_listing = now;
	wish->list =
		map->poll_was_empty || now - map->last_listing >= LISTING_INTERVAL_S;
	if (wish->list)
		map->last_listing = now;
	else
		wish->timeout = LISTLESS_POLL_S;
	return true;
}

static bool
map_polled(ModalCall *mc, uint32_t n, int64_t unfinished)
{
	(void) unfinished;
	MAP_CALL(mc)->poll_was_empty = n == 0;
	return true;
}

/* --- life ----------------------------------------------------------------- */

static void
map_call_init(ModalCall *mc)
{
	timer_init(&MAP_CALL(mc)->check_timer, on_check_timer, mc);
	sync_init(mc);
}

static void
map_call_free(ModalCall *mc)
{
	MapCall *map = MAP_CALL(mc);

	if (map->check != NULL)
		grpc_cancel(map->check);
	timer_cancel(&map->check_timer);
	free(map->checked);
	sync_free(mc);
}

/* On an input plane, where indexes begin at 1, the first inputs start it. */
static bool
map_begin(ModalCall *mc)
{
	mc->plane = mc->handle->plane;
	SYNC_CALL(mc)->next_idx = mc->plane != NULL ? 1 : 0;
	if (mc->plane != NULL || modal_call_start(mc, NULL, NULL))
		return true;
	modal_call_fail_memory(mc);
	return false;
}

static void
map_restart(ModalCall *mc)
{
	ListNode *node;

	while ((node = list_first(&mc->puts)) != NULL)
		sync_take_back(LIST_OWNER(PutRequest, node, node));
}

static bool
map_started(ModalCall *mc, const WireStarted *started)
{
	sync_apply_policy(mc, started);
	if (mc->plane != NULL)
		check_later(MAP_CALL(mc));
	return true;
}

static void
map_leave(ModalCall *mc, CallEnd end, bool terminate)
{
	GrpcSpec spec;

	if (end != END_DONE || call_state_count(&SYNC_CALL(mc)->items) > 0)
	{
		modal_cancel_remote(mc->mt, buf_cstr(&mc->call_id), terminate);
		return;
	}
	spec = wire_ack(mc);
	modal_background(mc->mt, &spec);
}

const ModalKind map_kind = {
	.size = sizeof(MapCall),
	.invocation = INVOCATION_SYNC,
	.init = map_call_init,
	.free = map_call_free,
	.begin = map_begin,
	.restart = map_restart,
	.started = map_started,
	.pump = sync_pump,
	.put_done = sync_put_done,
	.wants_poll = map_wants_poll,
	.output = sync_output,
	.polled = map_polled,
	.is_done = sync_is_done,
	.leave = map_leave,
};
