/*-------------------------------------------------------------------------
 *
 * list.h
 *	  Doubly linked lists of what is embedded in its owners, and the one way
 *	  to walk a list while callbacks run.
 *
 * A callback may free any member, the one that it is called for included, and
 * may append others; so neither the next member nor the last one can be kept
 * in a variable.  Instead a mark goes to the end of the list, and members are
 * taken from its beginning until the mark has come there:
 *
 *		ListNode mark;
 *
 *		list_mark(&list, &mark);
 *		while ((node = list_pop_until(&list, &mark)) != NULL)
 *			callback(LIST_OWNER(Thing, node, node));
 *
 * Each one that was in the list is seen once, if it is still there; what is
 * appended meanwhile waits for the next walk.  list_pop_until() takes members
 * out of the list before they are seen, list_turn_until() leaves them in it,
 * at its end.  A walk goes on to its end, and no other walk begins in it; all
 * else may be done to the list meanwhile: the mark is in nobody's way.
 *
 * Whoever frees a member removes it first.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_LIST_H
#define MODAL_CORE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "core/must.h"

/* All zero: in no list. */
typedef struct ListNode
{
	struct ListNode *prev, *next;
} ListNode;

typedef struct List
{
	ListNode ends;  /* a ring: the first is next, the last is prev */
	ListNode *mark; /* of a walk; NULL: none */
} List;

/* What a node is embedded in. */
#define LIST_OWNER(type, member, node)                                         \
	((type *) (void *) ((char *) (node) -offsetof(type, member)))

static inline void
list_init(List *list)
{
	list->ends.prev = list->ends.next = &list->ends;
	list->mark = NULL;
}

static inline bool
list_has(const ListNode *node)
{
	return node->next != NULL;
}

static inline void
list_insert_before(ListNode *next, ListNode *node)
{
	MUST(!list_has(node));
	node->next = next;
	node->prev = next->prev;
	next->prev->next = node;
	next->prev = node;
}

static inline void
list_append(List *list, ListNode *node)
{
	list_insert_before(&list->ends, node);
}

static inline void
list_prepend(List *list, ListNode *node)
{
	list_insert_before(list->ends.next, node);
}

/* If it is in a list. */
static inline void
list_remove(ListNode *node)
{
	if (!list_has(node))
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->prev = node->next = NULL;
}

/* The member after this one, or after the list's ends; NULL: there is none. */
static inline ListNode *
list_after(const List *list, const ListNode *node)
{
	ListNode *next = node->next;

	if (next == list->mark)
		next = next->next;
	/* The analyser does not see that what was freed was removed before. */
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	return next == &list->ends ? NULL : next;
}

static inline ListNode *
list_first(const List *list)
{
	return list_after(list, &list->ends);
}

static inline bool
list_is_empty(const List *list)
{
	return list_first(list) == NULL;
}

/* All members, where nothing is removed meanwhile. */
#define LIST_EACH(node, list)                                                  \
	(ListNode *node = list_first(list); (node) != NULL;                        \
	 (node) = list_after((list), (node)))

/* NULL: there is none. */
static inline ListNode *
list_pop(List *list)
{
	ListNode *node = list_first(list);

	if (node != NULL)
		list_remove(node);
	return node;
}

/* --- walking -------------------------------------------------------------- */

extern void list_mark(List *list, ListNode *mark);
/* NULL: the mark has come to the beginning, and is gone. */
extern ListNode *list_pop_until(List *list, ListNode *mark);
extern ListNode *list_turn_until(List *list, ListNode *mark);

#endif /* MODAL_CORE_LIST_H */
