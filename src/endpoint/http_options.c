/*-------------------------------------------------------------------------
 *
 * http_options.c
 *	  What requests and replies of HTTP functions look like; see
 *	  http_options.h.
 *
 * A ready-made format is a name for some options, which a server may give
 * otherwise, one by one: there is no other code for it.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "commands/defrem.h"
#include "core/http_reply.h"
#include "core/json_split.h"
#include "core/template.h"
#include "endpoint/http_options.h"
#include "endpoint/options.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

typedef struct PresetOption
{
	const char *format;
	const char *name;
	const char *value;
} PresetOption;

/*
 * From the providers' published descriptions; docs/http-templates.md names
 * them.  A format's lines stand together.
 */
static const PresetOption presets[] = {
	{"openai-embeddings", "request", "{\"input\": \"$rows\", \"$kwargs\": {}}"},
	{"openai-embeddings", "result", "$.data[*].embedding"},
	{"openai-embeddings", "result_index", "$.data[*].index"},
	{"openai-embeddings", "usage", "$.usage.total_tokens"},
	{"openai-embeddings", "error", "$.error.message"},
	{"openai-embeddings", "max_batch_rows", "2048"},

	{"openai-chat", "request",
	 "{\"messages\": [{\"role\": \"user\", \"content\": \"$1\"}], \"$kwargs\": {}}"},
	{"openai-chat", "result", "$.choices[0].message.content"},
	{"openai-chat", "row_error",
	 "$.choices[0].message.refusal\n"
	 "$.choices[0].finish_reason ? (@ != \"stop\" && @ != \"tool_calls\" && @ != \"function_call\" && @ != null)"},
	{"openai-chat", "usage", "$.usage.total_tokens"},
	{"openai-chat", "error", "$.error.message"},

	{"openai-batch", "request",
	 "{\"messages\": [{\"role\": \"user\", \"content\": \"$1\"}], \"$kwargs\": {}}"},
	{"openai-batch", "result", "$.choices[0].message.content"},
	{"openai-batch", "row_error",
	 "$.choices[0].message.refusal\n"
	 "$.choices[0].finish_reason ? (@ != \"stop\" && @ != \"tool_calls\" && @ != \"function_call\" && @ != null)"},
	{"openai-batch", "usage", "$.usage.total_tokens"},
	{"openai-batch", "error", "$.error.message"},
	{"openai-batch", "max_batch_rows", "50000"},
	{"openai-batch", "max_batch_bytes", "67108864"},

	{"tei", "request", "{\"inputs\": \"$rows\", \"$kwargs\": {}}"},
	{"tei", "result", "$[*]"},
	{"tei", "error", "$.error"},
	{"tei", "max_batch_rows", "32"},

	{"ollama", "request", "{\"input\": \"$rows\", \"$kwargs\": {}}"},
	{"ollama", "result", "$.embeddings[*]"},
	{"ollama", "usage", "$.prompt_eval_count"},
	{"ollama", "error", "$.error"},

	{"vertex", "request", "{\"instances\": \"$rows\", \"parameters\": \"$kwargs\"}"},
	{"vertex", "result", "$.predictions[*]"},
	{"vertex", "error", "$.error.message\n$.error"},

	{"kserve-v2", "request",
	 "{\"inputs\": [{\"name\": \"$name\", \"shape\": \"$shape\", \"datatype\": \"$datatype\", \"data\": \"$rows\"}]}"},
	{"kserve-v2", "parameters", "{\"name\": \"input\", \"datatype\": \"BYTES\"}"},
	{"kserve-v2", "result", "$.outputs[0].data"},
	{"kserve-v2", "result_shape", "$.outputs[0].shape"},
	{"kserve-v2", "error", "$.error"},

	{"lambda", "request", "\"$row\""},
	{"lambda", "args", "object"},
	{"lambda", "error", "$.errorMessage\n$.message\n$.Message"},
	{"lambda", "error_header", "X-Amz-Function-Error"},
};

