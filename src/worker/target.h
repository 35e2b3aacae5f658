/*-------------------------------------------------------------------------
 *
 * target.h
 *	  Targets: what the dispatcher knows of one endpoint (server options and
 *	  credentials), shared by all calls of all sessions that bring the same
 *	  options: connections, auth token, function handles, pacing.
 *
 * Found by the bytes of CallOpen.endpoint; freed when unused for a while.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_WORKER_TARGET_H
#define MODAL_WORKER_TARGET_H

#include "core/frame.h"
#include "worker/call.h"
#include "worker/transport.h"

struct Target
{
	char *options;		 /* the key; holds secrets */
	size_t options_len;
	Origin *origin;		 /* control plane, or the HTTP service */
	const CallDriver *driver;
	void *state;		 /* the driver's per-target state */
	uint32_t calls;		 /* open ones */
	double unused_since; /* monotonic */
	struct Target *next;
};

/* NULL when memory or the options are bad (then *error says why). */
extern Target *target_get(Slice options, const char **error);
extern void target_put(Target *target);
/* An option's value, or NULL. */
extern const char *target_option(const Target *target, const char *name);
extern bool target_option_bool(const Target *target, const char *name, bool dflt);
extern long target_option_int(const Target *target, const char *name, long dflt);
extern double target_option_seconds(const Target *target, const char *name,
									double dflt);
/* Secrets of this target, for redact(). */
extern int target_secrets(const Target *target, const char **secrets, int max);

/* What a protocol brings; modal.c and http.c each have one. */
typedef struct Protocol
{
	const char *name; /* option protocol */
	CallDriver driver;
	bool (*target_init) (Target *target, const char **error);
	void (*target_free) (Target *target);
} Protocol;

extern const Protocol modal_protocol;
extern const Protocol http_protocol;

#endif /* MODAL_WORKER_TARGET_H */
