/*-------------------------------------------------------------------------
 *
 * endpoint.c
 *	  From a function reference to an Endpoint; see endpoint.h.
 *
 * The cache keeps one Endpoint per server, user and options of a reference,
 * each in a context of its own under CacheMemoryContext; callers get a copy, so
 * that an invalidation in the middle of a call hurts nobody.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_foreign_server.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "common/hashfn.h"
#include "core/buf.h"
#include "endpoint/endpoint.h"
#include "endpoint/http_options.h"
#include "endpoint/options.h"
#include "endpoint/os_config.h"
#include "endpoint/secrets.h"
#include "foreign/foreign.h"
#include "guc.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#define HTTP_WINDOW_FACTOR 16
#define MAX_WINDOW 100000
/* A reference's options may be other ones for each call. */
#define MAX_CACHED 256

typedef struct EndpointKey
{
	Oid serverid;
	Oid userid;
	uint64 options; /* hash of those of the reference; 0: none */
} EndpointKey;

typedef struct CachedEndpoint
{
	EndpointKey key;
	Endpoint *endpoint; /* NULL: to be made anew */
	char *more;			/* the reference's options; NULL: none */
	MemoryContext cxt;	/* that both live in */
} CachedEndpoint;

static HTAB *endpoints = NULL;
/* Moves on with every change of what endpoints are made from. */
static uint64 generation = 0;

static void
forget_endpoint(CachedEndpoint *entry)
{
	if (entry->endpoint == NULL)
		return;
	explicit_bzero(entry->endpoint->options, entry->endpoint->options_len);
	entry->endpoint = NULL;
	MemoryContextDelete(entry->cxt);
}

/*
 * Servers, mappings and roles change rarely: any change empties the cache,
 * whose entries cost a few catalog look-ups to make again.  One that is being
 * made is not there yet; its maker compares generations.
 */
static void
invalidate_endpoints(Datum arg, int cacheid, uint32 hashvalue)
{
	HASH_SEQ_STATUS scan;
	CachedEndpoint *entry;

	(void) arg;
	(void) cacheid;
	(void) hashvalue;
	generation++;
	hash_seq_init(&scan, endpoints);
	while ((entry = hash_seq_search(&scan)) != NULL)
		forget_endpoint(entry);
}

static void
init_cache(void)
{
	HASHCTL info;

	memset(&info, 0, sizeof(info));
	info.keysize = sizeof(EndpointKey);
	info.entrysize = sizeof(CachedEndpoint);
	info.hcxt = CacheMemoryContext;
	endpoints = hash_create("modal_batch endpoints", 16, &info,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, invalidate_endpoints, 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, invalidate_endpoints, 0);
	/* names: of the wrapper, and of the user, whom HTTP functions are told */
	CacheRegisterSyscacheCallback(FOREIGNDATAWRAPPEROID, invalidate_endpoints,
								  0);
	CacheRegisterSyscacheCallback(AUTHOID, invalidate_endpoints, 0);
}

/* --- making one ----------------------------------------------------------- */

static int
compare_options(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst_node(DefElem, a)->defname,
				  lfirst_node(DefElem, b)->defname);
}

/*
 * A user needs a mapping, or one for PUBLIC: a server's own files and
 * environment are never used for somebody who may not read them, unless a
 * superuser has said so (use_os_config).
 */
static List *
mapping_options(ForeignServer *server, Oid userid, bool needed, bool *any_file)
{
	HeapTuple tuple;
	Oid users[2] = {userid, InvalidOid};

	*any_file = false;
	for (int i = 0; i < 2; i++)
	{
		tuple = SearchSysCache2(USERMAPPINGUSERSERVER,
								ObjectIdGetDatum(users[i]),
								ObjectIdGetDatum(server->serverid));
		if (HeapTupleIsValid(tuple))
		{
			ReleaseSysCache(tuple);
			return secrets_read_files(GetUserMapping(userid, server->serverid)->options,
									  any_file);
		}
	}
	if (needed)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("user \"%s\" has no user mapping for server \"%s\"",
						GetUserNameFromId(userid, false), server->servername),
				 errhint("Use CREATE USER MAPPING to give the token for this server.")));
	return NIL;
}

