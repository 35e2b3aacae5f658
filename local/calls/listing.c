/*-------------------------------------------------------------------------
 *
 * listing.c
 *	  The functions that are served, for people to read.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/listing.h"

#include "calls/registry.h"

#define MAX_DEFAULT 40 /* characters of a default that are shown */

typedef struct Listing
{
	FILE *out;
	const Executor *executor;
	int n;
} Listing;

static void
print_default(FILE *out, const Parameter *p)
{
	int len = p->bytes_default_len < MAX_DEFAULT ? (int) p->bytes_default_len
												 : MAX_DEFAULT;

	switch ((int) p->type)
	{
		case PARAM_STRING:
			fprintf(out, " = '%.*s'", len, (const char *) p->bytes_default);
			break;
		case PARAM_BYTES:
			fprintf(out, " = b'...'");
			break;
		case PARAM_BOOL:
			fprintf(out, " = %s", p->int_default ? "True" : "False");
			break;
		default:
			fprintf(out, " = %lld", (long long) p->int_default);
	}
}

/* The parameters of a class, as references name them. */
static void
print_parameters(FILE *out, const Function *function)
{
	for (int i = 0; i < function->n_parameters; i++)
	{
		const Parameter *p = &function->parameters[i];

		fprintf(out, "%s%s: %s", i > 0 ? ", " : "{", p->name,
				parameter_type_name(p->type));
		if (p->has_default)
			print_default(out, p);
	}
	fputs(function->n_parameters > 0 ? "}" : "", out);
}

static void
print_methods(Listing *listing, const Function *function)
{
	for (int i = 0; i < function->n_methods; i++)
	{
		const Method *method = &function->methods[i];

		fprintf(listing->out, "  %s/%s", function->app, function->name);
		print_parameters(listing->out, function);
		fprintf(listing->out, ".%s%s\n", method->name,
				method->signature != NULL ? method->signature : "(...)");
		listing->n++;
	}
}

static bool
tells_signatures(const Function *function)
{
	return function->is_class ? function->n_methods > 0 &&
									function->methods[0].signature != NULL
							  : function->signature != NULL;
}

static void
print_function(const Handle *handle, void *arg)
{
	const Function *function = handle->function;
	Listing *listing = arg;
	FILE *out = listing->out;

	if (listing->executor != NULL ? function->executor != listing->executor
								  : !tells_signatures(function))
		return;
	if (function->is_class)
		print_methods(listing, function);
	else
	{
		fprintf(out, "  %s/%s%s", function->app, function->name,
				function->signature != NULL ? function->signature : "(...)");
		if (function->web_url != NULL)
			fprintf(out, "  at %s", function->web_url);
		if (function->doc != NULL && function->doc[0] != '\0')
			fprintf(out, "\n      %s", function->doc);
		fputc('\n', out);
		listing->n++;
	}
	if (function->ignored != NULL)
		fprintf(out, "      without effect here: %s\n", function->ignored);
}

int
listing_print(FILE *out, const Executor *executor)
{
	Listing listing = {out, executor, 0};

	registry_for_each(print_function, &listing);
	fflush(out);
	return listing.n;
}
