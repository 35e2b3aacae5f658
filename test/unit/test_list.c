/*
 * Lists, and walks during which members come and go.
 */
#include "core/list.h"
#include "tap.h"

typedef struct Thing
{
	char name;
	ListNode node;
} Thing;

static List list;
static char text[64];

static Thing *
thing(char name)
{
	Thing *thing = calloc(1, sizeof(*thing));

	thing->name = name;
	list_append(&list, &thing->node);
	return thing;
}

static void
drop(Thing *thing)
{
	list_remove(&thing->node);
	free(thing);
}

static const char *
names(void)
{
	size_t n = 0;

	for LIST_EACH (node, &list)
		text[n++] = LIST_OWNER(Thing, node, node)->name;
	text[n] = '\0';
	return text;
}

static void
empty(void)
{
	ListNode *node;

	while ((node = list_pop(&list)) != NULL)
		free(LIST_OWNER(Thing, node, node));
	ok(list_is_empty(&list), "empty again");
}

static void
test_ends(void)
{
	Thing *a, *b, *c;

	ok(list_is_empty(&list) && list_pop(&list) == NULL, "nothing in it");
	a = thing('a');
	b = thing('b');
	c = thing('c');
	is_text(names(), "abc", "in order");
	list_remove(&b->node);
	list_remove(&b->node);
	ok(!list_has(&b->node) && list_has(&a->node), "removed, twice");
	list_prepend(&list, &b->node);
	is_text(names(), "bac", "put first");
	ok(list_first(&list) == &b->node, "the first");
	ok(list_after(&list, &c->node) == NULL, "after the last");
	empty();
}

static void
test_pop_until(void)
{
	ListNode mark;
	ListNode *node;
	char seen[16] = "";

	for (const char *p = "abcde"; *p != '\0'; p++)
		(void) thing(*p);
	list_mark(&list, &mark);
	while ((node = list_pop_until(&list, &mark)) != NULL)
	{
		Thing *at = LIST_OWNER(Thing, node, node);

		ok(!list_has(node), "taken out before it is seen");
		strncat(seen, &at->name, 1);
		if (at->name == 'b') /* its neighbours, and a new one */
		{
			drop(LIST_OWNER(Thing, node, list_first(&list)));
			(void) thing('x');
			is_text(names(), "dex", "the mark is in nobody's way");
		}
		free(at);
	}
	is_text(seen, "abde", "each once, neither who went nor who came");
	is_text(names(), "x", "who came is left");
	empty();
}

static void
test_turn_until(void)
{
	ListNode mark;
	ListNode *node;
	char seen[16] = "";

	for (const char *p = "abcd"; *p != '\0'; p++)
		(void) thing(*p);
	list_mark(&list, &mark);
	while ((node = list_turn_until(&list, &mark)) != NULL)
	{
		Thing *at = LIST_OWNER(Thing, node, node);

		strncat(seen, &at->name, 1);
		if (at->name == 'a')
			is_text(names(), "bcda", "still in it");
		if (at->name == 'b' || at->name == 'd')
			drop(at);
		else
			(void) thing('x');
	}
	is_text(seen, "abcd", "each once");
	is_text(names(), "axcx", "who stayed and who came");
	list_mark(&list, &mark);
	while ((node = list_turn_until(&list, &mark)) != NULL)
		drop(LIST_OWNER(Thing, node, node));
	ok(list_is_empty(&list), "all went");
	list_mark(&list, &mark);
	ok(list_is_empty(&list) && list_pop(&list) == NULL, "a mark alone is nothing");
	ok(list_pop_until(&list, &mark) == NULL && list_is_empty(&list), "a walk over nothing");
}

int
main(void)
{
	list_init(&list);
	test_ends();
	test_pop_until();
	test_turn_until();
	return done_testing();
}
