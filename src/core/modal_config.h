/*-------------------------------------------------------------------------
 *
 * modal_config.h
 *	  The configuration file that Modal's own clients keep (~/.modal.toml).
 *
 * A table per profile, with keys such as token_id.  Of TOML, what those
 * clients write is read: tables of one level, strings on one line, numbers,
 * booleans, comments.  The profile in use is the one that is asked for, else
 * the only one marked "active = true", else "default".
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_MODAL_CONFIG_H
#define MODAL_CORE_MODAL_CONFIG_H

#include "core/buf.h"
#include "core/reference.h"

/* A setting of the profile in use; empty ones have an address, too. */
typedef void (*ModalConfigSetting)(void *arg, Slice key, Slice value);

/*
 * Read text and report the settings of its profile.  profile may be NULL.
 * Returns NULL, or what is wrong, with *line set to where (0: nowhere in
 * particular); settings may have been reported before that was found.
 */
extern const char *modal_config_read(const char *text, size_t n,
									 const char *profile,
									 ModalConfigSetting on_setting, void *arg,
									 int *line);

#endif /* MODAL_CORE_MODAL_CONFIG_H */
