/*
 * Lists of numbers: what is read in one pass is what is read item by item, of
 * CBOR by its tokens, of JSON by the C library; and what is written is read.
 */
#include "fuzz.h"

#include "core/json_split.h"
#include "core/numbers.h"

#define TYPES 5

static const size_t sizes[TYPES] = {2, 4, 8, 4, 8};

static bool
same_number(NumberType type, const uint8_t *p, double d, int64_t i)
{
	int16_t i2;
	int32_t i4;
	int64_t i8;
	float f;
	double f8;

	switch (type)
	{
		case NUMBER_INT2:
			memcpy(&i2, p, sizeof(i2));
			return i2 == i;
		case NUMBER_INT4:
			memcpy(&i4, p, sizeof(i4));
			return i4 == i;
		case NUMBER_INT8:
			memcpy(&i8, p, sizeof(i8));
			return i8 == i;
		case NUMBER_FLOAT4:
			memcpy(&f, p, sizeof(f));
			return f == (float) d || (f != f && d != d);
		default:
			memcpy(&f8, p, sizeof(f8));
			return f8 == d || (f8 != f8 && d != d);
	}
}

/* The list once more, by its tokens. */
static void
check_tokens(NumberType type, const Buf *numbers, const uint8_t *data,
			 size_t size)
{
	CborReader r;
	CborToken tok;
	size_t at = 0;

	cbor_reader_init(&r, data, size, 10, NULL);
	r.typed_arrays = true;
	REQUIRE(cbor_next(&r, &tok) && tok.kind == CBOR_ARRAY);
	REQUIRE(tok.u * sizes[type] == numbers->len);
	for (; cbor_next(&r, &tok) && tok.kind != CBOR_END; at += sizes[type])
	{
		int64_t i = tok.kind == CBOR_NINT ? -1 - (int64_t) tok.u : (int64_t) tok.u;

		REQUIRE(tok.kind == CBOR_UINT || tok.kind == CBOR_NINT ||
				(tok.kind == CBOR_DOUBLE && type >= NUMBER_FLOAT4));
		REQUIRE(same_number(type, numbers->data + at,
							tok.kind == CBOR_DOUBLE ? tok.d : (double) i, i));
	}
	REQUIRE(at == numbers->len);
	cbor_reader_free(&r);
}

static void
check_written(NumberType type, const Buf *numbers)
{
	size_t n = numbers->len / sizes[type];
	Buf written, again;
	CborReader r;
	CborToken tok;
	bool read;

	buf_init(&written, 0, NULL);
	buf_init(&again, 0, NULL);
	cbor_put_array(&written, n);
	numbers_to_cbor(&written, type, numbers->data, n);
	cbor_reader_init(&r, written.data, written.len, 10, NULL);
	REQUIRE(cbor_next(&r, &tok));
	read = numbers_from_cbor(&again, type, &r, &tok);
	/* a float4 that is not normalized is left alone */
	REQUIRE(read || type == NUMBER_FLOAT4);
	if (read)
	{
		REQUIRE(again.len == numbers->len);
		REQUIRE(cbor_next(&r, &tok) && tok.kind == CBOR_END);
		REQUIRE(!cbor_next(&r, &tok) && r.error == CBOR_OK);
	}
	cbor_reader_free(&r);
	buf_free(&written);
	buf_free(&again);
}

static void
check_cbor(NumberType type, const uint8_t *data, size_t size)
{
	CborReader r;
	CborToken tok;
	Buf numbers;

	buf_init(&numbers, 0, NULL);
	cbor_reader_init(&r, data, size, 10, NULL);
	r.typed_arrays = true;
	if (cbor_next(&r, &tok) && tok.kind == CBOR_ARRAY)
	{
		const uint8_t *before = r.p;

		if (numbers_from_cbor(&numbers, type, &r, &tok))
		{
			check_tokens(type, &numbers, data, size);
			check_written(type, &numbers);
		}
		else
			REQUIRE(numbers.len == 0 && r.p == before);
	}
	cbor_reader_free(&r);
	buf_free(&numbers);
}

static void
check_json(NumberType type, const uint8_t *data, size_t size)
{
	Buf numbers, text;
	JsonCursor c;
	Slice element;
	size_t at = 0;

	buf_init(&numbers, 0, NULL);
	buf_init(&text, 0, NULL);
	buf_put(&text, data, size);
	if (numbers_from_json(&numbers, type, (const char *) data, size))
	{
		json_open(&c, buf_cstr(&text), text.len);
		json_enter(&c, '[');
		for (; json_next_element(&c, &element); at += sizes[type])
		{
			int64_t i = type < NUMBER_FLOAT4 ? strtoll(element.p, NULL, 10) : 0;
			double d = type == NUMBER_FLOAT4 ? (double) strtof(element.p, NULL)
											 : strtod(element.p, NULL);

			REQUIRE(at < numbers.len);
			REQUIRE(same_number(type, numbers.data + at, d, i));
		}
		REQUIRE(json_at_end(&c) && at == numbers.len);
	}
	buf_free(&numbers);
	buf_free(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int type = 0; type < TYPES; type++)
	{
		check_cbor((NumberType) type, data, size);
		check_json((NumberType) type, data, size);
	}
	return 0;
}
