/*-------------------------------------------------------------------------
 *
 * options.c
 *	  Options of foreign servers and user mappings: which there are, where
 *	  they may stand, and what values they take.
 *
 * Secrets are options of user mappings only, where PostgreSQL hides them from
 * other users, or in files that only the server's operating system user reads
 * (secrets.h).  Options that name files of the server's host or weaken TLS
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
#include "commands/extension.h"
#include "core/certificates.h"
#include "core/option_value.h"
#include "core/service_key.h"
#include "core/webhook.h"
#include "endpoint/http_options.h"
#include "endpoint/options.h"
#include "endpoint/secrets.h"
#include "foreign/foreign.h"
#include "link/shmem.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

typedef enum OptionType
{
	OPTION_STRING,
	OPTION_WORD,	/* letters, digits and "-" */
	OPTION_NAME,	/* of a column */
	OPTION_BOOL,
	OPTION_INTEGER, /* min to max */
	OPTION_SECONDS, /* min to max, fractions allowed */
	OPTION_CHOICE,	/* one of choices, separated by "|" */
	OPTION_URL,		/* http or https; Modal: a list with commas */
	OPTION_ONE_URL,
	OPTION_PROXY,	/* [scheme://]host[:port] */
	OPTION_HEADERS,	/* lines of "Name: value" */
	OPTION_CERTIFICATES, /* as PEM */
	OPTION_REQUEST, /* see core/template.h */
	OPTION_OBJECT,	/* JSON */
	OPTION_PATHS, /* see core/json_path.h; looked at all together */
	OPTION_SERVICE_KEY, /* JSON of a Google service account */
	OPTION_WEBHOOK_SECRET, /* whsec_… */
	OPTION_FILE		/* path of one that holds the value of another option */
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
	{"audience", SERVER, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"aws_region", SERVER, FOR_HTTP, OPTION_WORD, NULL, 0, 0, false, false},
	{"aws_service", SERVER, FOR_HTTP, OPTION_WORD, NULL, 0, 0, false, false},
	{"client_type", SERVER, FOR_MODAL, OPTION_INTEGER, NULL, 0, 100, false, false},
	{"client_version", SERVER, FOR_MODAL, OPTION_STRING, NULL, 0, 0, false, false},
	{"connect_timeout", SERVER, FOR_BOTH, OPTION_SECONDS, NULL, 0.001, 3600, false, false},
	{"dispatchers", SERVER, FOR_BOTH, OPTION_INTEGER, NULL, 1, 16, false, false},
	{"environment", SERVER, FOR_MODAL, OPTION_STRING, NULL, 0, 0, false, false},
	{"first_byte_timeout", SERVER, FOR_HTTP, OPTION_SECONDS, NULL, 0, 86400, false, false},
	{"format", SERVER, FOR_HTTP, OPTION_CHOICE, HTTP_FORMATS, 0, 0, false, false},
	{"gzip", SERVER, FOR_HTTP, OPTION_BOOL, NULL, 0, 0, false, false},
	{"headers", SERVER, FOR_HTTP, OPTION_HEADERS, NULL, 0, 0, false, false},
	{"http_version", SERVER, FOR_HTTP, OPTION_CHOICE, "1.1|2", 0, 0, false, false},
	{"idempotent", SERVER, FOR_HTTP, OPTION_BOOL, NULL, 0, 0, false, false},
	{"libmodal_version", SERVER, FOR_MODAL, OPTION_STRING, NULL, 0, 0, false, false},
	{"max_batch_bytes", SERVER, FOR_HTTP, OPTION_INTEGER, NULL, 1024, 1024 * 1024 * 1024, false, false},
	{"max_batch_rows", SERVER, FOR_HTTP, OPTION_INTEGER, NULL, 1, 100000, false, false},
	{"max_concurrency", SERVER, FOR_HTTP, OPTION_INTEGER, NULL, 1, 10000, false, false},
	{"max_connections", SERVER, FOR_BOTH, OPTION_INTEGER, NULL, 1, 10000, false, false},
	{"max_failures", SERVER, FOR_BOTH, OPTION_INTEGER, NULL, 0, 1e9, false, true},
	{"max_in_flight", SERVER, FOR_BOTH, OPTION_INTEGER, NULL, 1, 100000, false, true},
	{"max_job_inputs", SERVER, FOR_BOTH, OPTION_INTEGER, NULL, 0, 1e9, false, true},
	{"max_reply_bytes", SERVER, FOR_HTTP, OPTION_INTEGER, NULL, 1024, 1024 * 1024 * 1024, false, false},
	{"max_throttle_wait", SERVER, FOR_MODAL, OPTION_SECONDS, NULL, 0, 86400 * 365.0, false, false},
	{"method", SERVER, FOR_HTTP, OPTION_CHOICE, "POST|PUT|PATCH|GET|DELETE", 0, 0, false, false},
	{"ordered_by", SERVER, FOR_HTTP, OPTION_NAME, NULL, 0, 0, false, true},
	{"protocol", SERVER, FOR_BOTH, OPTION_CHOICE, "modal|http", 0, 0, false, false},
	{"proxy", SERVER, FOR_BOTH, OPTION_PROXY, NULL, 0, 0, true, false},
	{"python_version", SERVER, FOR_MODAL, OPTION_STRING, NULL, 0, 0, false, false},
	{"requests_per_second", SERVER, FOR_HTTP, OPTION_SECONDS, NULL, 0, 1e6, false, false},
	{"retry_budget", SERVER, FOR_HTTP, OPTION_SECONDS, NULL, 0, 86400 * 30.0, false, false},
	{"response_timeout", SERVER, FOR_MODAL, OPTION_SECONDS, NULL, 0.001, 3600, false, false},
	{"scope", SERVER, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"ssl_ca", SERVER, FOR_BOTH, OPTION_CERTIFICATES, NULL, 0, 0, false, false},
	{"ssl_ca_file", SERVER, FOR_BOTH, OPTION_STRING, NULL, 0, 0, true, false},
	{"ssl_cert_file", SERVER, FOR_BOTH, OPTION_STRING, NULL, 0, 0, true, false},
	{"ssl_key_file", SERVER, FOR_BOTH, OPTION_STRING, NULL, 0, 0, true, false},
	{"ssl_verify", SERVER, FOR_BOTH, OPTION_BOOL, NULL, 0, 0, true, false},
	{"timeout", SERVER, FOR_HTTP, OPTION_SECONDS, NULL, 0, 86400, false, false},
	{"token_auth", SERVER, FOR_HTTP, OPTION_CHOICE, "basic|post", 0, 0, false, false},
	{"token_url", SERVER, FOR_HTTP, OPTION_ONE_URL, NULL, 0, 0, false, false},
	{"url", SERVER, FOR_BOTH, OPTION_URL, NULL, 0, 0, false, false},
	{"use_os_config", SERVER, FOR_MODAL, OPTION_BOOL, NULL, 0, 0, true, true},
	{"user_agent", SERVER, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"window", SERVER, FOR_BOTH, OPTION_INTEGER, NULL, 1, 100000, false, true},
	{"chars_per_token", SERVER, FOR_HTTP, OPTION_SECONDS, NULL, 0.1, 100, false, false},
	{"content_type", SERVER, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"error", SERVER, FOR_HTTP, OPTION_PATHS, NULL, 0, 0, false, false},
	{"error_header", SERVER, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"max_batch_tokens", SERVER, FOR_HTTP, OPTION_INTEGER, NULL, 1, 1024 * 1024 * 1024, false, false},
	{"parameters", SERVER, FOR_HTTP, OPTION_OBJECT, NULL, 0, 0, false, true},
	{"request", SERVER, FOR_HTTP, OPTION_REQUEST, NULL, 0, 0, false, true},
	{"result", SERVER, FOR_HTTP, OPTION_PATHS, NULL, 0, 0, false, false},
	{"result_index", SERVER, FOR_HTTP, OPTION_PATHS, NULL, 0, 0, false, false},
	{"result_shape", SERVER, FOR_HTTP, OPTION_PATHS, NULL, 0, 0, false, false},
	{"result_type", SERVER, FOR_HTTP, OPTION_CHOICE, "json|json-string|text|bytes", 0, 0, false, false},
	{"row_error", SERVER, FOR_HTTP, OPTION_PATHS, NULL, 0, 0, false, false},
	{"usage", SERVER, FOR_HTTP, OPTION_PATHS, NULL, 0, 0, false, false},
	{"aws_access_key_id", MAPPING, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"aws_access_key_id_file", MAPPING, FOR_HTTP, OPTION_FILE, NULL, 0, 0, true, true},
	{"aws_secret_access_key", MAPPING, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"aws_secret_access_key_file", MAPPING, FOR_HTTP, OPTION_FILE, NULL, 0, 0, true, true},
	{"aws_session_token", MAPPING, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"aws_session_token_file", MAPPING, FOR_HTTP, OPTION_FILE, NULL, 0, 0, true, true},
	{"basic_credentials", MAPPING, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"basic_credentials_file", MAPPING, FOR_HTTP, OPTION_FILE, NULL, 0, 0, true, true},
	{"bearer_token", MAPPING, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"bearer_token_file", MAPPING, FOR_HTTP, OPTION_FILE, NULL, 0, 0, true, true},
	{"client_id", MAPPING, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"client_secret", MAPPING, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"client_secret_file", MAPPING, FOR_HTTP, OPTION_FILE, NULL, 0, 0, true, true},
	{"google_key", MAPPING, FOR_HTTP, OPTION_SERVICE_KEY, NULL, 0, 0, false, false},
	{"google_key_file", MAPPING, FOR_HTTP, OPTION_FILE, NULL, 0, 0, true, true},
	{"modal_key", MAPPING, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"modal_secret", MAPPING, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"modal_secret_file", MAPPING, FOR_HTTP, OPTION_FILE, NULL, 0, 0, true, true},
	{"proxy_credentials", MAPPING, FOR_BOTH, OPTION_STRING, NULL, 0, 0, false, false},
	{"proxy_credentials_file", MAPPING, FOR_BOTH, OPTION_FILE, NULL, 0, 0, true, true},
	{"refresh_token", MAPPING, FOR_HTTP, OPTION_STRING, NULL, 0, 0, false, false},
	{"refresh_token_file", MAPPING, FOR_HTTP, OPTION_FILE, NULL, 0, 0, true, true},
	{"token_id", MAPPING, FOR_MODAL, OPTION_STRING, NULL, 0, 0, false, false},
	{"token_secret", MAPPING, FOR_MODAL, OPTION_STRING, NULL, 0, 0, false, false},
	{"token_secret_file", MAPPING, FOR_MODAL, OPTION_FILE, NULL, 0, 0, true, true},
	{"webhook_secret", MAPPING, FOR_HTTP, OPTION_WEBHOOK_SECRET, NULL, 0, 0, false, false},
	{"webhook_secret_file", MAPPING, FOR_HTTP, OPTION_FILE, NULL, 0, 0, true, true},
	{"webhook_secret_old", MAPPING, FOR_HTTP, OPTION_WEBHOOK_SECRET, NULL, 0, 0, false, false},
	{"webhook_secret_old_file", MAPPING, FOR_HTTP, OPTION_FILE, NULL, 0, 0, true, true},
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

