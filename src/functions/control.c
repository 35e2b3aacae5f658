/*-------------------------------------------------------------------------
 *
 * control.c
 *	  Questions to a service; see control.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/htup_details.h"
#include "functions/control.h"
#include "link/remote_call.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "values/values.h"

/* Its only output, which is there until the call is closed. */
static RemoteCall *
ask(const Endpoint *endpoint, const char *rest, ControlOp op,
	const char *request, FrameOutput *out)
{
	RemoteCallSpec spec = {.kind = CALL_CONTROL,
						   .op = op,
						   .reference = rest,
						   .remote_call_id =
							   op >= CONTROL_CALL_INFO ? rest : NULL,
						   .request = request};
	RemoteCall *call =
		remote_call_open(CurrentMemoryContext, endpoint, &spec);

	remote_call_finish(call);
	if (remote_call_next(call, out) != REMOTE_CALL_OUTPUT)
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
						errmsg("the service did not answer")));
	if (!out->ok)
		error_raise(out, remote_call_label(call));
	return call;
}

Jsonb *
control_ask(const Endpoint *endpoint, const char *rest, ControlOp op,
			const char *request)
{
	FrameOutput out;
	RemoteCall *call = ask(endpoint, rest, op, request, &out);
	Jsonb *answer = result_to_jsonb(out.format, out.data.p, out.data.n);

	remote_call_close(call, 0);
	return answer;
}

char *
control_ask_text(const Endpoint *endpoint, const char *rest, ControlOp op,
				 const char *request, Size *len)
{
	FrameOutput out;
	RemoteCall *call = ask(endpoint, rest, op, request, &out);
	char *answer = pnstrdup(out.data.p, out.data.n);

	*len = out.data.n;
	remote_call_close(call, 0);
	return answer;
}

char *
control_member(Jsonb *answer, const char *name)
{
	JsonbValue key = {.type = jbvString};
	JsonbValue *v;

	key.val.string.val = (char *) name;
	key.val.string.len = strlen(name);
	v = findJsonbValueFromContainer(&answer->root, JB_FOBJECT, &key);
	if (v == NULL)
		return NULL;
	switch (v->type)
	{
		case jbvString:
			return pnstrdup(v->val.string.val, v->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(
				numeric_out, NumericGetDatum(v->val.numeric)));
		case jbvBool:
			return pstrdup(v->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

Datum
control_row(FunctionCallInfo fcinfo, Jsonb *answer)
{
	TupleDesc desc;
	char **texts;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	texts = palloc0(desc->natts * sizeof(char *));
	for (int i = 0; i < desc->natts; i++)
		texts[i] =
			control_member(answer, NameStr(TupleDescAttr(desc, i)->attname));
	return HeapTupleGetDatum(
		BuildTupleFromCStrings(TupleDescGetAttInMetadata(desc), texts));
}
