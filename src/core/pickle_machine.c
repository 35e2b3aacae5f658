/*-------------------------------------------------------------------------
 *
 * pickle_machine.c
 *	  Pickles to a graph of nodes.
 *
 * No table of the machine may have more than PICKLE_MAX_VALUES entries, and
 * nothing is recursive.  The graph may share nodes and have cycles.
 *
 *-------------------------------------------------------------------------
 */
#include "core/pickle_machine.h"

#include "core/cbor.h"
#include "core/pickle.h"
#include "core/pickle_opcodes.h"

#define MIN_PROTOCOL 2
#define MAX_PROTOCOL 5

static const char truncated[] = "unexpected end of pickle";
static const char malformed[] = "malformed pickle";
static const char too_large[] = "out of memory, or too many values in pickle";

static bool
fail(Machine *m, const char *error)
{
	m->error = error;
	return false;
}

/* --- nodes, stack, memo ------------------------------------------------------- */

static bool
append_id(Machine *m, Buf *to, uint32_t id)
{
	buf_put(to, &id, sizeof(id));
	return to->failed ? fail(m, too_large) : true;
}

static uint32_t
count_ids(const Buf *buf)
{
	return (uint32_t) (buf->len / sizeof(uint32_t));
}

static uint32_t *
ids(const Buf *buf)
{
	return (uint32_t *) buf->data;
}

static NodeId
add_node(Machine *m, NodeKind kind)
{
	Node *node = (Node *) buf_extend(&m->nodes, sizeof(Node));

	if (node == NULL)
	{
		m->error = too_large;
		return 0;
	}
	memset(node, 0, sizeof(*node));
	node->kind = (uint8_t) kind;
	return (NodeId) (m->nodes.len / sizeof(Node) - 1);
}

/* A new node on the stack, or NULL. */
static Node *
push_node(Machine *m, NodeKind kind)
{
	NodeId id = add_node(m, kind);

	if (id == 0 || !append_id(m, &m->stack, id))
		return NULL;
	return machine_node(m, id);
}

/* The stack's part above the last MARK begins here. */
static uint32_t
fence(const Machine *m)
{
	uint32_t marks = count_ids(&m->marks);

	return marks > 0 ? ids(&m->marks)[marks - 1] : 0;
}

/* The top of the stack, without taking it; 0 when there is none. */
static NodeId
top(Machine *m)
{
	uint32_t height = count_ids(&m->stack);

	if (height <= fence(m))
	{
		m->error = malformed;
		return 0;
	}
	return ids(&m->stack)[height - 1];
}

static NodeId
pop(Machine *m)
{
	NodeId id = top(m);

	if (id != 0)
		m->stack.len -= sizeof(NodeId);
	return id;
}

/*
 * Take the last MARK away; *from is where, on the stack, what followed it
 * begins.  The caller sets the stack's height.
 */
static bool
pop_mark(Machine *m, uint32_t *from)
{
	if (m->marks.len == 0)
		return fail(m, malformed);
	*from = fence(m);
	m->marks.len -= sizeof(uint32_t);
	return true;
}

static void
cut_stack(Machine *m, uint32_t height)
{
	m->stack.len = height * sizeof(NodeId);
}

/* Append to a container what is on the stack from there on, and cut it off. */
static bool
move_items(Machine *m, NodeId container, uint32_t from)
{
	uint32_t height = count_ids(&m->stack);

	for (uint32_t i = from; i < height; i++)
	{
		Cell *cell = (Cell *) buf_extend(&m->cells, sizeof(Cell));
		uint32_t at = (uint32_t) (m->cells.len / sizeof(Cell) - 1);
		Node *node = machine_node(m, container);

		if (cell == NULL)
			return fail(m, too_large);
		cell->node = ids(&m->stack)[i];
		cell->next = 0;
		if (node->u.items.last != 0)
			((Cell *) m->cells.data)[node->u.items.last].next = at;
		else
			node->u.items.first = at;
		node->u.items.last = at;
		node->n++;
	}
	cut_stack(m, from);
	return true;
}

/* A container of what is on the stack from there on, in its place. */
static bool
collect(Machine *m, NodeKind kind, uint32_t from)
{
	NodeId id = add_node(m, kind);

	if (kind == NODE_DICT && (count_ids(&m->stack) - from) % 2 != 0)
		return fail(m, malformed);
	return id != 0 && move_items(m, id, from) && append_id(m, &m->stack, id);
}

