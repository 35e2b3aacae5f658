/*-------------------------------------------------------------------------
 *
 * jsonb_numbers.c
 *	  A list of numbers as jsonb, put together as the server stores it.
 *
 * An array's header, an entry for each element (its length, or, so that one in
 * the middle is soon found, at times the end of it), and the elements.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include <math.h>

#include "utils/memutils.h"
#include "values/type_table.h"

#define HEAD offsetof(Jsonb, root.children)

/* Append the element; returns its type. */
static JEntry
put_element(Buf *jb, double v)
{
	const char *name;

	if (!isfinite(v))
	{
		name = not_finite_name(v);
		buf_put_cstr(jb, name);
		return JENTRY_ISSTRING;
	}
	if (jb->len % ALIGNOF_INT != 0)
		buf_put(jb, "\0\0\0", ALIGNOF_INT - jb->len % ALIGNOF_INT);
	if (buf_reserve(jb, DOUBLE_NUMERIC_SIZE))
		jb->len += double_to_numeric(v, jb->data + jb->len);
	return JENTRY_ISNUMERIC;
}

static void
put_elements(Buf *jb, const double *numbers, uint32 n)
{
	Size start = jb->len;

	for (uint32 i = 0; i < n; i++)
	{
		Size before = jb->len;
		JEntry entry = put_element(jb, numbers[i]);

		CHECK_FOR_INTERRUPTS();
		if (jb->failed || jb->len - start > JENTRY_OFFLENMASK)
			too_large_for_jsonb();
		entry |= i % JB_OFFSET_STRIDE == 0
			? JENTRY_HAS_OFF | (JEntry) (jb->len - start)
			: (JEntry) (jb->len - before);
		((Jsonb *) jb->data)->root.children[i] = entry;
	}
}

Jsonb *
numbers_to_jsonb(CborReader *r, const CborToken *list)
{
	Buf numbers, jb;
	CborToken end;
	uint32 n;

	buf_init(&numbers, MaxAllocSize - 1, buf_palloc);
	if (list->u > JB_CMASK || !numbers_from_cbor(&numbers, NUMBER_FLOAT8, r, list))
	{
		buf_free(&numbers);
		return NULL;
	}
	next_token(r, &end);
	n = (uint32) list->u;
	buf_init(&jb, MaxAllocSize - 1, buf_palloc);
	/* many doubles have 17 digits, in five or six of numeric's */
	if (!buf_reserve(&jb, HEAD + n * (sizeof(JEntry) + 20)) || n == 0)
		too_large_for_jsonb();
	jb.len = HEAD + n * sizeof(JEntry);
	((Jsonb *) jb.data)->root.header = JB_FARRAY | n;
	put_elements(&jb, (const void *) numbers.data, n);
	buf_free(&numbers);
	SET_VARSIZE(jb.data, jb.len);
	return (Jsonb *) jb.data;
}
