/*-------------------------------------------------------------------------
 *
 * type_table.c
 *	  How each SQL type travels; see type_table.h and docs/types.md.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "values/type_table.h"

static ValueKind
kind_of(Oid base)
{
	switch (base)
	{
		case BOOLOID:
			return KIND_BOOL;
		case INT2OID:
			return KIND_INT2;
		case INT4OID:
			return KIND_INT4;
		case INT8OID:
			return KIND_INT8;
		case OIDOID:
			return KIND_OID;
		case FLOAT4OID:
			return KIND_FLOAT4;
		case FLOAT8OID:
			return KIND_FLOAT8;
		case NUMERICOID:
			return KIND_NUMERIC;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return KIND_TEXT;
		case BYTEAOID:
			return KIND_BYTEA;
		case DATEOID:
			return KIND_DATE;
		case TIMESTAMPOID:
			return KIND_TIMESTAMP;
		case TIMESTAMPTZOID:
			return KIND_TIMESTAMPTZ;
		case INTERVALOID:
			return KIND_INTERVAL;
		case UUIDOID:
			return KIND_UUID;
		case JSONOID:
			return KIND_JSON;
		case JSONBOID:
			return KIND_JSONB;
		default:
			break;
	}
	if (type_is_array(base))
		return KIND_ARRAY;
	if (type_is_rowtype(base))
		return KIND_ROW;
	return KIND_OTHER;
}

void
type_info(Oid type, TypeInfo *info)
{
	Oid element;

	info->type = type;
	info->base = getBaseType(type);
	info->kind = kind_of(info->base);
	info->from_floats = info->to_floats = InvalidOid;
	if (info->kind == KIND_OTHER)
		type_float_casts(info->base, &info->from_floats, &info->to_floats);
	if (OidIsValid(info->from_floats) || OidIsValid(info->to_floats))
		info->kind = KIND_VECTOR;
	element = get_element_type(info->base);
	info->names_objects = type_names_objects(info->base) ||
		(OidIsValid(element) && type_names_objects(getBaseType(element)));
	get_typlenbyvalalign(info->base, &info->len, &info->byval, &info->align);
}

bool
type_has_exact_form(Oid type)
{
	switch (kind_of(getBaseType(type)))
	{
		case KIND_ARRAY:
		case KIND_ROW:
		case KIND_JSON:
		case KIND_JSONB:
			return true;
		default:
			return false;
	}
}

bool
kind_is_number(ValueKind kind, NumberType *type)
{
	switch (kind)
	{
		case KIND_INT2:
			*type = NUMBER_INT2;
			return true;
		case KIND_INT4:
			*type = NUMBER_INT4;
			return true;
		case KIND_INT8:
			*type = NUMBER_INT8;
			return true;
		case KIND_FLOAT4:
			*type = NUMBER_FLOAT4;
			return true;
		case KIND_FLOAT8:
			*type = NUMBER_FLOAT8;
			return true;
		default:
			return false;
	}
}
