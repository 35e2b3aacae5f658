/*-------------------------------------------------------------------------
 *
 * sink_target.c
 *	  Looking up and checking the table of a sink; see sink_target.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_namespace.h"
#include "nodes/bitmapset.h"
#include "session/sink_target.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

static AttrNumber
find_column(Relation rel, const char *name, const char *role)
{
	AttrNumber attno = get_attnum(RelationGetRelid(rel), name);

	if (attno <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("%s \"%s\" of relation \"%s\" does not exist", role,
						name, RelationGetRelationName(rel))));
	if (TupleDescAttr(RelationGetDescr(rel), attno - 1)->attgenerated != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_GENERATED_ALWAYS),
				 errmsg("%s \"%s\" of relation \"%s\" is a generated column",
						role, name, RelationGetRelationName(rel))));
	return attno;
}

static AttrNumber *
find_columns(Relation rel, List *names, const char *role)
{
	AttrNumber *attnos = palloc(sizeof(AttrNumber) * Max(list_length(names), 1));
	ListCell *lc;

	foreach (lc, names)
		attnos[foreach_current_index(lc)] = find_column(rel, lfirst(lc), role);
	return attnos;
}

/* Does an index make these columns, and no others, unique? */
static bool
have_unique_index(Relation rel, const AttrNumber *keys, int nkeys)
{
	List *indexes = RelationGetIndexList(rel);
	Bitmapset *wanted = NULL;
	ListCell *lc;
	bool found = false;

	for (int i = 0; i < nkeys; i++)
		wanted = bms_add_member(wanted, keys[i]);
	foreach (lc, indexes)
	{
		Relation index = relation_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;
		Bitmapset *columns = NULL;

		if (form->indisunique && form->indimmediate && form->indisvalid &&
			RelationGetIndexPredicate(index) == NIL)
			for (int i = 0; i < form->indnkeyatts; i++)
				columns = bms_add_member(columns,
										 Max(form->indkey.values[i], 0));
		found = found || bms_equal(columns, wanted);
		relation_close(index, AccessShareLock);
	}
	return found;
}

static void
check_schema(Relation rel, Oid userid)
{
	Oid nsp = RelationGetNamespace(rel);

	if (object_aclcheck(NamespaceRelationId, nsp, userid, ACL_USAGE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_SCHEMA, get_namespace_name(nsp));
}

static void
check_privilege(Relation rel, Oid userid, AclMode mode)
{
	if (pg_class_aclcheck(RelationGetRelid(rel), userid, mode) == ACLCHECK_OK)
		return;
	/* rights on some columns may be all that is needed: the statement tells */
	if (pg_attribute_aclcheck_all(RelationGetRelid(rel), userid, mode,
								  ACLMASK_ANY) == ACLCHECK_OK)
		return;
	aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE,
				   RelationGetRelationName(rel));
}

static void
check_relation(Relation rel, const SinkSpec *spec, Oid userid)
{
	char kind = rel->rd_rel->relkind;

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", RelationGetRelationName(rel)),
				 errdetail("Results can be written to tables and partitioned tables.")));
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("results cannot be written to temporary table \"%s\"",
						RelationGetRelationName(rel)),
				 errdetail("A job runs in another session.")));
	check_schema(rel, userid);
	if (spec->mode != SINK_UPDATE)
		check_privilege(rel, userid, ACL_INSERT);
	if (spec->mode != SINK_INSERT)
		check_privilege(rel, userid, ACL_UPDATE);
}

SinkTarget *
sink_target_get(const SinkSpec *spec, Oid userid)
{
	Relation rel = try_relation_open(spec->into_table, AccessShareLock);
	SinkTarget *target;

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table for results, with OID %u, does not exist",
						spec->into_table)));
	check_relation(rel, spec, userid);

	target = palloc0(sizeof(SinkTarget));
	target->relid = spec->into_table;
	target->name = quote_qualified_identifier(
		get_namespace_name(RelationGetNamespace(rel)),
		RelationGetRelationName(rel));
	target->desc = CreateTupleDescCopy(RelationGetDescr(rel));
	target->nkeys = list_length(spec->key_columns);
	target->keys = find_columns(rel, spec->key_columns, "key column");
	target->nchecks = list_length(spec->check_columns);
	target->checks = find_columns(rel, spec->check_columns, "argument column");
	if (spec->result_column != NULL)
		target->result = find_column(rel, spec->result_column, "result column");
	if (spec->error_column != NULL)
		target->error = find_column(rel, spec->error_column, "error column");

	if (spec->mode == SINK_UPSERT &&
		!have_unique_index(rel, target->keys, target->nkeys))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("there is no unique index on the key columns of relation \"%s\"",
						RelationGetRelationName(rel)),
				 errhint("Create a unique index on exactly the key columns, or use mode \"insert\".")));
	relation_close(rel, AccessShareLock);
	return target;
}

Oid
relation_owner(Oid relid)
{
	HeapTuple tup = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tup))->relowner;
	ReleaseSysCache(tup);
	return owner;
}

List *
relation_primary_key(Oid relid)
{
	Relation rel = relation_open(relid, AccessShareLock);
	Oid index = RelationGetPrimaryKeyIndexCompat(rel);
	List *names = NIL;

	if (OidIsValid(index))
	{
		HeapTuple tup = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
		Form_pg_index form;

		if (!HeapTupleIsValid(tup))
			elog(ERROR, "cache lookup failed for index %u", index);
		form = (Form_pg_index) GETSTRUCT(tup);
		for (int i = 0; i < form->indnkeyatts; i++)
			names = lappend(names, get_attname(relid, form->indkey.values[i],
											   false));
		ReleaseSysCache(tup);
	}
	relation_close(rel, AccessShareLock);
	return names;
}
