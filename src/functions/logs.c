/*-------------------------------------------------------------------------
 *
 * logs.c
 *	  What the inputs of a remote call have printed.
 *
 * Lines are shown as messages of remote functions are: without what a terminal
 * would obey, and without what the database's encoding has not.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "core/json_split.h"
#include "funcapi.h"
#include "functions/control.h"
#include "functions/remote_id.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "values/values.h"

#define MAX_LINES 20000 /* that a service gives at once, as the SDKs have it */
#define MAX_SEARCH 1024
#define LOOK_BACK_DAYS 35 /* by default: so long they are kept */
#define UNIX_EPOCH_USECS \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)
#define N_COLUMNS 5

PG_FUNCTION_INFO_V1(modal_function_call_logs);

/* Microseconds of Unix time, as far as it has any. */
static int64
unix_usecs(TimestampTz t)
{
	if (TIMESTAMP_IS_NOBEGIN(t) || t < -UNIX_EPOCH_USECS)
		return 0;
	if (TIMESTAMP_IS_NOEND(t))
		return GetCurrentTimestamp() + UNIX_EPOCH_USECS;
	return t + UNIX_EPOCH_USECS;
}

/* The question, as the dispatcher reads it. */
static char *
make_request(FunctionCallInfo fcinfo)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until = PG_ARGISNULL(2) ? now : PG_GETARG_TIMESTAMPTZ(2);
	TimestampTz since = PG_ARGISNULL(1) ? now - LOOK_BACK_DAYS * USECS_PER_DAY
										: PG_GETARG_TIMESTAMPTZ(1);
	int limit = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3);
	Buf request;

	if (limit < 1 || limit > MAX_LINES)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_lines must be between 1 and %d", MAX_LINES)));
	if (since > until)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("since must not be later than until")));
	buf_init(&request, 0, buf_palloc);
	buf_printf(&request, "{\"since\": " INT64_FORMAT ", \"until\": " INT64_FORMAT ", \"limit\": %d",
			   unix_usecs(since), unix_usecs(until), limit);
	if (!PG_ARGISNULL(4))
	{
		text *search = PG_GETARG_TEXT_PP(4);
		Size len;
		char *utf8 = text_to_utf8(VARDATA_ANY(search), VARSIZE_ANY_EXHDR(search), &len);

		if (len > MAX_SEARCH)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("search is longer than %d bytes", MAX_SEARCH)));
		buf_put_cstr(&request, ", \"search\": ");
		json_put_string(&request, utf8, len);
	}
	buf_put_u8(&request, '}');
	return pstrdup(buf_cstr(&request));
}

/* modal-local puts the index into the id of an input; others do not. */
static bool
index_of_input(const char *input, int64 *index)
{
	const char *dash = strncmp(input, "in-", 3) == 0 ? strchr(input + 3, '-')
													 : NULL;
	char *end;

	if (dash == NULL || dash[1] < '0' || dash[1] > '9')
		return false;
	*index = strtol(dash + 1, &end, 10);
	return *end == '\0';
}

static Datum
text_of(Slice json, Buf *buf)
{
	buf_reset(buf);
	if (!json_string(json, buf))
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
						errmsg("the logs of the remote call cannot be read")));
	return CStringGetTextDatum(remote_text((Slice){buf_cstr(buf), buf->len}));
}

/*
 * One line: [microseconds, input, stream, text].  What is allocated here goes
 * with the line.
 */
static void
take_line(JsonCursor *c, ReturnSetInfo *result)
{
	Datum values[N_COLUMNS];
	bool nulls[N_COLUMNS] = {false};
	Slice part[4];
	int64 at = 0;
	int64 stream = 0;
	int64 index;
	bool good = json_enter(c, '[');
	Buf buf;

	for (int i = 0; good && i < 4; i++)
		good = json_next_element(c, &part[i]);
	if (!good || json_next_element(c, &part[0]) || c->error != NULL ||
		!json_integer(part[0], &at) || !json_integer(part[2], &stream) ||
		!IS_VALID_TIMESTAMP(at - UNIX_EPOCH_USECS))
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
						errmsg("the logs of the remote call cannot be read")));
	buf_init(&buf, 0, buf_palloc);
	values[0] = TimestampTzGetDatum(at - UNIX_EPOCH_USECS);
	values[4] = text_of(part[1], &buf);
	nulls[1] = !index_of_input(buf_cstr(&buf), &index);
	values[1] = Int64GetDatum(nulls[1] ? 0 : index);
	nulls[4] = buf.len == 0;
	values[2] = CStringGetTextDatum(stream == 1	  ? "stdout"
									: stream == 2 ? "stderr"
												  : "system");
	values[3] = text_of(part[3], &buf);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* modal_function_call_logs(call, since, until, max_lines, search) */
Datum
modal_function_call_logs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Endpoint *endpoint;
	MemoryContext each;
	JsonCursor c;
	const char *id;
	char *answer;
	Slice key;
	Size len;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	endpoint = remote_id_endpoint(PG_GETARG_TEXT_PP(0), &id);
	answer = control_ask_text(endpoint, id, CONTROL_CALL_LOGS,
							  make_request(fcinfo), &len);
	each = AllocSetContextCreate(CurrentMemoryContext, "modal log line",
								 ALLOCSET_DEFAULT_SIZES);
	json_open(&c, answer, len);
	if (json_enter(&c, '{') && json_next_key(&c, &key) &&
		json_key_is(key, "lines") && json_enter(&c, '['))
	{
		Slice line;

		while (json_next_element(&c, &line))
		{
			MemoryContext old = MemoryContextSwitchTo(each);
			JsonCursor inner;

			CHECK_FOR_INTERRUPTS();
			json_open(&inner, line.p, line.n);
			take_line(&inner, result);
			MemoryContextSwitchTo(old);
			MemoryContextReset(each);
		}
	}
	endpoint_release(endpoint);
	PG_RETURN_NULL();
}