static void
check_token(ForeignServer *server, List *options)
{
	if (option_value(options, "token_id") == NULL ||
		option_value(options, "token_secret") == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("the user mapping for server \"%s\" has no token",
						server->servername),
				 errhint("Use ALTER USER MAPPING to set its options token_id and token_secret.")));
}

static HttpFormat
format_of(List *options)
{
	static const char *const names[] = {
		[HTTP_JSON] = "json",
		[HTTP_JSON_LINES] = "json-lines",
		[HTTP_BIGQUERY] = "bigquery",
		[HTTP_SNOWFLAKE] = "snowflake",
		[HTTP_REDSHIFT] = "redshift",
		[HTTP_WEBHOOK] = "webhook",
		[HTTP_BULK] = "openai-batch",
	};
	const char *format = option_value(options, "format");

	for (int i = 0; format != NULL && i < (int) lengthof(names); i++)
		if (strcmp(format, names[i]) == 0)
			return (HttpFormat) i;
	return HTTP_JSON;
}

static void
serialize_options(Endpoint *endpoint, List *options)
{
	Buf buf;
	ListCell *lc;

	buf_init(&buf, 0, buf_palloc);
	list_sort(options, compare_options);
	foreach(lc, options)
	{
		DefElem *def = lfirst_node(DefElem, lc);
		const char *value = defGetString(def);
		Size n;

		/* names of roles and databases may be in another encoding */
		if (!option_is_local(def->defname))
			frame_put_option(&buf, def->defname,
							 text_to_utf8(value, strlen(value), &n));
	}
	endpoint->options = (char *) buf.data;
	endpoint->options_len = buf.len;
}

static DefElem *
make_option(const char *name, const char *value)
{
	return makeDefElem(pstrdup(name), (Node *) makeString(pstrdup(value)), -1);
}

/* A whole number that the validator has seen. */
static int32
number_option(List *options, const char *name, int32 dflt)
{
	const char *value = option_value(options, name);

	return value == NULL ? dflt : (int32) strtod(value, NULL);
}

/* Returns what the dispatcher is to know. */
static List *
fill_http(Endpoint *endpoint, List *options, Oid userid)
{
	const char *database = get_database_name(MyDatabaseId);
	const char *ordered_by = option_value(options, "ordered_by");
	RequestForm *form = &endpoint->form;

	endpoint->format = format_of(options);
	endpoint->ordered_by = ordered_by != NULL ? pstrdup(ordered_by) : NULL;
	options = http_options_form(options, form);
	/* all that is to be in one file has to be there */
	if (endpoint->format == HTTP_BULK && endpoint->window == 0)
		endpoint->window = number_option(options, "max_batch_rows", 0);
	endpoint->has_form = form->request != NULL || form->parameters != NULL ||
		form->body != REQUEST_JSON;
	endpoint->args_as_object = endpoint->format == HTTP_WEBHOOK ||
		(endpoint->format == HTTP_JSON && form->row == ROW_OBJECT);
	/* The warehouse formats tell a function who calls it. */
	options = lappend(options, make_option("session_user",
										   GetUserNameFromId(userid, false)));
	/* For limits that hold for the server, whoever calls. */
	options = lappend(options,
					  make_option("server_id", psprintf("%u/%u", MyDatabaseId,
														endpoint->serverid)));
	if (database != NULL)
		options = lappend(options, make_option("database", database));
	return options;
}

/* more: options of the reference, p NULL: none. */
static void
fill_endpoint(Endpoint *endpoint, ForeignServer *server, Oid userid, Slice more)
{
	List *options = list_copy(server->options);
	const char *protocol = option_value(options, "protocol");
	bool http = protocol != NULL && strcmp(protocol, "http") == 0;
	bool os_config, files;

	endpoint->serverid = server->serverid;
	endpoint->userid = userid;
	endpoint->server_name = pstrdup(server->servername);
	endpoint->protocol = http ? ENDPOINT_HTTP : ENDPOINT_MODAL;
	endpoint->allow_pickle = option_bool(options, "allow_pickle", false);
	/* the second is its old name */
	endpoint->window = number_option(options, "max_in_flight",
									 number_option(options, "window", 0));
	/* each is to have a place */
	endpoint->dispatchers = number_option(options, "dispatchers", 1);
	endpoint->dispatchers = Min(endpoint->dispatchers,
								number_option(options, "max_concurrency",
											  endpoint->dispatchers));
	endpoint->max_failures = number_option(options, "max_failures", -1);
	endpoint->max_job_inputs = number_option(options, "max_job_inputs", -1);
	os_config = option_bool(options, "use_os_config", false);
	options = list_concat(options, mapping_options(server, userid,
												   !http && !os_config, &files));
	endpoint->uncached = os_config || files;
	if (os_config)
		options = os_config_add(options);
	if (http)
	{
		secrets_check_use(server->servername, options);
		options = fill_http(endpoint, http_options_with_reference(options, more),
							userid);
	}
	else
		check_token(server, options);
	serialize_options(endpoint, options);
}

