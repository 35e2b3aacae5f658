/*-------------------------------------------------------------------------
 *
 * token_life.c
 *	  Claims of a JSON web token; see token_life.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/token_life.h"

#include <json-c/json.h>

#include "core/base64.h"

#define MAX_CLAIMS 16384
#define MAX_LIFE 86400.0

/* A number, or 0. */
static double
claim(struct json_object *claims, const char *name)
{
	struct json_object *value;

	if (!json_object_object_get_ex(claims, name, &value) ||
		!(json_object_is_type(value, json_type_int) ||
		  json_object_is_type(value, json_type_double)))
		return 0;
	return json_object_get_double(value);
}

/* What the token says, sensible or not. */
static double
said_life(const char *token, double unix_now)
{
	const char *payload = strchr(token, '.');
	struct json_object *claims = NULL;
	double issued = 0;
	double expires = 0;
	Buf json;

	if (payload == NULL)
		return 0;
	payload++;
	buf_init(&json, MAX_CLAIMS, NULL);
	if (base64_decode(&json, payload, strcspn(payload, ".")))
		claims = json_tokener_parse(buf_cstr(&json));
	buf_free(&json);
	if (json_object_is_type(claims, json_type_object))
	{
		issued = claim(claims, "iat");
		expires = claim(claims, "exp");
	}
	json_object_put(claims);
	return expires - (issued > 0 ? issued : unix_now);
}

double
token_life(const char *token, double unix_now)
{
	double life = said_life(token, unix_now);

	return life > 0 && life <= MAX_LIFE ? life : TOKEN_DEFAULT_LIFE;
}
