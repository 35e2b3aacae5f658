/*-------------------------------------------------------------------------
 *
 * cbor.c
 *	  CBOR (RFC 8949) tokens, written and read one at a time.
 *
 * libcbor's streaming functions write and read the heads of items; what it
 * leaves to its caller is here: nesting, counts, tags, joining of indefinite
 * strings, UTF-8, and the few heads that it does not know.
 *
 *-------------------------------------------------------------------------
 */
#include "core/cbor.h"

#include <cbor.h>
#include <math.h>

#include "core/cbor_typed.h"

/* libcbor takes lengths as size_t, CBOR has them in 64 bits. */
_Static_assert(sizeof(size_t) == sizeof(uint64_t), "a 64-bit platform");

#define CBOR_MAX_HEAD 9 /* bytes: initial byte and 64-bit argument */
#define CBOR_FIRST_STACK 16

/* --- writing ----------------------------------------------------------- */

/*
 * Append what a libcbor function writes.  Where there is no room for the
 * longest head, the bytes take a detour, so that a buffer can be filled
 * exactly up to its limit.
 */
#define PUT_HEAD(buf, encode, ...) \
	do \
	{ \
		if (!(buf)->failed && (buf)->cap - (buf)->len >= CBOR_MAX_HEAD) \
			(buf)->len += encode(__VA_ARGS__, (buf)->data + (buf)->len, \
								 CBOR_MAX_HEAD); \
		else \
		{ \
			uint8_t head[CBOR_MAX_HEAD]; \
\
			buf_put(buf, head, encode(__VA_ARGS__, head, CBOR_MAX_HEAD)); \
		} \
	} while (0)

void
cbor_put_uint(Buf *buf, uint64_t v)
{
	PUT_HEAD(buf, cbor_encode_uint, v);
}

void
cbor_put_nint(Buf *buf, uint64_t v)
{
	PUT_HEAD(buf, cbor_encode_negint, v);
}

void
cbor_put_int(Buf *buf, int64_t v)
{
	if (v >= 0)
		cbor_put_uint(buf, (uint64_t) v);
	else
		cbor_put_nint(buf, ~(uint64_t) v);
}

void
cbor_put_double(Buf *buf, double v)
{
	if (isfinite(v))
		PUT_HEAD(buf, cbor_encode_double, v);
	else
		PUT_HEAD(buf, cbor_encode_half, (float) v);
}

void
cbor_put_float(Buf *buf, float v)
{
	if (isfinite(v))
		PUT_HEAD(buf, cbor_encode_single, v);
	else
		PUT_HEAD(buf, cbor_encode_half, v);
}

void
cbor_put_bytes(Buf *buf, const void *p, size_t n)
{
	PUT_HEAD(buf, cbor_encode_bytestring_start, n);
	buf_put(buf, p, n);
}

void
cbor_put_text(Buf *buf, const char *p, size_t n)
{
	PUT_HEAD(buf, cbor_encode_string_start, n);
	buf_put(buf, p, n);
}

void
cbor_put_array(Buf *buf, uint64_t n)
{
	PUT_HEAD(buf, cbor_encode_array_start, n);
}

void
cbor_put_map(Buf *buf, uint64_t n)
{
	PUT_HEAD(buf, cbor_encode_map_start, n);
}

void
cbor_put_tag(Buf *buf, uint64_t tag)
{
	PUT_HEAD(buf, cbor_encode_tag, tag);
}

void
cbor_put_big(Buf *buf, bool negative, const uint8_t *v, size_t n)
{
	while (n > 0 && v[0] == 0)
	{
		v++;
		n--;
	}
	if (n <= 8)
	{
		uint64_t u = 0;

		while (n-- > 0)
			u = u << 8 | *v++;
		if (negative)
			cbor_put_nint(buf, u);
		else
			cbor_put_uint(buf, u);
	}
	else
	{
		cbor_put_tag(buf, negative ? CBOR_TAG_NEG_BIGNUM : CBOR_TAG_BIGNUM);
		cbor_put_bytes(buf, v, n);
	}
}

