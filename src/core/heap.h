/*-------------------------------------------------------------------------
 *
 * heap.h
 *	  Which of many comes first: a binary heap by a number, of what is embedded
 *	  in its owners.  Memory is the C library's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_HEAP_H
#define MODAL_CORE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct HeapNode
{
	double key;	 /* the lowest is first */
	uint32_t at; /* 0: in no heap */
} HeapNode;

/* What a node is embedded in. */
#define HEAP_OWNER(type, member, node)                                         \
	((type *) (void *) ((char *) (node) - offsetof(type, member)))

typedef struct Heap
{
	HeapNode **nodes; /* from 1 */
	uint32_t count;
	uint32_t size;
} Heap;

extern void heap_init(Heap *heap);
extern void heap_free(Heap *heap); /* not the nodes; it is empty then */
/* Room for n nodes in all; false: no memory. */
extern bool heap_reserve(Heap *heap, uint32_t n);
/*
 * Put it in, or move it.  False: no memory, which cannot be when there was
 * room.
 */
extern bool heap_put(Heap *heap, HeapNode *node, double key);
extern void heap_remove(Heap *heap, HeapNode *node); /* if it is in */

static inline HeapNode *
heap_first(const Heap *heap)
{
	return heap->count > 0 ? heap->nodes[1] : NULL;
}

#endif /* MODAL_CORE_HEAP_H */
