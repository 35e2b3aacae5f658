/* What a token endpoint answers: a token can end no header, nor hold a zero. */
#include "fuzz.h"

#include "core/oauth.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	OAuthReply reply;
	Buf error;

	memcpy(text, data, size);
	text[size] = '\0';
	if (oauth_take_reply(text, size, &reply) == NULL)
	{
		REQUIRE(reply.token[0] != '\0' && strlen(reply.token) <= OAUTH_MAX_TOKEN);
		for (const char *p = reply.token; *p != '\0'; p++)
			REQUIRE(*p > ' ' && *p <= '~');
		REQUIRE(reply.expires_in >= 0);
		oauth_free_reply(&reply);
	}
	buf_init(&error, 0, NULL);
	if (!oauth_put_error(&error, text, size))
		REQUIRE(error.len == 0);
	buf_free(&error);
	free(text);
	return 0;
}
