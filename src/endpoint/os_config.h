/*-------------------------------------------------------------------------
 *
 * os_config.h
 *	  What the operating system user that runs the server has configured for
 *	  Modal: MODAL_* variables and ~/.modal.toml, as Modal's own clients read
 *	  them.
 *
 * Nobody but a superuser can have a server object use it (use_os_config).
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_ENDPOINT_OS_CONFIG_H
#define MODAL_ENDPOINT_OS_CONFIG_H

#include "compat.h"

#include "nodes/pg_list.h"

/*
 * Append to options (DefElem) what is configured and not among them: url,
 * environment, max_throttle_wait, token_id, token_secret.  Variables win over
 * the file, which is $MODAL_CONFIG_PATH or ~/.modal.toml, of which the profile
 * $MODAL_PROFILE or the active one counts.  Errors: F0000 a file that cannot
 * be read or understood, HV024 a value that no such option may have.
 */
extern List *os_config_add(List *options);

#endif /* MODAL_ENDPOINT_OS_CONFIG_H */
