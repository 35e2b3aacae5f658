/*-------------------------------------------------------------------------
 *
 * input_encoder.c
 *	  From rows to stored inputs; see input_encoder.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "core/cbor.h"
#include "funcapi.h"
#include "guc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/typcache.h"
#include "values/input_encoder.h"

PG_FUNCTION_INFO_V1(modal_fingerprint);
PG_FUNCTION_INFO_V1(modal_input_identity);

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

/* For keys (with names) and checks (names NULL), wherever the job goes. */
static ArgEncoder *
meta_encoder_create(MemoryContext cxt, int n, const Oid *types, char **names)
{
	ArgFormat format = {.payload = PAYLOAD_CBOR, .exact = true};

	return arg_encoder_create(cxt, format, n, types, names, NULL);
}

/* Are these columns the same bytes as arguments and as checks? */
static bool
same_when_exact(TupleDesc desc, const ColumnEncoder *ce)
{
	for (int i = 0; i < ce->n; i++)
		if (type_has_exact_form(TupleDescAttr(desc, ce->columns[i])->atttypid))
			return false;
	return true;
}

static uint64
hash_of(const Buf *buf)
{
	return hash_bytes_extended(buf->data, (int) buf->len, 0);
}

static uint64
fingerprint(ArgEncoder *enc, Buf *scratch, const Datum *values,
			const bool *isnull)
{
	buf_reset(scratch);
	arg_encode(enc, scratch, values, isnull);
	return hash_of(scratch);
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

static void
init_buffer(MemoryContext cxt, Buf *buf)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);

	buf_init(buf, MaxAllocSize, buf_palloc);
	MemoryContextSwitchTo(old);
}

InputEncoder *
input_encoder_create(MemoryContext cxt, ArgFormat format, Jsonb *kwargs,
					 TupleDesc desc, const InputColumns *columns)
{
	InputEncoder *enc = MemoryContextAllocZero(cxt, sizeof(InputEncoder));
	char **arg_names = NULL;

	init_columns(cxt, &enc->args, columns->nargs, columns->args);
	init_columns(cxt, &enc->keys, columns->nkeys, columns->keys);
	init_columns(cxt, &enc->checks, columns->nchecks, columns->checks);
	if (format.named)
		arg_names = column_names(desc, &enc->args);
	enc->args.enc = arg_encoder_create(cxt, format, enc->args.n,
									   column_types(desc, &enc->args),
									   arg_names, kwargs);
	if (enc->keys.n > 0)
		enc->keys.enc = meta_encoder_create(cxt, enc->keys.n,
											column_types(desc, &enc->keys),
											column_names(desc, &enc->keys));
	enc->checks_are_args = format.payload == PAYLOAD_CBOR &&
		kwargs == NULL && columns->nargs == columns->nchecks &&
		columns->nargs > 0 &&
		memcmp(columns->args, columns->checks,
			   sizeof(int) * columns->nargs) == 0 &&
		same_when_exact(desc, &enc->args);
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
			hash = hash_of(&enc->payload);
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

struct Fingerprint
{
	ArgEncoder *enc;
	Buf scratch;
};

Fingerprint *
fingerprint_create(MemoryContext cxt, int n, const Oid *types)
{
	Fingerprint *fp = MemoryContextAllocZero(cxt, sizeof(Fingerprint));

	fp->enc = meta_encoder_create(cxt, n, types, NULL);
	return fp;
}

int64
fingerprint_of(Fingerprint *fp, const Datum *values, const bool *isnull)
{
	/* the row's memory context takes it back */
	buf_init(&fp->scratch, MaxAllocSize, buf_palloc);
	return (int64) fingerprint(fp->enc, &fp->scratch, values, isnull);
}

/* --- in SQL --------------------------------------------------------------- */

/* Some arguments of a SQL function. */
typedef struct Arguments
{
	int n;
	Oid *types;
	Datum *values;
	bool *isnull;
	int32 typmod; /* of a record; -1: it is none */
} Arguments;

/* The columns of a record, in its place; false: it is a row of a type. */
static bool
spread(HeapTupleHeader record, Arguments *args)
{
	TupleDesc desc;
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(record),
						   .t_data = record};

	if (HeapTupleHeaderGetTypeId(record) != RECORDOID)
		return false;
	desc = lookup_rowtype_tupdesc(RECORDOID, HeapTupleHeaderGetTypMod(record));
	ItemPointerSetInvalid(&tuple.t_self);
	args->n = desc->natts;
	args->typmod = HeapTupleHeaderGetTypMod(record);
	args->types = palloc(sizeof(Oid) * Max(args->n, 1));
	args->values = palloc(sizeof(Datum) * Max(args->n, 1));
	args->isnull = palloc(sizeof(bool) * Max(args->n, 1));
	heap_deform_tuple(&tuple, desc, args->values, args->isnull);
	for (int i = 0; i < args->n; i++)
		args->types[i] = TupleDescAttr(desc, i)->atttypid;
	ReleaseTupleDesc(desc);
	return true;
}

/*
 * Those from that number on.  A function can have no more than FUNC_MAX_ARGS:
 * for columns that are more, there is one of type record, which no column is.
 */
