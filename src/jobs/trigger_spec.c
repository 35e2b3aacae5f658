/*-------------------------------------------------------------------------
 *
 * trigger_spec.c
 *	  The arguments of modal_trigger(); see trigger_spec.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "jobs/nearest_name.h"
#include "jobs/trigger_spec.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/numeric.h"
#include "utils/varlena.h"

/* --- reading -------------------------------------------------------------- */

static const char *const option_names[] = {
	"kwargs", "version_column", "skip_nulls", "priority", "into_table", "key",
	"ordinality_column",
};

pg_noreturn static void
unknown_option(const char *name)
{
	NearestName nearest = nearest_name_to(name);

	for (int i = 0; i < (int) lengthof(option_names); i++)
		nearest_name_consider(&nearest, option_names[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("modal_trigger() has no option \"%s\"", name),
			 nearest.name != NULL
				 ? errhint("Perhaps you meant the option \"%s\".", nearest.name)
				 : errhint("Options are \"kwargs\", \"version_column\", \"skip_nulls\", \"priority\", \"into_table\", \"key\" and \"ordinality_column\".")));
}

pg_noreturn static void
wrong_option(const char *name, const char *type)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" of modal_trigger() must be %s", name, type)));
}

static char *
read_name(const char *option, const JsonbValue *v)
{
	if (v->type != jbvString)
		wrong_option(option, "a name");
	return pnstrdup(v->val.string.val, v->val.string.len);
}

