/*-------------------------------------------------------------------------
 *
 * inputs.h
 *	  Inputs as they arrive in requests, and as replies name them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_INPUTS_H
#define MODAL_LOCAL_INPUTS_H

#include "api/rpc.h"
#include "calls/calls.h"

typedef struct PutInputs
{
	char call_id[CALL_ID_SIZE];
	NewInput *inputs;
	size_t n;
} PutInputs;

/*
 * All of these take inputs of a request, and their bytes stay in it.  Those
 * that return false or NULL have answered the Rpc.
 */
extern bool inputs_parse(Rpc *rpc, PutInputs *put);
extern NewInput *inputs_from_items(Rpc *rpc, const Handle *handle,
								   Modal__Client__FunctionPutInputsItem **items,
								   size_t n);
extern void input_from_message(NewInput *input, int32_t idx,
							   const Modal__Client__FunctionInput *message);
/* Can inputs of asynchronous calls be taken now? */
extern bool inputs_welcome(Rpc *rpc);
/* All are good or none is taken. */
extern bool inputs_check(Rpc *rpc, const Call *call, const NewInput *inputs,
						 size_t n);
extern void inputs_put(Call *call, const NewInput *inputs, size_t n);
extern void inputs_log(Rpc *rpc, const NewInput *inputs, size_t n);

/* The jwt of an input, which is also its attempt token. */
extern char *input_jwt(Arena *arena, const Call *call, const NewInput *input);
/* Reply with a FunctionPutInputsResponse. */
extern void inputs_reply(Rpc *rpc, const Call *call, const NewInput *inputs,
						 size_t n);
extern Modal__Client__FunctionPutInputsResponseItem **
inputs_describe(Arena *arena, const Call *call, const NewInput *inputs,
				size_t n);
extern Modal__Client__FunctionRetryPolicy
retry_policy_message(const RetryPolicy *policy);

#endif /* MODAL_LOCAL_INPUTS_H */