static Endpoint *
read_endpoint(const EndpointKey *key, Slice more)
{
	ForeignServer *server = GetForeignServer(key->serverid);
	ForeignDataWrapper *wrapper = GetForeignDataWrapper(server->fdwid);
	Endpoint *endpoint = palloc0(sizeof(Endpoint));

	if (strcmp(wrapper->fdwname, MODAL_WRAPPER_NAME) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" does not use foreign-data wrapper %s",
						server->servername, MODAL_WRAPPER_NAME)));
	fill_endpoint(endpoint, server, key->userid, more);
	return endpoint;
}

static const Slice no_options = {NULL, 0};

static EndpointKey
key_of(Oid serverid, Oid userid, Slice more)
{
	return (EndpointKey) {
		.serverid = serverid,
		.userid = userid,
		.options = more.p == NULL
			? 0
			: hash_bytes_extended((const unsigned char *) more.p, (int) more.n, 0)};
}

/* One that is there; NULL: none. */
static CachedEndpoint *
find_entry(Oid serverid, Oid userid, Slice more)
{
	EndpointKey key = key_of(serverid, userid, more);
	CachedEndpoint *entry = hash_search(endpoints, &key, HASH_FIND, NULL);

	if (entry == NULL || entry->endpoint == NULL)
		return NULL;
	if (entry->more == NULL || more.p == NULL)
		return entry->more == more.p ? entry : NULL;
	return strlen(entry->more) == more.n && memcmp(entry->more, more.p, more.n) == 0
		? entry
		: NULL;
}

static void
forget_all(void)
{
	HASH_SEQ_STATUS scan;
	CachedEndpoint *entry;

	hash_seq_init(&scan, endpoints);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		forget_endpoint(entry);
		(void) hash_search(endpoints, &entry->key, HASH_REMOVE, NULL);
	}
}

/* For make_endpoint. */
static CachedEndpoint *
get_entry(Oid serverid, Oid userid, Slice more)
{
	EndpointKey key = key_of(serverid, userid, more);
	CachedEndpoint *entry;
	bool found;

	if (hash_get_num_entries(endpoints) >= MAX_CACHED)
		forget_all();
	entry = hash_search(endpoints, &key, HASH_ENTER, &found);
	if (!found)
		entry->endpoint = NULL;
	return entry;
}

/*
 * Reading the catalogs may wait for a lock, and hear of changes: what was read
 * before them must not be kept.  The cache loses no entry by them.
 */
static void
make_endpoint(CachedEndpoint *entry, Slice more)
{
	uint64 before;

	do
	{
		MemoryContext cxt, old;
		Endpoint *endpoint;

		CHECK_FOR_INTERRUPTS();
		before = generation;
		forget_endpoint(entry);
		cxt = AllocSetContextCreate(CurrentMemoryContext,
									"modal_batch endpoint",
									ALLOCSET_SMALL_SIZES);
		old = MemoryContextSwitchTo(cxt);
		endpoint = read_endpoint(&entry->key, more);
		entry->more = more.p == NULL ? NULL : pnstrdup(more.p, more.n);
		MemoryContextSwitchTo(old);

		MemoryContextSetParent(cxt, CacheMemoryContext);
		entry->cxt = cxt;
		entry->endpoint = endpoint;
	} while (generation != before);
}

static Size
text_size(const char *text)
{
	return text != NULL ? strlen(text) + 1 : 0;
}

/* Put a copy of an optional text to *at, behind which it then is. */
static char *
pack_text(char **at, const char *text)
{
	Size size = text_size(text);
	char *copy = *at;

	if (text == NULL)
		return NULL;
	memcpy(copy, text, size);
	*at += size;
	return copy;
}

