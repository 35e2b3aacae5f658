/*-------------------------------------------------------------------------
 *
 * query.c
 *	  Parameters in the query of an address.
 *
 *-------------------------------------------------------------------------
 */
#include "console/query.h"

#include <stdlib.h>
#include <string.h>

#include "calls/calls.h"

bool
query_get(const char *query, const char *name, char *value, size_t size)
{
	size_t n = strlen(name);

	value[0] = '\0';
	for (const char *p = query; *p != '\0';)
	{
		size_t len = strcspn(p, "&");

		if (len > n && len - n <= size && strncmp(p, name, n) == 0 &&
			p[n] == '=')
		{
			memcpy(value, p + n + 1, len - n - 1);
			value[len - n - 1] = '\0';
			return true;
		}
		p += len + (p[len] == '&');
	}
	return false;
}

int32_t
query_index(const char *query, const char *name)
{
	char text[16];
	char *end;
	long n;

	if (!query_get(query, name, text, sizeof(text)))
		return -1;
	n = strtol(text, &end, 10);
	return end != text && *end == '\0' && n >= 0 && n <= MAX_INPUT_INDEX
			   ? (int32_t) n
			   : -1;
}
