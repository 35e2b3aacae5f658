/*-------------------------------------------------------------------------
 *
 * job_error.c
 *	  Errors of our own in a job; see job_error.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "session/codec.h"
#include "worker/job_error.h"

bool
error_is_contention(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
			return true;
		default:
			return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE;
	}
}

bool
error_is_transient(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_CONNECTION_EXCEPTION:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			return error_is_contention(sqlstate) ||
				sqlstate == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ||
				sqlstate == ERRCODE_READ_ONLY_SQL_TRANSACTION;
	}
}

Jsonb *
edata_to_jsonb(const ErrorData *edata, int attempts)
{
	FrameOutput out = {0};

	out.attempts = (uint16) attempts;
	strlcpy(out.sqlstate, unpack_sql_state(edata->sqlerrcode),
			sizeof(out.sqlstate));
	out.retryable = error_is_transient(edata->sqlerrcode);
	out.message.p = edata->message;
	out.message.n = strlen(edata->message);
	return error_to_jsonb(&out);
}
