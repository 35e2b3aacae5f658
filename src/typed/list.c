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
	do
	{
		if (!cbor_next(&list->reader, &token))
			ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
							errmsg("could not decode the result of remote "
								   "function \"%s\": %s",
								   list->site->label,
								   cbor_error_text(list->reader.error))));
	} while (token.kind == CBOR_TAG);
	if (token.kind == CBOR_NULL)
		return false;
	if (token.kind != CBOR_ARRAY)
		not_a_list(list);
	return true;
}

bool
typed_list_next(TypedList *list, FrameOutput *out)
{
	CborToken token;
	const uint8_t *start;

	*out = list->output;
	out->ordinal = list->next++;
	if (list->elements != NULL)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(
			&list->elements->root, out->ordinal);
		Jsonb *value;

		if (element == NULL)
			return false;
		value = JsonbValueToJsonb(element);
		out->data.p = JsonbToCString(NULL, &value->root, VARSIZE(value));
		out->data.n = strlen(out->data.p);
		return true;
	}

	start = list->reader.p;
	if (!cbor_next(&list->reader, &token) ||
		(token.kind != CBOR_END && !cbor_skip(&list->reader, &token)))
		ereport(
			ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("could not decode the result of remote function \"%s\": %s",
					list->site->label, cbor_error_text(list->reader.error))));
	if (token.kind == CBOR_END)
		return false;
	out->data.p = (const char *) start;
	out->data.n = list->reader.p - start;
	return true;
}
