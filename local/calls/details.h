/*-------------------------------------------------------------------------
 *
 * details.h
 *	  What some inputs of a call were and became, for people to read.
 *
 * Of the first inputs of each call, and of the first that fail; cut to a size
 * that can be read.  All of it together is bounded: the details of the call
 * that has had some for longest go first.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_DETAILS_H
#define MODAL_LOCAL_DETAILS_H

#include "calls/calls.h"

#define DETAILS_FIRST 100  /* indexes from 0 */
#define DETAILS_FAILED 100 /* others */

/* The beginning of a text or of an encoded value. */
typedef struct Cut
{
	uint8_t *data; /* NULL: there is none */
	size_t len;
	size_t whole; /* length of all of it */
} Cut;

typedef struct Detail
{
	int32_t idx;
	uint32_t attempt;	 /* the newest */
	ResultStatus status; /* UNSPECIFIED: has not ended */
	double created;		 /* Unix seconds; of the newest attempt */
	double started;
	double ended;
	DataFormat format; /* of args and result */
	Cut args;
	Cut result;
	Cut exception;
	Cut traceback;
} Detail;

/* An attempt begins; only some indexes are of interest. */
static inline bool
details_wanted(int32_t idx)
{
	return idx < DETAILS_FIRST;
}
extern void details_begin(Call *call, int32_t idx, const Execution *execution,
						  double created);
/* An attempt has ended, begun in details or not. */
extern void details_end(Call *call, const Execution *execution, double created,
						double started, const ExecutionResult *result);
extern const Detail *details_get(const Call *call, int32_t idx);
/* Number *i of them, from 0 on, which is counted up; NULL: no more. */
extern const Detail *details_next(const Call *call, int *i);
/* The call is to be freed. */
extern void details_forget(Call *call);

#endif /* MODAL_LOCAL_DETAILS_H */
