/*-------------------------------------------------------------------------
 *
 * input_encoder.c
 *	  From rows to stored inputs; see input_encoder.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "common/hashfn.h"
#include "funcapi.h"
#include "guc.h"
#include "values/input_encoder.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(modal_fingerprint);

/* Some columns of a row, and how to encode them. */
typedef struct ColumnEncoder
{
	ArgEncoder *enc; /* NULL: no columns */
	int n;
	int *columns;
	Datum *values;
	bool *isnull;
} ColumnEncoder;

struct InputEncoder
{
	ColumnEncoder args, keys, checks;
	bool checks_are_args; /* the payload's hash is the fingerprint */
	MemoryContext row_cxt; /* what encoding one row leaves behind */
	Buf meta, payload, scratch;
};

/* Keys and checks are written as for a Modal server, wherever the job goes. */
static const Endpoint cbor_endpoint = {.protocol = ENDPOINT_MODAL};

ArgEncoder *
meta_encoder_create(MemoryContext cxt, int n, const Oid *types, char **names)
{
	return arg_encoder_create(cxt, &cbor_endpoint, n, types, names, NULL);
}

uint64
fingerprint(ArgEncoder *enc, Buf *scratch, const Datum *values,
			const bool *isnull)
{
	buf_reset(scratch);
	arg_encode(enc, scratch, values, isnull);
	return hash_bytes_extended(scratch->data, (int) scratch->len, 0);
}

static void
init_columns(MemoryContext cxt, ColumnEncoder *ce, int n, const int *columns)
{
	ce->n = n;
	ce->columns = MemoryContextAlloc(cxt, sizeof(int) * Max(n, 1));
	if (n > 0)
		memcpy(ce->columns, columns, sizeof(int) * n);
	ce->values = MemoryContextAlloc(cxt, sizeof(Datum) * Max(n, 1));
	ce->isnull = MemoryContextAlloc(cxt, sizeof(bool) * Max(n, 1));
}

static Oid *
column_types(TupleDesc desc, const ColumnEncoder *ce)
{
	Oid *types = palloc(sizeof(Oid) * Max(ce->n, 1));

	for (int i = 0; i < ce->n; i++)
		types[i] = TupleDescAttr(desc, ce->columns[i])->atttypid;
	return types;
}

static char **
column_names(TupleDesc desc, const ColumnEncoder *ce)
{
	char **names = palloc(sizeof(char *) * Max(ce->n, 1));

	for (int i = 0; i < ce->n; i++)
		names[i] = NameStr(TupleDescAttr(desc, ce->columns[i])->attname);
	return names;
}

/* Memory is had at once, so that it belongs to this context. */
static void
init_buffer(MemoryContext cxt, Buf *buf)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);

	buf_init(buf, MaxAllocSize, buf_palloc);
	(void) buf_reserve(buf, 1024);
	MemoryContextSwitchTo(old);
}

InputEncoder *
input_encoder_create(MemoryContext cxt, const Endpoint *endpoint,
					 Jsonb *kwargs, TupleDesc desc,
					 const InputColumns *columns)
{
	InputEncoder *enc = MemoryContextAllocZero(cxt, sizeof(InputEncoder));
	char **arg_names = NULL;

	init_columns(cxt, &enc->args, columns->nargs, columns->args);
	init_columns(cxt, &enc->keys, columns->nkeys, columns->keys);
	init_columns(cxt, &enc->checks, columns->nchecks, columns->checks);
	if (endpoint->args_as_object)
		arg_names = column_names(desc, &enc->args);
	enc->args.enc = arg_encoder_create(cxt, endpoint, enc->args.n,
									   column_types(desc, &enc->args),
									   arg_names, kwargs);
	if (enc->keys.n > 0)
		enc->keys.enc = meta_encoder_create(cxt, enc->keys.n,
											column_types(desc, &enc->keys),
											column_names(desc, &enc->keys));
	enc->checks_are_args = endpoint->protocol == ENDPOINT_MODAL &&
		kwargs == NULL && columns->nargs == columns->nchecks &&
		columns->nargs > 0 &&
		memcmp(columns->args, columns->checks,
			   sizeof(int) * columns->nargs) == 0;
	if (enc->checks.n > 0)
		enc->checks.enc = meta_encoder_create(cxt, enc->checks.n,
											  column_types(desc, &enc->checks),
											  NULL);
	enc->row_cxt = AllocSetContextCreate(cxt, "modal_batch input",
										 ALLOCSET_DEFAULT_SIZES);
	init_buffer(cxt, &enc->meta);
	init_buffer(cxt, &enc->payload);
	init_buffer(cxt, &enc->scratch);
	return enc;
}

