/*-------------------------------------------------------------------------
 *
 * heap.c
 *	  A binary heap; see heap.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/heap.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 64

void
heap_init(Heap *heap)
{
	memset(heap, 0, sizeof(*heap));
}

void
heap_free(Heap *heap)
{
	free(heap->nodes);
	heap_init(heap);
}

bool
heap_reserve(Heap *heap, uint32_t n)
{
	uint32_t size = heap->size > 0 ? heap->size : FIRST_SIZE;
	HeapNode **nodes;

	if (n < heap->size)
		return true;
	if (n > UINT32_MAX / 4)
		return false;
	while (size <= n)
		size *= 2;
	nodes = realloc(heap->nodes, size * sizeof(*nodes));
	if (nodes == NULL)
		return false;
	heap->nodes = nodes;
	heap->size = size;
	return true;
}

static inline void
place(Heap *heap, HeapNode *node, uint32_t at)
{
	heap->nodes[at] = node;
	node->at = at;
}

/* Put the node where it belongs, the place being free. */
static void
sift(Heap *heap, HeapNode *node, uint32_t at)
{
	while (at > 1 && heap->nodes[at / 2]->key > node->key)
	{
		place(heap, heap->nodes[at / 2], at);
		at /= 2;
	}
	for (;;)
	{
		uint32_t child = at * 2;

		if (child > heap->count)
			break;
		if (child < heap->count &&
			heap->nodes[child + 1]->key < heap->nodes[child]->key)
			child++;
		if (heap->nodes[child]->key >= node->key)
			break;
		place(heap, heap->nodes[child], at);
		at = child;
	}
	place(heap, node, at);
}

void
heap_remove(Heap *heap, HeapNode *node)
{
	uint32_t at = node->at;
	HeapNode *last;

	if (at == 0)
		return;
	node->at = 0;
	last = heap->nodes[heap->count--];
	if (last != node)
		sift(heap, last, at);
}

bool
heap_put(Heap *heap, HeapNode *node, double key)
{
	heap_remove(heap, node);
	if (!heap_reserve(heap, heap->count + 1))
		return false;
	node->key = key;
	heap->count++;
	sift(heap, node, heap->count);
	return true;
}
