/* Tests of core/heap: what is first, whatever was put in, moved or taken out. */
#include "tap.h"

#include "core/heap.h"

enum
{
	NODES = 200,
	STEPS = 20000
};

static uint64_t
next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return *state >> 33;
}

/* Is that the lowest of those that are in? */
static bool
is_lowest(const Heap *heap, const HeapNode *nodes)
{
	const HeapNode *first = heap_first(heap);
	uint32_t count = 0;

	for (int i = 0; i < NODES; i++)
	{
		if (nodes[i].at == 0)
			continue;
		count++;
		if (first == NULL || nodes[i].key < first->key)
			return false;
	}
	return count == heap->count && (count > 0) == (first != NULL);
}

static void
test_random(void)
{
	static HeapNode nodes[NODES];
	uint64_t state = 1;
	bool right = true;
	Heap heap;

	heap_init(&heap);
	ok(heap_first(&heap) == NULL, "nothing is first in an empty heap");
	for (int i = 0; i < STEPS; i++)
	{
		HeapNode *node = &nodes[next_random(&state) % NODES];

		if (next_random(&state) % 3 == 0)
			heap_remove(&heap, node);
		else
			right &= heap_put(&heap, node, next_random(&state) % 50);
		right &= is_lowest(&heap, nodes);
	}
	ok(right, "random changes: the first is the lowest");
	heap_free(&heap);
}

static void
test_order(void)
{
	HeapNode nodes[NODES] = {{0}};
	double last = -1;
	bool right = true;
	HeapNode *node;
	Heap heap;

	heap_init(&heap);
	ok(heap_reserve(&heap, NODES), "room is made");
	for (int i = 0; i < NODES; i++)
		heap_put(&heap, &nodes[i], (i * 7919) % NODES);
	while ((node = heap_first(&heap)) != NULL)
	{
		right &= node->key > last;
		last = node->key;
		heap_remove(&heap, node);
	}
	ok(right && last == NODES - 1, "they come in order");
	ok(!heap_reserve(&heap, UINT32_MAX), "too many are refused");
	heap_free(&heap);
}

int
main(void)
{
	test_random();
	test_order();
	return done_testing();
}