/* In one piece, so that one pfree is enough. */
static Endpoint *
copy_endpoint(const Endpoint *from)
{
	const RequestForm *form = &from->form;
	Endpoint *copy = palloc(sizeof(Endpoint) + text_size(from->server_name) +
							text_size(from->ordered_by) + from->options_len +
							text_size(form->request) +
							text_size(form->parameters));
	char *at = (char *) (copy + 1);

	*copy = *from;
	copy->server_name = pack_text(&at, from->server_name);
	copy->ordered_by = pack_text(&at, from->ordered_by);
	copy->form.request = pack_text(&at, form->request);
	copy->form.parameters = pack_text(&at, form->parameters);
	copy->form.path = "";
	copy->options = at;
	memcpy(copy->options, from->options, from->options_len);
	return copy;
}

static bool
server_is_http(Oid serverid, Oid userid)
{
	const CachedEndpoint *entry = find_entry(serverid, userid, no_options);
	MemoryContext cxt, old;
	const char *protocol;
	bool http;

	if (entry != NULL)
		return entry->endpoint->protocol == ENDPOINT_HTTP;
	cxt = AllocSetContextCreate(CurrentMemoryContext, "modal_batch server",
								ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(cxt);
	protocol = option_value(GetForeignServer(serverid)->options, "protocol");
	http = protocol != NULL && strcmp(protocol, "http") == 0;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return http;
}

/* more: options of a reference. */
static Endpoint *
endpoint_get_by_server(Oid serverid, Oid userid, Slice more)
{
	CachedEndpoint *entry;
	AclResult acl;

	acl = object_aclcheck(ForeignServerRelationId, serverid, userid, ACL_USAGE);
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_FOREIGN_SERVER,
					   GetForeignServer(serverid)->servername);

	if (endpoints == NULL)
		init_cache();
	entry = find_entry(serverid, userid, more);
	/* only an HTTP function's options are those of its endpoint */
	if (entry == NULL && more.p != NULL && !server_is_http(serverid, userid))
	{
		more = no_options;
		entry = find_entry(serverid, userid, more);
	}
	if (entry == NULL || entry->endpoint->uncached)
	{
		entry = get_entry(serverid, userid, more);
		make_endpoint(entry, more);
	}
	return copy_endpoint(entry->endpoint);
}

/* See endpoint_get: whose setting counts? */
const char *
endpoint_default_server(Oid userid)
{
	Oid setter = modal_server_setter();

	return !OidIsValid(setter) || is_member_of_role(setter, userid)
		? modal_default_server
		: modal_standing_server();
}

/*
 * dflt: the server of a reference that names none.  Nothing is left in the
 * caller's context but the endpoint: a call site asks for every call.
 */
static Oid
server_of(const char *reference, const char *dflt, const char **rest)
{
	Slice name = reference_server(reference, strlen(reference));
	char *server_name = name.p != NULL ? pnstrdup(name.p, name.n) : pstrdup(dflt);
	Oid serverid;

	if (name.p != NULL && name.n == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("function reference has an empty server name")));
	*rest = name.p != NULL ? name.p + name.n + 1 : reference;
	serverid = get_foreign_server_oid(server_name, true);
	if (!OidIsValid(serverid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist", server_name),
				 name.p != NULL
					 ? errhint("Use CREATE SERVER with foreign-data wrapper modal_batch.")
					 : errhint("Function references without \"server:\" use the server named by modal_batch.server.")));
	pfree(server_name);
	return serverid;
}

static void
bad_reference(const char *problem)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg_internal("%s", problem)));
}

/* What the path and the options of an HTTP function are to each other. */
static void
set_path(Endpoint *endpoint, const Reference *parsed)
{
	RequestForm *form = &endpoint->form;

	form->path = parsed->target.p;
	form->path_arguments = parsed->placeholders;
	if (form->path_arguments &&
		(form->batched || endpoint->format != HTTP_JSON))
		bad_reference("a path with arguments is for requests of one row, but the server's format has many in one");
	endpoint->has_form |= form->path_arguments;
}

/*
 * dflt: the server of a reference that names none.  Nothing is left in the
 * caller's context but the endpoint: a call site asks for every call.
 */
