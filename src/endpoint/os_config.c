/*-------------------------------------------------------------------------
 *
 * os_config.c
 *	  Modal's configuration of the server's operating system user; see
 *	  os_config.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "commands/defrem.h"
#include "core/modal_config.h"
#include "endpoint/options.h"
#include "endpoint/os_config.h"
#include "endpoint/small_file.h"
#include "nodes/makefuncs.h"

/* The options that can come from there. */
static const struct
{
	const char *option;
	const char *variable;
	const char *key; /* in the file */
} sources[] = {
	{"url", "MODAL_SERVER_URL", "server_url"},
	{"environment", "MODAL_ENVIRONMENT", "environment"},
	{"max_throttle_wait", "MODAL_MAX_THROTTLE_WAIT", "max_throttle_wait"},
	{"token_id", "MODAL_TOKEN_ID", "token_id"},
	{"token_secret", "MODAL_TOKEN_SECRET", "token_secret"},
};

static const char *
variable(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

static List *
add_option(List *options, const char *name, const char *value)
{
	if (option_value(options, name) != NULL)
		return options;
	option_check(name, value);
	return lappend(options, makeDefElem(pstrdup(name),
										(Node *) makeString(pstrdup(value)),
										-1));
}

/* --- the file ------------------------------------------------------------- */

static char *
config_path(void)
{
	const char *path = variable("MODAL_CONFIG_PATH");
	char home[MAXPGPATH];

	if (path != NULL)
		return pstrdup(path);
	if (!get_home_path_compat(home))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("the operating system user that runs the server has no home directory")));
	return psprintf("%s/.modal.toml", home);
}

/* Errors must not pass through the reader: values are checked afterwards. */
static void
take_setting(void *arg, Slice key, Slice value)
{
	char **values = arg;

	for (int i = 0; i < (int) lengthof(sources); i++)
		if (strlen(sources[i].key) == key.n &&
			memcmp(sources[i].key, key.p, key.n) == 0)
			values[i] = pnstrdup(value.p, value.n);
}

static List *
add_from_file(List *options)
{
	char *path = config_path();
	char *values[lengthof(sources)] = {NULL};
	const char *error;
	Size len;
	char *text = small_file_read(path, true, &len);
	int line;

	if (text == NULL)
		return options;
	error = modal_config_read(text, len, variable("MODAL_PROFILE"),
							  take_setting, values, &line);
	explicit_bzero(text, len);
	pfree(text);
	if (error != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("file \"%s\" cannot be used as Modal's configuration",
						path),
				 line > 0 ? errdetail("Line %d: %s.", line, error)
						  : errdetail("Its problem: %s.", error)));
	for (int i = 0; i < (int) lengthof(sources); i++)
		if (values[i] != NULL)
			options = add_option(options, sources[i].option, values[i]);
	return options;
}

/* -------------------------------------------------------------------------- */

List *
os_config_add(List *options)
{
	for (int i = 0; i < (int) lengthof(sources); i++)
	{
		const char *value = variable(sources[i].variable);

		if (value != NULL)
			options = add_option(options, sources[i].option, value);
	}
	return add_from_file(options);
}