void
cbor_put_bool(Buf *buf, bool v)
{
	PUT_HEAD(buf, cbor_encode_bool, v);
}

void
cbor_put_null(Buf *buf)
{
	PUT_HEAD(buf, cbor_encode_ctrl, CBOR_CTRL_NULL);
}

/* --- reading: the callbacks that take one head from libcbor --------------- */

static void
on_uint8(void *tok, uint8_t v)
{
	((CborToken *) tok)->kind = CBOR_UINT;
	((CborToken *) tok)->u = v;
}

static void
on_uint16(void *tok, uint16_t v)
{
	((CborToken *) tok)->kind = CBOR_UINT;
	((CborToken *) tok)->u = v;
}

static void
on_uint32(void *tok, uint32_t v)
{
	((CborToken *) tok)->kind = CBOR_UINT;
	((CborToken *) tok)->u = v;
}

static void
on_uint64(void *tok, uint64_t v)
{
	((CborToken *) tok)->kind = CBOR_UINT;
	((CborToken *) tok)->u = v;
}

static void
on_nint8(void *tok, uint8_t v)
{
	((CborToken *) tok)->kind = CBOR_NINT;
	((CborToken *) tok)->u = v;
}

static void
on_nint16(void *tok, uint16_t v)
{
	((CborToken *) tok)->kind = CBOR_NINT;
	((CborToken *) tok)->u = v;
}

static void
on_nint32(void *tok, uint32_t v)
{
	((CborToken *) tok)->kind = CBOR_NINT;
	((CborToken *) tok)->u = v;
}

static void
on_nint64(void *tok, uint64_t v)
{
	((CborToken *) tok)->kind = CBOR_NINT;
	((CborToken *) tok)->u = v;
}

static void
on_bytes(void *tok, cbor_data p, size_t n)
{
	((CborToken *) tok)->kind = CBOR_BYTES;
	((CborToken *) tok)->p = p;
	((CborToken *) tok)->n = n;
}

static void
on_text(void *tok, cbor_data p, size_t n)
{
	((CborToken *) tok)->kind = CBOR_TEXT;
	((CborToken *) tok)->p = p;
	((CborToken *) tok)->n = n;
}

static void
on_bytes_start(void *tok)
{
	((CborToken *) tok)->kind = CBOR_BYTES;
	((CborToken *) tok)->indefinite = true;
}

static void
on_text_start(void *tok)
{
	((CborToken *) tok)->kind = CBOR_TEXT;
	((CborToken *) tok)->indefinite = true;
}

static void
on_array(void *tok, size_t n)
{
	((CborToken *) tok)->kind = CBOR_ARRAY;
	((CborToken *) tok)->u = n;
}

static void
on_array_start(void *tok)
{
	((CborToken *) tok)->kind = CBOR_ARRAY;
	((CborToken *) tok)->indefinite = true;
}

static void
on_map(void *tok, size_t n)
{
	((CborToken *) tok)->kind = CBOR_MAP;
	((CborToken *) tok)->u = n;
}

static void
on_map_start(void *tok)
{
	((CborToken *) tok)->kind = CBOR_MAP;
	((CborToken *) tok)->indefinite = true;
}

static void
on_tag(void *tok, uint64_t tag)
{
	((CborToken *) tok)->kind = CBOR_TAG;
	((CborToken *) tok)->u = tag;
}

static void
on_float(void *tok, float v)
{
	((CborToken *) tok)->kind = CBOR_DOUBLE;
	((CborToken *) tok)->d = v;
}

static void
on_double(void *tok, double v)
{
	((CborToken *) tok)->kind = CBOR_DOUBLE;
	((CborToken *) tok)->d = v;
}

static void
on_undefined(void *tok)
{
	((CborToken *) tok)->kind = CBOR_UNDEFINED;
}

static void
on_null(void *tok)
{
	((CborToken *) tok)->kind = CBOR_NULL;
}

static void
on_bool(void *tok, bool v)
{
	((CborToken *) tok)->kind = CBOR_BOOL;
	((CborToken *) tok)->u = v;
}

static void
on_break(void *tok)
{
	((CborToken *) tok)->kind = CBOR_END;
}