static bool
memo_put(Machine *m, uint64_t i)
{
	NodeId id = top(m);

	/* Each entry takes an opcode, so a higher number is nonsense. */
	if (id == 0 || i >= m->size)
		return fail(m, malformed);
	while (count_ids(&m->memo) <= i)
	{
		if (!append_id(m, &m->memo, 0))
			return false;
	}
	ids(&m->memo)[i] = id;
	return true;
}

static bool
memo_get(Machine *m, uint64_t i)
{
	if (i >= count_ids(&m->memo) || ids(&m->memo)[i] == 0)
		return fail(m, malformed);
	return append_id(m, &m->stack, ids(&m->memo)[i]);
}

/* --- reading arguments of opcodes ----------------------------------------------- */

static const uint8_t *
take(Machine *m, uint64_t n)
{
	const uint8_t *p = m->p;

	if (n > (uint64_t) (m->end - m->p))
	{
		m->error = truncated;
		return NULL;
	}
	m->p += n;
	return p;
}

/* An unsigned integer of that many bytes, lowest first. */
static bool
take_le(Machine *m, int size, uint64_t *v)
{
	const uint8_t *p = take(m, size);

	*v = 0;
	if (p == NULL)
		return false;
	for (int i = size; i-- > 0;)
		*v = *v << 8 | p[i];
	return true;
}

/* --- opcodes; arg is the size of a length, a count, or a kind of node ------------ */

static bool
op_proto(Machine *m, int arg)
{
	uint64_t version;

	if (!take_le(m, arg, &version))
		return false;
	if (version < MIN_PROTOCOL || version > MAX_PROTOCOL)
		return fail(m, "unsupported pickle protocol");
	return true;
}

static bool
op_frame(Machine *m, int arg)
{
	return take(m, arg) != NULL;
}

static bool
op_stop(Machine *m, int arg)
{
	(void) arg;
	m->stopped = true;
	return true;
}

static bool
op_none(Machine *m, int arg)
{
	(void) arg;
	return push_node(m, NODE_NONE) != NULL;
}

static bool
op_bool(Machine *m, int arg)
{
	Node *node = push_node(m, NODE_BOOL);

	if (node != NULL)
		node->u.i = arg;
	return node != NULL;
}

/* One or two bytes are unsigned, four are signed. */
static bool
op_int(Machine *m, int arg)
{
	uint64_t v;
	Node *node;

	if (!take_le(m, arg, &v) || (node = push_node(m, NODE_INT)) == NULL)
		return false;
	node->u.i = arg == 4 ? (int32_t) (uint32_t) v : (int64_t) v;
	return true;
}

static bool
op_long(Machine *m, int arg)
{
	uint64_t n;
	const uint8_t *p;
	Node *node;

	if (!take_le(m, arg, &n) || (p = take(m, n)) == NULL)
		return false;
	if (n > INT32_MAX)
		return fail(m, malformed);
	if ((node = push_node(m, n <= 8 ? NODE_INT : NODE_LONG)) == NULL)
		return false;
	if (n <= 8)
	{
		uint64_t v = n > 0 && p[n - 1] & 0x80 ? UINT64_MAX : 0;

		while (n-- > 0)
			v = v << 8 | p[n];
		node->u.i = (int64_t) v;
	}
	else
	{
		node->u.p = p;
		node->n = (uint32_t) n;
	}
	return true;
}

static bool
op_float(Machine *m, int arg)
{
	const uint8_t *p = take(m, arg);
	uint64_t bits = 0;
	Node *node;

	if (p == NULL || (node = push_node(m, NODE_FLOAT)) == NULL)
		return false;
	for (int i = 0; i < 8; i++)
		bits = bits << 8 | p[i];
	memcpy(&node->u.d, &bits, sizeof(bits));
	return true;
}

static bool
push_string(Machine *m, NodeKind kind, const uint8_t *p, uint64_t n)
{
	Node *node;

	if (n > UINT32_MAX)
		return fail(m, too_large);
	if (kind == NODE_TEXT && !utf8_valid(p, n))
		return fail(m, "invalid UTF-8 in pickled text");
	if ((node = push_node(m, kind)) == NULL)
		return false;
	node->u.p = p;
	node->n = (uint32_t) n;
	return true;
}

static bool
op_text(Machine *m, int arg)
{
	uint64_t n;
	const uint8_t *p;

	return take_le(m, arg, &n) && (p = take(m, n)) != NULL &&
		push_string(m, NODE_TEXT, p, n);
}

