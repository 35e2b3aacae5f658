/*-------------------------------------------------------------------------
 *
 * json_path.h
 *	  Paths into JSON text, as SQL/JSON writes them, and what they find.
 *
 *	  $  .key  ."any key"  [0]  [*]		steps, each one level down
 *	  ? (@ != "a" && @ != 1)			at the end: only such values
 *
 * A path is parsed once.  Any number of them is evaluated in one pass over the
 * bytes, which builds nothing: what is found stays a piece of the text.  A
 * path never looks for itself into an array (SQL/JSON's mode "strict", but
 * that what is missing is not an error).
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_JSON_PATH_H
#define MODAL_CORE_JSON_PATH_H

#include "core/buf.h"
#include "core/json_split.h"
#include "core/text_fault.h"

#define JSON_PATH_MAX_STEPS 16
#define JSON_PATH_MAX_CONDITIONS 8
#define JSON_PATHS_MAX 32 /* in one pass */

typedef enum JsonStepKind
{
	STEP_KEY,
	STEP_INDEX,
	STEP_ALL /* [*] */
} JsonStepKind;

typedef struct JsonStep
{
	JsonStepKind kind;
	uint32_t index;
	Slice key; /* without quotes and escapes */
} JsonStep;

typedef struct JsonCondition
{
	bool equal;	   /* else: different */
	Slice literal; /* as the path has it */
	Slice string;  /* its content, if it is a string; else p NULL */
} JsonCondition;

typedef struct JsonPath
{
	char *text; /* as written; literals are in it */
	Buf keys;	/* the content of keys and strings */
	JsonStep steps[JSON_PATH_MAX_STEPS];
	int nsteps;
	int nitems; /* steps up to the last [*]; 0: there is none */
	JsonCondition conditions[JSON_PATH_MAX_CONDITIONS];
	int nconditions;
	bool any; /* one condition is enough, not all are needed */
} JsonPath;

/* False: *fault says why and where (problem NULL: no memory), nothing to free. */
extern bool json_path_parse(JsonPath *path, const char *text, size_t n,
							TextFault *fault);
extern void json_path_free(JsonPath *path);
/* Do both have the same steps up to their last [*]? */
extern bool json_path_same_items(const JsonPath *a, const JsonPath *b);
/* The last key of a path, p NULL if it has none. */
extern Slice json_path_last_key(const JsonPath *path);

/*
 * One pass over the value that the cursor is at.  item: the last [*] of a path
 * has been passed, what is found up to the next time belongs together; found:
 * the path's end.  Either may return an error, which ends the pass.
 */
typedef struct JsonPathVisitor
{
	const char *(*item) (void *arg, int path);
	const char *(*found) (void *arg, int path, Slice value);
	void *arg;
} JsonPathVisitor;

extern const char *json_paths_scan(const JsonPath *paths, int n, JsonCursor *c,
								   const JsonPathVisitor *visitor);

#endif /* MODAL_CORE_JSON_PATH_H */