static const struct cbor_callbacks head_callbacks = {
	.uint8 = on_uint8,
	.uint16 = on_uint16,
	.uint32 = on_uint32,
	.uint64 = on_uint64,
	.negint8 = on_nint8,
	.negint16 = on_nint16,
	.negint32 = on_nint32,
	.negint64 = on_nint64,
	.byte_string_start = on_bytes_start,
	.byte_string = on_bytes,
	.string = on_text,
	.string_start = on_text_start,
	.indef_array_start = on_array_start,
	.array_start = on_array,
	.indef_map_start = on_map_start,
	.map_start = on_map,
	.tag = on_tag,
	.float2 = on_float,
	.float4 = on_float,
	.float8 = on_double,
	.undefined = on_undefined,
	.null = on_null,
	.boolean = on_bool,
	.indef_break = on_break,
};

/* --- reading: nesting ------------------------------------------------------ */

/* An open array, map or tag. */
typedef struct Open
{
	uint64_t left;	 /* items still to come, if definite; a tag has one */
	uint8_t kind;	 /* CBOR_ARRAY, CBOR_MAP, CBOR_TAG */
	uint8_t typed;	 /* as in CborToken */
	bool indefinite;
	bool at_value;	 /* map: the key has been read, its value has not */
	bool is_key;
} Open;

static bool
fail(CborReader *r, CborError error)
{
	r->error = error;
	return false;
}

static Open *
innermost(CborReader *r)
{
	return r->depth > 0 ? (Open *) r->stack + r->depth - 1 : NULL;
}

/* Open the container or tag that tok begins. */
static bool
push(CborReader *r, const CborToken *tok)
{
	Open *open;

	if (r->depth >= r->max_depth)
		return fail(r, CBOR_TOO_DEEP);
	if (r->stack == NULL || r->depth == r->stack_cap)
	{
		uint32_t cap = r->stack_cap > 0 ? r->stack_cap * 2 : CBOR_FIRST_STACK;
		void *stack = buf_memory(&r->joined, r->stack, cap * sizeof(Open));

		if (stack == NULL)
			return fail(r, CBOR_NO_MEMORY);
		r->stack = stack;
		r->stack_cap = cap;
	}

	open = (Open *) r->stack + r->depth++;
	open->kind = tok->kind;
	open->typed = tok->typed;
	open->left = tok->kind == CBOR_TAG ? 1 :
		tok->kind == CBOR_MAP ? tok->u * 2 : tok->u;
	open->indefinite = tok->indefinite;
	open->at_value = false;
	open->is_key = tok->is_key;
	return true;
}

/* An item is complete: count it where it belongs, and finish its tags. */
static void
complete(CborReader *r)
{
	Open *open;

	while ((open = innermost(r)) != NULL && open->kind == CBOR_TAG)
		r->depth--;
	if (open == NULL)
		r->done = true;
	else
	{
		if (!open->indefinite)
			open->left--;
		open->at_value = open->kind == CBOR_MAP && !open->at_value;
	}
}

/* The innermost array or map ends. */
static bool
pop(CborReader *r, CborToken *tok)
{
	tok->kind = CBOR_END;
	tok->indefinite = false;
	tok->typed = 0;
	tok->u = 0;
	tok->p = NULL;
	tok->n = 0;
	tok->is_key = innermost(r)->is_key;
	tok->depth = --r->depth;
	complete(r);
	return true;
}

/* --- reading: heads -------------------------------------------------------- */

/*
 * Read one head, with the content of a definite string.  Sets all of tok but
 * is_key and depth.
 */
