/*-------------------------------------------------------------------------
 *
 * options.c
 *	  Options of foreign servers and user mappings: which there are, where
 *	  they may stand, and what values they take.
 *
 * Secrets are options of user mappings only, where PostgreSQL hides them from
 * other users.  Options that name files of the server's host or weaken TLS
 * are for superusers: the validator sees every ALTER too, with the whole new
 * list of options, so it asks each time.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/reloptions.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "core/option_value.h"
#include "endpoint/options.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

typedef enum OptionType
{
	OPTION_STRING,
	OPTION_BOOL,
	OPTION_INTEGER, /* min to max */
	OPTION_SECONDS, /* min to max, fractions allowed */
	OPTION_CHOICE,	/* one of choices, separated by "|" */
	OPTION_URL,		/* http or https; Modal: a list with commas */
	OPTION_PROXY,	/* [scheme://]host[:port] */
	OPTION_HEADERS	/* lines of "Name: value" */
} OptionType;

#define FOR_MODAL 1
#define FOR_HTTP 2
#define FOR_BOTH (FOR_MODAL | FOR_HTTP)

typedef struct OptionDef
{
	const char *name;
	Oid catalog;		/* ForeignServerRelationId or UserMappingRelationId */
	int protocols;
	OptionType type;
	const char *choices;
	double min, max;
	bool superuser;		/* only superusers may give it */
	bool local;			/* not sent to the dispatcher */
} OptionDef;

#define SERVER ForeignServerRelationId
#define MAPPING UserMappingRelationId

/* Sorted by catalog and name.  docs/settings.md describes each. */
static const OptionDef option_table[] = {
	{"allow_http", SERVER, FOR_BOTH, OPTION_BOOL, NULL, 0, 0, true, false},
	{"allow_pickle", SERVER, FOR_MODAL, OPTION_BOOL, NULL, 0, 0, false, false},
	{"args", SERVER, FOR_HTTP, OPTION_CHOICE, "object|array", 0, 0, false, true},
	{"client_type", SERVER, FOR_MODAL, OPTION_INTEGER, NULL, 0, 100, false, false},
	{"client_version", SERVER, FOR_MODAL, OPTION_STRING, NULL, 0, 0, false, false},
	{"connect_timeout", SERVER, FOR_BOTH, OPTION_SECONDS, NULL, 0.001, 3600, false, false},
	{"environment", SERVER, FOR_MODAL, OPTION_STRING, NULL, 0, 0, false, false},
	{"first_byte_timeout", SERVER, FOR_HTTP, OPTION_SECONDS, NULL, 0, 86400, false, false},
	{"format", SERVER, FOR_HTTP, OPTION_CHOICE, "json|json-lines|bigquery|snowflake|redshift", 0, 0, false, false},
	{"gzip", SERVER, FOR_HTTP, OPTION_BOOL, NULL, 0, 0, false, false},
	{"headers", SERVER, FOR_HTTP, OPTION_HEADERS, NULL, 0, 0, false, false},
	{"http_version", SERVER, FOR_HTTP, OPTION_CHOICE, "1.1|2", 0, 0, false, false},
	{"idempotent", SERVER, FOR_HTTP, OPTION_BOOL, NULL, 0, 0, false, false},
	{"libmodal_version", SERVER, FOR_MODAL, OPTION_STRING, NULL, 0, 0, false, false},
	{"max_batch_bytes", SERVER, FOR_HTTP, OPTION_INTEGER, NULL, 1024, 1024 * 1024 * 1024, false, false},
	{"max_batch_rows", SERVER, FOR_HTTP, OPTION_INTEGER, NULL, 1, 100000, false, false},
	{"max_concurrency", SERVER, FOR_HTTP, OPTION_INTEGER, NULL, 1, 10000, false, false},
	{"max_connections", SERVER, FOR_BOTH, OPTION_INTEGER, NULL, 1, 10000, false, false},
	{"max_reply_bytes", SERVER, FOR_HTTP, OPTION_INTEGER, NULL, 1024, 1024 * 1024 * 1024, false, false},
	{"max_throttle_wait", SERVER, FOR_MODAL, OPTION_SECONDS, NULL, 0, 86400 * 365.0, false, false},
	{"method", SERVER, FOR_HTTP, OPTION_CHOICE, "POST|PUT|PATCH", 0, 0, false, false},
	{"protocol", SERVER, FOR_BOTH, OPTION_CHOICE, "modal|http", 0, 0, false, false},
	{"proxy", SERVER, FOR_BOTH, OPTION_PROXY, NULL, 0, 0, true, false},
	{"python_version", SERVER, FOR_MODAL, OPTION_STRING, NULL, 0, 0, false, false},
	{"requests_per_second", SERVER, FOR_HTTP, OPTION_SECONDS, NULL, 0, 1e6, false, false},
	{"retry_budget", SERVER, FOR_HTTP, OPTION_SECONDS, NULL, 0, 86400 * 30.0, false, false},
	{"response_timeout", SERVER, FOR_MODAL, OPTION_SECONDS, NULL, 0.001, 3600, false, false},
	{"ssl_ca_file", SERVER, FOR_BOTH, OPTION_STRING, NULL, 0, 0, true, false},
	{"ssl_cert_file", SERVER, FOR_BOTH, OPTION_STRING, NULL, 0, 0, true, false},
	{"ssl_key_file", SERVER, FOR_BOTH, OPTION_STRING, NULL, 0, 0, true, false},
	{"ssl_verify", SERVER, FOR_BOTH, OPTION_BOOL, NULL, 0, 0, true, false},
	{"timeout", SERVER, FOR_HTTP, OPTION_SECONDS, NULL, 0, 86400, false, false},
	{"url", SERVER, FOR_BOTH, OPTION_URL, NULL, 0, 0, false, false},
	{"use_os_config", SERVER, FOR_MODAL, OPTION_BOOL, NULL, 0, 0, true, true},
	{"user_agent", SERVER, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"window", SERVER, FOR_BOTH, OPTION_INTEGER, NULL, 1, 100000, false, true},
	{"basic_credentials", MAPPING, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"bearer_token", MAPPING, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"modal_key", MAPPING, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"modal_secret", MAPPING, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"proxy_credentials", MAPPING, FOR_BOTH, OPTION_STRING, NULL, 0, 0, false, false},
	{"token_id", MAPPING, FOR_MODAL, OPTION_STRING, NULL, 0, 0, false, false},
	{"token_secret", MAPPING, FOR_MODAL, OPTION_STRING, NULL, 0, 0, false, false},
};

