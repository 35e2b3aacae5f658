/*-------------------------------------------------------------------------
 *
 * owner.c
 *	  Acting as the owner of a job; see owner.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/async.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "jobs/owner.h"
#include "jobs/suspect.h"
#include "postmaster/bgworker.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/inval.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#define CATALOG_PATH "pg_catalog, pg_temp"
/* Where the owner's code would else get at a session that is not the owner's. */
#define OTHERS_CODE (SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION)

/* Whose session a runner is; InvalidOid elsewhere, and in a scout. */
static RunnerStart session;
static bool session_used = false; /* by statements of the owner's */
static bool session_checked = false; /* nothing has changed since it did fit */

static bool
has_session(const RunnerStart *start)
{
	return start->login || MODAL_SESSIONS_WITHOUT_LOGIN;
}

static bool
is_own_session(Oid owner)
{
	return has_session(&session) && session.key.owner == owner;
}

static void
enter_rights(OwnerScope *scope, Oid owner, int sec_context)
{
	Assert(IsTransactionState());
	GetUserIdAndSecContext(&scope->userid, &scope->sec_context);
	SetUserIdAndSecContext(owner, is_own_session(owner)
							   ? scope->sec_context
							   : scope->sec_context | sec_context);
	scope->guc_level = NewGUCNestLevel();
}

static void
enter(OwnerScope *scope, Oid owner, int sec_context, const char *search_path)
{
	enter_rights(scope, owner, sec_context);
	(void) set_config_option("search_path", search_path, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	/* whoever writes rows may have it off, to see all of their own */
	(void) set_config_option("row_security", "on", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
owner_enter_rights(OwnerScope *scope, Oid owner)
{
	enter_rights(scope, owner, OTHERS_CODE);
}

void
owner_enter(OwnerScope *scope, Oid owner)
{
	enter(scope, owner, OTHERS_CODE, CATALOG_PATH);
}

void
owner_enter_row(OwnerScope *scope, Oid owner, const char *path)
{
	enter(scope, owner, SECURITY_LOCAL_USERID_CHANGE, path);
}

void
owner_enter_job(OwnerScope *scope, const Job *job)
{
	Assert(OidIsValid(job->owner) && job->owner == session.key.owner);
	if (!owner_session_fits())
	{
		suspect_set(0); /* that says nothing of the job */
		ereport(FATAL,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("role \"%s\" may no longer log in and connect to this database",
						GetUserNameFromId(job->owner, true))));
	}
	session_used = true;
	enter(scope, job->owner, OTHERS_CODE, job->search_path != NULL
			  ? job->search_path
			  : GetConfigOptionResetString("search_path"));
}

void
owner_leave(const OwnerScope *scope)
{
	AtEOXact_GUC(false, scope->guc_level);
	SetUserIdAndSecContext(scope->userid, scope->sec_context);
}

/*
 * In a function with its definer's rights, and in all that is called from one,
 * the path may be the caller's.
 */
char *
owner_search_path(void)
{
	if (InLocalUserIdChange() || GetUserId() != GetOuterUserId())
		return NULL;
	return pstrdup(namespace_search_path);
}

/* --- sessions ------------------------------------------------------------- */

/* As CAN_LOG_IN in sql.c has it. */
bool
owner_can_log_in(Oid owner)
{
	HeapTuple tup = SearchSysCache1(AUTHOID, ObjectIdGetDatum(owner));
	Form_pg_authid role;
	bool login;

	if (!HeapTupleIsValid(tup))
		return false;
	role = (Form_pg_authid) GETSTRUCT(tup);
	login = role->rolcanlogin && (role->rolconnlimit != 0 || role->rolsuper);
	ReleaseSysCache(tup);
	return login;
}

/* As it does sessions: a limit of 0 keeps out all but superusers. */
static bool
database_takes(Oid dbid, Oid owner)
{
	HeapTuple tup = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dbid));
	Form_pg_database database;
	bool takes;

	if (!HeapTupleIsValid(tup))
		return false;
	database = (Form_pg_database) GETSTRUCT(tup);
	takes = database->datallowconn &&
		(database->datconnlimit != 0 || superuser_arg(owner));
	ReleaseSysCache(tup);
	return takes;
}