/* They need a request with a template, or of a row alone. */
static const char *const template_options[] = {
	"request",	 "parameters", "result",	   "result_index", "result_shape",
	"row_error", "error",	   "error_header", "usage",		   "result_type",
	"content_type",
};

/*
 * What a reference may say: about requests and replies, and when to give up.
 * Not where they go, with what, and how many at once: that is the server's.
 */
static const char *const reference_options[] = {
	"args",			 "chars_per_token", "content_type", "error",
	"error_header",	 "format",			"idempotent",	"first_byte_timeout",
	"gzip",			 "max_batch_bytes", "max_batch_rows", "max_batch_tokens",
	"method",		 "ordered_by",		"parameters",	"request",
	"result",		 "result_index",	"result_shape",	"result_type",
	"retry_budget",	 "row_error",		"timeout",		"usage",
};

static bool
is_for_references(const char *name)
{
	for (int i = 0; i < (int) lengthof(reference_options); i++)
		if (strcmp(reference_options[i], name) == 0)
			return true;
	return false;
}

/* --- single options ---------------------------------------------------------- */

static const char *
fault_text(const TextFault *fault)
{
	char *problem = pstrdup(fault->problem != NULL ? fault->problem
												   : "out of memory");

	problem[0] = (char) pg_toupper((unsigned char) problem[0]);
	return psprintf("%s (at byte %zu).", problem, fault->at + 1);
}

const char *
http_request_error(const char *value)
{
	Template t;
	TextFault fault;
	Size n;
	char *text = text_to_utf8(value, strlen(value), &n);

	if (!template_parse(&t, text, n, buf_palloc, &fault))
		return fault_text(&fault);
	template_free(&t);
	return NULL;
}

const char *
http_parameters_error(const char *value)
{
	JsonCursor c;
	Slice object;
	Size n;
	char *text = text_to_utf8(value, strlen(value), &n);

	json_open(&c, text, n);
	if (json_value(&c, &object) && json_at_end(&c) && object.p[0] == '{')
		return NULL;
	return "The value must be a JSON object.";
}

/* --- formats -------------------------------------------------------------------- */

static DefElem *
make_option(const char *name, const char *value)
{
	return makeDefElem(pstrdup(name), (Node *) makeString(pstrdup(value)), -1);
}

static bool
is_preset(const char *format)
{
	for (int i = 0; i < (int) lengthof(presets); i++)
		if (strcmp(presets[i].format, format) == 0)
			return true;
	return false;
}

/* Of a preset, the defaults of its parameters stay beside the server's. */
static char *
merged_parameters(const char *preset, const char *own)
{
	Jsonb *all = DatumGetJsonbP(DirectFunctionCall2(
		jsonb_concat, DirectFunctionCall1(jsonb_in, CStringGetDatum(preset)),
		DirectFunctionCall1(jsonb_in, CStringGetDatum(own))));

	return JsonbToCString(NULL, &all->root, VARSIZE(all));
}

static List *
without(List *options, const char *name)
{
	List *rest = NIL;
	ListCell *lc;

	foreach(lc, options)
		if (strcmp(lfirst_node(DefElem, lc)->defname, name) != 0)
			rest = lappend(rest, lfirst(lc));
	return rest;
}

static List *
set_option(List *options, const char *name, const char *value)
{
	return lappend(without(options, name), make_option(name, value));
}

/* Who says where results are says all about them. */
static bool
is_about_results(const char *name)
{
	return strcmp(name, "result_index") == 0 ||
		strcmp(name, "result_shape") == 0 || strcmp(name, "row_error") == 0;
}

/* It is the one that is more than a name for options: see http/bulk.h. */
static bool
is_bulk(const char *format)
{
	return format != NULL && strcmp(format, "openai-batch") == 0;
}

