/*-------------------------------------------------------------------------
 *
 * logs.h
 *	  What functions have printed, as JSON.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_MODAL_LOGS_H
#define MODAL_MODAL_LOGS_H

#include <json-c/json.h>

#include "proto/modal.pb-c.h"

/*
 * [[microseconds of Unix time, id of the input, stream, text], ...]: the last
 * lines, at most limit of them.
 */
extern struct json_object *
logs_to_json(const Modal__Client__AppFetchLogsResponse *reply, size_t limit);

#endif /* MODAL_MODAL_LOGS_H */
