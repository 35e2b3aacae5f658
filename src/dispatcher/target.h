/*-------------------------------------------------------------------------
 *
 * target.h
 *	  Targets: what the dispatcher knows of one endpoint (server options and
 *	  credentials), shared by all calls of all sessions that bring the same
 *	  options: connections, auth token, function handles, pacing.
 *
 * Found by the bytes of CallOpen.endpoint.  One that no call uses is kept for
 * the next one: for a while, as long as there are not too many, and until any
 * user mapping changes, for then it may be that nobody has its
 * secrets any more.  It is freed by its timer only, never by the call that
 * leaves it: that may be in a callback of a request to it.
 *
 * Options that are read for every protocol: protocol (modal, http), url (for
 * Modal a comma-separated list, tried in turn), ssl_ca_file, ssl_cert_file,
 * ssl_key_file, ssl_verify (off: any certificate), allow_http (a plain-text
 * url is meant), proxy, max_connections, connect_timeout.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_DISPATCHER_TARGET_H
#define MODAL_DISPATCHER_TARGET_H

#include "core/frame.h"
#include "core/heap.h"
#include "dispatcher/call.h"
#include "net/net.h"
#include "net/timer.h"

#define TARGET_FETCHED_SECRETS 8
#define TARGET_PASSWORDS 5

struct Target
{
	char *options;		 /* the key; holds secrets */
	size_t options_len;
	Origin *origin;		 /* the HTTP service; for Modal, blobs */
	const struct Protocol *protocol;
	const CallDriver *driver;
	void *state;		 /* the driver's per-target state */
	uint32_t calls;		 /* open ones, and requests that outlive theirs */
	HeapNode unused;	 /* among those that no call uses */
	Timer expiry;		 /* set while unused */
	bool outdated;		 /* user mappings have changed meanwhile */
	struct TargetOption *values; /* parsed from options */
	int nvalues;
	char *url;			 /* the first of option url */
	char *passwords[TARGET_PASSWORDS]; /* in other forms; NULL: none */
	char *fetched_secrets[TARGET_FETCHED_SECRETS]; /* the newest first */
};

extern void targets_init(void);
/*
 * One more call uses the target of these options, or (put) one less.  NULL
 * when memory or the options are bad (then *error says why).
 */
extern Target *target_get(Slice options, const char **error);
extern void target_put(Target *target);
/* User mappings have changed: keep none that is unused. */
extern void targets_outdated(void);
/* Descriptors are short: the same.  False: none is unused. */
extern bool targets_drop_unused(void);
/* At exit: all of them, with their connections and secrets. */
extern void targets_free(void);
/* An option's value, or NULL. */
extern const char *target_option(const Target *target, const char *name);
extern bool target_option_bool(const Target *target, const char *name, bool dflt);
extern long target_option_int(const Target *target, const char *name, long dflt);
extern double target_option_seconds(const Target *target, const char *name,
									double dflt);
/* Secrets of this target, for redact(). */
#define TARGET_MAX_SECRETS 32
extern int target_secrets(const Target *target, const char **secrets, int max);
/*
 * The driver has got a secret from the service, which answers may show from now
 * on; also to those who asked with one of the last few before it.
 */
extern void target_keep_secret(Target *target, const char *secret);
/*
 * Another origin with the target's TLS and proxy settings.  The caller frees
 * it.  NULL when memory is short or the URL is not one that may be used.
 */
extern Origin *target_create_origin(const Target *target, const char *url,
									bool grpc);

/*
 * What a protocol brings.  modal/ and http/ each define one of those that are
 * declared below, which is all that the dispatcher knows of them.
 */
typedef struct Protocol
{
	const char *name; /* option protocol */
	const char *default_url; /* NULL: option url is needed */
	CallDriver driver;
	bool (*target_init) (Target *target, const char **error);
	void (*target_free) (Target *target);
} Protocol;

extern const Protocol modal_protocol;
extern const Protocol http_protocol;

#endif /* MODAL_DISPATCHER_TARGET_H */