/* Options, with those that the format stands for. */
static List *
expand(List *options)
{
	const char *format = option_value(options, "format");
	bool own_result = option_value(options, "result") != NULL;
	List *all = list_copy(options);

	for (int i = 0; format != NULL && i < (int) lengthof(presets); i++)
	{
		const PresetOption *preset = &presets[i];
		const char *own;

		if (strcmp(preset->format, format) != 0 ||
			(own_result && is_about_results(preset->name)))
			continue;
		own = option_value(options, preset->name);
		if (own == NULL)
			all = lappend(all, make_option(preset->name, preset->value));
		else if (strcmp(preset->name, "parameters") == 0)
			all = set_option(all, preset->name,
							 merged_parameters(preset->value, own));
	}
	return all;
}

/* --- all together ------------------------------------------------------------------ */

static bool
is_batched(const char *request)
{
	Template t;
	TextFault fault;
	bool batched = false;
	Size n;
	char *text;

	if (request == NULL)
		return false;
	text = text_to_utf8(request, strlen(request), &n);
	if (template_parse(&t, text, n, buf_palloc, &fault))
	{
		batched = t.batched;
		template_free(&t);
	}
	return batched;
}

/* In UTF-8, as paths are parsed; its own memory. */
static const char *
utf8_option(List *options, const char *name)
{
	const char *value = option_value(options, name);
	Size n;

	return value != NULL ? text_to_utf8(value, strlen(value), &n) : NULL;
}

static void
check_paths(List *options, bool batched)
{
	ReplyOptions texts = {
		.result = utf8_option(options, "result"),
		.result_index = utf8_option(options, "result_index"),
		.result_shape = utf8_option(options, "result_shape"),
		.row_error = utf8_option(options, "row_error"),
		.error = utf8_option(options, "error"),
		.usage = utf8_option(options, "usage"),
		.result_type = option_value(options, "result_type"),
		.batched = batched,
	};
	ReplyForm form;
	const char *option;
	TextFault fault;

	if (reply_form_parse(&form, &texts, &option, &fault))
		reply_form_free(&form);
	else if (option == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	else
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						errmsg("invalid value for option \"%s\"", option),
						errhint("%s", fault_text(&fault))));
}

static void
refuse_together(const char *name, const char *other, const char *value)
{
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					errmsg("option \"%s\" is not possible with %s \"%s\"", name,
						   other, value)));
}

void
http_options_check(List *own)
{
	List *options = expand(own);
	const char *format = option_value(options, "format");
	const char *method = option_value(options, "method");
	const char *request = option_value(options, "request");
	bool templated =
		format == NULL || strcmp(format, "json") == 0 || is_preset(format);
	bool bare = method != NULL &&
		(strcmp(method, "GET") == 0 || strcmp(method, "DELETE") == 0);

	if (option_value(options, "ordered_by") != NULL &&
		(format == NULL || strcmp(format, "webhook") != 0))
		refuse_together("ordered_by", "format", format != NULL ? format : "json");
	/* a receiver that inflates a message would check another signature */
	if (format != NULL && strcmp(format, "webhook") == 0 &&
		option_bool(options, "gzip", false))
		refuse_together("gzip", "format", format);
	for (int i = 0; !templated && i < (int) lengthof(template_options); i++)
		if (option_value(options, template_options[i]) != NULL)
			refuse_together(template_options[i], "format", format);
	if (is_bulk(format) && is_batched(request))
		refuse_together("request", "format", format);
	if (is_bulk(format) && method != NULL && strcmp(method, "POST") != 0)
		refuse_together("method", "format", format);
	if (is_bulk(format) && option_value(options, "content_type") != NULL)
		refuse_together("content_type", "format", format);
	if (bare && request != NULL)
		refuse_together("request", "method", method);
	if (bare && option_value(options, "content_type") != NULL)
		refuse_together("content_type", "method", method);
	if (bare && !templated)
		refuse_together("format", "method", method);
	if (request != NULL && option_value(options, "content_type") != NULL &&
		strstr(option_value(options, "content_type"), "json") == NULL)
		refuse_together("request", "content_type",
						option_value(options, "content_type"));
	if (templated)
		check_paths(options, is_batched(request));
}

