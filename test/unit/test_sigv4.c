/* Tests of core/sigv4: signatures as botocore makes them. */
#include "tap.h"

#include "core/sigv4.h"

#define NOW 1440938160 /* 2015-08-30 12:36:00 UTC */

typedef struct Case
{
	const char *method, *target, *service, *token;
	const char *headers[4];
	const char *body, *signature;
} Case;

static const Case cases[] = {
	{"GET", "/", "service", NULL,
	 {NULL}, "",
	 "726c5c4879a6b4ccbbd3b24edbd6b8826d34f87450fbbf4e85546fc7ba9c1642"},
	{"POST", "/a/b?b=2&a=1&a=0", "service", NULL,
	 {"Content-Type: application/json", NULL}, "{}",
	 "3887ca51698445b1bdee33400caf87e7f0cc6d8b710f4a49dea63a89413f525d"},
	{"POST", "/x?flag", "es", "TOK/en==",
	 {"Content-Type: application/json", NULL}, "{\"a\": 1}",
	 "bac7587de275f77c3f4a3476de2be8c2dcfd0696a19a07731963454a06863927"},
	{"POST", "/model/anthropic.claude-v1%3A0/invoke", "bedrock", NULL,
	 {"Content-Type:  application/json ", "X-Amz-Custom: a  b", "User-Agent: x", NULL}, "[]",
	 "518bc6d81785bed4043af35ccd5138c2bdccdfaef9e13d175b1e551fd7fe0610"},
	{"POST", "/model/a:0/invoke", "bedrock", NULL,
	 {NULL}, "",
	 "c0b317b4921b065408c4d123af7e00efb46d1beed6befe8d9bf3e6471ecfc31c"},
	{"POST", "/f/arn%3Aaws%3Alambda/../invocations//x/", "lambda", NULL,
	 {"x-amz-invocation-type: Event", NULL}, "1",
	 "a394fdfc5121c88c0f3561aa5c2f401b079dcf4cc1c1e08d0d7562695f27996f"},
	{"PUT", "/key%20with/b%3D1/~c", "s3", NULL,
	 {NULL}, "body",
	 "8e7290bb1eac72c93f8be002f385077105aacf4dc4a899f12d5fc8f513eea06b"},
	{"GET", "/s?q=a%20b&p=%E2%82%AC", "service", NULL,
	 {NULL}, "",
	 "ad375c7a67ff21f7eac31a3e15c65b9f466d2f487413c2596aaecac99375117c"},
};

static const char *
line_of(const Buf *lines, int n, const char *prefix)
{
	const char *line = (const char *) lines->data;

	for (int i = 0; i < n; i++, line += strlen(line) + 1)
	{
		if (strncmp(line, prefix, strlen(prefix)) == 0)
			return line + strlen(prefix);
	}
	return NULL;
}

static int
sign(const Case *c, Buf *lines)
{
	SigV4Keys keys = {.access_key_id = "AKIDEXAMPLE",
					  .secret_access_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
					  .session_token = c->token,
					  .region = "us-east-1",
					  .service = c->service};
	SigV4Request request = {.method = c->method,
							.host = "example.amazonaws.com",
							.target = c->target,
							.headers = c->headers,
							.body = c->body,
							.body_len = strlen(c->body)};

	return sigv4_sign(&keys, &request, NOW, lines);
}

static void
test_signatures(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const Case *c = &cases[i];
		const char *authorization;
		Buf lines;
		int n;

		buf_init(&lines, 0, NULL);
		n = sign(c, &lines);
		is_int(n, c->token != NULL ? 4 : 3, c->target);
		is_text(line_of(&lines, n, "X-Amz-Date: "), "20150830T123600Z", "date");
		is_text(line_of(&lines, n, "X-Amz-Security-Token: "), c->token, "token");
		authorization = line_of(&lines, n, "Authorization: ");
		is_text(strstr(authorization, "Signature=") + 10, c->signature, "signature");
		buf_free(&lines);
	}
}

static void
test_names(void)
{
	Case c = {"POST", "/", "service", "T", {"Content-Type: a", "Accept: b"}, "", ""};
	const char *authorization;
	Buf lines;

	buf_init(&lines, 0, NULL);
	authorization = line_of(&lines, sign(&c, &lines), "Authorization: ");
	ok(strncmp(authorization, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
			   "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature=", 80) == 0,
	   "what is signed is said");
	ok(strstr(authorization, "=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token, ") != NULL,
	   "in order");
	buf_free(&lines);
}

/* Nothing that a path may be crashes it, or is not signed. */
static void
test_odd_paths(void)
{
	static const char *const targets[] = {
		"", "?", "/..", "/../../..", "//", "/%", "/%4", "/%zz?%=%&%", "/.?&&=&",
		"/a/./b/..", "/?a=1=2", "x",
	};

	for (size_t i = 0; i < sizeof(targets) / sizeof(char *); i++)
	{
		for (int s3 = 0; s3 < 2; s3++)
		{
			Case c = {"POST", targets[i], s3 ? "s3" : "x", NULL, {NULL}, "", ""};
			Buf lines;

			buf_init(&lines, 0, NULL);
			is_int(sign(&c, &lines), 3, targets[i]);
			buf_free(&lines);
		}
	}
}

int
main(void)
{
	test_signatures();
	test_names();
	test_odd_paths();
	return done_testing();
}