static bool
read_head(CborReader *r, CborToken *tok)
{
	struct cbor_decoder_result result;
	size_t left = r->end - r->p;

	if (left == 0)
		return fail(r, CBOR_TRUNCATED);

	tok->indefinite = false;
	tok->typed = 0;
	tok->u = 0;
	tok->p = NULL;
	tok->n = 0;

	/* libcbor knows no simple values, and before 0.11 not the tags 6 to 20. */
	if (r->p[0] >= 0xc0 && r->p[0] <= 0xd7)
	{
		tok->kind = CBOR_TAG;
		tok->u = *r->p++ - 0xc0;
		return true;
	}
	if (r->p[0] >= 0xe0 && r->p[0] <= 0xf3)
	{
		tok->kind = CBOR_SIMPLE;
		tok->u = *r->p++ - 0xe0;
		return true;
	}
	if (r->p[0] == 0xf8)
	{
		if (left < 2)
			return fail(r, CBOR_TRUNCATED);
		if (r->p[1] < 32)
			return fail(r, CBOR_MALFORMED);
		tok->kind = CBOR_SIMPLE;
		tok->u = r->p[1];
		r->p += 2;
		return true;
	}

	result = cbor_stream_decode(r->p, left, &head_callbacks, tok);
	if (result.status == CBOR_DECODER_NEDATA)
		return fail(r, CBOR_TRUNCATED);
	if (result.status != CBOR_DECODER_FINISHED)
		return fail(r, CBOR_MALFORMED);
	r->p += result.read;

	/* Text in chunks must be valid chunk by chunk (RFC 8949, 3.2.3). */
	if (tok->kind == CBOR_TEXT && !utf8_valid(tok->p, tok->n))
		return fail(r, CBOR_BAD_UTF8);
	return true;
}

/* Having read the head of an indefinite string: read and join its chunks. */
static bool
join_chunks(CborReader *r, CborToken *tok)
{
	CborToken chunk;

	buf_reset(&r->joined);
	for (;;)
	{
		if (!read_head(r, &chunk))
			return false;
		if (chunk.kind == CBOR_END)
			break;
		if (chunk.kind != tok->kind || chunk.indefinite)
			return fail(r, CBOR_MALFORMED);
		buf_put(&r->joined, chunk.p, chunk.n);
		if (r->joined.failed)
			return fail(r, CBOR_NO_MEMORY);
	}
	/* An empty string has an address, too. */
	tok->p = (const uint8_t *) buf_cstr(&r->joined);
	tok->n = r->joined.len;
	return true;
}

/* --- reading: typed arrays -------------------------------------------------- */

/*
 * Having read a tag: if it makes an array of the bytes that follow, tok becomes
 * that array, and its elements come next.
 */
static bool
enter_typed(CborReader *r, CborToken *tok)
{
	size_t size = cbor_typed_size(tok->u);
	CborToken bytes;

	/* bytes in one piece */
	if (size == 0 || r->p == r->end || r->p[0] < 0x40 || r->p[0] > 0x5b)
		return true;
	if (!read_head(r, &bytes))
		return false;
	if (bytes.n % size != 0)
		return fail(r, CBOR_MALFORMED);
	r->p -= bytes.n;
	tok->kind = CBOR_ARRAY;
	tok->typed = (uint8_t) tok->u;
	tok->u = bytes.n / size;
	return true;
}

static bool
next_typed(CborReader *r, uint8_t tag, CborToken *tok)
{
	memset(tok, 0, sizeof(*tok));
	cbor_typed_element(tag, r->p, tok);
	r->p += cbor_typed_size(tag);
	tok->depth = r->depth;
	complete(r);
	return true;
}

void
cbor_elements_read(CborReader *r, const uint8_t *p)
{
	r->p = p;
	innermost(r)->left = 0;
}

/* --- reading: the interface ------------------------------------------------ */

void
cbor_reader_init(CborReader *r, const void *p, size_t n, uint32_t max_depth,
				 BufRealloc grow)
{
	memset(r, 0, sizeof(*r));
	r->p = p;
	r->end = r->p + n;
	r->max_depth = max_depth < CBOR_MAX_DEPTH ? max_depth : CBOR_MAX_DEPTH;
	buf_init(&r->joined, 0, grow);
}

void
cbor_reader_free(CborReader *r)
{
	if (r->stack != NULL)
		(void) buf_memory(&r->joined, r->stack, 0);
	r->stack = NULL;
	r->stack_cap = 0;
	buf_free(&r->joined);
}

