/*-------------------------------------------------------------------------
 *
 * decode.c
 *	  Results straight to declared types; see values.h and docs/types.md.
 *
 * There is one decoder, and it reads CBOR.  A JSON result is first turned
 * into CBOR (scalars by hand, the rest through jsonb), so that both formats
 * follow the same rules.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
#include "values/decode.h"

static Datum decode_value(ResultDecoder *dec, CborReader *r, CborToken *tok,
						  bool *isnull);

/* --- making one --------------------------------------------------------------- */

static void
init_row(ResultDecoder *dec, TupleDesc desc, MemoryContext cxt)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);
	int natts = desc->natts;

	dec->desc = CreateTupleDescCopy(desc);
	dec->columns = palloc0(natts * sizeof(ResultDecoder *));
	dec->names = palloc0(natts * sizeof(char *));
	dec->name_lens = palloc0(natts * sizeof(Size));
	dec->values = palloc(natts * sizeof(Datum));
	dec->nulls = palloc(natts * sizeof(bool));
	dec->found = palloc(natts * sizeof(bool));
	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(dec->desc, i);

		if (att->attisdropped)
			continue;
		dec->columns[i] = result_decoder_create(cxt, att->atttypid,
												att->atttypmod, NULL);
		dec->names[i] = name_to_utf8(NameStr(att->attname), &dec->name_lens[i]);
	}
	if (dec->desc->tdtypeid == RECORDOID)
		BlessTupleDesc(dec->desc);
	MemoryContextSwitchTo(old);
}

/* The type's columns as they are now: ALTER TYPE may change them any time. */
static void
learn_row_type(ResultDecoder *dec)
{
	uint64 identifier = assign_record_type_identifier(dec->info.base, dec->typmod);
	TupleDesc desc;

	if (dec->row_identifier == identifier)
		return;
	dec->row_identifier = 0;
	MemoryContextReset(dec->row_cxt);
	desc = lookup_rowtype_tupdesc(dec->info.base, dec->typmod);
	init_row(dec, desc, dec->row_cxt);
	ReleaseTupleDesc(desc);
	dec->row_identifier = identifier;
}

ResultDecoder *
result_decoder_create(MemoryContext cxt, Oid type, int32 typmod,
					  TupleDesc tupdesc)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);
	ResultDecoder *dec = palloc0(sizeof(ResultDecoder));
	Oid in;

	dec->cxt = cxt;
	dec->typmod = typmod;
	if (tupdesc != NULL && !OidIsValid(type))
		type = RECORDOID;
	type_info(type, &dec->info);
	if (dec->info.base != type && typmod < 0)
		dec->info.base = getBaseTypeAndTypmod(type, &dec->typmod);
	if (dec->info.kind == KIND_ROW && tupdesc != NULL)
		init_row(dec, tupdesc, cxt);
	else if (dec->info.kind == KIND_ROW)
	{
		dec->row_cxt = AllocSetContextCreate(cxt, "modal_batch row decoder",
											 ALLOCSET_SMALL_SIZES);
		learn_row_type(dec);
	}
	else
	{
		getTypeInputInfo(dec->info.base, &in, &dec->ioparam);
		fmgr_info_cxt(in, &dec->in, cxt);
	}
	if (dec->info.kind == KIND_ARRAY)
		dec->element = result_decoder_create(
			cxt, get_element_type(dec->info.base), dec->typmod, NULL);
	MemoryContextSwitchTo(old);
	return dec;
}

/* --- arrays ---------------------------------------------------------------------------- */

/* Tags that only say more of a list. */
static bool
is_list_tag(const CborToken *tok)
{
	return tok->kind == CBOR_TAG &&
		(tok->u == CBOR_TAG_SET || tok->u == CBOR_TAG_HOMOGENEOUS);
}

/* Are lists within an array's list its next dimension, and not values? */
static bool
lists_are_dimensions(const ResultDecoder *element)
{
	switch (element->info.kind)
	{
		case KIND_ARRAY: /* a domain over one */
		case KIND_JSON:
		case KIND_JSONB:
		case KIND_ROW:
		case KIND_VECTOR:
			return false;
		default:
			return true;
	}
}

typedef struct ArrayBuild
{
	ResultDecoder *dec;
	Datum *values;
	bool *nulls;
	int n, size;
	int ndim;			/* 0: not known yet */
	int dims[MAXDIM];
	bool known[MAXDIM]; /* is the length of this dimension known? */
} ArrayBuild;

