/*-------------------------------------------------------------------------
 *
 * details.c
 *	  What some inputs of a call were and became, for people to read.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/details.h"

#include <stdlib.h>

#include "util.h"

#define MAX_VALUE (16 * 1024)
#define MAX_TRACEBACK (64 * 1024)
#define MAX_BYTES (32 * 1024 * 1024)

struct Details
{
	Call *call;
	Detail **list; /* in the order in which they came */
	int n;
	int n_failed; /* those that are there because they have failed */
	size_t bytes;
	Details *older;
	Details *newer;
};

static struct
{
	Details *oldest;
	Details *newest;
	size_t bytes;
} all;

static void
count_bytes(Details *details, size_t more, size_t less)
{
	details->bytes += more - less;
	all.bytes += more - less;
}

static void
cut_free(Details *details, Cut *cut)
{
	count_bytes(details, 0, cut->len);
	free(cut->data);
	*cut = (Cut){0};
}

static void
cut_set(Details *details, Cut *cut, const void *data, size_t len, size_t max)
{
	cut_free(details, cut);
	if (data == NULL)
		return;
	cut->whole = len;
	cut->len = len < max ? len : max;
	cut->data = xmalloc(cut->len);
	memcpy(cut->data, data, cut->len);
	count_bytes(details, cut->len, 0);
}

void
details_forget(Call *call)
{
	Details *details = call->details;

	if (details == NULL)
		return;
	call->details = NULL;
	for (int i = 0; i < details->n; i++)
	{
		Detail *detail = details->list[i];

		cut_free(details, &detail->args);
		cut_free(details, &detail->result);
		cut_free(details, &detail->exception);
		cut_free(details, &detail->traceback);
		free(detail);
	}
	all.bytes -= details->bytes;
	if (details->newer != NULL)
		details->newer->older = details->older;
	else
		all.newest = details->older;
	if (details->older != NULL)
		details->older->newer = details->newer;
	else
		all.oldest = details->newer;
	free(details->list);
	free(details);
}

static Details *
details_of(Call *call)
{
	Details *details = call->details;

	if (details != NULL)
		return details;
	details = call->details = xcalloc(sizeof(*details));
	details->call = call;
	details->older = all.newest;
	if (all.newest != NULL)
		all.newest->newer = details;
	else
		all.oldest = details;
	all.newest = details;
	count_bytes(details, sizeof(*details), 0);
	return details;
}

/* Among a few: see DETAILS_FIRST and DETAILS_FAILED. */
static Detail *
find(const Details *details, int32_t idx)
{
	for (int i = details->n - 1; i >= 0; i--)
		if (details->list[i]->idx == idx)
			return details->list[i];
	return NULL;
}

const Detail *
details_get(const Call *call, int32_t idx)
{
	return call->details != NULL ? find(call->details, idx) : NULL;
}

static Detail *
add(Details *details, int32_t idx)
{
	Detail *detail = xcalloc(sizeof(*detail));

	if ((details->n & (details->n - 1)) == 0)
		details->list = xrealloc(
			details->list, (size_t) (details->n > 0 ? details->n * 2 : 1) *
							   sizeof(Detail *));
	details->list[details->n++] = detail;
	detail->idx = idx;
	count_bytes(details, sizeof(*detail) + sizeof(Detail *), 0);
	return detail;
}

static void
begin(Details *details, Detail *detail, const Execution *execution,
	  double created)
{
	detail->attempt = execution->attempt;
	detail->status = RESULT_UNSPECIFIED;
	detail->created = created;
	detail->started = detail->ended = 0;
	detail->format = execution->format;
	cut_set(details, &detail->args, execution->args, execution->args_len,
			MAX_VALUE);
}

/* The newest details stay, whatever their size. */
static void
keep_bound(void)
{
	while (all.bytes > MAX_BYTES && all.oldest != all.newest)
		details_forget(all.oldest->call);
}

void
details_begin(Call *call, int32_t idx, const Execution *execution,
			  double created)
{
	Details *details = details_of(call);
	Detail *detail = find(details, idx);

	if (detail == NULL)
		detail = add(details, idx);
	begin(details, detail, execution, created);
	keep_bound();
}

void
details_end(Call *call, const Execution *execution, double created,
			double started, const ExecutionResult *result)
{
	bool failed = result->status != RESULT_SUCCESS &&
				  result->status != RESULT_TERMINATED;
	Details *details = call->details;
	Detail *detail;

	/* Nearly all inputs of a large call end here: they cannot be known. */
	if (execution->idx >= DETAILS_FIRST && execution->attempt == 0 &&
		(!failed ||
		 (details != NULL && details->n_failed >= DETAILS_FAILED)))
		return;
	detail = details != NULL ? find(details, execution->idx) : NULL;
	if (detail == NULL)
	{
		if (!failed || (details != NULL && details->n_failed >= DETAILS_FAILED))
			return;
		details = details_of(call);
		details->n_failed++;
		detail = add(details, execution->idx);
		begin(details, detail, execution, created);
	}
	detail->attempt = execution->attempt;
	detail->status = result->status;
	detail->started = started;
	detail->ended = loop_wall_time();
	cut_set(details, &detail->result, result->data, result->data_len,
			MAX_VALUE);
	cut_set(details, &detail->exception, result->exception,
			result->exception_len, MAX_VALUE);
	cut_set(details, &detail->traceback, result->traceback,
			result->traceback_len, MAX_TRACEBACK);
	keep_bound();
}

const Detail *
details_next(const Call *call, int *i)
{
	const Details *details = call->details;

	return details != NULL && *i < details->n ? details->list[(*i)++] : NULL;
}
