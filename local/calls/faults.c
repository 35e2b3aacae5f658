/*-------------------------------------------------------------------------
 *
 * faults.c
 *	  Misbehaviour on demand, for the tests of clients.
 *
 * A script is a list of rules, one per line: what they are for, when they
 * apply, and what they do.  Every rule counts the calls (or inputs) that it is
 * for; the first rule whose conditions hold decides.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/faults.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "calls/changes.h"
#include "core/grpc_frame.h"
#include "net/loop.h"
#include "util.h"

#define MAX_RULES 200
#define MAX_TARGET 64
#define SEPARATORS " \t\r\n"
#define INPUT_TARGET "input"

typedef struct Rule
{
	char *text;
	bool off;
	char target[MAX_TARGET]; /* an RPC, "*", or "input" */
	bool for_inputs;
	/* Conditions; those at their defaults always hold. */
	uint32_t nth;		/* only this one, from 1 */
	uint32_t every;		/* each so many */
	uint32_t count;		/* at most so often */
	double probability;
	int32_t first_idx; /* inputs with an index in this range */
	int32_t last_idx;
	int64_t attempt; /* inputs at this attempt, from 0 */
	/* What has been. */
	uint32_t seen;
	uint32_t fired;
	/* What it does. */
	Fault fault;
	InputFault input;
} Rule;

static struct
{
	const char *path;
	Rule *rules;
	int n_rules;
	bool any_for_inputs;
	void (*read_again)(void);
} script;

/* --- the language -------------------------------------------------------- */

static bool
parse_number(const char *text, double max, double *value)
{
	char *end;

	if (text == NULL)
		return false;
	*value = strtod(text, &end);
	return end != text && *end == '\0' && *value >= 0 && *value <= max;
}

static bool
parse_uint(const char *text, uint32_t *value)
{
	double number;

	if (!parse_number(text, UINT32_MAX, &number))
		return false;
	*value = (uint32_t) number;
	return true;
}

static bool
parse_range(const char *text, int32_t *first, int32_t *last)
{
	int n = 0;

	if (text == NULL)
		return false;
	if (sscanf(text, "%d-%d%n", first, last, &n) == 2 && text[n] == '\0')
		return true;
	if (sscanf(text, "%d%n", first, &n) != 1 || text[n] != '\0')
		return false;
	*last = *first;
	return true;
}

/* A name or a number, not OK. */
static bool
parse_status(const char *text, int *status)
{
	uint32_t number;

	if (text == NULL)
		return false;
	for (int i = 1; i < GRPC_N_STATUS; i++)
		if (strcmp(text, grpc_status_name(i)) == 0)
		{
			*status = i;
			return true;
		}
	if (!parse_uint(text, &number) || number == 0 || number >= GRPC_N_STATUS)
		return false;
	*status = (int) number;
	return true;
}

static bool
parse_condition(Rule *rule, const char *word, const char *value)
{
	uint32_t number;

	if (strcmp(word, "nth") == 0)
		return parse_uint(value, &rule->nth);
	if (strcmp(word, "every") == 0)
		return parse_uint(value, &rule->every) && rule->every > 0;
	if (strcmp(word, "count") == 0)
		return parse_uint(value, &rule->count);
	if (strcmp(word, "probability") == 0)
		return parse_number(value, 1, &rule->probability);
	if (strcmp(word, "idx") == 0)
		return parse_range(value, &rule->first_idx, &rule->last_idx);
	if (strcmp(word, "attempt") != 0 || !parse_uint(value, &number))
		return false;
	rule->attempt = number;
	return true;
}

static bool
parse_rpc_action(Fault *fault, const char *word, const char *value)
{
	double number;

	if (strcmp(word, "delay") == 0)
		return parse_number(value, 3600, &fault->delay_before);
	if (strcmp(word, "delay_after") == 0)
		return parse_number(value, 3600, &fault->delay_after);
	if (strcmp(word, "status") == 0)
		return parse_status(value, &fault->status);
	if (strcmp(word, "retry_after") == 0)
		return parse_number(value, 3600, &fault->retry_after);
	if (strcmp(word, "repeat") == 0)
		return parse_uint(value, &fault->repeat);
	if (strcmp(word, "http") == 0)
	{
		if (!parse_number(value, 599, &number) || number < 100)
			return false;
		fault->http_status = (int) number;
		return true;
	}
	if (value != NULL)
		return false;
	if (strcmp(word, "after") == 0)
		return fault->after = true;
	if (strcmp(word, "reset") == 0)
		return fault->reset = true;
	if (strcmp(word, "drop") == 0)
		return fault->drop = true;
	if (strcmp(word, "goaway") == 0)
		return fault->goaway = true;
	if (strcmp(word, "no_trailers") == 0)
		return fault->no_trailers = true;
	if (strcmp(word, "truncate") == 0)
		return fault->truncate = true;
	if (strcmp(word, "empty") == 0)
		return fault->empty = true;
	if (strcmp(word, "hasty") == 0)
		return fault->hasty = true;
	if (strcmp(word, "unasked") == 0)
		return fault->unasked = true;
	return false;
}

static bool
parse_input_action(InputFault *fault, const char *word)
{
	if (strcmp(word, "internal_failure") == 0)
		return fault->internal_failure = true;
	if (strcmp(word, "lost") == 0)
		return fault->lost = true;
	if (strcmp(word, "duplicate") == 0)
		return fault->duplicate = true;
	if (strcmp(word, "reorder") == 0)
		return fault->reorder = true;
	if (strcmp(word, "expired") == 0)
		return fault->expired = true;
	return false;
}

