/*-------------------------------------------------------------------------
 *
 * remote_error.c
 *	  Failed inputs, as jsonb and as errors.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "errors.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "values/values.h"

static void
push_text(JsonbInState *state, const char *key, const char *text)
{
	JsonbValue v = {.type = jbvString};

	v.val.string.val = (char *) key;
	v.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &v);
	if (text == NULL)
		v.type = jbvNull;
	else
	{
		v.val.string.val = (char *) text;
		v.val.string.len = strlen(text);
	}
	pushJsonbValue(state, WJB_VALUE, &v);
}

static void
push_scalar(JsonbInState *state, const char *key, JsonbValue *value)
{
	JsonbValue v = {.type = jbvString};

	v.val.string.val = (char *) key;
	v.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &v);
	pushJsonbValue(state, WJB_VALUE, value);
}

Jsonb *
error_fields_to_jsonb(const ErrorFields *fields)
{
	JsonbInState state = {0};
	JsonbValue retryable = {.type = jbvBool};
	JsonbValue attempts = {.type = jbvNumeric};

	retryable.val.boolean = fields->retryable;
	attempts.val.numeric = int64_to_numeric(fields->attempts);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, "code", fields->sqlstate);
	push_text(&state, "type", fields->type);
	push_text(&state, "message", fields->message);
	if (fields->detail != NULL)
		push_text(&state, "detail", fields->detail);
	if (fields->hint != NULL)
		push_text(&state, "hint", fields->hint);
	push_text(&state, "traceback", fields->traceback);
	push_scalar(&state, "retryable", &retryable);
	push_scalar(&state, "attempts", &attempts);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

Jsonb *
error_to_jsonb(const FrameOutput *out)
{
	ErrorFields fields = {
		.sqlstate = out->sqlstate,
		.type = out->type.n > 0 ? remote_text(out->type) : NULL,
		.message = remote_text(out->message),
		.traceback = out->traceback.n > 0 ? remote_text(out->traceback) : NULL,
		.retryable = out->retryable,
		.attempts = out->attempts};

	return error_fields_to_jsonb(&fields);
}

/*
 * Errors that are the result's fault.  Decoding has nothing but memory in its
 * hands, so no subtransaction is needed to go on after one.
 */
static bool
is_about_result(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
		case ERRCODE_FEATURE_NOT_SUPPORTED:
			return true;
		default:
			return sqlstate == ERRCODE_PROTOCOL_VIOLATION;
	}
}

static Jsonb *
undecodable_to_jsonb(const FrameOutput *out, MemoryContext cxt)
{
	ErrorFields fields = {.attempts = out->attempts};
	ErrorData *edata;

	MemoryContextSwitchTo(cxt);
	edata = CopyErrorData();
	if (!is_about_result(edata->sqlerrcode))
		PG_RE_THROW();
	FlushErrorState();
	fields.sqlstate = unpack_sql_state(edata->sqlerrcode);
	fields.message = edata->message;
	fields.detail = edata->detail;
	return error_fields_to_jsonb(&fields);
}

Jsonb *
output_to_jsonb(const FrameOutput *out, bool *ok)
{
	MemoryContext cxt = CurrentMemoryContext;
	Jsonb *volatile value = NULL;

	*ok = out->ok;
	if (!out->ok)
		return error_to_jsonb(out);
	PG_TRY();
	{
		value = result_to_jsonb(out->format, out->data.p, out->data.n);
	}
	PG_CATCH();
	{
		value = undecodable_to_jsonb(out, cxt);
		*ok = false;
	}
	PG_END_TRY();
	return value;
}

bool
on_error_raises(text *on_error)
{
	char *value = text_to_cstring(on_error);

	if (strcmp(value, "raise") == 0)
		return true;
	if (strcmp(value, "return") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid value for on_error: \"%s\"", value),
						errhint("Valid values are \"raise\" and \"return\".")));
	return false;
}

void
error_raise(const FrameOutput *out, const char *label)
{
	char *message = remote_text(out->message);

	ereport(ERROR,
			(errcode(modal_sqlstate(out->sqlstate)),
			 message[0] != '\0' ? errmsg("%s", message)
								: errmsg("remote function failed"),
			 out->traceback.n > 0
				 ? errdetail("Remote traceback:\n%s", remote_text(out->traceback))
				 : 0,
			 errcontext("remote function \"%s\", input " INT64_FORMAT, label,
						out->ordinal)));
}