static RequestBody
body_of(List *options)
{
	const char *method = option_value(options, "method");
	const char *type = option_value(options, "content_type");

	if (method != NULL &&
		(strcmp(method, "GET") == 0 || strcmp(method, "DELETE") == 0))
		return REQUEST_QUERY;
	if (type == NULL || strstr(type, "json") != NULL)
		return REQUEST_JSON;
	return strncmp(type, "application/x-www-form-urlencoded",
				   strlen("application/x-www-form-urlencoded")) == 0
		? REQUEST_FORM
		: REQUEST_RAW;
}

List *
http_options_form(List *own, RequestForm *form)
{
	List *options = expand(own);
	const char *format = option_value(options, "format");
	const char *args = option_value(options, "args");

	memset(form, 0, sizeof(*form));
	form->request = option_value(options, "request");
	form->parameters = option_value(options, "parameters");
	form->batched = is_batched(form->request);
	form->body = body_of(options);
	if (args != NULL)
		form->row = strcmp(args, "object") == 0 ? ROW_OBJECT : ROW_ARRAY;
	else if (form->request == NULL)
		form->row = ROW_OBJECT; /* the default of format json */
	/* The dispatcher sees what it does itself: rows in an envelope, or alone. */
	if (!is_bulk(format) &&
		(form->request != NULL || (format != NULL && is_preset(format))))
		options = set_option(options, "format",
							 form->batched ? "template" : "json");
	return without(without(options, "request"), "parameters");
}

/* --- references ----------------------------------------------------------------------- */

/* Text of a value, as an option has it; objects stay JSON. */
static char *
option_text(const char *name, JsonbValue *v)
{
	Jsonb *json;

	if (v->type == jbvString)
		return pnstrdup(v->val.string.val, v->val.string.len);
	if (v->type == jbvNull)
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						errmsg("invalid value for option \"%s\"", name),
						errhint("The value must not be null.")));
	json = JsonbValueToJsonb(v);
	return JsonbToCString(NULL, &json->root, VARSIZE(json));
}

/*
 * What the server says of its own requests and replies is not meant for others:
 * a format replaces all of it, a path to results what is said beside that.
 */
static List *
without_what_is_replaced(List *options, Jsonb *given)
{
	static const char *const replaced[] = {"result_index", "result_shape",
										   "row_error", "request",
										   "result", "result_type",
										   "error", "error_header",
										   "usage", "ordered_by",
										   "args", "content_type",
										   "parameters", "method"};
	const int beside_result = 3;
	JsonbValue v;
	int n = 0;

	if (getKeyJsonValueFromContainer(&given->root, "format", strlen("format"),
									 &v) != NULL)
		n = lengthof(replaced);
	else if (getKeyJsonValueFromContainer(&given->root, "result",
										  strlen("result"), &v) != NULL)
		n = beside_result;
	for (int i = 0; i < n; i++)
		options = without(options, replaced[i]);
	return options;
}

/* Options, with those of an object instead of or beside them. */
static List *
overlay(List *options, Jsonb *given)
{
	JsonbIterator *it = JsonbIteratorInit(&given->root);
	JsonbIteratorToken token;
	JsonbValue v;
	char *name = NULL;

	options = without_what_is_replaced(options, given);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		char *value;

		if (token == WJB_KEY)
		{
			name = pnstrdup(v.val.string.val, v.val.string.len);
			if (!is_for_references(name))
				option_refuse_in_reference(name, is_for_references);
		}
		else if (token == WJB_VALUE)
		{
			value = option_text(name, &v);
			option_check(name, value);
			options = set_option(options, name, value);
		}
	}
	return options;
}

void
http_options_check_names(Jsonb *options)
{
	(void) overlay(NIL, options);
}

List *
http_options_with_reference(List *options, Slice json)
{
	Datum given;

	if (json.p == NULL)
		return options;
	given = DirectFunctionCall1(jsonb_in,
								CStringGetDatum(pnstrdup(json.p, json.n)));
	options = overlay(options, DatumGetJsonbP(given));
	http_options_check(options);
	return options;
}