PayloadFormat
input_encoder_format(const InputEncoder *enc)
{
	return arg_encoder_format(enc->args.enc);
}

static void
gather(ColumnEncoder *ce, const Datum *values, const bool *isnull)
{
	for (int i = 0; i < ce->n; i++)
	{
		ce->values[i] = values[ce->columns[i]];
		ce->isnull[i] = isnull[ce->columns[i]];
	}
}

void
input_encode(InputEncoder *enc, Buf *buf, const Datum *values,
			 const bool *isnull)
{
	MemoryContext old = MemoryContextSwitchTo(enc->row_cxt);

	buf_reset(&enc->meta);
	buf_reset(&enc->payload);

	gather(&enc->args, values, isnull);
	arg_encode(enc->args.enc, &enc->payload, enc->args.values,
			   enc->args.isnull);
	if (enc->checks.n > 0)
	{
		uint64 hash;

		if (enc->checks_are_args)
			hash = hash_bytes_extended(enc->payload.data,
									   (int) enc->payload.len, 0);
		else
		{
			gather(&enc->checks, values, isnull);
			hash = fingerprint(enc->checks.enc, &enc->scratch,
							   enc->checks.values, enc->checks.isnull);
		}
		buf_put(&enc->meta, &hash, sizeof(hash));
	}
	if (enc->keys.n > 0)
	{
		gather(&enc->keys, values, isnull);
		arg_encode(enc->keys.enc, &enc->meta, enc->keys.values,
				   enc->keys.isnull);
	}
	if (enc->payload.failed || enc->payload.len > (Size) modal_max_payload_kb * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("an input of a remote function is larger than modal_batch.max_payload, %d kB",
						modal_max_payload_kb)));
	MemoryContextSwitchTo(old);
	MemoryContextReset(enc->row_cxt);
	chunk_put(buf, enc->meta.data, enc->meta.len, enc->payload.data,
			  enc->payload.len);
}

/* What an UPDATE asks of the row: does it hold the values that were sent? */
Datum
modal_fingerprint(PG_FUNCTION_ARGS)
{
	typedef struct FingerprintCall
	{
		ArgEncoder *enc;
		Buf scratch;
	} FingerprintCall;
	FingerprintCall *call = fcinfo->flinfo->fn_extra;
	Datum values[FUNC_MAX_ARGS];
	bool isnull[FUNC_MAX_ARGS];
	int n = PG_NARGS();

	if (get_fn_expr_variadic(fcinfo->flinfo))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("modal_batch.fingerprint() takes no VARIADIC array")));
	if (call == NULL)
	{
		Oid types[FUNC_MAX_ARGS];

		for (int i = 0; i < n; i++)
			types[i] = get_fn_expr_argtype(fcinfo->flinfo, i);
		call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(*call));
		call->enc = meta_encoder_create(fcinfo->flinfo->fn_mcxt, n, types,
										NULL);
		fcinfo->flinfo->fn_extra = call;
	}
	for (int i = 0; i < n; i++)
	{
		isnull[i] = PG_ARGISNULL(i);
		values[i] = isnull[i] ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	/* the row's memory context takes it back */
	buf_init(&call->scratch, MaxAllocSize, buf_palloc);
	PG_RETURN_INT64((int64) fingerprint(call->enc, &call->scratch, values,
										isnull));
}
