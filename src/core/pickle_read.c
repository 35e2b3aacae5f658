/*-------------------------------------------------------------------------
 *
 * pickle_read.c
 *	  Values and exceptions out of pickles.
 *
 * What pickle_machine.c made of a pickle is written as CBOR if it is plain
 * data, or one of the few classes that CBOR has tags for.  Shared nodes are
 * written as often as they occur, within pickle_work; cycles are refused.
 *
 *-------------------------------------------------------------------------
 */
#include "core/pickle.h"

#include <inttypes.h>
#include <math.h>

#include "core/bignum.h"
#include "core/cbor.h"
#include "core/datetime.h"
#include "core/pickle_machine.h"

#define MAX_SHOWN_NAME 200	 /* bytes of a class's name in an error */
#define MAX_SHOWN_TEXT 10000 /* bytes of one argument of an exception; what
							  * comes after so many in all is left out */

/* An open container. */
typedef struct Level
{
	NodeId node;
	uint32_t cell; /* the next item */
} Level;

typedef struct Emitter
{
	Machine *m;
	Buf *out;
	size_t start; /* out's length before */
	uint64_t limit; /* pickle_work */
	uint64_t work;	/* made so far, besides what is in out */
	Buf levels;	  /* of Level */
	const char *error;
} Emitter;

static bool
fail(Emitter *e, const char *error)
{
	e->error = error;
	return false;
}

/* Before, or soon after, it is made. */
static bool
make_work(Emitter *e, uint64_t work)
{
	e->work += work;
	if (e->out->failed || e->out->len - e->start + e->work > e->limit)
		return fail(e, "out of memory, or too large a value in pickle");
	return true;
}

static const Node *
node_of(const Emitter *e, NodeId id)
{
	return machine_node(e->m, id);
}

/* --- bytes and integers --------------------------------------------------------- */

/*
 * The next byte of text in which each character is one byte, that is
 * U+0000 to U+00FF; -1 for any other character.
 */
static int
next_latin1(const uint8_t **p)
{
	int c = *(*p)++;

	if (c < 0x80)
		return c;
	if (c > 0xc3)
		return -1;
	return (c & 3) << 6 | (*(*p)++ & 0x3f);
}

/* Append the bytes of a NODE_BYTES or NODE_LATIN1; false when it is neither. */
static bool
append_bytes(Buf *to, const Node *node)
{
	const uint8_t *p = node->u.p;

	if (node->kind == NODE_BYTES)
	{
		buf_put(to, p, node->n);
		return true;
	}
	if (node->kind != NODE_LATIN1)
		return false;
	for (const uint8_t *end = p + node->n; p < end;)
	{
		int c = next_latin1(&p);

		if (c < 0)
			return false;
		buf_put_u8(to, (uint8_t) c);
	}
	return true;
}

static bool
emit_bytes(Emitter *e, const Node *node)
{
	Buf bytes;
	bool good;

	buf_init(&bytes, 0, e->out->grow);
	good = append_bytes(&bytes, node);
	if (bytes.failed)
		e->out->failed = true;
	if (good)
		cbor_put_bytes(e->out, bytes.data, bytes.len);
	buf_free(&bytes);
	return good ? true : fail(e, "malformed bytes in pickle");
}

static void
emit_long(Emitter *e, const Node *node)
{
	bool negative = (node->u.p[node->n - 1] & 0x80) != 0;
	Buf bytes;
	uint8_t *p;

	buf_init(&bytes, 0, e->out->grow);
	p = buf_extend(&bytes, node->n);
	if (p == NULL)
		e->out->failed = true;
	else
	{
		/* -1 - v is v with all bits flipped. */
		for (uint32_t i = 0; i < node->n; i++)
			p[i] = node->u.p[node->n - 1 - i] ^ (negative ? 0xff : 0);
		cbor_put_big(e->out, negative, p, node->n);
	}
	buf_free(&bytes);
}

/* --- objects of known classes ------------------------------------------------------ */

/* What an object was made by calling, if that is a known class. */
static KnownClass
class_of(const Machine *m, const Node *object)
{
	const Node *called;

	if (object->kind != NODE_OBJECT)
		return CLASS_OTHER;
	called = machine_node(m, object->n);
	return called->kind == NODE_GLOBAL ? (KnownClass) called->n : CLASS_OTHER;
}

/* Argument i with which an object was made, or 0. */
static NodeId
argument(const Machine *m, const Node *object, uint32_t i)
{
	return machine_item(m, machine_node(m, object->u.pair.a), i);
}

