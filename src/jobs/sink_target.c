/*-------------------------------------------------------------------------
 *
 * sink_target.c
 *	  Looking up and checking the table of a sink; see sink_target.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "jobs/nearest_name.h"
#include "jobs/sink_target.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* A generated column can be read, if it is stored, but not be written. */
static AttrNumber
find_column(Relation rel, const char *name, const char *role, bool written)
{
	AttrNumber attno = nearest_name_column(rel, name, role);
	char generated =
		TupleDescAttr(RelationGetDescr(rel), attno - 1)->attgenerated;

	if (generated != '\0' &&
		(written || generated != ATTRIBUTE_GENERATED_STORED))
		ereport(ERROR,
				(errcode(ERRCODE_GENERATED_ALWAYS),
				 errmsg("%s \"%s\" of relation \"%s\" is a generated column",
						role, name, RelationGetRelationName(rel))));
	return attno;
}

static AttrNumber *
find_columns(Relation rel, List *names, const char *role, bool written)
{
	AttrNumber *attnos = palloc(sizeof(AttrNumber) * Max(list_length(names), 1));
	ListCell *lc;

	foreach (lc, names)
		attnos[foreach_current_index(lc)] = find_column(rel, lfirst(lc), role,
														 written);
	return attnos;
}

/* The first n columns of an index; NULL: some are expressions. */
static Bitmapset *
index_columns(Form_pg_index form, int n)
{
	Bitmapset *columns = NULL;

	for (int i = 0; i < n; i++)
	{
		if (form->indkey.values[i] <= 0)
			return NULL;
		columns = bms_add_member(columns, form->indkey.values[i]);
	}
	return columns;
}

/*
 * What the indexes of a table do for its key: is it unique, by just these
 * columns?  Does one lead to the rows of a key, without reading many others?
 */
static void
look_at_indexes(Relation rel, SinkTarget *target)
{
	List *indexes = RelationGetIndexList(rel);
	Bitmapset *keys = NULL;
	ListCell *lc;

	for (int i = 0; i < target->nkeys; i++)
		keys = bms_add_member(keys, target->keys[i]);
	foreach (lc, indexes)
	{
		Relation index = relation_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;
		Bitmapset *all = index_columns(form, form->indnkeyatts);
		Bitmapset *first = form->indnkeyatts < target->nkeys
			? NULL
			: index_columns(form, target->nkeys);

		if (keys != NULL && form->indisvalid &&
			RelationGetIndexPredicate(index) == NIL)
		{
			if (form->indisunique && form->indimmediate && bms_equal(all, keys))
				target->takes_conflicts = true;
			if (bms_equal(first, keys) ||
				(form->indisunique && all != NULL && bms_is_subset(all, keys)))
				target->has_key_index = true;
		}
		relation_close(index, AccessShareLock);
	}
}

/* Has Citus spread this table over its nodes? */
static bool
is_distributed(Oid relid)
{
	/* from a cache, unlike extensions */
	Oid catalog = get_relname_relid("pg_dist_partition", PG_CATALOG_NAMESPACE);
	Relation rel;
	ScanKeyData key;
	SysScanDesc scan;
	bool found;

	if (!OidIsValid(catalog) || !OidIsValid(get_extension_oid("citus", true)))
		return false;
	rel = table_open(catalog, AccessShareLock);
	/* its first column is the table */
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
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

/* What statements a mode makes of results. */
static int
needed_commands(SinkMode mode)
{
	switch (mode)
	{
		case SINK_UPSERT:
			return 1 << CMD_INSERT | 1 << CMD_UPDATE;
		case SINK_UPDATE:
			return 1 << CMD_UPDATE;
		case SINK_REPLACE:
			return 1 << CMD_INSERT | 1 << CMD_DELETE;
		default:
			return 1 << CMD_INSERT;
	}
}

static const struct
{
	CmdType command;
	AclMode privilege;
	const char *name;
} commands[] = {
	{CMD_INSERT, ACL_INSERT, "INSERT"},
	{CMD_UPDATE, ACL_UPDATE, "UPDATE"},
	{CMD_DELETE, ACL_DELETE, "DELETE"},
};

static void
check_relation(Relation rel, const SinkSpec *spec, Oid userid)
{
	char kind = rel->rd_rel->relkind;
	int needed = needed_commands(spec->mode);
	int takes;

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE &&
		kind != RELKIND_FOREIGN_TABLE && kind != RELKIND_VIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", RelationGetRelationName(rel)),
				 errdetail("Results can be written to tables, partitioned tables, foreign tables and views.")));
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("results cannot be written to temporary table \"%s\"",
						RelationGetRelationName(rel)),
				 errdetail("A job runs in another session.")));
	takes = relation_is_updatable(RelationGetRelid(rel), NIL, true, NULL);
	for (int i = 0; i < (int) lengthof(commands); i++)
		if ((needed & ~takes & 1 << commands[i].command) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\" does not take %s",
							RelationGetRelationName(rel), commands[i].name),
					 kind == RELKIND_VIEW
						 ? errhint("Give the view a trigger INSTEAD OF %s.",
								   commands[i].name)
						 : errdetail("Its foreign-data wrapper or an option of it does not allow that.")));
	check_schema(rel, userid);
	for (int i = 0; i < (int) lengthof(commands); i++)
		if ((needed & 1 << commands[i].command) != 0)
			check_privilege(rel, userid, commands[i].privilege);
}

