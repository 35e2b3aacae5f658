/*-------------------------------------------------------------------------
 *
 * json.h
 *	  Members of JSON objects, in few words.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_JSON_H
#define MODAL_LOCAL_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/* NULL: the object gets no such member. */
static inline void
put_text(json_object *to, const char *name, const char *value)
{
	if (value != NULL)
		json_object_object_add(to, name, json_object_new_string(value));
}

static inline void
put_text_len(json_object *to, const char *name, const void *value, size_t len)
{
	json_object_object_add(to, name,
						   json_object_new_string_len(value, (int) len));
}

static inline void
put_int(json_object *to, const char *name, int64_t value)
{
	json_object_object_add(to, name, json_object_new_int64(value));
}

static inline void
put_double(json_object *to, const char *name, double value)
{
	json_object_object_add(to, name, json_object_new_double(value));
}

static inline void
put_bool(json_object *to, const char *name, bool value)
{
	json_object_object_add(to, name, json_object_new_boolean(value));
}

#endif /* MODAL_LOCAL_JSON_H */