/* The n bytes that a datetime or date keeps its fields in. */
static bool
get_state(const Emitter *e, const Node *object, uint8_t *state, size_t n)
{
	NodeId arg = argument(e->m, object, 0);
	Buf bytes;
	bool good;

	if (arg == 0)
		return false;
	buf_init(&bytes, 0, e->out->grow);
	good = append_bytes(&bytes, node_of(e, arg)) && bytes.len == n &&
		!bytes.failed;
	if (good)
		memcpy(state, bytes.data, n);
	buf_free(&bytes);
	return good;
}

/* The microseconds of a timezone's timedelta(days, seconds, microseconds). */
static bool
get_utc_offset(const Emitter *e, NodeId timezone, int64_t *micros)
{
	static const int64_t units[] = {INT64_C(86400000000), 1000000, 1};
	const int64_t day = units[0];
	NodeId delta;

	if (class_of(e->m, node_of(e, timezone)) != CLASS_TIMEZONE)
		return false;
	delta = argument(e->m, node_of(e, timezone), 0);
	if (delta == 0 || class_of(e->m, node_of(e, delta)) != CLASS_TIMEDELTA)
		return false;
	*micros = 0;
	for (int i = 0; i < 3; i++)
	{
		NodeId part = argument(e->m, node_of(e, delta), i);

		if (part == 0)
			break;
		/* No part is more than a day's worth. */
		if (node_of(e, part)->kind != NODE_INT ||
			node_of(e, part)->u.i < -day / units[i] ||
			node_of(e, part)->u.i > day / units[i])
			return false;
		*micros += node_of(e, part)->u.i * units[i];
	}
	return *micros > -day && *micros < day;
}

/*
 * An aware datetime has tag 0; one without a time zone, for which CBOR has no
 * tag, becomes text.
 */
static bool
emit_datetime(Emitter *e, const Node *object)
{
	static const char bad[] = "malformed datetime in pickle";
	NodeId timezone = argument(e->m, object, 1);
	int64_t offset = 0;
	uint8_t s[10];
	DateTime t = {0};
	Buf text;

	if (!get_state(e, object, s, sizeof(s)))
		return fail(e, bad);
	t.year = s[0] << 8 | s[1];
	t.month = s[2] & 0x7f; /* its highest bit is the "fold" */
	t.day = s[3];
	t.hour = s[4];
	t.minute = s[5];
	t.second = s[6];
	t.micros = s[7] << 16 | s[8] << 8 | s[9];
	if (!datetime_valid(&t))
		return fail(e, bad);

	if (timezone != 0)
	{
		const int64_t minute = 60000000;

		if (!get_utc_offset(e, timezone, &offset))
			return fail(e, "datetime with an unsupported time zone in pickle");
		t.aware = true;
		if (offset % minute == 0)
			t.utc_offset = (int) (offset / minute);
		else if (!datetime_from_epoch(datetime_to_epoch(&t) - offset, &t))
			return fail(e, bad);
	}

	buf_init(&text, 0, e->out->grow);
	datetime_put(&text, &t);
	if (text.failed)
		e->out->failed = true;
	if (t.aware)
		cbor_put_tag(e->out, CBOR_TAG_DATETIME_TEXT);
	cbor_put_text(e->out, (const char *) text.data, text.len);
	buf_free(&text);
	return true;
}

static bool
emit_date(Emitter *e, const Node *object)
{
	uint8_t s[4];
	DateTime t = {0};
	Buf text;

	if (!get_state(e, object, s, sizeof(s)))
		return fail(e, "malformed date in pickle");
	t.year = s[0] << 8 | s[1];
	t.month = s[2];
	t.day = s[3];
	if (!datetime_valid(&t))
		return fail(e, "malformed date in pickle");

	buf_init(&text, 0, e->out->grow);
	date_put(&text, &t);
	if (text.failed)
		e->out->failed = true;
	cbor_put_tag(e->out, CBOR_TAG_DATE_TEXT);
	cbor_put_text(e->out, (const char *) text.data, text.len);
	buf_free(&text);
	return true;
}

/* A decimal number's text, taken apart. */
typedef struct DecimalText
{
	bool negative;
	Buf digits;		  /* without the point */
	int64_t exponent; /* of the last digit */
} DecimalText;