static Form_pg_attribute
column_of(const SinkTarget *target, AttrNumber attno)
{
	return TupleDescAttr(target->desc, attno - 1);
}

/* Rows are deleted by key, and numbered. */
static void
check_replace(Relation rel, const SinkTarget *target)
{
	for (int i = 0; i < target->nkeys; i++)
	{
		Form_pg_attribute att = column_of(target, target->keys[i]);

		if (!OidIsValid(lookup_type_cache(att->atttypid, TYPECACHE_LT_OPR)->lt_opr))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("key column \"%s\" of relation \"%s\" is of type %s, which has no order",
							NameStr(att->attname), RelationGetRelationName(rel),
							format_type_be(att->atttypid))));
		if (target->keys[i] == target->result ||
			target->keys[i] == target->ordinality)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"%s\" is in the key", NameStr(att->attname)),
					 errdetail("It can take neither results nor their numbers.")));
	}
	if (target->ordinality == 0)
		return;
	if (target->ordinality == target->result)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("result column and ordinality column are the same")));
	switch (column_of(target, target->ordinality)->atttypid)
	{
		case INT4OID:
		case INT8OID:
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("ordinality column \"%s\" of relation \"%s\" is of type %s",
							NameStr(column_of(target, target->ordinality)->attname),
							RelationGetRelationName(rel),
							format_type_be(column_of(target, target->ordinality)->atttypid)),
					 errhint("Use a column of type integer or bigint.")));
	}
}

static void
check_upsert(Relation rel, const SinkTarget *target)
{
	char kind = rel->rd_rel->relkind;

	/* elsewhere, what an UPDATE does not find is inserted */
	if (kind == RELKIND_FOREIGN_TABLE || kind == RELKIND_VIEW ||
		target->takes_conflicts)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
			 errmsg("there is no unique index on the key columns of relation \"%s\"",
					RelationGetRelationName(rel)),
			 errhint("Create a unique index on exactly the key columns, or use mode \"insert\".")));
}

static char *
qualified_name(Relation rel)
{
	return quote_qualified_identifier(
		get_namespace_name(RelationGetNamespace(rel)),
		RelationGetRelationName(rel));
}

/* Its rows are looked at, and locked. */
static SinkSource *
find_source(const SinkSpec *spec)
{
	Relation rel = try_relation_open(spec->source_table, AccessShareLock);
	SinkSource *source = palloc0(sizeof(SinkSource));

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table of the arguments, with OID %u, does not exist",
						spec->source_table)));
	(void) find_columns(rel, spec->check_columns, "argument column", false);
	source->relid = spec->source_table;
	source->name = qualified_name(rel);
	source->keys = relation_primary_key(source->relid);
	source->checks = spec->check_columns;
	if (list_length(source->keys) != list_length(spec->key_columns))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the primary key of table %s has been altered", source->name)));
	relation_close(rel, AccessShareLock);
	return source;
}

static void
note_generated(Relation rel, SinkTarget *target)
{
	TupleDesc desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attgenerated != '\0' ||
			att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
			target->not_written = bms_add_member(target->not_written, i + 1);
		if (att->attgenerated != '\0' &&
			att->attgenerated != ATTRIBUTE_GENERATED_STORED)
			target->not_stored = bms_add_member(target->not_stored, i + 1);
	}
}

