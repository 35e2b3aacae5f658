/*-------------------------------------------------------------------------
 *
 * json_tensor.h
 *	  Rows as tensors, the way that protocols of inference have them: a shape,
 *	  [rows, …], and one flat list of all elements.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_JSON_TENSOR_H
#define MODAL_CORE_JSON_TENSOR_H

#include "core/http_format.h"

#define JSON_TENSOR_MAX_DIMS 8

/* Append the shape of so many rows that look like this one. */
extern void json_tensor_put_shape(Buf *buf, uint32_t rows, Slice first_row);
/*
 * Give each row its part of a list: elements one after another, or lists in
 * lists.  Values are in data or in scratch.  Returns what is wrong, or NULL.
 */
extern const char *json_tensor_split(Slice data, Slice shape, uint32_t rows,
									 HttpRow *out, Buf *scratch);

#endif /* MODAL_CORE_JSON_TENSOR_H */
