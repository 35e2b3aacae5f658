/*-------------------------------------------------------------------------
 *
 * arguments.h
 *	  The arguments of a call of a builtin function, as in Python.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_ARGUMENTS_H
#define MODAL_LOCAL_ARGUMENTS_H

#include "core/cbor.h"
#include "util.h"

#define MAX_ARGUMENTS 64

/* One CBOR item, encoded. */
typedef struct Item
{
	const uint8_t *data;
	size_t len;
} Item;

typedef struct Arguments
{
	int n_positional;
	Item positional[MAX_ARGUMENTS];
	Item kwargs; /* the whole map */
	int n_named;
	Item names[MAX_ARGUMENTS]; /* text without its header */
	Item named[MAX_ARGUMENTS];
} Arguments;

/* [args, kwargs]; NULL or why not. */
extern const char *arguments_parse(Arguments *arguments, const void *data,
								   size_t len);
/* By position or name; false when it is not given. */
extern bool arguments_get(const Arguments *arguments, int position,
						  const char *name, Item *item);
/*
 * As in Python; false: of another type.  item_double: ints (bool too), floats
 * and Decimals.  item_decimal: a Decimal, as mantissa * 10 ^ exponent.
 */
extern bool item_int(Item item, int64_t *value);
extern bool item_decimal(Item item, int64_t *mantissa, int64_t *exponent);
extern bool item_double(Item item, double *value);
/* Text or bytes, with a zero after them, in the arena. */
extern bool item_bytes(Item item, Arena *arena, const uint8_t **data,
					   size_t *len);
/* Name of the type that Python would see. */
extern const char *item_type(Item item);

#endif /* MODAL_LOCAL_ARGUMENTS_H */
