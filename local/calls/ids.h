/*-------------------------------------------------------------------------
 *
 * ids.h
 *	  Ids of calls and inputs, and the tokens that stand for them.
 *
 * These tokens are JWTs that nobody has signed: they only name what their
 * bearer, who has a token of a client, may name anyway.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_IDS_H
#define MODAL_LOCAL_IDS_H

#include <stdbool.h>
#include <stdint.h>

#include "util.h"

#define CALL_NUMBER_DIGITS 10
#define CALL_NUMBER_BITS (5 * CALL_NUMBER_DIGITS)
#define CALL_ID_SIZE (3 + CALL_NUMBER_DIGITS + 1)	 /* fc-..., with its zero */
#define INPUT_ID_SIZE (3 + CALL_NUMBER_DIGITS + 12)	 /* in-...-IDX, likewise */
#define INPUT_JWT_SIZE 240

/* Ids of calls and inputs are made of the call's number and the index. */
extern void call_id_format(char *out, uint64_t number);
extern bool call_id_parse(const char *id, uint64_t *number);
extern size_t input_id_format(char *out, uint64_t call, int32_t idx);
extern bool input_id_parse(const char *id, uint64_t *call, int32_t *idx);

typedef struct InputRef
{
	uint64_t call;
	int32_t idx;
	uint32_t attempt;
} InputRef;

/* out: INPUT_JWT_SIZE; returns the length. */
extern size_t jwt_format_input(char *out, const InputRef *ref);
extern bool jwt_parse_input(const char *token, size_t len, InputRef *ref);
extern const char *jwt_format_call(Arena *arena, const char *function_id,
								   uint64_t call);
extern bool jwt_parse_call(const char *token, uint64_t *call);

#endif /* MODAL_LOCAL_IDS_H */