PG_FUNCTION_INFO_V1(modal_batch_validator);

static const OptionDef *
find_option(const char *name, Oid catalog)
{
	for (int i = 0; i < (int) lengthof(option_table); i++)
		if (option_table[i].catalog == catalog &&
			strcmp(option_table[i].name, name) == 0)
			return &option_table[i];
	return NULL;
}

bool
option_is_local(const char *name)
{
	const OptionDef *def = find_option(name, SERVER);

	return def != NULL && def->local;
}

const char *
option_value(List *options, const char *name)
{
	ListCell *lc;

	foreach(lc, options)
	{
		DefElem *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, name) == 0)
			return defGetString(def);
	}
	return NULL;
}

bool
option_bool(List *options, const char *name, bool dflt)
{
	const char *value = option_value(options, name);
	bool result;

	return value != NULL && parse_bool(value, &result) ? result : dflt;
}

/* --- unknown names ------------------------------------------------------- */

#define MAX_DISTANCE 4 /* edits between what was written and what was meant */

pg_noreturn static void
unknown_option(const char *name, Oid catalog)
{
	const char *nearest = NULL;
	int best = MAX_DISTANCE + 1;

	for (int i = 0; i < (int) lengthof(option_table); i++)
	{
		const OptionDef *def = &option_table[i];
		int distance;

		if (def->catalog != catalog || strlen(name) >= NAMEDATALEN)
			continue;
		distance = varstr_levenshtein_less_equal(
			name, strlen(name), def->name, strlen(def->name), 1, 1, 1,
			MAX_DISTANCE, false);
		if (distance < best && distance < (int) strlen(name))
		{
			best = distance;
			nearest = def->name;
		}
	}
	if (find_option(name, catalog == SERVER ? MAPPING : SERVER) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("invalid option \"%s\"", name),
				 catalog == SERVER
					 ? errhint("This is an option of user mappings.")
					 : errhint("This is an option of servers.")));
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 nearest != NULL
				 ? errhint("Perhaps you meant the option \"%s\".", nearest)
				 : catalog == SERVER || catalog == MAPPING
				 ? 0
				 : errhint("The foreign-data wrapper itself has no options.")));
}

