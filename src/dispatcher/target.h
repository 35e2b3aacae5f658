/*-------------------------------------------------------------------------
 *
 * target.h
 *	  Targets: what the dispatcher knows of one endpoint (server options and
 *	  credentials), shared by all calls of all sessions that bring the same
 *	  options: connections, auth token, function handles, pacing.
 *
 * Found by the bytes of CallOpen.endpoint; freed when unused for a while.
 *
 * Options that are read for every protocol: protocol (modal, http), url (for
 * Modal a comma-separated list, tried in turn), ssl_ca_file, ssl_cert_file,
 * ssl_key_file, ssl_verify (off: any certificate), allow_http (a plain-text
 * url is meant), proxy, max_connections, connect_timeout.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_WORKER_TARGET_H
#define MODAL_WORKER_TARGET_H

#include "core/frame.h"
#include "dispatcher/call.h"
#include "net/timer.h"
#include "net/net.h"

struct Target
{
	char *options;		 /* the key; holds secrets */
	size_t options_len;
	Origin *origin;		 /* the HTTP service; for Modal, blobs */
	const struct Protocol *protocol;
	const CallDriver *driver;
	void *state;		 /* the driver's per-target state */
	uint32_t calls;		 /* open ones */
	Timer expiry;		 /* set while unused */
	struct TargetOption *values; /* parsed from options */
	int nvalues;
	char *url;			 /* the first of option url */
	struct Target *next;
};

/*
 * One more call uses the target of these options, or (put) one less.  NULL
 * when memory or the options are bad (then *error says why).
 */
extern Target *target_get(Slice options, const char **error);
extern void target_put(Target *target);
/* At exit: all of them, with their connections and secrets. */
extern void targets_free(void);
/* An option's value, or NULL. */
extern const char *target_option(const Target *target, const char *name);
extern bool target_option_bool(const Target *target, const char *name, bool dflt);
extern long target_option_int(const Target *target, const char *name, long dflt);
extern double target_option_seconds(const Target *target, const char *name,
									double dflt);
/* Secrets of this target, for redact(). */
#define TARGET_MAX_SECRETS 8
extern int target_secrets(const Target *target, const char **secrets, int max);
/*
 * Another origin with the target's TLS and proxy settings.  The caller frees
 * it.  NULL when memory is short or the URL is not one that may be used.
 */
extern Origin *target_create_origin(const Target *target, const char *url,
									bool grpc);

/* What a protocol brings; modal.c and http.c each have one. */
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

#endif /* MODAL_WORKER_TARGET_H */