static void
array_add(ArrayBuild *build, Datum value, bool isnull)
{
	if (build->n == build->size)
	{
		build->size = Max(build->size * 2, 64);
		build->values = build->values == NULL
			? palloc(build->size * sizeof(Datum))
			: repalloc(build->values, build->size * sizeof(Datum));
		build->nulls = build->nulls == NULL
			? palloc(build->size * sizeof(bool))
			: repalloc(build->nulls, build->size * sizeof(bool));
	}
	build->values[build->n] = value;
	build->nulls[build->n++] = isnull;
}

static void
not_rectangular(ArrayBuild *build)
{
	ereport(ERROR,
			(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
			 errmsg("result of the remote function does not fit type %s",
					format_type_be(build->dec->info.type)),
			 errdetail("Arrays within an array must all have the same length.")));
}

/* An array token at nesting level has been read: its elements. */
static void
read_dimension(ArrayBuild *build, CborReader *r, int level)
{
	CborToken tok;
	int count = 0;
	bool nests = lists_are_dimensions(build->dec->element);

	for (;;)
	{
		bool isnull;
		Datum value;

		CHECK_FOR_INTERRUPTS();
		next_token(r, &tok);
		if (tok.kind == CBOR_END)
			break;
		count++;
		while (is_list_tag(&tok))
			next_token(r, &tok);
		if (nests && tok.kind == CBOR_ARRAY)
		{
			if (level + 1 == MAXDIM)
				ereport(ERROR,
						(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						 errmsg("number of array dimensions exceeds the maximum allowed (%d)",
								MAXDIM)));
			if (build->ndim == level + 1)
				not_rectangular(build);
			read_dimension(build, r, level + 1);
			continue;
		}
		if (build->ndim == 0)
			build->ndim = level + 1;
		if (build->ndim != level + 1)
			not_rectangular(build);
		value = decode_value(build->dec->element, r, &tok, &isnull);
		array_add(build, value, isnull);
	}
	if (build->known[level] && build->dims[level] != count)
		not_rectangular(build);
	build->known[level] = true;
	build->dims[level] = count;
}

/* Arrays by storage, numbered from 0, of one dimension, without NULL. */
static bool
is_vector(const ResultDecoder *dec)
{
	return dec->info.base == INT2VECTOROID || dec->info.base == OIDVECTOROID;
}

static Datum
vector_datum(const ArrayBuild *build)
{
	int16 *numbers = palloc(Max(build->n, 1) * sizeof(int16));
	Oid *oids = palloc(Max(build->n, 1) * sizeof(Oid));

	for (int i = 0; i < build->n; i++)
	{
		if (build->nulls[i] || build->ndim > 1)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("result of the remote function does not fit type %s",
							format_type_be(build->dec->info.type)),
					 errdetail("It takes neither NULL nor arrays within the array.")));
		numbers[i] = DatumGetInt16(build->values[i]);
		oids[i] = DatumGetObjectId(build->values[i]);
	}
	return build->dec->info.base == INT2VECTOROID
		? PointerGetDatum(buildint2vector(numbers, build->n))
		: PointerGetDatum(buildoidvector(oids, build->n));
}

static Datum
decode_array(ResultDecoder *dec, CborReader *r, const CborToken *tok)
{
	ArrayBuild build = {.dec = dec};
	const TypeInfo *element = &dec->element->info;
	Oid element_type = element->type;
	int lower[MAXDIM];
	Datum numbers;

	if (tok->kind == CBOR_TEXT) /* SQL's own form, {1,2,3} */
		return decode_through_input(dec, token_cstring(tok));
	if (tok->kind != CBOR_ARRAY)
		wrong_kind(dec, tok);
	if (decode_numbers(dec, r, tok, &numbers))
		return numbers;
	read_dimension(&build, r, 0);
	if (is_vector(dec))
		return vector_datum(&build);
	if (build.n == 0)
		return PointerGetDatum(construct_empty_array(element_type));
	for (int i = 0; i < MAXDIM; i++)
		lower[i] = 1;
	return PointerGetDatum(construct_md_array(
		build.values, build.nulls, build.ndim, build.dims, lower, element_type,
		element->len, element->byval, element->align));
}

/* --- rows ------------------------------------------------------------------------------- */

/* In UTF-8, which has names that the database's encoding has not. */
static int
column_named(const ResultDecoder *dec, const CborToken *key)
{
	for (int i = 0; i < dec->desc->natts; i++)
		if (dec->names[i] != NULL && dec->name_lens[i] == key->n &&
			memcmp(dec->names[i], key->p, key->n) == 0)
			return i;
	return -1;
}