/* --- values -------------------------------------------------------------- */

static void
check_value(const OptionDef *def, const char *value)
{
	const char *error = NULL;
	bool ignored;

	switch (def->type)
	{
		case OPTION_STRING:
			error = option_text_error(value);
			break;
		case OPTION_BOOL:
			if (!parse_bool(value, &ignored))
				error = "The value must be on or off.";
			break;
		case OPTION_INTEGER:
			if (!option_number(value, true, def->min, def->max))
				error = psprintf("The value must be a whole number from %g to %g.",
								 def->min, def->max);
			break;
		case OPTION_SECONDS:
			if (!option_number(value, false, def->min, def->max))
				error = psprintf("The value must be a number from %g to %g.",
								 def->min, def->max);
			break;
		case OPTION_CHOICE:
			if (!option_choice(value, def->choices))
				error = psprintf("Valid values are: %s.", def->choices);
			break;
		case OPTION_URL:
			error = option_url_error(value);
			break;
		case OPTION_PROXY:
			error = option_proxy_error(value);
			break;
		case OPTION_HEADERS:
			error = option_headers_error(value);
			break;
	}

	/* The value may be a secret, so it is not shown. */
	if (error != NULL)
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						errmsg("invalid value for option \"%s\"", def->name),
						errhint("%s", error)));
}

void
option_check(const char *name, const char *value)
{
	const OptionDef *def = find_option(name, SERVER);

	check_value(def != NULL ? def : find_option(name, MAPPING), value);
}

/* Options that mean nothing without, or against, another one. */
static void
check_together(List *options)
{
	const char *protocol = option_value(options, "protocol");
	const char *url = option_value(options, "url");
	bool http = protocol != NULL && strcmp(protocol, "http") == 0;
	ListCell *lc;

	foreach(lc, options)
	{
		DefElem *elem = lfirst_node(DefElem, lc);
		const OptionDef *def = find_option(elem->defname, SERVER);

		if ((def->protocols & (http ? FOR_HTTP : FOR_MODAL)) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("option \"%s\" is not for servers with protocol %s",
							elem->defname, http ? "http" : "modal")));
	}
	if (http && url == NULL)
		ereport(ERROR, (errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
						errmsg("servers with protocol http need option \"url\"")));
	if (http && strchr(url, ',') != NULL)
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						errmsg("servers with protocol http have one URL")));
	if (url != NULL && (strncmp(url, "http://", 7) == 0 ||
						strstr(url, ",http://") != NULL) &&
		!option_bool(options, "allow_http", false))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("a plain-text URL needs option \"allow_http\""),
				 errdetail("Inputs, results and credentials would travel unencrypted."),
				 errhint("Use an https URL, or have a superuser set option allow_http to on.")));
}

Datum
modal_batch_validator(PG_FUNCTION_ARGS)
{
	List *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid catalog = PG_GETARG_OID(1);
	ListCell *lc;

	foreach(lc, options)
	{
		DefElem *elem = lfirst_node(DefElem, lc);
		const OptionDef *def = find_option(elem->defname, catalog);

		if (def == NULL)
			unknown_option(elem->defname, catalog);
		check_value(def, defGetString(elem));
		if (def->superuser && !superuser())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to set option \"%s\"",
							elem->defname),
					 errhint("Only superusers may use options that name files, weaken TLS, redirect connections, or lend the server's own credentials.")));
	}
	if (catalog == SERVER)
		check_together(options);
	PG_RETURN_VOID();
}