static Endpoint *
get_and_parse(const char *reference, Oid userid, const char *dflt,
			  const char **rest)
{
	Oid serverid = server_of(reference, dflt, rest);
	Reference http;
	const char *not_http = reference_parse_rest(*rest, strlen(*rest), true, &http);
	Endpoint *endpoint;
	const char *problem;

	endpoint = endpoint_get_by_server(serverid, userid,
									  not_http != NULL ? no_options : http.options);
	if (endpoint->protocol == ENDPOINT_HTTP)
		problem = not_http;
	else
	{
		Reference modal;

		problem = reference_parse_rest(*rest, strlen(*rest), false, &modal);
	}
	if (problem != NULL)
		bad_reference(problem);
	if (endpoint->protocol == ENDPOINT_HTTP)
		set_path(endpoint, &http);
	return endpoint;
}

Endpoint *
endpoint_get(const char *reference, Oid userid, const char **rest)
{
	return get_and_parse(reference, userid, endpoint_default_server(userid), rest);
}

Endpoint *
endpoint_get_stored(const char *reference, Oid userid, const char **rest)
{
	return get_and_parse(reference, userid, modal_standing_server(), rest);
}

Endpoint *
endpoint_get_by_prefix(const char *text, Oid userid, const char **rest)
{
	Oid serverid = server_of(text, endpoint_default_server(userid), rest);

	return endpoint_get_by_server(serverid, userid, no_options);
}

void
endpoint_release(Endpoint *endpoint)
{
	explicit_bzero(endpoint->options, endpoint->options_len);
	pfree(endpoint);
}

uint32
endpoint_window(const Endpoint *endpoint)
{
	if (endpoint->window > 0)
		return endpoint->window;
	if (endpoint->protocol == ENDPOINT_HTTP)
		return Min((uint32) modal_max_in_flight * HTTP_WINDOW_FACTOR, MAX_WINDOW);
	return (uint32) modal_max_in_flight;
}

ArgFormat
endpoint_arg_format(const Endpoint *endpoint)
{
	const RequestForm *form = &endpoint->form;
	bool alone = form->path_arguments || form->body == REQUEST_QUERY;

	if (endpoint->protocol == ENDPOINT_MODAL)
		return (ArgFormat){.payload = PAYLOAD_CBOR};
	return (ArgFormat){.payload = alone ? PAYLOAD_REQUEST : PAYLOAD_JSON,
					   .named = endpoint->args_as_object || endpoint->has_form,
					   .as_object = endpoint->args_as_object,
					   .big_as_text = endpoint->format == HTTP_BIGQUERY,
					   .request = endpoint->has_form ? form : NULL};
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool
endpoint_is_same(const Endpoint *a, const Endpoint *b)
{
	return a->serverid == b->serverid && a->userid == b->userid &&
		a->protocol == b->protocol && a->format == b->format &&
		a->args_as_object == b->args_as_object && a->window == b->window &&
		a->has_form == b->has_form && a->form.body == b->form.body &&
		a->form.row == b->form.row &&
		same_text(a->form.request, b->form.request) &&
		same_text(a->form.parameters, b->form.parameters) &&
		a->options_len == b->options_len &&
		memcmp(a->options, b->options, a->options_len) == 0;
}

char *
endpoint_common_kwargs(const Endpoint *endpoint, Jsonb *kwargs)
{
	if (endpoint->protocol != ENDPOINT_HTTP)
		return NULL;
	if (endpoint->form.batched)
		return request_envelope(&endpoint->form, kwargs);
	if (endpoint->has_form || endpoint->args_as_object || kwargs == NULL ||
		JB_ROOT_COUNT(kwargs) == 0)
		return NULL;
	return JsonbToCString(NULL, &kwargs->root, VARSIZE(kwargs));
}

char *
endpoint_reference(const Endpoint *endpoint, const char *rest)
{
	return psprintf("%s:%s", endpoint->server_name, rest);
}

/*
 * Options begin with the first "#", the query of a path with a "?", in which
 * there often is a key.  A class's parameters may hold a "?" as well; what a
 * path has in braces is a word.
 */
char *
reference_label(const char *reference)
{
	Size n = strcspn(reference, "#?{");

	while (reference[n] == '{' && reference_is_placeholder(reference + n))
		n += 1 + strcspn(reference + n + 1, "#?{");
	if (reference[n] == '{')
		n = strcspn(reference, "#");
	return pnstrdup(reference, n);
}

char *
endpoint_label(const Endpoint *endpoint, const char *rest)
{
	return psprintf("%s:%s", endpoint->server_name, reference_label(rest));
}
