/*
 * CBOR is read token by token: tokens lie within the input, containers nest,
 * skipping agrees with reading, and what is written of the tokens is read as
 * the same tokens.
 */
#include "fuzz.h"

#include "core/cbor.h"

#define MAX_DEPTH 200

/* One token in the shortest form, and a digest of what it means. */
static void
put_token(Buf *out, uint64_t *digest, const CborToken *tok)
{
	uint64_t sum = tok->u;

	switch (tok->kind)
	{
		case CBOR_UINT:
			cbor_put_uint(out, tok->u);
			break;
		case CBOR_NINT:
			cbor_put_nint(out, tok->u);
			break;
		case CBOR_BYTES:
			cbor_put_bytes(out, tok->p, tok->n);
			break;
		case CBOR_TEXT:
			cbor_put_text(out, (const char *) tok->p, tok->n);
			break;
		case CBOR_ARRAY:
			cbor_put_array(out, tok->u);
			break;
		case CBOR_MAP:
			cbor_put_map(out, tok->u);
			break;
		case CBOR_TAG:
			cbor_put_tag(out, tok->u);
			break;
		case CBOR_BOOL:
			cbor_put_bool(out, tok->u != 0);
			break;
		case CBOR_NULL:
		case CBOR_UNDEFINED:
		case CBOR_SIMPLE:
			cbor_put_null(out);
			sum = 0;
			break;
		case CBOR_DOUBLE:
			cbor_put_double(out, tok->d);
			if (tok->d == tok->d)
				memcpy(&sum, &tok->d, sizeof(sum));
			break;
		case CBOR_END:
			break;
	}
	for (size_t i = 0; i < tok->n; i++)
		sum = sum * 31 + tok->p[i];
	*digest = *digest * 1000003 + sum;
	*digest = *digest * 1000003 + tok->depth * 2 + tok->is_key;
}

/* Read all; out gets the tokens again, unless one is of unknown length. */
static CborError
read_all(const uint8_t *data, size_t size, bool typed, Buf *out,
		 uint64_t *digest, bool *indefinite)
{
	CborReader reader;
	CborToken tok;
	uint32_t depth = 0;
	CborError error;

	*digest = 0;
	*indefinite = false;
	cbor_reader_init(&reader, data, size, MAX_DEPTH, NULL);
	reader.typed_arrays = typed;
	while (cbor_next(&reader, &tok))
	{
		REQUIRE(tok.depth <= depth);
		depth = tok.depth;
		if (tok.kind == CBOR_ARRAY || tok.kind == CBOR_MAP ||
			tok.kind == CBOR_TAG)
			depth++;
		REQUIRE(depth <= MAX_DEPTH);
		REQUIRE(tok.n <= size);
		if (tok.kind == CBOR_TEXT)
			REQUIRE(utf8_valid(tok.p, tok.n));
		if (tok.kind == CBOR_ARRAY || tok.kind == CBOR_MAP)
		{
			REQUIRE(tok.u <= size);
			*indefinite = *indefinite || tok.indefinite;
		}
		put_token(out, digest, &tok);
	}
	error = reader.error;
	REQUIRE(error != CBOR_OK || reader.depth == 0);
	REQUIRE(!cbor_next(&reader, &tok) && reader.error == error);
	cbor_reader_free(&reader);
	return error;
}

/* typed: with typed arrays as arrays of numbers */
static void
check(const uint8_t *data, size_t size, bool typed)
{
	CborReader reader;
	CborToken tok;
	CborError error;
	uint64_t digest;
	uint64_t again;
	bool indefinite;
	Buf out;
	Buf twice;

	buf_init(&out, 0, NULL);
	buf_init(&twice, 0, NULL);
	error = read_all(data, size, typed, &out, &digest, &indefinite);
	if (error == CBOR_OK && !indefinite)
	{
		REQUIRE(out.len <= size * 9);
		/* bytes in pieces, which are no typed array, are in one now */
		REQUIRE(read_all(out.data, out.len, false, &twice, &again,
						 &indefinite) == CBOR_OK);
		REQUIRE(again == digest);
		REQUIRE(twice.len == out.len &&
				memcmp(twice.data, out.data, out.len) == 0);
	}
	buf_free(&out);
	buf_free(&twice);

	cbor_reader_init(&reader, data, size, MAX_DEPTH, NULL);
	reader.typed_arrays = typed;
	if (cbor_next(&reader, &tok) && cbor_skip(&reader, &tok))
		REQUIRE(!cbor_next(&reader, &tok));
	REQUIRE(reader.error == error);
	cbor_reader_free(&reader);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check(data, size, false);
	check(data, size, true);
	return 0;
}
