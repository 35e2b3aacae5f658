/* Tests of core/call_state: what each output means, in every order. */
#include "tap.h"

#include "core/call_state.h"

#define SECOND 1.0

/* The function's policy: two retries, after 1 and 2 s. */
static void
init(CallState *cs)
{
	call_state_init(cs);
	cs->client_retries = true;
	cs->retries = 2;
	cs->initial_delay_ms = 1000;
	cs->backoff_coefficient = 2;
}

static bool
give_token(CallState *cs, CallItem *item, const char *token, double now)
{
	return call_state_sent(cs, item, token, strlen(token), now);
}

static bool
has_token(CallItem *item, const char *token)
{
	return strcmp(buf_cstr(&item->token), token) == 0;
}

/* An item that the service holds. */
static CallItem *
waiting_item(CallState *cs, int64_t idx)
{
	CallItem *item = call_state_add(cs, idx, NULL);

	give_token(cs, item, "first", 0);
	return item;
}

static void
test_plain(void)
{
	CallState cs;
	CallItem *item;
	MapVisit visit = {0};
	static const char long_token[CALL_MAX_TOKEN + 1];

	init(&cs);
	item = call_state_add(&cs, 7, &cs);
	ok(item->state == ITEM_SENDING && item->payload == &cs, "a new item");
	ok(call_state_find(&cs, 7) == item && call_state_find(&cs, 8) == NULL,
	   "is found by its index");
	ok(give_token(&cs, item, "t", 0) && item->state == ITEM_WAITING,
	   "waits when the service has it");
	ok(call_state_output(&cs, item, 0, RESULT_SUCCESS, 0) == OUTPUT_SUCCESS,
	   "succeeds");
	ok(call_state_sent(&cs, item, long_token, CALL_MAX_TOKEN, 0) &&
		   !call_state_sent(&cs, item, long_token, CALL_MAX_TOKEN + 1, 0),
	   "its token is not of any length");
	call_state_remove(&cs, item);
	ok(call_state_count(&cs) == 0 && call_state_find(&cs, 7) == NULL &&
		   call_state_next(&cs, &visit) == NULL,
	   "and is gone");
	item = call_state_add(&cs, 8, NULL);
	ok(call_state_output(&cs, item, 0, RESULT_SUCCESS, 0) == OUTPUT_SUCCESS,
	   "an output may come before the reply to the request");
	call_state_free(&cs);
}

static void
test_policy(void)
{
	CallState cs;
	CallItem *item;

	init(&cs);
	item = waiting_item(&cs, 1);
	ok(call_state_output(&cs, item, 0, RESULT_FAILURE, 10) == OUTPUT_RETRY,
	   "a failure is retried");
	ok(call_state_next_due(&cs) == 11 * SECOND, "after the first delay");
	ok(call_state_pop_due(&cs, 10.9) == NULL, "not before");
	ok(call_state_pop_due(&cs, 11) == item && item->state == ITEM_RETRYING,
	   "but then");
	ok(call_state_next_due(&cs) < 0, "and once");
	give_token(&cs, item, "second", 11);
	ok(call_state_output(&cs, item, 0, RESULT_SUCCESS, 12) == OUTPUT_DROP,
	   "an output of the attempt before is dropped");
	ok(call_state_output(&cs, item, 1, RESULT_TIMEOUT, 12) == OUTPUT_RETRY &&
		   call_state_next_due(&cs) == 14 * SECOND,
	   "a timeout is a failure, and the delay grows");
	call_state_pop_due(&cs, 14);
	give_token(&cs, item, "third", 14);
	ok(call_state_output(&cs, item, 2, RESULT_FAILURE, 15) == OUTPUT_FAILURE,
	   "the policy is at its end");
	call_state_free(&cs);
}

static void
test_final(void)
{
	CallState cs;

	init(&cs);
	ok(call_state_output(&cs, waiting_item(&cs, 1), 0, RESULT_TERMINATED, 0) ==
		   OUTPUT_FAILURE,
	   "what was cancelled is not retried");
	cs.client_retries = false;
	ok(call_state_output(&cs, waiting_item(&cs, 2), 0, RESULT_FAILURE, 0) ==
			   OUTPUT_FAILURE &&
		   call_state_output(&cs, waiting_item(&cs, 3), 0,
							 RESULT_INTERNAL_FAILURE, 0) == OUTPUT_FAILURE,
	   "nothing is, when the service retries by itself");
	ok(call_state_output(&cs, waiting_item(&cs, 4), 3, RESULT_SUCCESS, 0) ==
		   OUTPUT_SUCCESS,
	   "then any of its attempts counts");
	call_state_free(&cs);
}

