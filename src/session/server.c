/*-------------------------------------------------------------------------
 *
 * server.c
 *	  From a function reference to an Endpoint; see server.h.
 *
 * The cache keeps one Endpoint per server and user, each in a context of its
 * own under CacheMemoryContext; callers get a copy, so that an invalidation
 * in the middle of a call hurts nobody.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_foreign_server.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "core/buf.h"
#include "foreign/foreign.h"
#include "guc.h"
#include "nodes/makefuncs.h"
#include "session/codec.h"
#include "endpoint/options.h"
#include "endpoint/os_config.h"
#include "session/server.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* The wrapper that our servers must belong to. */
#define WRAPPER_NAME "modal_batch"

#define HTTP_WINDOW_FACTOR 16
#define MAX_WINDOW 100000

typedef struct EndpointKey
{
	Oid serverid;
	Oid userid;
} EndpointKey;

typedef struct CachedEndpoint
{
	EndpointKey key;
	Endpoint *endpoint; /* NULL: to be made anew */
	MemoryContext cxt;	/* that it lives in */
} CachedEndpoint;

static HTAB *endpoints = NULL;

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
 * Servers and mappings change rarely: any change empties the cache, whose
 * entries cost a few catalog look-ups to make again.
 */
static void
invalidate_endpoints(Datum arg, int cacheid, uint32 hashvalue)
{
	HASH_SEQ_STATUS scan;
	CachedEndpoint *entry;

	(void) arg;
	(void) cacheid;
	(void) hashvalue;
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
mapping_options(ForeignServer *server, Oid userid, bool needed)
{
	HeapTuple tuple;
	Oid users[2] = {userid, InvalidOid};

	for (int i = 0; i < 2; i++)
	{
		tuple = SearchSysCache2(USERMAPPINGUSERSERVER,
								ObjectIdGetDatum(users[i]),
								ObjectIdGetDatum(server->serverid));
		if (HeapTupleIsValid(tuple))
		{
			ReleaseSysCache(tuple);
			return GetUserMapping(userid, server->serverid)->options;
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

		if (!option_is_local(def->defname))
			frame_put_option(&buf, def->defname, defGetString(def));
	}
	endpoint->options = (char *) buf.data;
	endpoint->options_len = buf.len;
}

static DefElem *
make_option(const char *name, const char *value)
{
	return makeDefElem(pstrdup(name), (Node *) makeString(pstrdup(value)), -1);
}

static void
fill_endpoint(Endpoint *endpoint, ForeignServer *server, Oid userid)
{
	List *options = list_copy(server->options);
	const char *protocol = option_value(options, "protocol");
	const char *window = option_value(options, "window");
	bool http = protocol != NULL && strcmp(protocol, "http") == 0;

	endpoint->serverid = server->serverid;
	endpoint->userid = userid;
	endpoint->server_name = pstrdup(server->servername);
	endpoint->protocol = http ? ENDPOINT_HTTP : ENDPOINT_MODAL;
	endpoint->allow_pickle = option_bool(options, "allow_pickle", false);
	endpoint->window = window != NULL ? pg_strtoint32(window) : 0;
	endpoint->os_config = option_bool(options, "use_os_config", false);
	options = list_concat(options,
						  mapping_options(server, userid,
										  !http && !endpoint->os_config));
	if (endpoint->os_config)
		options = os_config_add(options);
	if (http)
	{
		const char *args = option_value(options, "args");
		const char *database = get_database_name(MyDatabaseId);

		endpoint->format = format_of(options);
		endpoint->args_as_object = endpoint->format == HTTP_JSON &&
			(args == NULL || strcmp(args, "object") == 0);
		/* The warehouse formats tell a function who calls it. */
		options = lappend(options,
						  make_option("session_user",
									  GetUserNameFromId(userid, false)));
		if (database != NULL)
			options = lappend(options, make_option("database", database));
	}
	else
		check_token(server, options);
	serialize_options(endpoint, options);
}

static void
make_endpoint(CachedEndpoint *entry)
{
	ForeignServer *server = GetForeignServer(entry->key.serverid);
	ForeignDataWrapper *wrapper = GetForeignDataWrapper(server->fdwid);
	Oid userid = entry->key.userid;
	Endpoint *endpoint;
	MemoryContext cxt, old;

	if (strcmp(wrapper->fdwname, WRAPPER_NAME) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" does not use foreign-data wrapper %s",
						server->servername, WRAPPER_NAME)));

	/* Reading the catalogs may invalidate the cache, but removes no entry. */
	cxt = AllocSetContextCreate(CurrentMemoryContext, "modal_batch endpoint",
								ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(cxt);
	endpoint = palloc0(sizeof(Endpoint));
	fill_endpoint(endpoint, server, userid);
	MemoryContextSwitchTo(old);

	MemoryContextSetParent(cxt, CacheMemoryContext);
	entry->cxt = cxt;
	entry->endpoint = endpoint;
}

/* In one piece, so that one pfree is enough. */
static Endpoint *
copy_endpoint(const Endpoint *from)
{
	Size name_size = strlen(from->server_name) + 1;
	Endpoint *copy = palloc(sizeof(Endpoint) + name_size + from->options_len);

	*copy = *from;
	copy->server_name = (char *) (copy + 1);
	memcpy(copy->server_name, from->server_name, name_size);
	copy->options = copy->server_name + name_size;
	memcpy(copy->options, from->options, from->options_len);
	return copy;
}

Endpoint *
endpoint_get_by_server(Oid serverid, Oid userid)
{
	EndpointKey key = {serverid, userid};
	CachedEndpoint *entry;
	AclResult acl;
	bool found;

	acl = object_aclcheck(ForeignServerRelationId, serverid, userid, ACL_USAGE);
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_FOREIGN_SERVER,
					   GetForeignServer(serverid)->servername);

	if (endpoints == NULL)
		init_cache();
	entry = hash_search(endpoints, &key, HASH_ENTER, &found);
	if (!found)
		entry->endpoint = NULL;
	if (entry->endpoint != NULL && entry->endpoint->os_config)
		forget_endpoint(entry);
	if (entry->endpoint == NULL)
		make_endpoint(entry);
	return copy_endpoint(entry->endpoint);
}

Endpoint *
endpoint_get(const char *reference, Oid userid, const char **rest)
{
	Slice name = reference_server(reference, strlen(reference));
	char *server_name;
	ForeignServer *server;

	if (name.p != NULL && name.n == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("function reference has an empty server name")));
	if (name.p != NULL)
	{
		server_name = pnstrdup(name.p, name.n);
		*rest = name.p + name.n + 1;
	}
	else
	{
		server_name = modal_default_server;
		*rest = reference;
	}
	server = GetForeignServerByName(server_name, true);
	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist", server_name),
				 name.p != NULL
					 ? errhint("Use CREATE SERVER with foreign-data wrapper modal_batch.")
					 : errhint("Function references without \"server:\" use the server named by modal_batch.server.")));
	return endpoint_get_by_server(server->serverid, userid);
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
		return Min((uint32) modal_window * HTTP_WINDOW_FACTOR, MAX_WINDOW);
	return (uint32) modal_window;
}

char *
endpoint_reference(const Endpoint *endpoint, const char *rest)
{
	return psprintf("%s:%s", endpoint->server_name, rest);
}

char *
endpoint_label(const Endpoint *endpoint, const char *rest)
{
	const char *options = strchr(rest, '#');

	return psprintf("%s:%.*s", endpoint->server_name,
					options != NULL ? (int) (options - rest)
									: (int) strlen(rest),
					rest);
}
