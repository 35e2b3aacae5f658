/*-------------------------------------------------------------------------
 *
 * json_tensor.c
 *	  Rows as tensors in JSON; see json_tensor.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/json_tensor.h"

#define MAX_ELEMENTS (INT64_C(1) << 40) /* no product overflows */

void
json_tensor_put_shape(Buf *buf, uint32_t rows, Slice first_row)
{
	Slice value = first_row;

	buf_printf(buf, "[%u", rows);
	for (int level = 1; level < JSON_TENSOR_MAX_DIMS && value.n > 0 &&
		 value.p[0] == '[';
		 level++)
	{
		JsonCursor c;
		Slice first = {NULL, 0}, element;
		uint32_t n = 0;

		json_open(&c, value.p, value.n);
		json_enter(&c, '[');
		while (json_next_element(&c, &element))
		{
			if (n++ == 0)
				first = element;
		}
		buf_printf(buf, ",%u", n);
		value = first;
	}
	buf_put_u8(buf, ']');
}

/* The dimensions of one row: all but the first, which is how many there are. */
static const char *
read_shape(Slice shape, uint32_t rows, int64_t *dims, int *ndims)
{
	JsonCursor c;
	Slice element;
	int n = 0;
	int64_t size, product = 1;

	json_open(&c, shape.p, shape.n);
	json_enter(&c, '[');
	while (json_next_element(&c, &element))
	{
		if (!json_integer(element, &size) || size < 0 ||
			n == JSON_TENSOR_MAX_DIMS ||
			(size > 0 && product > MAX_ELEMENTS / size))
			return "the shape in the reply is not one";
		if (n == 0 && size != rows)
			return "the shape in the reply is not that of the request's rows";
		if (n > 0)
			dims[n - 1] = size;
		product *= size > 0 ? size : 1;
		n++;
	}
	if (c.error != NULL || n == 0)
		return "the shape in the reply is not one";
	*ndims = n - 1;
	return NULL;
}

/* An element, and the brackets of the lists that begin and end with it. */
static void
put_element(Buf *buf, Slice element, int64_t at, const int64_t *dims, int ndims)
{
	int64_t size = 1;
	int begin = 0, end = 0;

	for (int i = ndims - 1; i >= 0; i--)
	{
		size *= dims[i];
		begin += at % size == 0;
		end += (at + 1) % size == 0;
	}
	if (at > 0)
		buf_put_u8(buf, ',');
	while (begin-- > 0)
		buf_put_u8(buf, '[');
	buf_put(buf, element.p, element.n);
	while (end-- > 0)
		buf_put_u8(buf, ']');
}

/* What was written knows its length; scratch does not move any more. */
static const char *
settle(HttpRow *out, uint32_t rows, const Buf *scratch)
{
	const char *p = (const char *) scratch->data;

	if (scratch->failed)
		return "out of memory";
	for (uint32_t i = 0; i < rows; i++)
	{
		out[i].value.p = p;
		p += out[i].value.n;
	}
	return NULL;
}

static const char *
split_flat(JsonCursor *c, const int64_t *dims, int ndims, uint32_t rows,
		   HttpRow *out, Buf *scratch)
{
	int64_t width = 1;

	for (int i = 0; i < ndims; i++)
		width *= dims[i];
	if (width == 0)
		return "the shape in the reply leaves rows empty";
	buf_reset(scratch);
	for (uint32_t row = 0; row < rows; row++)
	{
		size_t start = scratch->len;
		Slice element;

		for (int64_t i = 0; i < width; i++)
		{
			if (!json_next_element(c, &element))
				return c->error != NULL
					? c->error
					: "the reply has fewer elements than its shape says";
			put_element(scratch, element, i, dims, ndims);
		}
		out[row].value.n = scratch->len - start;
	}
	if (json_next_begins(c))
		return "the reply has more elements than its shape says";
	return settle(out, rows, scratch);
}

/* Lists in lists: what is right below is a row's already. */
static const char *
split_nested(JsonCursor *c, uint32_t rows, HttpRow *out)
{
	uint32_t n = 0;
	Slice element;

	while (json_next_element(c, &element))
	{
		if (n == rows)
			return "the reply has more results than the request has rows";
		out[n++].value = element;
	}
	return n < rows ? "the reply has fewer results than the request has rows"
					: c->error;
}

const char *
json_tensor_split(Slice data, Slice shape, uint32_t rows, HttpRow *out,
				  Buf *scratch)
{
	int64_t dims[JSON_TENSOR_MAX_DIMS];
	int ndims;
	JsonCursor c, ahead;
	const char *error = read_shape(shape, rows, dims, &ndims);

	if (error != NULL)
		return error;
	if (data.p[0] != '[')
		return "the elements in the reply are no list";
	json_open(&c, data.p, data.n);
	json_enter(&c, '[');
	ahead = c;
	if (ndims == 0 || (json_next_begins(&ahead) && json_peek(&ahead) == '['))
		return split_nested(&c, rows, out);
	return split_flat(&c, dims, ndims, rows, out, scratch);
}