static bool
op_bytes(Machine *m, int arg)
{
	uint64_t n;
	const uint8_t *p;

	return take_le(m, arg, &n) && (p = take(m, n)) != NULL &&
		push_string(m, NODE_BYTES, p, n);
}

static bool
op_mark(Machine *m, int arg)
{
	(void) arg;
	return append_id(m, &m->marks, count_ids(&m->stack));
}

static bool
op_pop(Machine *m, int arg)
{
	/* A MARK that nothing follows is what it takes then. */
	(void) arg;
	if (m->marks.len > 0 && fence(m) == count_ids(&m->stack))
	{
		m->marks.len -= sizeof(uint32_t);
		return true;
	}
	return pop(m) != 0;
}

static bool
op_pop_mark(Machine *m, int arg)
{
	uint32_t from;

	(void) arg;
	if (!pop_mark(m, &from))
		return false;
	cut_stack(m, from);
	return true;
}

static bool
op_dup(Machine *m, int arg)
{
	NodeId id = top(m);

	(void) arg;
	return id != 0 && append_id(m, &m->stack, id);
}

/* A new container of nothing: arg is its kind. */
static bool
op_empty(Machine *m, int arg)
{
	return push_node(m, (NodeKind) arg) != NULL;
}

/* A new container of all since the MARK: arg is its kind. */
static bool
op_collect(Machine *m, int arg)
{
	uint32_t from;

	return pop_mark(m, &from) && collect(m, (NodeKind) arg, from);
}

/* A tuple of the arg items on top. */
static bool
op_tuple(Machine *m, int arg)
{
	uint32_t height = count_ids(&m->stack);

	if (height - fence(m) < (uint32_t) arg)
		return fail(m, malformed);
	return collect(m, NODE_TUPLE, height - (uint32_t) arg);
}

/* Add to the container below what is on the stack from there on. */
static bool
add_items(Machine *m, NodeKind kind, uint32_t from)
{
	NodeId id;
	uint32_t height = count_ids(&m->stack);

	if (from <= fence(m))
		return fail(m, malformed);
	id = ids(&m->stack)[from - 1];
	/* What a class of its own does with items is unknown, and not needed. */
	if (machine_node(m, id)->kind == NODE_OBJECT)
	{
		cut_stack(m, from);
		return true;
	}
	if (machine_node(m, id)->kind != kind ||
		(kind == NODE_DICT && (height - from) % 2 != 0))
		return fail(m, malformed);
	return move_items(m, id, from);
}

/* Add one item (or a pair) to the container of kind arg. */
static bool
op_add(Machine *m, int arg)
{
	uint32_t count = arg == NODE_DICT ? 2 : 1;
	uint32_t height = count_ids(&m->stack);

	if (height - fence(m) < count)
		return fail(m, malformed);
	return add_items(m, (NodeKind) arg, height - count);
}

/* Add all since the MARK to the container of kind arg. */
static bool
op_add_all(Machine *m, int arg)
{
	uint32_t from;

	return pop_mark(m, &from) && add_items(m, (NodeKind) arg, from);
}

static bool
op_memoize(Machine *m, int arg)
{
	(void) arg;
	return memo_put(m, count_ids(&m->memo));
}

static bool
op_put(Machine *m, int arg)
{
	uint64_t i;

	return take_le(m, arg, &i) && memo_put(m, i);
}

static bool
op_get(Machine *m, int arg)
{
	uint64_t i;

	return take_le(m, arg, &i) && memo_get(m, i);
}

/* --- opcodes of classes and objects ----------------------------------------------- */

NodeId
machine_item(const Machine *m, const Node *container, uint32_t i)
{
	uint32_t cell = container->u.items.first;

	while (cell != 0 && i-- > 0)
		cell = machine_cell(m, cell)->next;
	return cell != 0 ? machine_cell(m, cell)->node : 0;
}

/* A class or function by the names of it and of its module. */
static bool
push_global(Machine *m, NodeId module, NodeId name)
{
	Node *node = push_node(m, NODE_GLOBAL);

	if (node == NULL)
		return false;
	node->u.pair.a = module;
	node->u.pair.b = name;
	node->n = machine_known_class(m, module, name);
	return true;
}

/* Module and name, each up to the end of a line. */
static bool
op_global(Machine *m, int arg)
{
	NodeId names[2];

	(void) arg;
	for (int i = 0; i < 2; i++)
	{
		const uint8_t *p = m->p;
		const uint8_t *line_end = memchr(p, '\n', m->end - p);

		if (line_end == NULL)
			return fail(m, truncated);
		m->p = line_end + 1;
		if (!push_string(m, NODE_TEXT, p, line_end - p))
			return false;
		names[i] = pop(m);
	}
	return push_global(m, names[0], names[1]);
}

