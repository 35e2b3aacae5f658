/* Tests of core/certificates. */
#include "tap.h"

#include "core/certificates.h"

#include <openssl/err.h>

#define BEGIN "-----BEGIN CERTIFICATE-----\n"
#define END "-----END CERTIFICATE-----\n"
/* openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=test */
#define BODY \
	"MIIBdjCCARugAwIBAgIUUJkBc42MP0fmPlKLpIQM49/Q0bcwCgYIKoZIzj0EAwIw\n" \
	"DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMzAwNjUzMTVaGA8yMTI2MTEwNjA2NTMx\n" \
	"NVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBK7\n" \
	"a5Inv53uOBeBo2Hd5sxyFN2Mz0katiRGOJuDocywhRfFkwjkkz6Deztwm7Y7QkxB\n" \
	"jaOCTb45Xib8nXP8YKijUzBRMB0GA1UdDgQWBBQS528xsWNZ5AW1JmqrEfBLzCex\n" \
	"azAfBgNVHSMEGDAWgBQS528xsWNZ5AW1JmqrEfBLzCexazAPBgNVHRMBAf8EBTAD\n" \
	"AQH/MAoGCCqGSM49BAMCA0kAMEYCIQD4bw05zPMZU9UFJoP06Jhdq/HqeBJ4HffE\n" \
	"tLB/bFOOHgIhAPIyn98ZQ/GuA80WOvm1zaBUg5Hhu390XJh3BJJey0if\n"
#define KEY "-----BEGIN PRIVATE KEY-----\nMAUCAQAwAA==\n-----END PRIVATE KEY-----\n"

static char why[256];
static int count;
static int refuse_at;

static bool
take(void *arg, X509 *certificate)
{
	ok(arg == &count && certificate != NULL, "a certificate is handed over");
	return ++count != refuse_at;
}

static bool
reads(const char *pem)
{
	why[0] = '\0';
	count = refuse_at = 0;
	return certificates_read(pem, take, &count, why, sizeof(why));
}

static void
fails(const char *pem, const char *reason, const char *name)
{
	ok(!reads(pem), "%s: refused", name);
	ok(strstr(why, reason) != NULL, "%s: %s", name, why);
	ok(ERR_peek_error() == 0, "%s: no error is left to others", name);
}

int
main(void)
{
	ok(reads(BEGIN BODY END), "one certificate");
	is_int(count, 1, "is one");
	ok(ERR_peek_error() == 0, "and leaves no error");
	ok(reads("subject: x\n" BEGIN BODY END "\n\n and \n" BEGIN BODY END "end"), "two with text around");
	is_int(count, 2, "are two");
	ok(certificates_read(BEGIN BODY END, NULL, NULL, why, sizeof(why)), "nobody need take them");

	fails("", "must be the text of a certificate", "nothing");
	fails("/etc/ca.pem", "must be the text of a certificate", "a file's name");
	fails(KEY, "no key", "a key");
	fails(BEGIN BODY END KEY, "no key", "a key behind a certificate");
	fails(BEGIN BODY, "Certificate 1 cannot be read: ", "no end");
	fails(BEGIN BODY END BEGIN "!" BODY END, "Certificate 2 cannot be read: ", "no base64");
	fails(BEGIN "AAAA\n" END, "Certificate 1 cannot be read: ", "no certificate inside");
	fails(BEGIN END, "Certificate 1 cannot be read: ", "nothing inside");

	count = 0;
	refuse_at = 2;
	ok(!certificates_read(BEGIN BODY END BEGIN BODY END, take, &count, why, sizeof(why)), "who takes them may refuse");
	ok(strncmp(why, "Certificate 2 cannot be used", 28) == 0, "and that is told");
	return done_testing();
}