static List *
read_names(const char *option, const JsonbValue *v)
{
	JsonbIterator *it;
	JsonbIteratorToken tok;
	JsonbValue element;
	List *names = NIL;

	if (v->type != jbvBinary || !JsonContainerIsArray(v->val.binary.data) ||
		JsonContainerIsScalar(v->val.binary.data))
		wrong_option(option, "an array of names");
	it = JsonbIteratorInit(v->val.binary.data);
	while ((tok = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
		if (tok == WJB_ELEM)
			names = lappend(names, read_name(option, &element));
	return names;
}

static void
read_option(TriggerSpec *spec, const char *name, const JsonbValue *v)
{
	if (strcmp(name, "kwargs") == 0)
	{
		if (v->type != jbvBinary || !JsonContainerIsObject(v->val.binary.data))
			wrong_option(name, "an object");
		spec->kwargs = JsonContainerSize(v->val.binary.data) == 0
			? NULL
			: JsonbValueToJsonb(unconstify(JsonbValue *, v));
	}
	else if (strcmp(name, "version_column") == 0)
		spec->version_column = read_name(name, v);
	else if (strcmp(name, "into_table") == 0)
		spec->into_table = read_name(name, v);
	else if (strcmp(name, "ordinality_column") == 0)
		spec->ordinality_column = read_name(name, v);
	else if (strcmp(name, "key") == 0)
		spec->key = read_names(name, v);
	else if (strcmp(name, "skip_nulls") == 0)
	{
		if (v->type != jbvBool)
			wrong_option(name, "true or false");
		spec->skip_nulls = v->val.boolean;
	}
	else if (strcmp(name, "priority") == 0)
	{
		if (v->type != jbvNumeric)
			wrong_option(name, "an integer");
		spec->priority = DatumGetInt32(DirectFunctionCall1(
			numeric_int4, NumericGetDatum(v->val.numeric)));
	}
	else
		unknown_option(name);
}

static void
read_options(TriggerSpec *spec, const char *text)
{
	Jsonb *options = DatumGetJsonbP(
		DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	JsonbIterator *it = JsonbIteratorInit(&options->root);
	JsonbIteratorToken tok;
	JsonbValue v;

	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the options of modal_trigger() must be a JSON object")));
	spec->skip_nulls = true;
	while ((tok = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		if (tok == WJB_KEY)
		{
			char *name = pnstrdup(v.val.string.val, v.val.string.len);

			(void) JsonbIteratorNext(&it, &v, true);
			read_option(spec, name, &v);
		}
}

void
trigger_spec_read(TriggerSpec *spec, int nargs, char **args)
{
	memset(spec, 0, sizeof(*spec));
	if (nargs == TRIGGER_WEBHOOK_ARGS)
	{
		spec->function = pstrdup(args[TRIGGER_FUNCTION]);
		spec->webhook = true;
		return;
	}
	if (nargs < TRIGGER_MIN_ARGS || nargs > TRIGGER_MAX_ARGS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("modal_trigger() takes three arguments, not %d", nargs),
				 errhint("They are: function, argument columns separated by commas, result column. A webhook has the first alone.")));
	spec->function = pstrdup(args[TRIGGER_FUNCTION]);
	if (!SplitIdentifierString(pstrdup(args[TRIGGER_COLUMNS]), ',',
							   &spec->columns) ||
		spec->columns == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid list of argument columns \"%s\"",
						args[TRIGGER_COLUMNS])));
	spec->result_column = pstrdup(args[TRIGGER_RESULT]);
	spec->declared = nargs > TRIGGER_OPTIONS;
	if (spec->declared)
		read_options(spec, args[TRIGGER_OPTIONS]);
	if (spec->into_table != NULL)
	{
		spec->skip_nulls = false;
		if (spec->result_column[0] == '\0')
			spec->result_column = NULL;
	}
}

/* --- writing -------------------------------------------------------------- */

static void
write_name(StringInfo buf, const char *option, const char *name)
{
	if (name == NULL)
		return;
	appendStringInfo(buf, ", \"%s\": ", option);
	escape_json(buf, name);
}

static char *
write_options(const TriggerSpec *spec)
{
	StringInfoData buf;
	ListCell *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "{\"skip_nulls\": %s",
					 spec->skip_nulls ? "true" : "false");
	write_name(&buf, "version_column", spec->version_column);
	write_name(&buf, "into_table", spec->into_table);
	write_name(&buf, "ordinality_column", spec->ordinality_column);
	foreach (lc, spec->key)
	{
		appendStringInfoString(&buf, lc == list_head(spec->key) ? ", \"key\": [" : ", ");
		escape_json(&buf, lfirst(lc));
	}
	if (spec->key != NIL)
		appendStringInfoChar(&buf, ']');
	if (spec->priority != 0)
		appendStringInfo(&buf, ", \"priority\": %d", spec->priority);
	if (spec->kwargs != NULL)
		appendStringInfo(&buf, ", \"kwargs\": %s",
						 JsonbToCString(NULL, &spec->kwargs->root,
										VARSIZE(spec->kwargs)));
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

char **
trigger_spec_write(const TriggerSpec *spec)
{
	char **args = palloc(sizeof(char *) * TRIGGER_MAX_ARGS);
	StringInfoData columns;
	ListCell *lc;

	Assert(spec->declared);
	initStringInfo(&columns);
	foreach (lc, spec->columns)
		appendStringInfo(&columns, "%s%s", columns.len > 0 ? ", " : "",
						 quote_identifier(lfirst(lc)));
	args[TRIGGER_FUNCTION] = spec->function;
	args[TRIGGER_COLUMNS] = columns.data;
	args[TRIGGER_RESULT] = spec->result_column == NULL ? "" : spec->result_column;
	args[TRIGGER_OPTIONS] = write_options(spec);
	return args;
}

static bool
rename_one(char **name, const char *old_name, const char *new_name)
{
	if (*name == NULL || strcmp(*name, old_name) != 0)
		return false;
	*name = pstrdup(new_name);
	return true;
}

static bool
rename_some(List *names, const char *old_name, const char *new_name)
{
	bool found = false;
	ListCell *lc;

	foreach (lc, names)
	{
		char *name = lfirst(lc);

		found |= rename_one(&name, old_name, new_name);
		lfirst(lc) = name;
	}
	return found;
}

bool
trigger_spec_rename(TriggerSpec *spec, const char *old_name,
					const char *new_name)
{
	bool found = rename_some(spec->columns, old_name, new_name);

	if (spec->into_table == NULL)
	{
		found |= rename_one(&spec->result_column, old_name, new_name);
		found |= rename_one(&spec->version_column, old_name, new_name);
	}
	return found;
}

bool
trigger_spec_rename_other(TriggerSpec *spec, const char *old_name,
						  const char *new_name)
{
	bool found = rename_some(spec->key, old_name, new_name);

	found |= rename_one(&spec->result_column, old_name, new_name);
	found |= rename_one(&spec->ordinality_column, old_name, new_name);
	return found;
}