static void
read_map(ResultDecoder *dec, CborReader *r, Datum *values, bool *isnull,
		 bool *found)
{
	CborToken tok;

	for (;;)
	{
		int column;

		next_token(r, &tok);
		if (tok.kind == CBOR_END)
			return;
		column = tok.kind == CBOR_TEXT ? column_named(dec, &tok) : -1;
		if (!cbor_skip(r, &tok))
			bad_bytes(r);
		next_token(r, &tok);
		if (column < 0)
		{
			if (!cbor_skip(r, &tok))
				bad_bytes(r);
			continue;
		}
		values[column] =
			decode_value(dec->columns[column], r, &tok, &isnull[column]);
		found[column] = true;
	}
}

static void
read_positions(ResultDecoder *dec, CborReader *r, Datum *values, bool *isnull,
			   bool *found)
{
	CborToken tok;
	int column = -1;
	int live = 0, count = 0;

	for (int i = 0; i < dec->desc->natts; i++)
		live += dec->columns[i] != NULL;
	for (;;)
	{
		next_token(r, &tok);
		if (tok.kind == CBOR_END)
			break;
		do
			column++;
		while (column < dec->desc->natts && dec->columns[column] == NULL);
		count++;
		if (column < dec->desc->natts)
		{
			values[column] =
				decode_value(dec->columns[column], r, &tok, &isnull[column]);
			found[column] = true;
		}
		else if (!cbor_skip(r, &tok))
			bad_bytes(r);
	}
	if (count != live)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("result of the remote function has %d values, but %d are declared",
						count, live)));
}

static void
read_row(ResultDecoder *dec, CborReader *r, CborToken *tok, int scalar_column,
		 Datum *values, bool *isnull, bool *found)
{
	memset(isnull, true, dec->desc->natts * sizeof(bool));
	memset(found, false, dec->desc->natts * sizeof(bool));
	memset(values, 0, dec->desc->natts * sizeof(Datum));
	if (tok->kind == CBOR_MAP)
		read_map(dec, r, values, isnull, found);
	else if (tok->kind == CBOR_ARRAY && scalar_column < 0)
		read_positions(dec, r, values, isnull, found);
	else if (scalar_column >= 0)
	{
		values[scalar_column] = decode_value(dec->columns[scalar_column], r,
											 tok, &isnull[scalar_column]);
		found[scalar_column] = true;
	}
	else
		wrong_kind(dec, tok);
}

/* The constraints of a domain, which may be against NULL. */
static void
check_constraints(ResultDecoder *dec, Datum value, bool isnull)
{
	if (dec->info.type != dec->info.base)
		check_domain(&dec->domain, dec->info.type, value, isnull, dec->cxt);
}

static Datum
decode_row(ResultDecoder *dec, CborReader *r, CborToken *tok)
{
	if (dec->row_cxt != NULL)
		learn_row_type(dec);
	/* Scratch is the decoder's: a row type cannot contain itself. */
	read_row(dec, r, tok, -1, dec->values, dec->nulls, dec->found);
	for (int i = 0; i < dec->desc->natts; i++)
		if (!dec->found[i] && dec->columns[i] != NULL)
			check_constraints(dec->columns[i], (Datum) 0, true);
	return HeapTupleGetDatum(
		heap_form_tuple(dec->desc, dec->values, dec->nulls));
}

/* --- any value ---------------------------------------------------------------------------- */

static Datum
decode_value(ResultDecoder *dec, CborReader *r, CborToken *tok, bool *isnull)
{
	Datum value = (Datum) 0;

	check_stack_depth();
	while (is_list_tag(tok))
		next_token(r, tok);
	*isnull = tok->kind == CBOR_NULL || tok->kind == CBOR_UNDEFINED;
	if (!*isnull)
		switch (dec->info.kind)
		{
			case KIND_ARRAY:
				value = decode_array(dec, r, tok);
				break;
			case KIND_ROW:
				value = decode_row(dec, r, tok);
				break;
			default:
				value = decode_scalar(dec, r, tok);
				break;
		}
	check_constraints(dec, value, *isnull);
	return value;
}

/* --- JSON results --------------------------------------------------------------------------- */