bool
cbor_next(CborReader *r, CborToken *tok)
{
	Open *open = innermost(r);

	if (r->error != CBOR_OK)
		return false;
	if (r->done)
		return r->p < r->end ? fail(r, CBOR_TRAILING) : false;
	if (open != NULL && !open->indefinite && open->left == 0)
		return pop(r, tok);
	if (open != NULL && open->typed != 0)
		return next_typed(r, open->typed, tok);

	if (!read_head(r, tok))
		return false;
	if (tok->kind == CBOR_TAG && r->typed_arrays && !enter_typed(r, tok))
		return false;
	tok->depth = r->depth;
	tok->is_key = open != NULL &&
		(open->kind == CBOR_TAG ? open->is_key :
								  open->kind == CBOR_MAP && !open->at_value);

	switch (tok->kind)
	{
		case CBOR_END:
			if (open == NULL || !open->indefinite || open->at_value)
				return fail(r, CBOR_MALFORMED);
			return pop(r, tok);

		case CBOR_ARRAY:
		case CBOR_MAP:
			/* Every item takes a byte at least. */
			if (tok->u > (size_t) (r->end - r->p) / (tok->kind == CBOR_MAP ? 2 : 1))
				return fail(r, CBOR_TRUNCATED);
			return push(r, tok);

		case CBOR_TAG:
			return push(r, tok);

		case CBOR_BYTES:
		case CBOR_TEXT:
			if (tok->indefinite && !join_chunks(r, tok))
				return false;
			break;

		default:
			break;
	}
	complete(r);
	return true;
}

bool
cbor_skip(CborReader *r, const CborToken *tok)
{
	CborToken next = *tok;

	while (next.kind == CBOR_TAG)
	{
		if (!cbor_next(r, &next))
			return false;
	}
	if (next.kind == CBOR_ARRAY || next.kind == CBOR_MAP)
	{
		uint32_t depth = next.depth;

		do
		{
			if (!cbor_next(r, &next))
				return false;
		} while (next.kind != CBOR_END || next.depth != depth);
	}
	return true;
}

const char *
cbor_error_text(CborError error)
{
	switch (error)
	{
		case CBOR_OK:
			return "no error";
		case CBOR_TRUNCATED:
			return "unexpected end of CBOR data";
		case CBOR_MALFORMED:
			return "malformed CBOR data";
		case CBOR_BAD_UTF8:
			return "invalid UTF-8 in CBOR text";
		case CBOR_TOO_DEEP:
			return "CBOR data is nested too deeply";
		case CBOR_TRAILING:
			return "unexpected bytes after CBOR data";
		case CBOR_NO_MEMORY:
			return "out of memory";
	}
	return "unknown CBOR error";
}

/* --- UTF-8 ----------------------------------------------------------------- */

/* The length of the valid sequence that begins at p, or 0. */
static size_t
utf8_sequence(const uint8_t *p, size_t left)
{
	uint8_t low = 0x80;
	uint8_t high = 0xbf;
	size_t length;

	/*
	 * The first continuation byte's range excludes overlong forms,
	 * surrogates and what lies beyond U+10FFFF (RFC 3629, 4).
	 */
	if (p[0] < 0x80)
		return 1;
	else if (p[0] >= 0xc2 && p[0] <= 0xdf)
		length = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
	{
		length = 3;
		if (p[0] == 0xe0)
			low = 0xa0;
		else if (p[0] == 0xed)
			high = 0x9f;
	}
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
	{
		length = 4;
		if (p[0] == 0xf0)
			low = 0x90;
		else if (p[0] == 0xf4)
			high = 0x8f;
	}
	else
		return 0;

	if (left < length || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
	{
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return length;
}

bool
utf8_valid(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n)
	{
		size_t length;

		/* Nearly all text is ASCII: eight bytes at a time. */
		while (n - i >= 8)
		{
			uint64_t word;

			memcpy(&word, p + i, 8);
			if (word & UINT64_C(0x8080808080808080))
				break;
			i += 8;
		}
		if (i == n)
			break;

		length = utf8_sequence(p + i, n - i);
		if (length == 0)
			return false;
		i += length;
	}
	return true;
}
