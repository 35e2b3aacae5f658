/*-------------------------------------------------------------------------
 *
 * http_options.h
 *	  Options that say what requests and replies of HTTP functions look like:
 *	  of servers, of references, and those that the name of a format stands for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_ENDPOINT_HTTP_OPTIONS_H
#define MODAL_ENDPOINT_HTTP_OPTIONS_H

#include "compat.h"

#include "core/reference.h"
#include "nodes/pg_list.h"
#include "values/values.h"

/* Names of all formats, separated by "|". */
#define HTTP_FORMATS \
	"json|json-lines|bigquery|snowflake|redshift|openai-embeddings|openai-chat|openai-batch|tei|ollama|vertex|kserve-v2|lambda|webhook"

/* The value of option request, or one of parameters: NULL, or what is wrong. */
extern const char *http_request_error(const char *value);
extern const char *http_parameters_error(const char *value);

/*
 * The options of a whole server, each of which is good by itself: do those
 * about requests and replies go together?  HV024 and HV00D.
 */
extern void http_options_check(List *options);

/* With the options that "#{…}" of a reference gives; p NULL: none. */
extern List *http_options_with_reference(List *options, Slice json);

/* Each option of such an object by itself: 22023 and HV024. */
extern void http_options_check_names(Jsonb *options);

/*
 * What the session does, in form, but for its path; returns what the
 * dispatcher is to know.
 */
extern List *http_options_form(List *options, RequestForm *form);

#endif /* MODAL_ENDPOINT_HTTP_OPTIONS_H */