static void
get_arguments(FunctionCallInfo fcinfo, int first, Arguments *args)
{
	args->n = PG_NARGS() - first;
	args->typmod = -1;
	if (args->n == 1 && !PG_ARGISNULL(first) &&
		get_fn_expr_argtype(fcinfo->flinfo, first) == RECORDOID &&
		spread(PG_GETARG_HEAPTUPLEHEADER(first), args))
		return;
	args->types = palloc(sizeof(Oid) * Max(args->n, 1));
	args->values = palloc(sizeof(Datum) * Max(args->n, 1));
	args->isnull = palloc(sizeof(bool) * Max(args->n, 1));
	for (int i = 0; i < args->n; i++)
	{
		args->types[i] = get_fn_expr_argtype(fcinfo->flinfo, first + i);
		args->isnull[i] = PG_ARGISNULL(first + i);
		args->values[i] = args->isnull[i] ? (Datum) 0
										  : PG_GETARG_DATUM(first + i);
	}
}

/* What is kept between calls. */
typedef struct FingerprintCall
{
	Fingerprint *fp;
	int32 typmod;
} FingerprintCall;

/* What an UPDATE asks of the row: does it hold the values that were sent? */
Datum
modal_fingerprint(PG_FUNCTION_ARGS)
{
	FingerprintCall *call = fcinfo->flinfo->fn_extra;
	MemoryContext cxt = fcinfo->flinfo->fn_mcxt;
	Arguments args;

	if (get_fn_expr_variadic(fcinfo->flinfo))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("modal_batch.fingerprint() takes no VARIADIC array")));
	get_arguments(fcinfo, 0, &args);
	if (call == NULL)
		fcinfo->flinfo->fn_extra = call =
			MemoryContextAllocZero(cxt, sizeof(FingerprintCall));
	if (call->fp == NULL || call->typmod != args.typmod)
	{
		call->fp = fingerprint_create(cxt, args.n, args.types);
		call->typmod = args.typmod;
	}
	PG_RETURN_INT64(fingerprint_of(call->fp, args.values, args.isnull));
}

/* --- who a row is --------------------------------------------------------- */

pg_noreturn static void
damaged_input(void)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("a stored input is damaged")));
}

int64
input_identity(const void *meta, Size len)
{
	const uint8 *p = meta;
	Size skip = FINGERPRINT_SIZE + 2; /* the key is [[], {...}] */
	uint64 hash;
	CborReader reader;
	CborToken tok;

	if (len < skip)
		damaged_input();
	hash = hash_bytes_extended(p, FINGERPRINT_SIZE, 0);
	cbor_reader_init(&reader, p + skip, len - skip, CBOR_MAX_DEPTH, buf_palloc);
	while (cbor_next(&reader, &tok))
	{
		const uint8 *value = reader.p;

		if (tok.is_key && cbor_next(&reader, &tok) && cbor_skip(&reader, &tok))
			hash = hash_bytes_extended(value, (int) (reader.p - value), hash);
	}
	if (reader.error != CBOR_OK)
		damaged_input();
	cbor_reader_free(&reader);
	return (int64) hash;
}

typedef struct IdentityCall
{
	int nkeys;
	ArgEncoder *keys, *checks;
	int32 typmod; /* of the checks */
} IdentityCall;

static IdentityCall *
begin_identity(FunctionCallInfo fcinfo)
{
	MemoryContext cxt = fcinfo->flinfo->fn_mcxt;
	IdentityCall *call = MemoryContextAllocZero(cxt, sizeof(IdentityCall));
	Oid types[FUNC_MAX_ARGS];
	char *names[FUNC_MAX_ARGS];
	Datum *elements;
	int n = PG_NARGS() - 1;

	if (PG_ARGISNULL(0) || get_fn_expr_variadic(fcinfo->flinfo))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("modal_batch.input_identity() needs the names of the key, and takes no VARIADIC array")));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, &call->nkeys);
	if (call->nkeys == 0 || call->nkeys >= n)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("modal_batch.input_identity() needs the values of the key, and some more")));
	for (int i = 0; i < call->nkeys; i++)
	{
		types[i] = get_fn_expr_argtype(fcinfo->flinfo, i + 1);
		names[i] = TextDatumGetCString(elements[i]);
	}
	call->keys = meta_encoder_create(cxt, call->nkeys, types, names);
	return call;
}

/*
 * The same for a row: names of the key columns, their values, and the values
 * of the check columns.
 */
Datum
modal_input_identity(PG_FUNCTION_ARGS)
{
	IdentityCall *call = fcinfo->flinfo->fn_extra;
	Arguments checks;
	Datum values[FUNC_MAX_ARGS];
	bool isnull[FUNC_MAX_ARGS];
	Buf scratch, meta;
	uint64 hash;

	if (call == NULL)
		fcinfo->flinfo->fn_extra = call = begin_identity(fcinfo);
	get_arguments(fcinfo, call->nkeys + 1, &checks);
	if (call->checks == NULL || call->typmod != checks.typmod)
	{
		call->checks = meta_encoder_create(fcinfo->flinfo->fn_mcxt, checks.n,
										   checks.types, NULL);
		call->typmod = checks.typmod;
	}
	for (int i = 0; i < call->nkeys; i++)
	{
		isnull[i] = PG_ARGISNULL(i + 1);
		values[i] = isnull[i] ? (Datum) 0 : PG_GETARG_DATUM(i + 1);
	}
	/* the row's memory context takes them back */
	buf_init(&scratch, MaxAllocSize, buf_palloc);
	buf_init(&meta, MaxAllocSize, buf_palloc);
	hash = fingerprint(call->checks, &scratch, checks.values, checks.isnull);
	buf_put(&meta, &hash, sizeof(hash));
	arg_encode(call->keys, &meta, values, isnull);
	PG_RETURN_INT64(input_identity(meta.data, meta.len));
}
