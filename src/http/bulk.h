/*-------------------------------------------------------------------------
 *
 * bulk.h
 *	  Jobs at a service's batch endpoint (format openai-batch): bulk.c decides
 *	  what comes next, bulk_request.c makes its requests, bulk_result.c hands
 *	  over what came out of it.
 *
 * All inputs of a run, or as many as one file may have, are collected and
 * uploaded; a bulk (core/bulk.h) is made of the file, and followed until it has
 * ended; then its results are fetched.  Its path, such as
 * "v1/batches/batch_1", is the remote call's id, which the runner stores when
 * it is told: from then on a call that is opened with it goes on from there.
 * What a run has not got done when its call ends becomes the runner's next run.
 *
 * Before a bulk is made, it is looked for by its run, which is the call's seed:
 * so a crash, or an answer that was lost, between its making and the storing of
 * its id makes no second one.  Only where a bulk was refused for want of room,
 * another one is made of the same file, later, and its id takes the place.
 *
 * These requests are few: they are not paced, nor limited as those of rows are,
 * and they are tried again for ever, as a job waits for its service.
 *
 * Who may free what: whoever ends the call frees the BulkCall; every function
 * that may do so is the last that its caller calls.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_HTTP_BULK_H
#define MODAL_HTTP_BULK_H

#include "core/bulk.h"
#include "http/http.h"

#define BULK_MAX_ROWS 100000 /* the most that option max_batch_rows can be */

typedef enum BulkStep
{
	BULK_COLLECT, /* inputs */
	BULK_FIND,	  /* is there one of this run? */
	BULK_UPLOAD,
	BULK_CREATE,
	BULK_WAIT,	  /* for its end */
	BULK_OUTPUTS, /* fetch, and hand over, what went well */
	BULK_ERRORS,  /* and what did not */
	BULK_CANCEL	  /* of a control call */
} BulkStep;

typedef struct BulkCall
{
	DispatchCall *call;
	HttpTarget *http;
	BulkStep step;
	Buf path;			/* "/v1/chat/completions" */
	size_t base;		/* length of "v1" in there */
	char run[HTTP_KEY_LEN + 1];
	Request *request;
	Buf body;			/* of the request; until it is uploaded, the file */
	char type[64];		/* media type of the reply, unless JSON */
	double retry_after; /* as its header says */
	uint32_t credentials;
	bool renewed;		/* they have been refused once */
	CredentialsWait wait;
	Timer timer;		/* of the next request, or of what there is to do */
	Retry retry, polling;
	double next_notice;
	char file[BULK_ID_MAX + 1]; /* uploaded; "": not yet */
	int64_t first;		/* ordinals of its lines; rows 0: not known */
	uint32_t rows;
	Bulk bulk;
	Buf lines;			/* the last answer, to which "bulk" points */
	bool fetched;		/* it is a file of results, of which these bytes have */
	size_t at;			/* been handed over */
	bool has_lines;		/* among them are such as say something, and one */
	bool has_results;	/* that is a line of results */
	uint8_t *seen;		/* a bit per row with an outcome */
} BulkCall;

/* --- bulk.c --------------------------------------------------------------- */

/* A call of a job; or the question to cancel one. */
extern void bulk_open(DispatchCall *call);
extern void bulk_end(BulkCall *bc);
extern void bulk_fail(BulkCall *bc, const char *sqlstate, const char *hint,
					  const char *message);
extern void bulk_fail_memory(BulkCall *bc);
/* A request of the present step was answered with a good status. */
extern void bulk_answered(BulkCall *bc, Response *response);
/* With a bad one.  False: that is an error like any other. */
extern bool bulk_refused(BulkCall *bc, int status);

/* --- bulk_request.c ------------------------------------------------------- */

/* Ask what the present step has to ask. */
extern void bulk_ask(BulkCall *bc);

/* --- bulk_result.c -------------------------------------------------------- */

/*
 * Hand over lines while the reader has room, and for one turn.  True: all
 * have been; else *again says whether to go on in the next turn.
 */
extern bool bulk_hand_over(BulkCall *bc, bool *again);
/* All that have no outcome fail, for a reason that follows from its status. */
extern void bulk_fail_rest(BulkCall *bc);
/*
 * The file was refused: those whose lines are named fail, or all, if none is;
 * and the call ends.
 */
extern void bulk_refuse_rows(BulkCall *bc);

#endif /* MODAL_HTTP_BULK_H */