static bool
op_stack_global(Machine *m, int arg)
{
	NodeId name = pop(m);
	NodeId module = name != 0 ? pop(m) : 0;

	(void) arg;
	if (module == 0 || machine_node(m, name)->kind != NODE_TEXT ||
		machine_node(m, module)->kind != NODE_TEXT)
		return fail(m, malformed);
	return push_global(m, module, name);
}

/* bytes() and bytearray(), of nothing, bytes, or text in Latin-1. */
static bool
push_made_bytes(Machine *m, NodeId args)
{
	const Node *tuple = machine_node(m, args);
	NodeId content = machine_item(m, tuple, 0);
	NodeId encoding = machine_item(m, tuple, 1);
	const Node *node;

	if (content == 0)
		return push_string(m, NODE_BYTES, (const uint8_t *) "", 0);
	node = machine_node(m, content);
	if (encoding == 0 && (node->kind == NODE_BYTES || node->kind == NODE_LATIN1))
		return append_id(m, &m->stack, content);
	if (node->kind == NODE_TEXT && encoding != 0 &&
		(machine_is_text(m, encoding, "latin1") ||
		 machine_is_text(m, encoding, "latin-1")))
		return push_string(m, NODE_LATIN1, node->u.p, node->n);
	return fail(m, malformed);
}

/* set() and frozenset(), of nothing or of the items of a container. */
static bool
push_made_set(Machine *m, NodeId args)
{
	NodeId content = machine_item(m, machine_node(m, args), 0);
	const Node *node = machine_node(m, content);
	uint32_t from = count_ids(&m->stack);
	uint32_t cell = 0;

	if (content != 0)
	{
		if (node->kind != NODE_LIST && node->kind != NODE_TUPLE &&
			node->kind != NODE_SET)
			return fail(m, malformed);
		cell = node->u.items.first;
	}
	for (; cell != 0; cell = machine_cell(m, cell)->next)
	{
		if (!append_id(m, &m->stack, machine_cell(m, cell)->node))
			return false;
	}
	return collect(m, NODE_SET, from);
}

/*
 * Call callable with the tuple args.  Containers and bytes become what they
 * are; everything else is kept as an object.
 */
static bool
push_call(Machine *m, NodeId callable, NodeId args)
{
	const Node *called = machine_node(m, callable);
	Node *node;

	if (machine_node(m, args)->kind != NODE_TUPLE)
		return fail(m, malformed);
	if (called->kind == NODE_GLOBAL)
	{
		switch ((KnownClass) called->n)
		{
			case CLASS_BYTES:
			case CLASS_BYTEARRAY:
			case CLASS_ENCODE:
				return push_made_bytes(m, args);
			case CLASS_SET:
				return push_made_set(m, args);
			case CLASS_DICT:
				return push_node(m, NODE_DICT) != NULL;
			default:
				break;
		}
	}
	if ((node = push_node(m, NODE_OBJECT)) == NULL)
		return false;
	node->n = callable;
	node->u.pair.a = args;
	return true;
}

/* REDUCE, NEWOBJ; with arg 1 NEWOBJ_EX, whose keyword arguments are dropped. */
static bool
op_call(Machine *m, int arg)
{
	NodeId args = arg == 1 && pop(m) == 0 ? 0 : pop(m);
	NodeId callable = args != 0 ? pop(m) : 0;

	return callable != 0 && push_call(m, callable, args);
}

/* Set the state of the object below; that of a container is not needed. */
static bool
op_build(Machine *m, int arg)
{
	NodeId state = pop(m);
	NodeId object = state != 0 ? top(m) : 0;

	(void) arg;
	if (object == 0)
		return false;
	if (machine_node(m, object)->kind == NODE_OBJECT)
		machine_node(m, object)->u.pair.b = state;
	return true;
}

static bool
op_persistent(Machine *m, int arg)
{
	(void) arg;
	return fail(m, "reference to a Modal object in pickle");
}

/* --- the machine -------------------------------------------------------------------- */

