/*-------------------------------------------------------------------------
 *
 * access.c
 *	  Who may look into the console.
 *
 *-------------------------------------------------------------------------
 */
#include "console/access.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "net/conn.h"
#include "util.h"

#define KEY_BYTES 16
#define KEY_SIZE (2 * KEY_BYTES + 1)
#define MAX_KEYS 4
#define MAX_SESSIONS 64

static struct
{
	char keys[MAX_KEYS][KEY_SIZE]; /* "": used */
	unsigned next_key;
	char sessions[MAX_SESSIONS][KEY_SIZE]; /* likewise: not made yet */
	unsigned next_session;
	char cookie[32]; /* its name: cookies do not tell ports apart */
	const char *host; /* that we were told to listen on */
} access;

void
access_init(int port, const char *host)
{
	snprintf(access.cookie, sizeof(access.cookie), "modal_local_%d", port);
	access.host = host;
}

static char *
make_secret(char (*ring)[KEY_SIZE], unsigned size, unsigned *next)
{
	char *secret = ring[(*next)++ % size];
	uint8_t bytes[KEY_BYTES];

	random_bytes(bytes, sizeof(bytes));
	for (int i = 0; i < KEY_BYTES; i++)
		snprintf(secret + 2 * i, 3, "%02x", bytes[i]);
	return secret;
}

/* The one of these that is given, in a time that tells nothing of it. */
static char *
find_secret(char (*ring)[KEY_SIZE], unsigned size, const char *given, size_t len)
{
	char *found = NULL;

	for (unsigned i = 0; len == KEY_SIZE - 1 && i < size; i++)
		if (CRYPTO_memcmp(ring[i], given, len) == 0)
			found = ring[i];
	return found;
}

const char *
access_new_key(void)
{
	return make_secret(access.keys, MAX_KEYS, &access.next_key);
}

bool
access_login(const char *key, char *cookie)
{
	char *found = find_secret(access.keys, MAX_KEYS, key, strlen(key));

	if (found == NULL)
		return false;
	memset(found, 0, KEY_SIZE);
	snprintf(cookie, ACCESS_COOKIE_SIZE,
			 "%s=%s; Path=/console; HttpOnly; SameSite=Strict", access.cookie,
			 make_secret(access.sessions, MAX_SESSIONS, &access.next_session));
	return true;
}

bool
access_has_cookie(const HttpRequest *request)
{
	char *cookies = http_header(request, "cookie");
	size_t name = strlen(access.cookie);
	bool found = false;

	for (char *p = cookies; p != NULL && !found;)
	{
		p += strspn(p, " ;");
		if (strncmp(p, access.cookie, name) == 0 && p[name] == '=')
			found = find_secret(access.sessions, MAX_SESSIONS, p + name + 1,
								strcspn(p + name + 1, "; ")) != NULL;
		p = strchr(p, ';');
	}
	free(cookies);
	return found;
}

/* An address is what nobody can make lead elsewhere. */
bool
access_right_host(const HttpRequest *request)
{
	char *host = http_header(request, "host");
	char *name = host;
	char *end;
	bool right;

	if (host == NULL)
		return false;
	if (host[0] == '[' && (end = strchr(host, ']')) != NULL)
	{
		name = host + 1;
		*end = '\0';
	}
	else if ((end = strrchr(host, ':')) != NULL)
		*end = '\0';
	right = strcasecmp(name, "localhost") == 0 ||
			strcasecmp(name, access.host) == 0 || conn_is_address(name);
	free(host);
	return right;
}

bool
access_from_page(const HttpRequest *request)
{
	char *host = http_header(request, "host");
	char *origin = http_header(request, "origin");
	char *site = http_header(request, "sec-fetch-site");
	const char *name = origin != NULL ? strstr(origin, "://") : NULL;
	bool ours = host != NULL && name != NULL &&
				strcasecmp(name + 3, host) == 0 &&
				(site == NULL || strcmp(site, "same-origin") == 0);

	free(host);
	free(origin);
	free(site);
	return ours;
}
