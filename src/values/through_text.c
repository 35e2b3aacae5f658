/*-------------------------------------------------------------------------
 *
 * through_text.c
 *	  The text of values, as their types' own functions write and read it, and
 *	  the casts that do without.
 *
 * Whoever reads a text back (a remote function, the runner of jobs, a session
 * with other settings) must see the same value in it.  So the settings that
 * those functions look at are fixed here, around every call of them, and
 * nowhere else.  What stays as the server has it is lc_monetary: it says how
 * many digits of a money value are a fraction.
 *
 * The settings' variables are set themselves, and put back whatever happens:
 * that costs nothing, and no transaction has to end for it.  search_path and
 * timezone_abbreviations have more behind them, and are seldom needed: for types
 * that name objects, and for texts with a word in them.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include <ctype.h>

#include "catalog/pg_type.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/timestamp.h"
#include "utils/xml.h"
#include "values/type_table.h"

/* What timezone_abbreviations is by default. */
#define COMMON_ZONES "Default"

typedef struct TextSettings
{
	int date_style;
	int date_order;
	int interval_style;
	pg_tz *time_zone;
	int float_digits;
	int bytea;
	int xml;
	bool array_nulls;
	bool quote_all;
} TextSettings;

static void
use_settings(const TextSettings *settings)
{
	DateStyle = settings->date_style;
	DateOrder = settings->date_order;
	IntervalStyle = settings->interval_style;
	session_timezone = settings->time_zone;
	extra_float_digits = settings->float_digits;
	bytea_output = settings->bytea;
	xmloption = settings->xml;
	Array_nulls = settings->array_nulls;
	quote_all_identifiers = settings->quote_all;
}

/* Returns what has to be put back. */
static TextSettings
fix_settings(void)
{
	static TextSettings fixed = {.date_style = USE_ISO_DATES,
								 .date_order = DATEORDER_MDY,
								 .interval_style = INTSTYLE_ISO_8601,
								 .float_digits = 1,
								 .bytea = BYTEA_OUTPUT_HEX,
								 .xml = XMLOPTION_CONTENT,
								 .array_nulls = true};
	TextSettings saved = {.date_style = DateStyle,
						  .date_order = DateOrder,
						  .interval_style = IntervalStyle,
						  .time_zone = session_timezone,
						  .float_digits = extra_float_digits,
						  .bytea = bytea_output,
						  .xml = xmloption,
						  .array_nulls = Array_nulls,
						  .quote_all = quote_all_identifiers};

	if (fixed.time_zone == NULL)
		fixed.time_zone = pg_tzset("GMT");
	use_settings(&fixed);
	return saved;
}

static void
fix_setting(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/* May the text have an abbreviation of a zone that the session knows otherwise? */
static bool
may_name_zone(const char *text)
{
	const char *known;

	while (text != NULL && *text != '\0' && !isalpha((unsigned char) *text))
		text++;
	if (text == NULL || *text == '\0')
		return false;
	known = GetConfigOption("timezone_abbreviations", true, false);
	return known != NULL && strcmp(known, COMMON_ZONES) != 0;
}

bool
type_names_objects(Oid base)
{
	switch (base)
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGTYPEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
			return true;
		default:
			return false;
	}
}

/* --- conversions ---------------------------------------------------------- */

typedef struct Conversion
{
	void (*run) (struct Conversion *conversion);
	bool names_objects;
	FmgrInfo *function;
	const char *text;
	Oid ioparam;
	int32 typmod;
	FloatCast *cast;
	Datum value;
} Conversion;

static void
run_with_fixed_settings(Conversion *conversion)
{
	bool zones = may_name_zone(conversion->text);
	TextSettings saved = fix_settings();
	volatile int nest = 0;

	PG_TRY();
	{
		if (conversion->names_objects || zones)
			nest = NewGUCNestLevel();
		/* names of objects are qualified, but for those of the system */
		if (conversion->names_objects)
			fix_setting("search_path", "pg_catalog");
		if (zones)
			fix_setting("timezone_abbreviations", COMMON_ZONES);
		conversion->run(conversion);
	}
	PG_FINALLY();
	{
		if (nest > 0)
			AtEOXact_GUC(true, nest);
		use_settings(&saved);
	}
	PG_END_TRY();
}

static void
run_output(Conversion *c)
{
	c->text = OutputFunctionCall(c->function, c->value);
}

static void
run_input(Conversion *c)
{
	c->value = InputFunctionCall(c->function, unconstify(char *, c->text),
								 c->ioparam, c->typmod);
}

static void
run_cast(Conversion *c)
{
	c->value = float_cast(c->cast, c->value);
}

static void
run_moment(Conversion *c)
{
	c->value = DirectFunctionCall3(timestamptz_in, CStringGetDatum(c->text),
								   ObjectIdGetDatum(InvalidOid),
								   Int32GetDatum(-1));
}

char *
value_to_text(FmgrInfo *out, Datum value, bool names_objects)
{
	Conversion c = {.run = run_output,
					.names_objects = names_objects,
					.function = out,
					.value = value};

	run_with_fixed_settings(&c);
	return unconstify(char *, c.text);
}

Datum
value_from_text(FmgrInfo *in, const char *text, Oid ioparam, int32 typmod,
				bool names_objects)
{
	Conversion c = {.run = run_input,
					.names_objects = names_objects,
					.function = in,
					.text = text,
					.ioparam = ioparam,
					.typmod = typmod};

	run_with_fixed_settings(&c);
	return c.value;
}

Datum
value_through_cast(FloatCast *cast, Datum value)
{
	Conversion c = {.run = run_cast, .cast = cast, .value = value};

	run_with_fixed_settings(&c);
	return c.value;
}

TimestampTz
moment_from_text(const char *text)
{
	Conversion c = {.run = run_moment, .text = text};

	run_with_fixed_settings(&c);
	return DatumGetTimestampTz(c.value);
}