/* The whole result as CBOR; integers and the like without a parser. */
static void
json_as_cbor(Buf *buf, const char *p, Size n)
{
	Writer w = {.buf = buf, .decoded = true};
	bool digits = n > 0 && n <= 18;

	for (Size i = 0; digits && i < n; i++)
		digits = (p[i] >= '0' && p[i] <= '9') || (i == 0 && p[i] == '-' && n > 1);
	if (digits && !(n > 1 && p[0] == '0'))
		write_numeric_text(&w, pnstrdup(p, n));
	else if (n == 4 && memcmp(p, "null", 4) == 0)
		cbor_put_null(buf);
	else
		write_jsonb(&w, result_to_jsonb(PAYLOAD_JSON, p, n));
}

/* Begin reading a result; *copy holds it if it had to be converted. */
static void
open_result(CborReader *r, CborToken *tok, PayloadFormat format, const void *p,
			Size n, Buf *copy)
{
	buf_init(copy, 0, buf_palloc);
	if (format == PAYLOAD_JSON)
	{
		json_as_cbor(copy, p, n);
		p = copy->data;
		n = copy->len;
	}
	cbor_reader_init(r, p, n, MAX_DEPTH, buf_palloc);
	r->typed_arrays = true;
	next_token(r, tok);
	if (tok->kind == CBOR_TAG && tok->u == CBOR_TAG_SELF_DESCRIBED)
		next_token(r, tok);
}

static void
close_result(CborReader *r, Buf *copy)
{
	CborToken tok;

	if (cbor_next(r, &tok) || r->error != CBOR_OK)
		bad_bytes(r);
	cbor_reader_free(r);
	buf_free(copy);
}

Datum
result_decode(ResultDecoder *dec, PayloadFormat format, const void *p, Size n,
			  bool *isnull)
{
	CborReader r;
	CborToken tok;
	Buf copy;
	Datum value;

	if (format == PAYLOAD_JSON && decode_json_numbers(dec, p, n, &value))
	{
		*isnull = false;
		check_constraints(dec, value, false);
		return value;
	}
	open_result(&r, &tok, format, p, n, &copy);
	value = decode_value(dec, &r, &tok, isnull);
	close_result(&r, &copy);
	return value;
}

void
result_decode_row(ResultDecoder *dec, PayloadFormat format, const void *p,
				  Size n, int scalar_column, Datum *values, bool *isnull,
				  bool *found)
{
	CborReader r;
	CborToken tok;
	Buf copy;

	Assert(dec->info.kind == KIND_ROW);
	open_result(&r, &tok, format, p, n, &copy);
	read_row(dec, &r, &tok, scalar_column, values, isnull, found);
	close_result(&r, &copy);
}

/* --- lists of rows ---------------------------------------------------------- */

/* Is the row one column that can hold maps or lists? */
static bool
takes_whole_elements(const ResultDecoder *dec)
{
	if (dec->desc->natts != 1)
		return false;
	switch (dec->columns[0]->info.kind)
	{
		case KIND_JSON:
		case KIND_JSONB:
		case KIND_ARRAY:
		case KIND_ROW:
		case KIND_VECTOR:
			return true;
		default:
			return false;
	}
}

static void
read_element(ResultDecoder *dec, CborReader *r, CborToken *tok,
			 int scalar_column)
{
	if (takes_whole_elements(dec))
	{
		dec->found[0] = true;
		dec->values[0] = decode_value(dec->columns[0], r, tok, &dec->nulls[0]);
	}
	else
		read_row(dec, r, tok, tok->kind == CBOR_ARRAY ? -1 : scalar_column,
				 dec->values, dec->nulls, dec->found);
}

void
result_decode_rows(ResultDecoder *dec, PayloadFormat format, const void *p,
				   Size n, int scalar_column, ResultRowFunction row, void *arg)
{
	CborReader r;
	CborToken tok;
	Buf copy;

	Assert(dec->info.kind == KIND_ROW);
	open_result(&r, &tok, format, p, n, &copy);
	while (is_list_tag(&tok))
		next_token(&r, &tok);
	if (tok.kind == CBOR_ARRAY)
		for (next_token(&r, &tok); tok.kind != CBOR_END; next_token(&r, &tok))
		{
			CHECK_FOR_INTERRUPTS();
			read_element(dec, &r, &tok, scalar_column);
			row(arg, dec->values, dec->nulls, dec->found);
		}
	else if (tok.kind != CBOR_NULL && tok.kind != CBOR_UNDEFINED)
		not_a_list(&tok);
	close_result(&r, &copy);
}
