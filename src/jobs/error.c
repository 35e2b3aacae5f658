/*-------------------------------------------------------------------------
 *
 * error.c
 *	  Errors of our own in a job; see error.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "errors.h"
#include "jobs/error.h"
#include "utils/numeric.h"
#include "values/values.h"

/*
 * Whatever its SQLSTATE, an error that a procedure raises says something about
 * what the procedure was given.  Where errors are raised, they tell.
 */
static bool
is_raised_by_procedure(const ErrorData *edata)
{
	return edata->filename != NULL &&
		(strcmp(edata->filename, "pl_exec.c") == 0 ||
		 strncmp(edata->filename, "plpy_", 5) == 0 ||
		 strcmp(edata->filename, "plperl.c") == 0 ||
		 strcmp(edata->filename, "pltcl.c") == 0);
}

static bool
is_contention_code(int sqlstate)
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
error_is_contention(const ErrorData *edata)
{
	return is_contention_code(edata->sqlerrcode) && !is_raised_by_procedure(edata);
}

bool
error_is_passing(const ErrorData *edata)
{
	switch (ERRCODE_TO_CATEGORY(edata->sqlerrcode))
	{
		case ERRCODE_CONNECTION_EXCEPTION:
			/* what does not keep to a protocol is a row's value */
			if (edata->sqlerrcode == ERRCODE_PROTOCOL_VIOLATION)
				return false;
			break;
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			break;
		default:
			if (!is_contention_code(edata->sqlerrcode) &&
				edata->sqlerrcode != ERRCODE_READ_ONLY_SQL_TRANSACTION)
				return false;
			break;
	}
	return !is_raised_by_procedure(edata);
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
			return is_contention_code(sqlstate) ||
				sqlstate == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ||
				sqlstate == ERRCODE_READ_ONLY_SQL_TRANSACTION;
	}
}

Jsonb *
edata_to_jsonb(const ErrorData *edata, int attempts)
{
	ErrorFields fields = {.sqlstate = unpack_sql_state(edata->sqlerrcode),
						  .message = edata->message,
						  .detail = edata->detail,
						  .hint = edata->hint,
						  .retryable = error_is_transient(edata->sqlerrcode),
						  .attempts = attempts};

	return error_fields_to_jsonb(&fields);
}

char *
error_member(const Jsonb *error, const char *name)
{
	JsonbValue value;

	if (error == NULL || !JB_ROOT_IS_OBJECT(error) ||
		getKeyJsonValueFromContainer((JsonbContainer *) &error->root, name,
									 (int) strlen(name), &value) == NULL ||
		value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

static char *
text_or_null(Slice text)
{
	return text.n == 0 ? NULL : remote_text(text);
}

ErrorData *
closed_to_edata(const CallClosed *closed)
{
	ErrorData *edata = palloc0(sizeof(ErrorData));

	Assert(IsTransactionState());
	edata->sqlerrcode = closed->retryable
		? modal_sqlstate(MODAL_SQLSTATE_CONNECTION)
		: modal_sqlstate(closed->sqlstate);
	edata->message = remote_text(closed->message);
	edata->detail = text_or_null(closed->detail);
	edata->hint = text_or_null(closed->hint);
	return edata;
}
