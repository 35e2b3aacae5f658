/*-------------------------------------------------------------------------
 *
 * list.c
 *	  The elements of a list that a remote function returned; see list.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "typed/list.h"

static void
not_a_list(TypedList *list)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("remote function \"%s\" returned neither a generator nor "
					"a list",
					list->site->label),
			 errdetail("%s is declared to return a set.",
					   list->site->function->name)));
}

static void
bad_bytes(TypedList *list)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("could not decode the result of remote function \"%s\": %s",
					list->site->label, cbor_error_text(list->reader.error))));
}

static void
next_token(TypedList *list, CborToken *token)
{
	if (!cbor_next(&list->reader, token))
		bad_bytes(list);
}

/* A tag of which the list behind it is no other value. */
static bool
only_says_more(const CborToken *token)
{
	return token->kind == CBOR_TAG &&
		(token->u == CBOR_TAG_SELF_DESCRIBED || token->u == CBOR_TAG_SET ||
		 token->u == CBOR_TAG_HOMOGENEOUS);
}

bool
typed_list_open(TypedList *list, const TypedSite *site, const FrameOutput *out)
{
	CborToken token;

	memset(list, 0, sizeof(*list));
	list->site = site;
	list->output = *out;
	if (!list->output.ok)
		error_raise(&list->output, list->site->label);
	if (list->output.format == PAYLOAD_JSON)
	{
		list->elements = result_to_jsonb(PAYLOAD_JSON, list->output.data.p,
										 list->output.data.n);
		if (JB_ROOT_IS_SCALAR(list->elements) &&
			getIthJsonbValueFromContainer(&list->elements->root, 0)->type ==
				jbvNull)
			return false;
		if (!JB_ROOT_IS_ARRAY(list->elements) ||
			JB_ROOT_IS_SCALAR(list->elements))
			not_a_list(list);
		return true;
	}

	cbor_reader_init(&list->reader, list->output.data.p, list->output.data.n,
					 CBOR_MAX_DEPTH, buf_palloc);
	list->reader.typed_arrays = true;
	do
		next_token(list, &token);
	while (only_says_more(&token));
	if (token.kind == CBOR_NULL || token.kind == CBOR_UNDEFINED)
		return false;
	if (token.kind != CBOR_ARRAY)
		not_a_list(list);
	list->typed = token.typed != 0;
	buf_init(&list->number, 0, buf_palloc);
	return true;
}

/* The bytes that the number would have if it stood alone. */
static void
set_number(TypedList *list, const CborToken *token, FrameOutput *out)
{
	buf_reset(&list->number);
	if (token->kind == CBOR_UINT)
		cbor_put_uint(&list->number, token->u);
	else if (token->kind == CBOR_NINT)
		cbor_put_nint(&list->number, token->u);
	else
		cbor_put_double(&list->number, token->d);
	out->data.p = (const char *) list->number.data;
	out->data.n = list->number.len;
}

bool
typed_list_next(TypedList *list, FrameOutput *out, int64 *row)
{
	CborToken token;
	const uint8_t *start;

	*out = list->output;
	*row = list->rows++;
	if (list->elements != NULL)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(
			&list->elements->root, (uint32) *row);
		Jsonb *value;
		char *json;

		if (element == NULL)
			return false;
		value = JsonbValueToJsonb(element);
		json = JsonbToCString(NULL, &value->root, VARSIZE(value));
		out->data.p = text_to_utf8(json, strlen(json), &out->data.n);
		return true;
	}

	start = list->reader.p;
	next_token(list, &token);
	if (token.kind == CBOR_END)
		return false;
	if (list->typed)
	{
		set_number(list, &token, out);
		return true;
	}
	if (!cbor_skip(&list->reader, &token))
		bad_bytes(list);
	out->data.p = (const char *) start;
	out->data.n = list->reader.p - start;
	return true;
}
