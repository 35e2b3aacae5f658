/*-------------------------------------------------------------------------
 *
 * list.c
 *	  Walking lists while callbacks run; see list.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/list.h"

void
list_mark(List *list, ListNode *mark)
{
	MUST(list->mark == NULL);
	mark->prev = mark->next = NULL;
	list_append(list, mark);
	list->mark = mark;
}

ListNode *
list_pop_until(List *list, ListNode *mark)
{
	ListNode *node = list->ends.next;

	MUST(list->mark == mark);
	if (node == mark)
		list->mark = NULL;
	list_remove(node);
	return node == mark ? NULL : node;
}

ListNode *
list_turn_until(List *list, ListNode *mark)
{
	ListNode *node = list_pop_until(list, mark);

	if (node != NULL)
		list_append(list, node);
	return node;
}