/* fits NULL: all of the catalog's options do. */
static const char *
nearest_option(const char *name, Oid catalog, bool (*fits) (const char *name))
{
	const char *nearest = NULL;
	int best = MAX_DISTANCE + 1;

	for (int i = 0; i < (int) lengthof(option_table); i++)
	{
		const OptionDef *def = &option_table[i];
		int distance;

		if (def->catalog != catalog || strlen(name) >= NAMEDATALEN ||
			(fits != NULL && !fits(def->name)))
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
	return nearest;
}

pg_noreturn static void
unknown_option(const char *name, Oid catalog)
{
	const char *nearest = nearest_option(name, catalog, NULL);

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

void
option_refuse_in_reference(const char *name, bool (*fits) (const char *name))
{
	const char *nearest = nearest_option(name, SERVER, fits);

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid option \"%s\" in function reference", name),
			 errdetail("The reference is to an HTTP function."),
			 find_option(name, SERVER) != NULL
				 ? errhint("This is an option of servers.")
				 : nearest != NULL
				 ? errhint("Perhaps you meant the option \"%s\".", nearest)
				 : 0));
}

/* --- values -------------------------------------------------------------- */

/* Options travel with each call, in one frame. */
#define MAX_CERTIFICATES (16 * 1024)

static const char *
certificates_error(const char *value)
{
	char why[256];

	if (strlen(value) > MAX_CERTIFICATES)
		return "The value must not be longer than 16 kB: for more certificates there is option \"ssl_ca_file\".";
	return certificates_read(value, NULL, NULL, why, sizeof(why)) ? NULL
																  : pstrdup(why);
}

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
		case OPTION_WORD:
			error = option_word_error(value);
			break;
		case OPTION_NAME:
			if (value[0] == '\0' || strlen(value) >= NAMEDATALEN)
				error = "The value must be the name of a column.";
			break;
		case OPTION_BOOL:
			if (!parse_bool(value, &ignored))
				error = "The value must be on or off.";
			break;
		case OPTION_INTEGER:
			if (!option_number(value, true, def->min, def->max))
				error = psprintf("The value must be a whole number from %.0f to %.0f, in digits.",
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
		case OPTION_ONE_URL:
			error = strchr(value, ',') != NULL ? "The value must be one URL."
											   : option_url_error(value);
			break;
		case OPTION_PROXY:
			error = option_proxy_error(value);
			break;
		case OPTION_HEADERS:
			error = option_headers_error(value);
			break;
		case OPTION_CERTIFICATES:
			error = certificates_error(value);
			break;
		case OPTION_REQUEST:
			error = http_request_error(value);
			break;
		case OPTION_OBJECT:
			error = http_parameters_error(value);
			break;
		case OPTION_PATHS: /* in http_options_check */
			break;
		case OPTION_FILE:
			if (!is_absolute_path(value))
				error = "The value must be an absolute path.";
			break;
		case OPTION_WEBHOOK_SECRET:
			error = webhook_secret_error(value);
			break;
		case OPTION_SERVICE_KEY:
			service_key_free(service_key_parse(value, &error));
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

static void
check_token_url(List *options)
{
	const char *token_url = option_value(options, "token_url");
	const char *url = option_value(options, "url");

	if (token_url == NULL || strncmp(token_url, "http://", 7) != 0)
		return;
	if (!option_bool(options, "allow_http", false) ||
		strncmp(url, "http://", 7) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("a plain-text token URL needs option \"allow_http\" and a plain-text URL"),
				 errdetail("Client secrets and tokens would travel unencrypted.")));
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
	if (option_value(options, "window") != NULL &&
		option_value(options, "max_in_flight") != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("options \"max_in_flight\" and \"window\" exclude each other"),
				 errdetail("The second is the old name of the first."),
				 errhint("Use ALTER SERVER with DROP window.")));
	if ((option_value(options, "aws_region") == NULL) !=
		(option_value(options, "aws_service") == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("options \"aws_region\" and \"aws_service\" go together")));
	if (option_value(options, "ssl_ca") != NULL &&
		option_value(options, "ssl_ca_file") != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("options \"ssl_ca\" and \"ssl_ca_file\" exclude each other"),
				 errhint("Use ALTER SERVER with DROP for the one that is not to hold.")));
	if (http)
		http_options_check(options);
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
	check_token_url(options);
}

