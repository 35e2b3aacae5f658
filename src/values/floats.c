/*-------------------------------------------------------------------------
 *
 * floats.c
 *	  Types that are made of floats: pgvector's, and any other base type with a
 *	  cast from or to real[].
 *
 * A cast is found in the catalogs by its types, not by a name, and only a type's
 * owner can make one: for a base type that is a superuser.  Its function runs as
 * in SQL, for who may execute it.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "values/type_table.h"

static Oid
cast_function(Oid source, Oid target)
{
	Oid function;

	return find_coercion_pathway(target, source, COERCION_ASSIGNMENT,
								 &function) == COERCION_PATH_FUNC
		? function
		: InvalidOid;
}

void
type_float_casts(Oid base, Oid *from, Oid *to)
{
	*from = *to = InvalidOid;
	if (get_typtype(base) != TYPTYPE_BASE || type_is_array(base))
		return;
	*from = cast_function(FLOAT4ARRAYOID, base);
	*to = cast_function(base, FLOAT4ARRAYOID);
}

static void
prepare(FmgrInfo *function, Oid oid, MemoryContext cxt)
{
	AclResult acl = object_aclcheck(ProcedureRelationId, oid, GetUserId(),
									ACL_EXECUTE);

	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_FUNCTION, get_func_name(oid));
	InvokeFunctionExecuteHook(oid);
	fmgr_info_cxt(oid, function, cxt);
}

void
float_cast_init(FloatCast *cast, Oid function, Oid target, int32 typmod,
				MemoryContext cxt)
{
	Oid length;

	prepare(&cast->function, function, cxt);
	cast->typmod = typmod;
	/* One that is not told of the modifier is followed by one that is. */
	if (typmod >= 0 && cast->function.fn_nargs < 2 &&
		find_typmod_coercion_function(target, &length) == COERCION_PATH_FUNC)
		prepare(&cast->length, length, cxt);
}

static Datum
call(FmgrInfo *function, Datum value, int32 typmod)
{
	/* the third argument: that the cast is not an explicit one */
	switch (function->fn_nargs)
	{
		case 1:
			return FunctionCall1(function, value);
		case 2:
			return FunctionCall2(function, value, Int32GetDatum(typmod));
		default:
			return FunctionCall3(function, value, Int32GetDatum(typmod),
								 BoolGetDatum(false));
	}
}

Datum
float_cast(FloatCast *cast, Datum value)
{
	value = call(&cast->function, value, cast->typmod);
	return OidIsValid(cast->length.fn_oid)
		? call(&cast->length, value, cast->typmod)
		: value;
}