static void
test_internal(void)
{
	CallState cs;
	CallItem *item;
	OutputVerdict verdict = OUTPUT_RETRY;
	uint32_t n = 0;

	init(&cs);
	cs.retries = 0;
	item = waiting_item(&cs, 1);
	while (verdict == OUTPUT_RETRY)
	{
		verdict = call_state_output(&cs, item, n, RESULT_INTERNAL_FAILURE, 5);
		if (verdict != OUTPUT_RETRY)
			break;
		n++;
		if (call_state_pop_due(&cs, 5) != item)
			break;
		give_token(&cs, item, "again", 5);
	}
	ok(verdict == OUTPUT_FAILURE && n == cs.internal_limit,
	   "failures of the service are retried at once, without charge, %u times",
	   (unsigned) n);

	item = waiting_item(&cs, 2);
	cs.retries = 1;
	call_state_output(&cs, item, 0, RESULT_INTERNAL_FAILURE, 5);
	call_state_pop_due(&cs, 5);
	give_token(&cs, item, "second", 5);
	ok(call_state_output(&cs, item, 1, RESULT_FAILURE, 5) == OUTPUT_RETRY,
	   "they do not use up the function's retries");
	call_state_free(&cs);
}

/* Outputs that are here before the reply that has the token. */
static void
test_tokens(void)
{
	CallState cs;
	CallItem *item;

	init(&cs);
	item = call_state_add(&cs, 1, NULL);
	call_state_output(&cs, item, 0, RESULT_INTERNAL_FAILURE, 1);
	ok(call_state_pop_due(&cs, 1) == NULL && item->token_missing,
	   "a retry waits for the token");
	give_token(&cs, item, "first", 2);
	ok(call_state_pop_due(&cs, 2) == item && has_token(item, "first"),
	   "and is made with it");

	call_state_token_used(item);
	call_state_output(&cs, item, 1, RESULT_INTERNAL_FAILURE, 3);
	ok(call_state_pop_due(&cs, 3) == NULL,
	   "the next one does not take the token of the attempt before");
	give_token(&cs, item, "second", 4);
	ok(call_state_pop_due(&cs, 4) == item && has_token(item, "second"),
	   "but waits for its own");

	call_state_token_used(item);
	call_state_output(&cs, item, 2, RESULT_FAILURE, 5);
	give_token(&cs, item, "third", 5);
	ok(item->state == ITEM_WAITING_TO_RETRY && has_token(item, "third"),
	   "a token that comes during the delay is kept for its end");
	call_state_free(&cs);
}

static void
test_lost(void)
{
	CallState cs;
	CallItem *item;

	init(&cs);
	item = waiting_item(&cs, 1);
	call_state_lost(&cs, item, 1);
	ok(item->retry_count == 1 && call_state_pop_due(&cs, 1) == item,
	   "a lost item is retried at once");
	call_state_lost(&cs, item, 1);
	ok(item->retry_count == 1, "one that is being sent cannot be lost");
	call_state_free(&cs);
}

/* Many items, in and out in no order: found are those that are there. */
static void
test_table(void)
{
	enum { N = 5000 };
	CallState cs;
	static CallItem *items[N];
	uint32_t random = 1;
	uint32_t live = 0;
	uint32_t found = 0;
	MapVisit visit = {0};
	double last = 0;
	bool right = true;
	bool in_order = true;

	init(&cs);
	cs.retries = UINT32_MAX;
	for (int step = 0; step < 20 * N; step++)
	{
		int64_t idx;

		random = random * 1664525 + 1013904223;
		idx = (random >> 8) % N;
		if (items[idx] == NULL)
			items[idx] = waiting_item(&cs, idx);
		else
		{
			right &= call_state_find(&cs, idx) == items[idx];
			call_state_remove(&cs, items[idx]);
			items[idx] = NULL;
			right &= call_state_find(&cs, idx) == NULL;
		}
	}
	for (int i = 0; i < N; i++)
	{
		live += items[i] != NULL;
		right &= call_state_find(&cs, i) == items[i];
	}
	while (call_state_next(&cs, &visit) != NULL)
		found++;
	ok(right, "items are found as long as they are there");
	ok(found == live && call_state_count(&cs) == live, "all of them are visited");

	for (int i = 0; i < N; i++)
	{
		random = random * 1664525 + 1013904223;
		if (items[i] != NULL)
			call_state_output(&cs, items[i], 0, RESULT_FAILURE, random >> 16);
	}
	found = 0;
	while (call_state_next_due(&cs) >= 0)
	{
		double due = call_state_next_due(&cs);

		in_order &= due >= last && call_state_pop_due(&cs, due) != NULL;
		last = due;
		found++;
	}
	ok(in_order && found == live, "retries are due in the order of time");
	call_state_free(&cs);
}

static bool
scenario(void)
{
	CallState cs;
	bool good = true;

	init(&cs);
	for (int i = 0; i < 200 && good; i++)
	{
		CallItem *item = call_state_add(&cs, i, NULL);

		good = item != NULL && give_token(&cs, item, "token", 0);
	}
	call_state_free(&cs);
	return good;
}

int
main(void)
{
	test_plain();
	test_policy();
	test_final();
	test_internal();
	test_tokens();
	test_lost();
	test_table();
	ok(scenario(), "many items");
	return done_testing();
}