pg_noreturn static void
refuse_option(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to set option \"%s\"", name),
			 errhint("Only superusers may use options that name files, weaken TLS, redirect connections, or lend the server's own credentials.")));
}

/*
 * The validator does not see what was there before.  Of the options for
 * superusers, a proxy is the one that holds an owner back: without the others
 * a server can do less.
 */
void
options_check_alter(const AlterForeignServerStmt *stmt)
{
	ListCell *lc;

	foreach(lc, stmt->options)
	{
		const DefElem *elem = lfirst_node(DefElem, lc);
		ForeignServer *server;

		if (elem->defaction != DEFELEM_DROP ||
			strcmp(elem->defname, "proxy") != 0 || superuser())
			continue;
		server = GetForeignServerByName(stmt->servername, true);
		if (server != NULL &&
			strcmp(GetForeignDataWrapper(server->fdwid)->fdwname,
				   MODAL_WRAPPER_NAME) == 0)
			refuse_option(elem->defname);
	}
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
			refuse_option(elem->defname);
	}
	if (catalog == SERVER)
		check_together(options);
	else if (catalog == MAPPING)
		secrets_check_mapping(options);
	/* The wrapper itself is made by the extension's script. */
	if (catalog == ForeignDataWrapperRelationId && creating_extension)
		modal_tell_unless_preloaded();
	PG_RETURN_VOID();
}