OwnerAccess
owner_access(Oid dbid, Oid owner)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(owner)))
		return OWNER_GONE;
	if (!database_takes(dbid, owner) ||
		object_aclcheck(DatabaseRelationId, dbid, owner, ACL_CONNECT) != ACLCHECK_OK)
		return OWNER_REFUSED;
	return owner_can_log_in(owner) ? OWNER_SESSION : OWNER_NO_LOGIN;
}

ErrorData *
owner_access_error(Oid owner, OwnerAccess access)
{
	ErrorData *edata = palloc0(sizeof(ErrorData));
	char *name = GetUserNameFromId(owner, true);

	edata->sqlerrcode = ERRCODE_INSUFFICIENT_PRIVILEGE;
	switch (access)
	{
		case OWNER_GONE:
			edata->message = psprintf("the owner of the job, with OID %u, does not exist",
									  owner);
			edata->hint = pstrdup("A superuser who calls modal_retry() becomes the owner, and goes on with it.");
			break;
		case OWNER_REFUSED:
			edata->message = psprintf("role \"%s\" may not connect to this database",
									  name);
			break;
		case OWNER_NO_LOGIN:
			edata->message = psprintf("role \"%s\" is no longer permitted to log in",
									  name);
			break;
		case OWNER_SESSION:
			edata->message = pstrdup("");
			break;
	}
	return edata;
}

/*
 * What settings of a role, a database or the server could make of our
 * transactions.  The others are the owner's.  Nothing in a background worker
 * starts the clock of statement_timeout: who runs the owner's statements does.
 */
static void
set_options(void)
{
	static const char *const options[][2] = {
		{"role", "none"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"transaction_timeout", "0"},
		{"deadlock_timeout", "5ms"}, /* the runner gives way, not a session */
		{"session_replication_role", "origin"},
		{"synchronous_commit", "on"},
		{"row_security", "on"},
		{"exit_on_error", "off"}, /* a row that is refused is no reason to end */
	};

	for (size_t i = 0; i < lengthof(options); i++)
		if (GetConfigOption(options[i][0], true, false) != NULL)
			SetConfigOption(options[i][0], options[i][1], PGC_SUSET,
							PGC_S_OVERRIDE);
}

/* Rights and databases have changed, which may be the owner's, and this one. */
static void
access_changed(Datum arg, int cache, uint32 hash)
{
	(void) arg;
	(void) cache;
	(void) hash;
	session_checked = false;
}

void
owner_session_begin(const RunnerStart *start)
{
	Oid owner = start->key.owner;

	BackgroundWorkerInitializeConnectionByOid(
		start->key.dbid, has_session(start) ? owner : InvalidOid,
		start->login ? 0 : BGWORKER_BYPASS_ROLELOGINCHECK);
	session = *start;
	set_options();
	CacheRegisterSyscacheCallback(AUTHOID, access_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, access_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(DATABASEOID, access_changed, (Datum) 0);
	if (!OidIsValid(owner) || has_session(start))
		return;
	StartTransactionCommand();
	SetSessionAuthorization(owner, superuser_arg(owner));
	CommitTransactionCommand();
}

bool
owner_session_fits(void)
{
	OwnerAccess access = owner_access(MyDatabaseId, session.key.owner);

	session_checked = true;
	return access == (session.login ? OWNER_SESSION : OWNER_NO_LOGIN);
}

bool
owner_session_is_checked(void)
{
	return session_checked;
}

Oid
owner_session_role(void)
{
	return session.key.owner;
}

bool
owner_session_is_own(void)
{
	return session.login;
}

void
owner_session_clean(void)
{
	if (!session_used)
		return;
	session_used = false;
	StartTransactionCommand();
	PortalHashTableDeleteAll();
	Async_UnlistenAll();
	LockReleaseAll(USER_LOCKMETHOD, true);
	/* dropping what depends on tables, such as their types, wants a snapshot */
	PushActiveSnapshot(GetTransactionSnapshot());
	ResetTempTableNamespace();
	PopActiveSnapshot();
	ResetSequenceCaches();
	DropAllPreparedStatements();
	ResetAllOptions();
	CommitTransactionCommand();
}
