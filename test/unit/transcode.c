/*
 * The C side of the property tests of CBOR and pickle; see records.h.
 *
 *   c   CBOR to CBOR in the shortest form, through tokens
 *   w   a call in CBOR to pickle
 *   r   pickle to CBOR
 *   e   pickle of an exception to "class: text"
 */
#include "core/cbor.h"
#include "core/pickle.h"
#include "records.h"

static bool put_item(Buf *out, CborReader *in, const CborToken *tok);

/* The items up to the container's end; they go behind its head. */
static bool
put_container(Buf *out, CborReader *in, const CborToken *head)
{
	Buf items;
	CborToken tok;
	uint64_t count = 0;

	buf_init(&items, 0, NULL);
	while (cbor_next(in, &tok) && tok.kind != CBOR_END)
	{
		if (!put_item(&items, in, &tok))
			break;
		count++;
	}
	if (in->error == CBOR_OK)
	{
		if (!head->indefinite &&
			count != head->u * (head->kind == CBOR_MAP ? 2 : 1))
			abort();
		if (head->kind == CBOR_MAP)
			cbor_put_map(out, count / 2);
		else
			cbor_put_array(out, count);
		buf_put(out, items.data, items.len);
	}
	buf_free(&items);
	return in->error == CBOR_OK;
}

static bool
put_item(Buf *out, CborReader *in, const CborToken *tok)
{
	CborToken content;

	switch (tok->kind)
	{
		case CBOR_UINT:
			cbor_put_uint(out, tok->u);
			break;
		case CBOR_NINT:
			cbor_put_nint(out, tok->u);
			break;
		case CBOR_BYTES:
			cbor_put_bytes(out, tok->p, tok->n);
			break;
		case CBOR_TEXT:
			cbor_put_text(out, (const char *) tok->p, tok->n);
			break;
		case CBOR_ARRAY:
		case CBOR_MAP:
			return put_container(out, in, tok);
		case CBOR_TAG:
			cbor_put_tag(out, tok->u);
			return cbor_next(in, &content) && put_item(out, in, &content);
		case CBOR_BOOL:
			cbor_put_bool(out, tok->u != 0);
			break;
		case CBOR_DOUBLE:
			cbor_put_double(out, tok->d);
			break;
		case CBOR_NULL:
		case CBOR_UNDEFINED:
		case CBOR_SIMPLE:
			cbor_put_null(out);
			break;
		case CBOR_END:
			abort();
	}
	return true;
}

static const char *
cbor_to_cbor(Buf *out, const void *p, size_t n)
{
	CborReader in;
	CborToken tok;

	cbor_reader_init(&in, p, n, 1000, NULL);
	if (cbor_next(&in, &tok) && put_item(out, &in, &tok))
		cbor_next(&in, &tok);
	cbor_reader_free(&in);
	return in.error != CBOR_OK ? cbor_error_text(in.error) : NULL;
}

static const char *
exception_text(Buf *out, const void *p, size_t n)
{
	Buf type;
	Buf text;
	bool good;

	buf_init(&type, 0, NULL);
	buf_init(&text, 0, NULL);
	good = pickle_exception(p, n, &type, &text);
	buf_printf(out, "%s: %s", buf_cstr(&type), buf_cstr(&text));
	buf_free(&type);
	buf_free(&text);
	return good ? NULL : "not an exception";
}

static const char *
handle(char op, Buf *out, const void *p, size_t n, bool *known)
{
	switch (op)
	{
		case 'c':
			return cbor_to_cbor(out, p, n);
		case 'w':
			return pickle_from_cbor_call(out, p, n);
		case 'r':
			return pickle_to_cbor(out, p, n);
		case 'e':
			return exception_text(out, p, n);
		default:
			*known = false;
			return NULL;
	}
}

int
main(void)
{
	return answer_records(handle);
}
