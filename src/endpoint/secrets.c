/*-------------------------------------------------------------------------
 *
 * secrets.c
 *	  The secrets of user mappings; see secrets.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "commands/defrem.h"
#include "endpoint/options.h"
#include "endpoint/secrets.h"
#include "endpoint/small_file.h"
#include "nodes/makefuncs.h"

#define FILE_SUFFIX "_file"

/* --- which go together ------------------------------------------------------ */

/* What one request can be authorized by, and what each kind needs. */
static const struct
{
	const char *option;
	const char *also; /* or NULL */
} kinds[] = {
	{"bearer_token", NULL},
	{"basic_credentials", NULL},
	{"aws_access_key_id", "aws_secret_access_key"},
	{"client_id", NULL},
	{"google_key", NULL},
};

/* As it is, or in a file. */
static bool
is_given(List *options, const char *name)
{
	return option_value(options, name) != NULL ||
		option_value(options, psprintf("%s" FILE_SUFFIX, name)) != NULL;
}

static void
exclude(const char *one, const char *other)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("options \"%s\" and \"%s\" exclude each other", one, other)));
}

static void
need(List *options, const char *one, const char *other)
{
	if (is_given(options, one) && !is_given(options, other))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("option \"%s\" needs option \"%s\"", one, other)));
}

/* Is it NAME_file?  Then *name is NAME. */
static bool
is_file_option(const char *option, char **name)
{
	Size n = strlen(option);
	Size suffix = strlen(FILE_SUFFIX);

	if (n <= suffix || strcmp(option + n - suffix, FILE_SUFFIX) != 0)
		return false;
	*name = pnstrdup(option, n - suffix);
	return true;
}

void
secrets_check_mapping(List *options)
{
	const char *found = NULL;
	ListCell *lc;

	foreach (lc, options)
	{
		const char *option = lfirst_node(DefElem, lc)->defname;
		char *name;

		if (is_file_option(option, &name) && option_value(options, name) != NULL)
			exclude(name, option);
	}
	for (int i = 0; i < (int) lengthof(kinds); i++)
	{
		if (!is_given(options, kinds[i].option))
			continue;
		/* these two have always been possible together: the first counts */
		if (found != NULL && strcmp(kinds[i].option, "basic_credentials") != 0)
			exclude(found, kinds[i].option);
		found = kinds[i].option;
		if (kinds[i].also != NULL)
			need(options, kinds[i].option, kinds[i].also);
	}
	need(options, "aws_secret_access_key", "aws_access_key_id");
	need(options, "aws_session_token", "aws_access_key_id");
	need(options, "client_secret", "client_id");
	need(options, "webhook_secret_old", "webhook_secret");
	need(options, "refresh_token", "client_id");
	if (is_given(options, "client_id") && !is_given(options, "refresh_token"))
		need(options, "client_id", "client_secret");
}

/* --- files ------------------------------------------------------------------ */

/* Editors end a file with a line break, which is no part of the secret. */
static char *
read_secret(const char *path)
{
	Size len;
	char *text = small_file_read(path, false, &len);

	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		text[--len] = '\0';
	if (memchr(text, '\0', len) != NULL)
		ereport(ERROR, (errcode(ERRCODE_CONFIG_FILE_ERROR),
						errmsg("file \"%s\" holds a zero byte", path)));
	return text;
}

List *
secrets_read_files(List *options, bool *any)
{
	List *read = NIL;
	ListCell *lc;

	*any = false;
	foreach (lc, options)
	{
		DefElem *def = lfirst_node(DefElem, lc);
		char *name;
		char *value;

		if (!is_file_option(def->defname, &name))
		{
			read = lappend(read, def);
			continue;
		}
		*any = true;
		value = read_secret(defGetString(def));
		option_check(name, value);
		read = lappend(read, makeDefElem(name, (Node *) makeString(value), -1));
	}
	return read;
}

/* --- mapping and server ----------------------------------------------------- */

static void
complain(const char *server, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			 errmsg("the user mapping for server \"%s\" %s", server, what),
			 errhint("%s", hint)));
}

void
secrets_check_use(const char *server, List *options)
{
	bool aws = option_value(options, "aws_access_key_id") != NULL;

	if (aws && option_value(options, "aws_region") == NULL)
		complain(server, "has AWS keys, which the server does not use",
				 "Use ALTER SERVER to set options aws_region and aws_service.");
	if (!aws && option_value(options, "aws_region") != NULL &&
		option_value(options, "bearer_token") == NULL)
		complain(server, "has no AWS keys",
				 "Use ALTER USER MAPPING to set options aws_access_key_id and aws_secret_access_key.");
	if (option_value(options, "client_id") != NULL &&
		option_value(options, "token_url") == NULL)
		complain(server, "has an OAuth client, which the server does not use",
				 "Use ALTER SERVER to set option token_url.");
	if (option_value(options, "token_url") != NULL &&
		option_value(options, "client_id") == NULL &&
		option_value(options, "google_key") == NULL)
		complain(server, "has nothing that option token_url is for",
				 "Use ALTER USER MAPPING to set options client_id and client_secret, or google_key.");
}
