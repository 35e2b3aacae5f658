/*-------------------------------------------------------------------------
 *
 * codec_error.c
 *	  Failed inputs, as jsonb and as errors.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "errors.h"
#include "mb/pg_wchar.h"
#include "session/codec.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#define MAX_ERROR_TEXT (1024 * 1024) /* bytes of a message or a traceback */

/*
 * Text from outside, whatever it holds, as text of the database's encoding:
 * zero bytes and invalid characters become question marks.
 */
char *
remote_text(Slice s)
{
	int n = (int) Min(s.n, MAX_ERROR_TEXT);
	char *copy;

	if (n == 0)
		return pstrdup("");
	n = pg_encoding_mbcliplen(PG_UTF8, s.p, n, n);
	copy = pnstrdup(s.p, n);
	for (int i = 0; i < n;)
	{
		int len = pg_encoding_mblen(PG_UTF8, s.p + i);

		if (s.p[i] == '\0' || i + len > n ||
			pg_encoding_verifymbstr(PG_UTF8, s.p + i, len) != len)
		{
			copy[i] = '?';
			len = 1;
		}
		i += len;
	}
	copy[n] = '\0';
	return pg_any_to_server(copy, n, PG_UTF8);
}

static void
push_text(JsonbParseState **state, const char *key, const char *text)
{
	JsonbValue v = {.type = jbvString};

	v.val.string.val = (char *) key;
	v.val.string.len = strlen(key);
	(void) pushJsonbValue(state, WJB_KEY, &v);
	if (text == NULL)
		v.type = jbvNull;
	else
	{
		v.val.string.val = (char *) text;
		v.val.string.len = strlen(text);
	}
	(void) pushJsonbValue(state, WJB_VALUE, &v);
}

static void
push_scalar(JsonbParseState **state, const char *key, JsonbValue *value)
{
	JsonbValue v = {.type = jbvString};

	v.val.string.val = (char *) key;
	v.val.string.len = strlen(key);
	(void) pushJsonbValue(state, WJB_KEY, &v);
	(void) pushJsonbValue(state, WJB_VALUE, value);
}

Jsonb *
error_to_jsonb(const FrameOutput *out)
{
	JsonbParseState *state = NULL;
	JsonbValue retryable = {.type = jbvBool};
	JsonbValue attempts = {.type = jbvNumeric};

	retryable.val.boolean = out->retryable;
	attempts.val.numeric = int64_to_numeric(out->attempts);
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, "code", out->sqlstate);
	push_text(&state, "type", out->type.n > 0 ? remote_text(out->type) : NULL);
	push_text(&state, "message", remote_text(out->message));
	push_text(&state, "traceback",
			  out->traceback.n > 0 ? remote_text(out->traceback) : NULL);
	push_scalar(&state, "retryable", &retryable);
	push_scalar(&state, "attempts", &attempts);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
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
