/*-------------------------------------------------------------------------
 *
 * jwt.h
 *	  The tokens that modal-local gives out, and base64.
 *
 * Tokens of clients are signed (HS256).  Those of inputs and of function calls
 * are not: they only name what their bearer, who has a token of a client, may
 * name anyway.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_JWT_H
#define MODAL_LOCAL_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util.h"

/* --- base64 (RFC 4648), the URL alphabet where it says so; no padding ----- */

static inline size_t
base64_size(size_t n)
{
	return (n * 4 + 2) / 3;
}

/* Both return the number of characters written, base64_size(n). */
extern size_t base64_encode(char *out, const void *data, size_t n);
extern size_t base64url_encode(char *out, const void *data, size_t n);
/*
 * At most out_size bytes of the beginning of the URL form; returns how many,
 * or -1 for a character that is not of the alphabet.
 */
extern ssize_t base64url_decode(uint8_t *out, size_t out_size,
								const char *text, size_t len);

/* --- clients ------------------------------------------------------------- */

/* A token that is good until "expires" (Unix seconds), in the arena. */
extern const char *jwt_sign_client(Arena *arena, const char *subject,
								   double expires, const char *secret);
extern bool jwt_verify_client(const char *token, double now,
							  const char *secret);

/* --- calls and inputs ---------------------------------------------------- */

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

#endif /* MODAL_LOCAL_JWT_H */