/* "[-]digits[.digits][E[+-]digits]" */
static bool
parse_decimal(const char *p, const char *end, DecimalText *d)
{
	bool point = false;
	bool negative = false;
	int64_t exponent = 0;

	d->exponent = 0;
	d->negative = p < end && *p == '-';
	if (p < end && (*p == '-' || *p == '+'))
		p++;
	for (; p < end && *p != 'E' && *p != 'e'; p++)
	{
		if (*p == '.' && !point)
			point = true;
		else if (*p >= '0' && *p <= '9')
		{
			buf_put_u8(&d->digits, (uint8_t) *p);
			d->exponent -= point;
		}
		else
			return false;
	}
	if (p < end)
	{
		const char *first;

		p++;
		negative = p < end && *p == '-';
		if (p < end && (*p == '-' || *p == '+'))
			p++;
		for (first = p; p < end && *p >= '0' && *p <= '9'; p++)
		{
			if (exponent > INT32_MAX)
				return false;
			exponent = exponent * 10 + (*p - '0');
		}
		if (p == first)
			return false;
	}
	d->exponent += negative ? -exponent : exponent;
	return p == end && d->digits.len > 0 && !d->digits.failed;
}

static bool
put_decimal(Emitter *e, const DecimalText *d)
{
	cbor_put_tag(e->out, CBOR_TAG_DECIMAL);
	cbor_put_array(e->out, 2);
	cbor_put_int(e->out, d->exponent);
	if (!make_work(e, (uint64_t) d->digits.len * d->digits.len /
						  PICKLE_READ_DIGITS))
		return false;
	return bignum_put_digits(e->out, d->negative,
							 (const char *) d->digits.data, d->digits.len);
}

static bool
emit_decimal(Emitter *e, const Node *object)
{
	NodeId arg = argument(e->m, object, 0);
	const char *p;
	size_t n;
	DecimalText decimal;
	bool good;

	if (arg == 0 || node_of(e, arg)->kind != NODE_TEXT)
		return fail(e, "malformed Decimal in pickle");
	p = (const char *) node_of(e, arg)->u.p;
	n = node_of(e, arg)->n;
	if (!make_work(e, n))
		return false;

	if (machine_is_text(e->m, arg, "Infinity"))
		cbor_put_double(e->out, INFINITY);
	else if (machine_is_text(e->m, arg, "-Infinity"))
		cbor_put_double(e->out, -INFINITY);
	else if (machine_is_text(e->m, arg, "NaN"))
		cbor_put_double(e->out, NAN);
	else
	{
		buf_init(&decimal.digits, 0, e->out->grow);
		good = parse_decimal(p, p + n, &decimal) && put_decimal(e, &decimal);
		buf_free(&decimal.digits);
		if (!good)
			return fail(e, "malformed or too large Decimal in pickle");
	}
	return true;
}

static bool
put_uuid(Emitter *e, const uint8_t bytes[16])
{
	cbor_put_tag(e->out, CBOR_TAG_UUID);
	cbor_put_bytes(e->out, bytes, 16);
	return true;
}

/* UUID("digits"), as we write it ourselves; with hyphens or without. */
static bool
emit_uuid_of_text(Emitter *e, const Node *text)
{
	uint8_t bytes[16] = {0};
	size_t digits = 0;

	if (!make_work(e, text->n))
		return false;
	for (uint32_t i = 0; i < text->n; i++)
	{
		char c = (char) text->u.p[i];
		char lower = (char) (c | 0x20);
		int value = c >= '0' && c <= '9'		   ? c - '0'
			: lower >= 'a' && lower <= 'f' ? lower - 'a' + 10
										   : -1;

		if (c == '-')
			continue;
		if (value < 0 || digits == 32)
			return fail(e, "malformed UUID in pickle");
		bytes[digits / 2] |= (uint8_t) (value << (digits % 2 == 0 ? 4 : 0));
		digits++;
	}
	return digits == 32 ? put_uuid(e, bytes)
						: fail(e, "malformed UUID in pickle");
}

