/* Tests of core/allowed_hosts: to whom connections may be made. */
#include "tap.h"

#include <arpa/inet.h>

#include "core/allowed_hosts.h"

static AllowedHosts *
parse(const char *list)
{
	const char *error, *where;
	size_t len;

	return allowed_hosts_parse(list, &error, &where, &len);
}

static void
is_allowed(const char *list, const char *host, const char *address, bool want)
{
	AllowedHosts *allowed = parse(list);
	uint8_t bytes[16];
	IpAddress ip;

	if (address != NULL)
	{
		int family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;

		inet_pton(family, address, bytes);
		ip_address_set(&ip, family, bytes);
	}
	ok(allowed != NULL &&
		   allowed_hosts_has(allowed, host, address != NULL ? &ip : NULL) == want,
	   "\"%s\": %s at %s %s", list, host, address != NULL ? address : "?",
	   want ? "yes" : "no");
	allowed_hosts_free(allowed);
}

static void
test_names(void)
{
	is_allowed("a.example", "a.example", "10.0.0.1", true);
	is_allowed("A.example.", "a.EXAMPLE", "10.0.0.1", true);
	is_allowed("a.example", "a.example.", "10.0.0.1", true);
	is_allowed("a.example", "b.a.example", "10.0.0.1", false);
	is_allowed("a.example", "a.example.evil", "10.0.0.1", false);
	is_allowed("*.example", "a.example", "10.0.0.1", true);
	is_allowed(".example", "a.b.example", "10.0.0.1", true);
	is_allowed("*.example", "example", "10.0.0.1", false);
	is_allowed("*.example", "myexample", "10.0.0.1", false);
	is_allowed("*.example", ".example", "10.0.0.1", false);
	is_allowed("*", "anything", "::1", true);
	is_allowed("x, a.example ,y", "a.example", NULL, true);
	is_allowed("x,y", "a.example", NULL, false);
	is_allowed("", "a.example", NULL, true);
}

static void
test_addresses(void)
{
	is_allowed("10.0.0.0/8", "a.example", "10.255.0.1", true);
	is_allowed("10.0.0.0/8", "a.example", "11.0.0.1", false);
	is_allowed("10.0.0.0/8", "a.example", "::ffff:10.1.2.3", true);
	is_allowed("10.0.0.0/8", "10.0.0.1", NULL, false);
	is_allowed("10.128.0.0/9", "a", "10.127.255.255", false);
	is_allowed("10.128.0.0/9", "a", "10.128.0.0", true);
	is_allowed("127.0.0.1", "localhost", "127.0.0.1", true);
	is_allowed("127.0.0.1", "localhost", "::1", false);
	is_allowed("127.0.0.1", "localhost", "127.0.0.2", false);
	is_allowed("2001:db8::/32", "a", "2001:db8:1::1", true);
	is_allowed("2001:db8::/33", "a", "2001:db8:8000::1", false);
	is_allowed("0.0.0.0/0", "a", "8.8.8.8", true);
	is_allowed("0.0.0.0/0", "a", "2001:db8::1", false);
	is_allowed("::/0", "a", "8.8.8.8", true);
}

/* Whoever wants to reach those has to say so. */
static void
test_special(void)
{
	static const char *const special[] = {
		"169.254.169.254", "169.254.0.1", "::ffff:169.254.169.254",
		"64:ff9b::a9fe:a9fe", "fe80::1", "febf::1", "fd00:ec2::254",
		"fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192",
		"fd00:c1::a9fe:a9fe", "fd00:42::42", "64:ff9b:1:a9fe:a9:fe00::",
		"64:ff9b:1::a9fe:a9fe",
	};

	for (size_t i = 0; i < sizeof(special) / sizeof(char *); i++)
	{
		is_allowed("", "metadata", special[i], false);
		is_allowed("*", "metadata", special[i], false);
		is_allowed("metadata, 0.0.0.0/0, ::/0", "metadata", special[i], false);
		is_allowed(special[i], "metadata", special[i], true);
	}
	is_allowed("169.254.0.0/16", "a", "169.254.169.254", true);
	is_allowed("169.254.0.0/15", "a", "169.254.169.254", false);
	is_allowed("", "a", "169.253.255.255", true);
	is_allowed("", "a", "fec0::1", true);
	is_allowed("", "a", "127.0.0.1", true);
}

static void
test_bad(void)
{
	static const struct
	{
		const char *list, *entry;
	} bad[] = {
		{"a,,b", ""}, {"a, ", ""}, {",", ""}, {"a, https://b", "https://b"},
		{"a:80", "a:80"}, {"10.0.0.1/33", "10.0.0.1/33"},
		{"10.0.0.1/8", "10.0.0.1/8"}, {"10.0.0", "10.0.0"}, {"10", "10"},
		{"::1/129", "::1/129"}, {"10.0.0.0/", "10.0.0.0/"},
		{"10.0.0.0/-1", "10.0.0.0/-1"}, {"10.0.0.0/8/8", "10.0.0.0/8/8"},
		{"*a", "*a"}, {"a*", "a*"}, {"a..b", "a..b"}, {"[::1]", "[::1]"},
		{"a b", "a b"}, {"fe80::1%eth0", "fe80::1%eth0"}, {".", "."},
		{"10.0.0.0/99999999999999999999", "10.0.0.0/99999999999999999999"},
	};
	char *many;
	const char *error, *where;
	size_t len;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		AllowedHosts *allowed =
			allowed_hosts_parse(bad[i].list, &error, &where, &len);

		ok(allowed == NULL && error != NULL && len == strlen(bad[i].entry) &&
			   memcmp(where, bad[i].entry, len) == 0,
		   "\"%s\" is bad", bad[i].list);
		allowed_hosts_free(allowed);
	}
	many = malloc(4001);
	for (size_t i = 0; i < 4000; i += 2)
		memcpy(many + i, "a,", 3);
	ok(allowed_hosts_parse(many, &error, &where, &len) == NULL && error != NULL,
	   "too many");
	free(many);
}

int
main(void)
{
	test_names();
	test_addresses();
	test_special();
	test_bad();
	return done_testing();
}
