/*-------------------------------------------------------------------------
 *
 * oauth.c
 *	  Forms and replies of OAuth 2's token endpoints; see oauth.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/oauth.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <strings.h>

#include "core/base64.h"

#define MAX_REPLY (64 * 1024)

/* --- what is said --------------------------------------------------------- */

/* application/x-www-form-urlencoded */
void
oauth_put_encoded(Buf *out, const char *text)
{
	for (; *text != '\0'; text++)
	{
		unsigned char c = (unsigned char) *text;

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			(c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_' ||
			c == '~')
			buf_put_u8(out, c);
		else
			buf_printf(out, "%%%02X", c);
	}
}

void
oauth_put_member(Buf *form, const char *name, const char *value)
{
	if (form->len > 0)
		buf_put_u8(form, '&');
	oauth_put_encoded(form, name);
	buf_put_u8(form, '=');
	oauth_put_encoded(form, value);
}

void
oauth_put_basic(Buf *out, const char *id, const char *secret)
{
	Buf pair;

	buf_init(&pair, 0, NULL);
	oauth_put_encoded(&pair, id);
	buf_put_u8(&pair, ':');
	oauth_put_encoded(&pair, secret);
	if (pair.failed)
		out->failed = true;
	else
		base64_encode(out, pair.data, pair.len);
	if (pair.data != NULL)
		explicit_bzero(pair.data, pair.len);
	buf_free(&pair);
}

/* --- what is answered ------------------------------------------------------ */

/* An object, to be put; NULL: it is none. */
static struct json_object *
parse(const char *text, size_t n)
{
	struct json_tokener *tokener;
	struct json_object *object = NULL;

	if (n > MAX_REPLY || (tokener = json_tokener_new()) == NULL)
		return NULL;
	object = json_tokener_parse_ex(tokener, text, (int) n);
	json_tokener_free(tokener);
	if (json_object_is_type(object, json_type_object))
		return object;
	json_object_put(object);
	return NULL;
}

/* NULL: there is none, or it holds a zero. */
static const char *
string_member(struct json_object *object, const char *name)
{
	struct json_object *value;
	const char *text;

	if (!json_object_object_get_ex(object, name, &value) ||
		!json_object_is_type(value, json_type_string))
		return NULL;
	text = json_object_get_string(value);
	return strlen(text) == (size_t) json_object_get_string_len(value) ? text
																	  : NULL;
}

/* It becomes part of a header. */
static bool
is_token(const char *text)
{
	size_t n = 0;

	for (; text[n] != '\0'; n++)
	{
		if (text[n] <= ' ' || text[n] > '~')
			return false;
	}
	return n > 0 && n <= OAUTH_MAX_TOKEN;
}

/* A number, which some write as a string. */
static double
seconds_member(struct json_object *object, const char *name)
{
	struct json_object *value;
	double seconds;

	if (!json_object_object_get_ex(object, name, &value))
		return 0;
	seconds = json_object_get_double(value);
	return seconds > 0 ? seconds : 0;
}

static const char *
take_members(struct json_object *object, OAuthReply *reply)
{
	const char *token = string_member(object, "access_token");
	const char *type = string_member(object, "token_type");
	const char *refresh = string_member(object, "refresh_token");

	if (token == NULL)
		token = string_member(object, "id_token");
	if (token == NULL)
		return "it has no access_token";
	if (!is_token(token))
		return "its access_token is not one";
	if (type != NULL && strcasecmp(type, "Bearer") != 0)
		return "its token_type is not Bearer";
	reply->expires_in = seconds_member(object, "expires_in");
	reply->token = strdup(token);
	if (refresh != NULL && is_token(refresh))
		reply->refresh_token = strdup(refresh);
	return reply->token != NULL ? NULL : "out of memory";
}

const char *
oauth_take_reply(const char *text, size_t n, OAuthReply *reply)
{
	struct json_object *object = parse(text, n);
	const char *error;

	memset(reply, 0, sizeof(*reply));
	if (object == NULL)
		return "it is not a JSON object";
	error = take_members(object, reply);
	json_object_put(object);
	if (error != NULL)
		oauth_free_reply(reply);
	return error;
}

static void
free_secret(char **secret)
{
	if (*secret != NULL)
	{
		explicit_bzero(*secret, strlen(*secret));
		free(*secret);
	}
	*secret = NULL;
}

void
oauth_free_reply(OAuthReply *reply)
{
	free_secret(&reply->token);
	free_secret(&reply->refresh_token);
}

bool
oauth_put_error(Buf *out, const char *text, size_t n)
{
	struct json_object *object = parse(text, n);
	const char *error = NULL;
	const char *description = NULL;

	if (object != NULL)
	{
		error = string_member(object, "error");
		description = string_member(object, "error_description");
	}
	if (error != NULL)
		buf_put_cstr(out, error);
	if (error != NULL && description != NULL)
	{
		buf_put_cstr(out, ": ");
		buf_put_cstr(out, description);
	}
	json_object_put(object);
	return error != NULL;
}
