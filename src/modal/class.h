/*-------------------------------------------------------------------------
 *
 * class.h
 *	  Class parameters and with-options: from the JSON of a function reference
 *	  to the messages of FunctionBindParams.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_MODAL_CLASS_H
#define MODAL_MODAL_CLASS_H

#include "modal/modal.h"
#include "proto/modal.pb-c.h"

/*
 * The encoded ClassParameterSet, sorted by name as its bytes identify the pool
 * of containers.  parameters may be absent.
 */
extern bool class_parameters_encode(Buf *out,
									const Modal__Client__ClassParameterInfo *info,
									Slice parameters, ModalError *error);

/*
 * What an options object asks for.  Secrets, environment variables and
 * volumes have names there and ids in the message: whoever binds looks them
 * up first, in the order of needs, and fills in the ids.
 */
typedef enum OptionNeedKind
{
	NEED_SECRET,
	NEED_ENV, /* an ephemeral secret made of env_json */
	NEED_VOLUME
} OptionNeedKind;

typedef struct OptionNeed
{
	OptionNeedKind kind;
	char *name;	/* of secret or volume */
	char *path;	/* where the volume is mounted */
	char *id;	/* once it is known */
} OptionNeed;

#define MAX_OPTION_NEEDS 64

typedef struct BindOptions
{
	struct json_object *json; /* owns the strings below */
	Modal__Client__FunctionOptions message;
	Modal__Client__Resources resources;
	Modal__Client__GPUConfig gpu;
	Modal__Client__FunctionRetryPolicy retry_policy;
	Modal__Client__SchedulerPlacement placement;
	char *gpu_type;
	char **regions;
	struct json_object *env;  /* an object, or NULL */
	OptionNeed needs[MAX_OPTION_NEEDS];
	int nneeds;
	char **secret_ids;
	Modal__Client__VolumeMount *volumes;
	Modal__Client__VolumeMount **volume_list;
} BindOptions;

extern bool bind_options_parse(BindOptions *options, Slice json,
							   ModalError *error);
/* All needs have ids: put them into the message. */
extern bool bind_options_complete(BindOptions *options);
extern void bind_options_free(BindOptions *options);

#endif /* MODAL_MODAL_CLASS_H */
