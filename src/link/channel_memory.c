/*-------------------------------------------------------------------------
 *
 * channel_memory.c
 *	  Places for channels in main shared memory; see channel_memory.h.
 *
 *-------------------------------------------------------------------------
 */
#include "link/channel_memory.h"

#include "link/shmem.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#define PLACES 32 /* 8 MB */

typedef struct ChannelPlace
{
	int users;	   /* ends that hold it */
	int next_free; /* index, or -1 */
} ChannelPlace;

typedef struct ChannelPlaces
{
	/* under modal_shared->lock */
	int first_free; /* or -1 */
	ChannelPlace places[PLACES];
} ChannelPlaces;

#define PLACES_OFFSET CACHELINEALIGN(sizeof(ChannelPlaces))

static ChannelPlaces *shared;

Size
channel_memory_size(void)
{
	return PLACES_OFFSET + PLACES * MODAL_CHANNEL_SIZE;
}

void
channel_memory_startup(void)
{
	bool found;

	shared = ShmemInitStruct("modal_batch channels", channel_memory_size(),
							 &found);
	if (found)
		return;
	shared->first_free = 0;
	for (int i = 0; i < PLACES; i++)
	{
		shared->places[i].users = 0;
		shared->places[i].next_free = i + 1 < PLACES ? i + 1 : -1;
	}
}

static char *
place_base(int place)
{
	Assert(place >= 0 && place < PLACES);
	return (char *) shared + PLACES_OFFSET + place * MODAL_CHANNEL_SIZE;
}

/* -1: all are taken. */
static int
take_place(void)
{
	int place;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	place = shared->first_free;
	if (place >= 0)
	{
		Assert(shared->places[place].users == 0);
		shared->first_free = shared->places[place].next_free;
		shared->places[place].users = 1;
	}
	LWLockRelease(modal_shared->lock);
	return place;
}

static void
leave_place(int place)
{
	int users;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	users = --shared->places[place].users;
	LWLockRelease(modal_shared->lock);
	Assert(users >= 0);
	if (users > 0)
		return;

	/* It belongs to nobody: there is no need to hold others up for that. */
	memset(place_base(place), 0, MODAL_CHANNEL_SIZE);
	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	shared->places[place].next_free = shared->first_free;
	shared->first_free = place;
	LWLockRelease(modal_shared->lock);
}

void
channel_memory_create(ChannelMemory *memory)
{
	memory->segment = NULL;
	memory->address.handle = DSM_HANDLE_INVALID;
	memory->address.place = take_place();
	if (memory->address.place >= 0)
	{
		memory->base = place_base(memory->address.place);
		return;
	}
	memory->segment =
		dsm_create(MODAL_CHANNEL_SIZE, DSM_CREATE_NULL_IF_MAXSEGMENTS);
	if (memory->segment == NULL)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
						errmsg("too many dynamic shared memory segments")));
	memory->address.handle = dsm_segment_handle(memory->segment);
	memory->base = dsm_segment_address(memory->segment);
}

void
channel_memory_hold(ChannelMemory *memory, ChannelAddress address)
{
	Assert(LWLockHeldByMeInMode(modal_shared->lock, LW_EXCLUSIVE));
	memory->address = address;
	memory->segment = NULL;
	memory->base = NULL;
	if (address.place >= 0)
		shared->places[address.place].users++;
}

bool
channel_memory_attach(ChannelMemory *memory)
{
	if (memory->address.place >= 0)
	{
		memory->base = place_base(memory->address.place);
		return true;
	}
	memory->segment = dsm_attach(memory->address.handle);
	if (memory->segment == NULL)
		return false;
	dsm_pin_mapping(memory->segment);
	memory->base = dsm_segment_address(memory->segment);
	return dsm_segment_map_length(memory->segment) >= MODAL_CHANNEL_SIZE;
}

void
channel_memory_release(ChannelMemory *memory)
{
	dsm_segment *segment = memory->segment;

	memory->segment = NULL;
	memory->base = NULL;
	if (memory->address.place >= 0)
		leave_place(memory->address.place);
	else
	{
		/* dsm_attach() that has thrown leaves it half mapped. */
		if (segment == NULL)
			segment = dsm_find_mapping(memory->address.handle);
		if (segment != NULL)
			dsm_detach(segment);
	}
}
