/*-------------------------------------------------------------------------
 *
 * nearest_name.c
 *	  Names that may have been meant; see nearest_name.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "jobs/nearest_name.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

#define TOO_FAR 4

NearestName
nearest_name_to(const char *wanted)
{
	return (NearestName) {wanted, NULL, TOO_FAR};
}

void
nearest_name_consider(NearestName *nearest, const char *name)
{
	int wanted = (int) strlen(nearest->wanted);
	int distance;

	if (wanted >= NAMEDATALEN)
		return;
	distance = varstr_levenshtein_less_equal(
		nearest->wanted, wanted, name, (int) strlen(name), 1, 1, 1,
		nearest->distance, true);
	if (distance >= nearest->distance || distance > wanted / 2)
		return;
	nearest->distance = distance;
	nearest->name = pstrdup(name);
}

AttrNumber
nearest_name_column(Relation rel, const char *name, const char *role)
{
	TupleDesc desc = RelationGetDescr(rel);
	NearestName nearest = nearest_name_to(name);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			continue;
		if (strcmp(NameStr(att->attname), name) == 0)
			return (AttrNumber) (i + 1);
		nearest_name_consider(&nearest, NameStr(att->attname));
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("%s \"%s\" of relation \"%s\" does not exist", role,
					name, RelationGetRelationName(rel)),
			 nearest.name != NULL
				 ? errhint("Perhaps you meant the column \"%s\".", nearest.name)
				 : 0));
}

bool
is_virtual_column(Form_pg_attribute att)
{
	return att->attgenerated != '\0' &&
		att->attgenerated != ATTRIBUTE_GENERATED_STORED;
}

AttrNumber
nearest_stored_column(Relation rel, const char *name, const char *role)
{
	AttrNumber attno = nearest_name_column(rel, name, role);

	if (is_virtual_column(TupleDescAttr(RelationGetDescr(rel), attno - 1)))
		ereport(ERROR,
				(errcode(ERRCODE_GENERATED_ALWAYS),
				 errmsg("%s \"%s\" of relation \"%s\" is a generated column that is not stored",
						role, name, RelationGetRelationName(rel))));
	return attno;
}
