/*-------------------------------------------------------------------------
 *
 * secrets.c
 *	  Secrets and volumes, which options of functions name.
 *
 * Nothing is ever removed: clients may name what they have seen, and the
 * environment of a pool of processes is known by its address.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/secrets.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "calls/registry.h"
#include "util.h"

#define MAX_SECRETS 10000 /* clients can make them at will */

struct Secret
{
	char id[FUNCTION_ID_SIZE];
	char *name;		  /* NULL: it has none */
	char **variables; /* NAME=VALUE */
	size_t n;
};

static Table secrets_by_id;
static Table secrets_by_name;
static Table environments; /* by the ids, joined */
static Table volumes;

const Secret *
secret_find(const char *name)
{
	return table_get_str(&secrets_by_name, name);
}

static const Secret *
secret_get(const char *id)
{
	return table_get_str(&secrets_by_id, id);
}

const char *
secret_id(const Secret *secret)
{
	return secret->id;
}

bool
secret_has(const Secret *secret, const char *variable)
{
	size_t len = strlen(variable);

	for (size_t i = 0; i < secret->n; i++)
		if (strncmp(secret->variables[i], variable, len) == 0 &&
			secret->variables[i][len] == '=')
			return true;
	return false;
}

/* Those that would let a client run its own code in our processes are not. */
static bool
acceptable(const char *variable)
{
	if (!isalpha((unsigned char) variable[0]) && variable[0] != '_')
		return false;
	for (const char *p = variable; *p != '\0'; p++)
		if (!isalnum((unsigned char) *p) && *p != '_')
			return false;
	return strncmp(variable, "LD_", 3) != 0 &&
		   strncmp(variable, "PYTHON", 6) != 0 &&
		   strcmp(variable, "PATH") != 0;
}

static int
compare_variables(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/*
 * Of one that has a name, by that; of another, by what is in it, as clients make
 * the same one again and again.
 */
static void
set_id(Secret *secret)
{
	Buf content;

	if (secret->name != NULL)
	{
		registry_name_id(secret->id, "st", secret->name);
		return;
	}
	buf_init(&content, 0, xbuf_realloc);
	buf_put_u8(&content, 0); /* no name begins so */
	for (size_t i = 0; i < secret->n; i++)
		buf_put(&content, secret->variables[i],
				strlen(secret->variables[i]) + 1);
	registry_bytes_id(secret->id, "st", content.data, content.len);
	buf_free(&content);
}

static void
free_secret(Secret *secret)
{
	for (size_t i = 0; i < secret->n; i++)
		free(secret->variables[i]);
	free(secret->variables);
	free(secret->name);
	free(secret);
}

const Secret *
secret_create(const char *name, size_t n, const char *const *variables,
			  const char *const *values, const char **error)
{
	Secret *secret;
	const Secret *known;

	*error = "The name of a variable is not acceptable";
	for (size_t i = 0; i < n; i++)
		if (!acceptable(variables[i]))
			return NULL;
	secret = xcalloc(sizeof(*secret));
	secret->name = name != NULL ? xstrdup(name) : NULL;
	secret->variables = xmalloc(n * sizeof(char *));
	secret->n = n;
	for (size_t i = 0; i < n; i++)
		secret->variables[i] = xasprintf("%s=%s", variables[i], values[i]);
	qsort(secret->variables, n, sizeof(char *), compare_variables);
	set_id(secret);
	known = secret_get(secret->id);
	if (known != NULL || secrets_by_id.used == MAX_SECRETS)
	{
		*error = "There are too many secrets";
		free_secret(secret);
		return known;
	}
	table_put(&secrets_by_id, secret->id, strlen(secret->id), secret);
	if (name != NULL)
		table_put(&secrets_by_name, secret->name, strlen(name), secret);
	return secret;
}

static void
add_variable(Secret *secret, const char *variable, const char *value)
{
	secret->variables = xrealloc(secret->variables,
								 (secret->n + 1) * sizeof(char *));
	secret->variables[secret->n++] = xasprintf("%s=%s", variable, value);
}

bool
secret_define(const char *text)
{
	char *copy = xstrdup(text);
	char *variable = strchr(copy, ':');
	char *value = variable != NULL ? strchr(variable, '=') : NULL;
	bool ok = value != NULL;

	if (ok)
	{
		const char *variables[1] = {variable + 1};
		const char *values[1] = {value + 1};
		const char *error;
		Secret *secret;

		*variable++ = '\0';
		*value++ = '\0';
		secret = table_get_str(&secrets_by_name, copy);
		ok = copy[0] != '\0' && acceptable(variable) &&
			 (secret == NULL ? secret_create(copy, 1, variables, values,
											  &error) != NULL
							 : !secret_has(secret, variable));
		if (ok && secret != NULL)
			add_variable(secret, variable, value);
	}
	free(copy);
	return ok;
}

char *const *
secrets_environment(char *const *ids, size_t n)
{
	Buf key;
	char **environment = NULL;
	size_t n_variables = 0;
	size_t at = 0;

	buf_init(&key, 0, xbuf_realloc);
	for (size_t i = 0; i < n; i++)
	{
		const Secret *secret = secret_get(ids[i]);

		if (secret == NULL)
		{
			buf_free(&key);
			return NULL;
		}
		n_variables += secret->n;
		buf_printf(&key, "%s,", ids[i]);
	}
	environment = table_get(&environments, key.data, key.len);
	if (environment != NULL)
	{
		buf_free(&key);
		return environment;
	}
	environment = xcalloc((n_variables + 1) * sizeof(char *));
	for (size_t i = 0; i < n; i++)
	{
		const Secret *secret = secret_get(ids[i]);

		for (size_t k = 0; k < secret->n; k++)
			environment[at++] = secret->variables[k];
	}
	table_put(&environments, key.data, key.len, environment);
	return environment;
}

void
volume_define(const char *name)
{
	if (!volume_exists(name))
		table_put(&volumes, name, strlen(name), (void *) (uintptr_t) name);
}

bool
volume_exists(const char *name)
{
	return table_get_str(&volumes, name) != NULL;
}