/* Python writes no argument, and the state {"int": n}. */
static bool
emit_uuid(Emitter *e, const Node *object)
{
	const Node *state = node_of(e, object->u.pair.b);
	NodeId arg = argument(e->m, object, 0);
	uint8_t bytes[16] = {0};
	const Node *value = NULL;

	if (arg != 0 && node_of(e, arg)->kind == NODE_TEXT)
		return emit_uuid_of_text(e, node_of(e, arg));

	if (state->kind == NODE_DICT)
	{
		if (!make_work(e, (uint64_t) state->n * PICKLE_VALUE_WORK))
			return false;
		for (uint32_t cell = state->u.items.first; cell != 0;)
		{
			const Cell *key = machine_cell(e->m, cell);

			if (machine_is_text(e->m, key->node, "int"))
				value = node_of(e, machine_cell(e->m, key->next)->node);
			cell = machine_cell(e->m, key->next)->next;
		}
	}
	if (value == NULL)
		return fail(e, "malformed UUID in pickle");

	if (value->kind == NODE_INT && value->u.i >= 0)
	{
		for (int i = 0; i < 8; i++)
			bytes[15 - i] = (uint8_t) (value->u.i >> (8 * i));
	}
	else if (value->kind == NODE_LONG &&
			 (value->n <= 16 || (value->n == 17 && value->u.p[16] == 0)) &&
			 (value->u.p[value->n - 1] & 0x80) == 0)
	{
		for (uint32_t i = 0; i < value->n && i < 16; i++)
			bytes[15 - i] = value->u.p[i];
	}
	else
		return fail(e, "malformed UUID in pickle");

	return put_uuid(e, bytes);
}

/* --- classes by name ------------------------------------------------------------------ */

static void
put_cut(Buf *out, const Node *text, size_t max)
{
	size_t n = text->n;

	if (n > max)
	{
		n = max;
		while (n > 0 && (text->u.p[n] & 0xc0) == 0x80)
			n--;
	}
	buf_put(out, text->u.p, n);
}

/* "module.name", or "name" of what is built in; false when it has no name. */
static bool
put_class_name(Buf *out, const Machine *m, NodeId class)
{
	const Node *node = machine_node(m, class);

	if (node->kind == NODE_GLOBAL)
	{
		if (!machine_is_text(m, node->u.pair.a, "builtins") &&
			!machine_is_text(m, node->u.pair.a, "__builtin__") &&
			!machine_is_text(m, node->u.pair.a, "exceptions"))
		{
			put_cut(out, machine_node(m, node->u.pair.a), MAX_SHOWN_NAME);
			buf_put_u8(out, '.');
		}
		put_cut(out, machine_node(m, node->u.pair.b), MAX_SHOWN_NAME);
		return true;
	}
	if (class_of(m, node) == CLASS_SKELETON)
	{
		/* _make_skeleton_class(metaclass, name, …) */
		NodeId name = argument(m, node, 1);

		if (name != 0 && machine_node(m, name)->kind == NODE_TEXT)
		{
			put_cut(out, machine_node(m, name), MAX_SHOWN_NAME);
			return true;
		}
	}
	return false;
}

/* The error that a class has no equivalent; the text takes the value's place. */
static bool
fail_class(Emitter *e, NodeId class)
{
	e->out->len = e->start;
	buf_put_cstr(e->out, "object of class ");
	if (!put_class_name(e->out, e->m, class))
		buf_put_cstr(e->out, "without a name");
	buf_put_cstr(e->out, " in pickle");
	buf_put_u8(e->out, '\0');
	return fail(e, e->out->failed ? "out of memory" :
									(const char *) e->out->data + e->start);
}

/* --- values ---------------------------------------------------------------------------- */

static bool
emit_object(Emitter *e, const Node *object)
{
	switch (class_of(e->m, object))
	{
		case CLASS_DATETIME:
			return emit_datetime(e, object);
		case CLASS_DATE:
			return emit_date(e, object);
		case CLASS_DECIMAL:
			return emit_decimal(e, object);
		case CLASS_UUID:
			return emit_uuid(e, object);
		default:
			return fail_class(e, object->n);
	}
}

/* The head of a container, whose items are to follow. */
static bool
open_container(Emitter *e, NodeId id)
{
	Node *node = machine_node(e->m, id);
	Level level = {.node = id, .cell = node->u.items.first};

	if (node->open)
		return fail(e, "a container in pickle contains itself");
	if (e->levels.len / sizeof(Level) >= PICKLE_MAX_DEPTH)
		return fail(e, "values in pickle are nested too deeply");
	node->open = true;
	buf_put(&e->levels, &level, sizeof(level));
	if (e->levels.failed)
		return fail(e, "out of memory");

	if (node->kind == NODE_SET)
		cbor_put_tag(e->out, CBOR_TAG_SET);
	if (node->kind == NODE_DICT)
		cbor_put_map(e->out, node->n / 2);
	else
		cbor_put_array(e->out, node->n);
	return true;
}

