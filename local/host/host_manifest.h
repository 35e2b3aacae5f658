/*-------------------------------------------------------------------------
 *
 * host_manifest.h
 *	  What a Python file offers, as its host tells.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_HOST_MANIFEST_H
#define MODAL_LOCAL_HOST_MANIFEST_H

#include <json-c/json.h>
#include <stdbool.h>

#include "calls/exec.h"

/*
 * Announce all that it names as the executor's, instead of what was before;
 * complains about each that another executor has, and returns false.  The
 * manifest must stay: it is the owner of all names.  web_url: the beginning of
 * the URLs of web endpoints.
 */
extern bool manifest_announce(json_object *manifest, Executor *executor,
							  const char *file, const char *web_url);
/* Can processes with these two manifests run the same calls? */
extern bool manifest_same_targets(json_object *manifest, const char *json);
/* Is the file, a name in the folder of the one that is served, part of it? */
extern bool manifest_has_file(json_object *manifest, const char *name);

#endif /* MODAL_LOCAL_HOST_MANIFEST_H */