/* Words up to the end of the line; returns the bad one, or NULL. */
static const char *
parse_words(Rule *rule, char **rest)
{
	char *word;

	while ((word = strtok_r(NULL, SEPARATORS, rest)) != NULL)
	{
		char *value = strchr(word, '=');

		if (value != NULL)
			*value++ = '\0';
		if (parse_condition(rule, word, value))
			continue;
		if (rule->for_inputs ? value == NULL &&
								   parse_input_action(&rule->input, word)
							 : parse_rpc_action(&rule->fault, word, value))
			continue;
		return word;
	}
	return NULL;
}

static void
rule_init(Rule *rule)
{
	*rule = (Rule){.count = UINT32_MAX, .probability = 1,
				   .last_idx = INT32_MAX, .attempt = -1};
	rule->fault.active = true;
	rule->fault.retry_after = -1;
}

/* --- the script ---------------------------------------------------------- */

/* Of an old rule everything is forgotten. */
static void
forget_rules(void)
{
	for (int i = 0; i < script.n_rules; i++)
		free(script.rules[i].text);
	script.n_rules = 0;
	script.any_for_inputs = false;
	changes_note();
}

static void
take_rule(const Rule *rule, const char *line)
{
	size_t len = strcspn(line, "\r\n");

	if (script.rules == NULL)
		script.rules = xcalloc(MAX_RULES * sizeof(Rule));
	script.rules[script.n_rules] = *rule;
	script.rules[script.n_rules++].text = xasprintf("%.*s", (int) len, line);
	script.any_for_inputs |= rule->for_inputs;
	changes_note();
}

/* Comments and empty lines are no rules, and good. */
const char *
faults_add(const char *line)
{
	static char bad_word[MAX_TARGET];
	char *copy = xstrdup(line);
	char *rest;
	char *target = strtok_r(copy, SEPARATORS, &rest);
	const char *bad = NULL;
	Rule rule;

	if (target != NULL && target[0] != '#')
	{
		rule_init(&rule);
		rule.for_inputs = strcmp(target, INPUT_TARGET) == 0;
		snprintf(rule.target, sizeof(rule.target), "%s", target);
		bad = parse_words(&rule, &rest);
		if (bad != NULL)
		{
			snprintf(bad_word, sizeof(bad_word), "%s", bad);
			bad = bad_word;
		}
		else if (script.n_rules == MAX_RULES)
			bad = "too many rules";
		else
			take_rule(&rule, line);
	}
	free(copy);
	return bad;
}

int
faults_count(void)
{
	return script.n_rules;
}

FaultRule
faults_rule(int place)
{
	const Rule *rule = &script.rules[place];

	return (FaultRule){rule->text, rule->off, rule->seen, rule->fired};
}

void
faults_switch(int place, bool on)
{
	Rule *rule = &script.rules[place];

	rule->off = !on;
	rule->seen = rule->fired = 0;
	changes_note();
}

/* Bad lines are reported and left out. */
static void
read_script(FILE *file)
{
	char line[1024];

	for (int n = 1; fgets(line, sizeof(line), file) != NULL; n++)
	{
		const char *bad = faults_add(line);

		if (bad != NULL)
			complain("%s:%d: %s", script.path, n, bad);
	}
}

static void
load(void)
{
	FILE *file = fopen(script.path, "re");

	if (file == NULL && errno != ENOENT)
		complain("cannot read \"%s\": %s", script.path, strerror(errno));
	forget_rules();
	if (file == NULL)
		return;
	read_script(file);
	fclose(file);
}

static void
load_again(void *arg)
{
	(void) arg;
	load();
	script.read_again();
}

void
faults_init(const char *path, void (*read_again)(void))
{
	if (path == NULL)
		return;
	script.path = path;
	script.read_again = read_again;
	load();
	loop_on_signal(SIGHUP, load_again, NULL);
}

/* --- use ----------------------------------------------------------------- */

/* Counts the event; true: the rule applies to it. */
static bool
fires(Rule *rule)
{
	if (rule->off)
		return false;
	rule->seen++;
	if (rule->fired >= rule->count ||
		(rule->nth > 0 && rule->seen != rule->nth) ||
		(rule->every > 0 && rule->seen % rule->every != 0) ||
		(rule->probability < 1 && random_unit() >= rule->probability))
		return false;
	rule->fired++;
	changes_note();
	return true;
}

/* The actions in a request's own header. */
static Fault
fault_of_header(const char *header)
{
	char *copy = xasprintf("* %s", header);
	char *rest;
	Rule rule;

	rule_init(&rule);
	strtok_r(copy, SEPARATORS, &rest);
	rule.fault.active = parse_words(&rule, &rest) == NULL;
	free(copy);
	return rule.fault;
}

Fault
faults_for_rpc(const char *name, const char *header)
{
	Fault none = {.retry_after = -1};
	const Rule *first = NULL;

	if (header != NULL)
		return fault_of_header(header);
	for (int i = 0; i < script.n_rules; i++)
	{
		Rule *rule = &script.rules[i];

		if (!rule->for_inputs &&
			(strcmp(rule->target, "*") == 0 ||
			 strcmp(rule->target, name) == 0) &&
			first == NULL && fires(rule))
			first = rule;
	}
	return first != NULL ? first->fault : none;
}

InputFault
faults_for_input(int32_t idx, uint32_t attempt)
{
	InputFault none = {0};

	if (!script.any_for_inputs)
		return none;
	for (int i = 0; i < script.n_rules; i++)
	{
		Rule *rule = &script.rules[i];

		if (rule->for_inputs && idx >= rule->first_idx &&
			idx <= rule->last_idx &&
			(rule->attempt < 0 || rule->attempt == attempt) && fires(rule))
			return rule->input;
	}
	return none;
}