/* One value, or the head of a container. */
static bool
emit_node(Emitter *e, NodeId id)
{
	const Node *node = node_of(e, id);

	switch ((NodeKind) node->kind)
	{
		case NODE_NONE:
			cbor_put_null(e->out);
			return true;
		case NODE_BOOL:
			cbor_put_bool(e->out, node->u.i != 0);
			return true;
		case NODE_INT:
			cbor_put_int(e->out, node->u.i);
			return true;
		case NODE_LONG:
			emit_long(e, node);
			return true;
		case NODE_FLOAT:
			cbor_put_double(e->out, node->u.d);
			return true;
		case NODE_TEXT:
			cbor_put_text(e->out, (const char *) node->u.p, node->n);
			return true;
		case NODE_BYTES:
			cbor_put_bytes(e->out, node->u.p, node->n);
			return true;
		case NODE_LATIN1:
			return emit_bytes(e, node);
		case NODE_TUPLE:
		case NODE_LIST:
		case NODE_DICT:
		case NODE_SET:
			return open_container(e, id);
		case NODE_GLOBAL:
			return fail_class(e, id);
		case NODE_OBJECT:
			return emit_object(e, node);
		case NODE_UNUSED:
			break;
	}
	return fail(e, "malformed pickle");
}

static bool
emit_all(Emitter *e, NodeId root)
{
	if (!emit_node(e, root))
		return false;
	while (e->levels.len > 0)
	{
		Level *level = (Level *) (e->levels.data + e->levels.len) - 1;

		if (level->cell == 0)
		{
			machine_node(e->m, level->node)->open = false;
			e->levels.len -= sizeof(Level);
		}
		else
		{
			const Cell *cell = machine_cell(e->m, level->cell);

			level->cell = cell->next;
			if (!emit_node(e, cell->node) || !make_work(e, PICKLE_VALUE_WORK))
				return false;
		}
	}
	return e->out->failed ? fail(e, "out of memory") : true;
}

const char *
pickle_to_cbor(Buf *out, const void *p, size_t n)
{
	Machine m;
	Emitter e = {
		.m = &m, .out = out, .start = out->len, .limit = pickle_work(n)};
	NodeId root;

	buf_init(&e.levels, 0, out->grow);
	root = machine_run(&m, p, n, out->grow);
	if (root == 0)
		e.error = m.error;
	else
		emit_all(&e, root);
	machine_free(&m);
	buf_free(&e.levels);
	return e.error;
}

/* --- exceptions ------------------------------------------------------------------------ */

/* An argument of an exception, as str() or, among others, repr() shows it. */
static void
put_argument(Buf *out, const Machine *m, NodeId id, bool quoted)
{
	const Node *node = machine_node(m, id);

	switch ((NodeKind) node->kind)
	{
		case NODE_TEXT:
			if (quoted)
				buf_put_u8(out, '\'');
			put_cut(out, node, MAX_SHOWN_TEXT);
			if (quoted)
				buf_put_u8(out, '\'');
			break;
		case NODE_NONE:
			buf_put_cstr(out, "None");
			break;
		case NODE_BOOL:
			buf_put_cstr(out, node->u.i != 0 ? "True" : "False");
			break;
		case NODE_INT:
			buf_printf(out, "%" PRId64, node->u.i);
			break;
		case NODE_FLOAT:
			buf_printf(out, "%.17g", node->u.d);
			break;
		default:
			buf_put_cstr(out, "...");
			break;
	}
}

/* str() of an exception with these arguments. */
static void
put_arguments(Buf *out, const Machine *m, const Node *args)
{
	bool many = args->n > 1;
	size_t start = out->len;

	if (many)
		buf_put_u8(out, '(');
	for (uint32_t cell = args->u.items.first; cell != 0;)
	{
		if (cell != args->u.items.first)
			buf_put_cstr(out, ", ");
		if (out->len - start > MAX_SHOWN_TEXT)
		{
			buf_put_cstr(out, "...");
			break;
		}
		put_argument(out, m, machine_cell(m, cell)->node, many);
		cell = machine_cell(m, cell)->next;
	}
	if (many)
		buf_put_u8(out, ')');
}

bool
pickle_exception(const void *p, size_t n, Buf *type, Buf *text)
{
	Machine m;
	NodeId root = machine_run(&m, p, n, type->grow);
	bool is_exception = false;

	if (root != 0 && machine_node(&m, root)->kind == NODE_OBJECT)
	{
		const Node *object = machine_node(&m, root);

		is_exception = class_of(&m, object) == CLASS_OTHER &&
			put_class_name(type, &m, object->n);
		if (is_exception)
			put_arguments(text, &m, machine_node(&m, object->u.pair.a));
	}
	machine_free(&m);
	return is_exception;
}
