/*-------------------------------------------------------------------------
 *
 * pickle_class.c
 *	  Which classes and functions in pickles mean something to us.
 *
 *-------------------------------------------------------------------------
 */
#include "core/pickle_machine.h"

/*
 * Protocol 2 uses the names of Python 2.  Without a module: any, for
 * cloudpickle is often vendored.
 */
static const struct
{
	const char *module;
	const char *name;
	KnownClass class;
} known[] = {
	{"builtins", "bytes", CLASS_BYTES},
	{"__builtin__", "bytes", CLASS_BYTES},
	{"builtins", "bytearray", CLASS_BYTEARRAY},
	{"__builtin__", "bytearray", CLASS_BYTEARRAY},
	{"builtins", "set", CLASS_SET},
	{"__builtin__", "set", CLASS_SET},
	{"builtins", "frozenset", CLASS_SET},
	{"__builtin__", "frozenset", CLASS_SET},
	{"collections", "OrderedDict", CLASS_DICT},
	{"collections", "defaultdict", CLASS_DICT},
	{"_codecs", "encode", CLASS_ENCODE},
	{"datetime", "datetime", CLASS_DATETIME},
	{"datetime", "date", CLASS_DATE},
	{"datetime", "timezone", CLASS_TIMEZONE},
	{"datetime", "timedelta", CLASS_TIMEDELTA},
	{"decimal", "Decimal", CLASS_DECIMAL},
	{"uuid", "UUID", CLASS_UUID},
	{NULL, "_make_skeleton_class", CLASS_SKELETON},
};

bool
machine_is_text(const Machine *m, NodeId id, const char *text)
{
	const Node *node = machine_node(m, id);

	return node->kind == NODE_TEXT && node->n == strlen(text) &&
		memcmp(node->u.p, text, node->n) == 0;
}

KnownClass
machine_known_class(const Machine *m, NodeId module, NodeId name)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		if (machine_is_text(m, name, known[i].name) &&
			(known[i].module == NULL ||
			 machine_is_text(m, module, known[i].module)))
			return known[i].class;
	}
	return CLASS_OTHER;
}
