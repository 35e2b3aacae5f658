/*-------------------------------------------------------------------------
 *
 * pool_list.h
 *	  Lists of inputs, in the order in which a pool got them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_POOL_LIST_H
#define MODAL_LOCAL_POOL_LIST_H

#include "host/host_pool.h"

typedef struct PoolList
{
	PoolInput *first;
	PoolInput *last;
	int n;
} PoolList;

static inline void
push_back(PoolList *list, PoolInput *input)
{
	input->next = NULL;
	input->prev = list->last;
	if (list->last != NULL)
		list->last->next = input;
	else
		list->first = input;
	list->last = input;
	list->n++;
}

static inline void
push_front(PoolList *list, PoolInput *input)
{
	input->prev = NULL;
	input->next = list->first;
	if (list->first != NULL)
		list->first->prev = input;
	else
		list->last = input;
	list->first = input;
	list->n++;
}

static inline void
take_out(PoolList *list, PoolInput *input)
{
	if (input->prev != NULL)
		input->prev->next = input->next;
	else
		list->first = input->next;
	if (input->next != NULL)
		input->next->prev = input->prev;
	else
		list->last = input->prev;
	list->n--;
}

#endif /* MODAL_LOCAL_POOL_LIST_H */