static const struct
{
	bool (*run)(Machine *m, int arg);
	int arg;
} opcodes[256] = {
	[OP_PROTO] = {op_proto, 1},
	[OP_FRAME] = {op_frame, 8},
	[OP_STOP] = {op_stop, 0},
	[OP_NONE] = {op_none, 0},
	[OP_NEWTRUE] = {op_bool, 1},
	[OP_NEWFALSE] = {op_bool, 0},
	[OP_BININT1] = {op_int, 1},
	[OP_BININT2] = {op_int, 2},
	[OP_BININT] = {op_int, 4},
	[OP_LONG1] = {op_long, 1},
	[OP_LONG4] = {op_long, 4},
	[OP_BINFLOAT] = {op_float, 8},
	[OP_SHORT_BINUNICODE] = {op_text, 1},
	[OP_BINUNICODE] = {op_text, 4},
	[OP_BINUNICODE8] = {op_text, 8},
	[OP_SHORT_BINBYTES] = {op_bytes, 1},
	[OP_BINBYTES] = {op_bytes, 4},
	[OP_BINBYTES8] = {op_bytes, 8},
	[OP_BYTEARRAY8] = {op_bytes, 8},
	[OP_MARK] = {op_mark, 0},
	[OP_POP] = {op_pop, 0},
	[OP_POP_MARK] = {op_pop_mark, 0},
	[OP_DUP] = {op_dup, 0},
	[OP_EMPTY_TUPLE] = {op_empty, NODE_TUPLE},
	[OP_EMPTY_LIST] = {op_empty, NODE_LIST},
	[OP_EMPTY_DICT] = {op_empty, NODE_DICT},
	[OP_EMPTY_SET] = {op_empty, NODE_SET},
	[OP_TUPLE1] = {op_tuple, 1},
	[OP_TUPLE2] = {op_tuple, 2},
	[OP_TUPLE3] = {op_tuple, 3},
	[OP_TUPLE] = {op_collect, NODE_TUPLE},
	[OP_LIST] = {op_collect, NODE_LIST},
	[OP_DICT] = {op_collect, NODE_DICT},
	[OP_FROZENSET] = {op_collect, NODE_SET},
	[OP_APPEND] = {op_add, NODE_LIST},
	[OP_SETITEM] = {op_add, NODE_DICT},
	[OP_APPENDS] = {op_add_all, NODE_LIST},
	[OP_SETITEMS] = {op_add_all, NODE_DICT},
	[OP_ADDITEMS] = {op_add_all, NODE_SET},
	[OP_MEMOIZE] = {op_memoize, 0},
	[OP_BINPUT] = {op_put, 1},
	[OP_LONG_BINPUT] = {op_put, 4},
	[OP_BINGET] = {op_get, 1},
	[OP_LONG_BINGET] = {op_get, 4},
	[OP_GLOBAL] = {op_global, 0},
	[OP_STACK_GLOBAL] = {op_stack_global, 0},
	[OP_REDUCE] = {op_call, 0},
	[OP_NEWOBJ] = {op_call, 0},
	[OP_NEWOBJ_EX] = {op_call, 1},
	[OP_BUILD] = {op_build, 0},
	[OP_BINPERSID] = {op_persistent, 0},
};

NodeId
machine_run(Machine *m, const void *p, size_t n, BufRealloc grow)
{
	memset(m, 0, sizeof(*m));
	m->p = p;
	m->end = m->p + n;
	m->size = n;
	buf_init(&m->nodes, PICKLE_MAX_VALUES * sizeof(Node), grow);
	buf_init(&m->cells, PICKLE_MAX_VALUES * sizeof(Cell), grow);
	buf_init(&m->stack, PICKLE_MAX_VALUES * sizeof(NodeId), grow);
	buf_init(&m->marks, PICKLE_MAX_VALUES * sizeof(uint32_t), grow);
	buf_init(&m->memo, PICKLE_MAX_VALUES * sizeof(NodeId), grow);

	/* Number 0 of both means "none". */
	add_node(m, NODE_UNUSED);
	buf_put(&m->cells, &(Cell){0}, sizeof(Cell));
	if (m->nodes.failed || m->cells.failed)
	{
		m->error = too_large;
		return 0;
	}
	m->error = NULL;

	while (!m->stopped)
	{
		const uint8_t *op = take(m, 1);

		if (op == NULL)
			return 0;
		if (opcodes[*op].run == NULL)
		{
			m->error = "unsupported opcode in pickle";
			return 0;
		}
		if (!opcodes[*op].run(m, opcodes[*op].arg))
			return 0;
	}
	return pop(m);
}

void
machine_free(Machine *m)
{
	buf_free(&m->nodes);
	buf_free(&m->cells);
	buf_free(&m->stack);
	buf_free(&m->marks);
	buf_free(&m->memo);
}