SinkTarget *
sink_target_get(const SinkSpec *spec, Oid userid)
{
	Relation rel = NULL;
	SinkTarget *target;

	/* '-'::regclass is no table, but is not NULL */
	if (OidIsValid(spec->into_table))
		rel = try_relation_open(spec->into_table, AccessShareLock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table for results, with OID %u, does not exist",
						spec->into_table)));
	check_relation(rel, spec, userid);

	target = palloc0(sizeof(SinkTarget));
	target->relid = spec->into_table;
	target->name = qualified_name(rel);
	target->desc = CreateTupleDescCopy(RelationGetDescr(rel));
	note_generated(rel, target);
	target->nkeys = list_length(spec->key_columns);
	target->keys = find_columns(rel, spec->key_columns, "key column",
								spec->mode != SINK_UPDATE);
	if (OidIsValid(spec->source_table))
		target->source = find_source(spec);
	else
	{
		target->nchecks = list_length(spec->check_columns);
		target->checks = find_columns(rel, spec->check_columns,
									  "argument column", false);
	}
	if (spec->result_column != NULL)
		target->result = find_column(rel, spec->result_column, "result column",
									 true);
	if (spec->error_column != NULL)
		target->error = find_column(rel, spec->error_column, "error column", true);
	if (spec->version_column != NULL)
		target->version = find_column(rel, spec->version_column, "version column",
									  true);

	if (spec->ordinality_column != NULL)
		target->ordinality = find_column(rel, spec->ordinality_column,
										 "ordinality column", true);
	target->is_local = (rel->rd_rel->relkind == RELKIND_RELATION ||
						rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE) &&
		!is_distributed(target->relid);
	target->row_type = rel->rd_rel->reltype;
	look_at_indexes(rel, target);
	if (spec->mode == SINK_UPSERT)
		check_upsert(rel, target);
	if (spec->mode == SINK_REPLACE)
		check_replace(rel, target);
	relation_close(rel, AccessShareLock);
	return target;
}

/* Does a column that the target has still have that name? */
static bool
has_name(const SinkTarget *target, Relation rel, AttrNumber attno)
{
	return attno == 0 ||
		strcmp(NameStr(TupleDescAttr(target->desc, attno - 1)->attname),
			   NameStr(TupleDescAttr(RelationGetDescr(rel), attno - 1)->attname)) == 0;
}

static bool
have_names(const SinkTarget *target, Relation rel)
{
	bool same = has_name(target, rel, target->result) &&
		has_name(target, rel, target->error) &&
		has_name(target, rel, target->version) &&
		has_name(target, rel, target->ordinality);

	for (int i = 0; i < target->nkeys; i++)
		same &= has_name(target, rel, target->keys[i]);
	for (int i = 0; i < target->nchecks; i++)
		same &= has_name(target, rel, target->checks[i]);
	return same && strcmp(target->name, qualified_name(rel)) == 0;
}

/* Results are read as values of the columns' types. */
static bool
have_types(const SinkTarget *target, Relation rel)
{
	TupleDesc now = RelationGetDescr(rel);
	bool same = now->natts == target->desc->natts;

	for (int i = 0; same && i < now->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(now, i);
		Form_pg_attribute b = TupleDescAttr(target->desc, i);

		same = a->atttypid == b->atttypid && a->atttypmod == b->atttypmod &&
			a->attcollation == b->attcollation &&
			a->attisdropped == b->attisdropped;
	}
	return same;
}

static void
recheck_source(const SinkSource *source)
{
	Relation rel = try_relation_open(source->relid, RowShareLock);
	bool same;
	ListCell *lc;

	if (rel == NULL)
		return;
	same = strcmp(source->name, qualified_name(rel)) == 0;
	foreach (lc, source->keys)
		same &= get_attnum(source->relid, lfirst(lc)) > 0;
	foreach (lc, source->checks)
		same &= get_attnum(source->relid, lfirst(lc)) > 0;
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("relation \"%s\" or one of its columns has been renamed",
						RelationGetRelationName(rel))));
	relation_close(rel, NoLock);
}

void
sink_target_recheck(const SinkTarget *target)
{
	/* the lock for writing, which would else be a second one */
	Relation rel = try_relation_open(target->relid, RowExclusiveLock);

	/* one that is gone is an error of the statement */
	if (rel == NULL)
		return;
	if (!have_types(target, rel) || !have_names(target, rel))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("relation \"%s\" or one of its columns has been altered",
						RelationGetRelationName(rel))));
	relation_close(rel, NoLock);
	if (target->source != NULL)
		recheck_source(target->source);
}

void
sink_target_append_equals(const SinkTarget *target, StringInfo sql,
						  AttrNumber attno)
{
	Form_pg_attribute att = column_of(target, attno);
	TypeCacheEntry *entry = lookup_type_cache(att->atttypid, TYPECACHE_EQ_OPR);
	HeapTuple tup = SearchSysCache1(OPEROID, ObjectIdGetDatum(entry->eq_opr));
	Form_pg_operator op;

	if (!HeapTupleIsValid(tup))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("column \"%s\" has no equality operator",
						NameStr(att->attname))));
	op = (Form_pg_operator) GETSTRUCT(tup);
	appendStringInfo(sql, "OPERATOR(%s.%s)",
					 quote_identifier(get_namespace_name(op->oprnamespace)),
					 NameStr(op->oprname));
	ReleaseSysCache(tup);
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
