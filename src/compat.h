/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Differences between PostgreSQL 14 and 19, in one place.
 *
 * The only file that reads PG_VERSION_NUM.  Code elsewhere is written as for
 * the newest version; what older ones lack is provided here.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_COMPAT_H
#define MODAL_COMPAT_H

#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "utils/guc.h"

#if PG_VERSION_NUM < 140000 || PG_VERSION_NUM >= 200000
#error "modal_batch is written for PostgreSQL 14 to 19"
#endif

#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#else
#include "commands/explain.h"
#endif
#include "utils/wait_event.h"

/* Extensions' wait events have names from 17 on. */
#if PG_VERSION_NUM >= 170000
#define modal_wait_event(name) WaitEventExtensionNew(name)
#else
#define modal_wait_event(name) PG_WAIT_EXTENSION
#endif

#if PG_VERSION_NUM < 150000
#define shm_mq_send_compat(mqh, n, p, nowait) shm_mq_send(mqh, n, p, nowait)
#define shm_mq_sendv_flush_compat(mqh, iov, iovcnt, nowait, flush) \
	((void) (flush), shm_mq_sendv(mqh, iov, iovcnt, nowait))
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#else
#define shm_mq_send_compat(mqh, n, p, nowait) shm_mq_send(mqh, n, p, nowait, true)
#define shm_mq_sendv_flush_compat(mqh, iov, iovcnt, nowait, flush) \
	shm_mq_sendv(mqh, iov, iovcnt, nowait, flush)
#endif

/* What a setting's check hook leaves for its assign hook. */
#if PG_VERSION_NUM < 160000
#define guc_malloc(elevel, size) malloc(size)
#endif

/* One function for all kinds of objects from 16 on. */
#if PG_VERSION_NUM >= 160000
#define database_ownercheck(dbid, role) \
	object_ownercheck(DatabaseRelationId, dbid, role)
#define relation_ownercheck(relid, role) \
	object_ownercheck(RelationRelationId, relid, role)
#else
#define database_ownercheck(dbid, role) pg_database_ownercheck(dbid, role)
#define relation_ownercheck(relid, role) pg_class_ownercheck(relid, role)
#endif

/* Wait event sets belong to a resource owner from 17 on. */
#if PG_VERSION_NUM >= 170000
#define CreateWaitEventSetCompat(n) CreateWaitEventSet(NULL, n)
#else
#define CreateWaitEventSetCompat(n) CreateWaitEventSet(TopMemoryContext, n)
#endif

/*
 * From 15 on shared memory is asked for in a hook, when MaxBackends is known.
 * In 14 that happens in _PG_init, where it must be added up from its parts.
 */
#if PG_VERSION_NUM >= 150000
#define MODAL_SHMEM_REQUEST_HOOK
#define modal_max_backends() MaxBackends
#else
#include "postmaster/autovacuum.h"
#include "replication/walsender.h"
#define modal_max_backends() \
	(MaxConnections + autovacuum_max_workers + 1 + max_worker_processes + \
	 max_wal_senders)
#endif

/* A background worker may be a session of a role that cannot log in, from 17 on. */
#include "postmaster/bgworker.h"
#ifdef BGWORKER_BYPASS_ROLELOGINCHECK
#define MODAL_SESSIONS_WITHOUT_LOGIN true
#else
#define MODAL_SESSIONS_WITHOUT_LOGIN false
#define BGWORKER_BYPASS_ROLELOGINCHECK 0
#endif

/* A process's number in the PGPROC array, from 0. */
#if PG_VERSION_NUM >= 170000
#define MyProcSlot ((int) MyProcNumber)
#else
#define MyProcSlot ((int) MyProc->pgprocno)
#endif

/* How a signal is ignored, and how a case says that it goes on to the next. */
#if PG_VERSION_NUM < 190000
#define PG_SIG_IGN SIG_IGN
#define pg_fallthrough __attribute__((fallthrough))
#endif

/* A row type that was put together is made ready for use from 19 on. */
#if PG_VERSION_NUM < 190000
#define TupleDescFinalize(desc) ((void) (desc))
#endif

/* Hash tables in shared memory have one size from 19 on. */
#if PG_VERSION_NUM < 190000
#define ShmemInitHash(name, nelems, info, flags) \
	ShmemInitHash(name, nelems, nelems, info, flags)
#endif

#if PG_VERSION_NUM < 180000
#define ProcessMainLoopInterrupts() HandleMainLoopInterrupts()
#define pg_noreturn __attribute__((noreturn))
#endif

/* Deferrable primary keys do not count, in any version. */
#if PG_VERSION_NUM >= 180000
#define RelationGetPrimaryKeyIndexCompat(rel) RelationGetPrimaryKeyIndex(rel, false)
#else
#define RelationGetPrimaryKeyIndexCompat(rel) RelationGetPrimaryKeyIndex(rel)
#endif

/* Minor versions from 2023 on know databases that DROP DATABASE left behind. */
#include "catalog/pg_database.h"
#ifndef DATCONNLIMIT_INVALID_DB
#define DATCONNLIMIT_INVALID_DB (-2)
#endif

#if PG_VERSION_NUM < 160000
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "utils/acl.h"
static inline AclResult
object_aclcheck(Oid classid, Oid objectid, Oid roleid, AclMode mode)
{
	if (classid == ForeignServerRelationId)
		return pg_foreign_server_aclcheck(objectid, roleid, mode);
	if (classid == NamespaceRelationId)
		return pg_namespace_aclcheck(objectid, roleid, mode);
	if (classid == DatabaseRelationId)
		return pg_database_aclcheck(objectid, roleid, mode);
	Assert(classid == ProcedureRelationId);
	return pg_proc_aclcheck(objectid, roleid, mode);
}
#endif

/*
 * The ExecutorRun hook lost execute_once in 18: there only a run for all rows
 * is known not to be continued.
 */
#if PG_VERSION_NUM >= 180000
#define EXECUTOR_RUN_PARAMS \
	QueryDesc *queryDesc, ScanDirection direction, uint64 count
#define EXECUTOR_RUN_ARGS queryDesc, direction, count
#define EXECUTOR_RUN_ONCE (count == 0)
#define ExecutorRunCompat(desc, direction, count) \
	ExecutorRun(desc, direction, count)
#else
#define EXECUTOR_RUN_PARAMS \
	QueryDesc *queryDesc, ScanDirection direction, uint64 count, \
		bool execute_once
#define EXECUTOR_RUN_ARGS queryDesc, direction, count, execute_once
#define EXECUTOR_RUN_ONCE execute_once
#define ExecutorRunCompat(desc, direction, count) \
	ExecutorRun(desc, direction, count, (count) == 0)
#endif

/* The planner's hook is told of EXPLAIN from 19 on. */
#if PG_VERSION_NUM >= 190000
#define PLANNER_PARAMS \
	Query *parse, const char *query_string, int cursor_options, \
		ParamListInfo bound_params, ExplainState *es
#define PLANNER_ARGS parse, query_string, cursor_options, bound_params, es
#else
#define PLANNER_PARAMS \
	Query *parse, const char *query_string, int cursor_options, \
		ParamListInfo bound_params
#define PLANNER_ARGS parse, query_string, cursor_options, bound_params
#endif

/* What the hook after analysis is told of a statement's fingerprint. */
#if PG_VERSION_NUM >= 190000
#define POST_PARSE_JUMBLE const JumbleState
#else
#define POST_PARSE_JUMBLE JumbleState
#endif

/* A jsonb under construction is one object, with its result, from 19 on. */
#if PG_VERSION_NUM < 190000
#include "utils/jsonb.h"
typedef struct JsonbInStateCompat
{
	JsonbParseState *parse_state;
	JsonbValue *result;
} JsonbInStateCompat;
#define JsonbInState JsonbInStateCompat
#define pushJsonbValue(state, seq, value) \
	((state)->result = pushJsonbValue(&(state)->parse_state, seq, value))
#endif

/* $HOME comes before what the system says of the user, from 15 on. */
#if PG_VERSION_NUM < 150000
static inline bool
get_home_path_compat(char *path)
{
	const char *home = getenv("HOME");

	if (home == NULL || home[0] == '\0')
		return get_home_path(path);
	strlcpy(path, home, MAXPGPATH);
	return true;
}
#else
#define get_home_path_compat(path) get_home_path(path)
#endif

/* A set-returning function that fills a tuplestore. */
#if PG_VERSION_NUM < 150000
#include "funcapi.h"
#include "utils/tuplestore.h"
static inline void
InitMaterializedSRF(FunctionCallInfo fcinfo, bits32 flags PG_USED_FOR_ASSERTS_ONLY)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;

	Assert(flags == 0);
	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) ||
		(rsinfo->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("set-valued function called in context that cannot accept a set")));
	old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &rsinfo->setDesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = tuplestore_begin_heap(
		(rsinfo->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
	MemoryContextSwitchTo(old);
}
#endif

/* The next transaction begins by itself from 14.3 on. */
#if PG_VERSION_NUM < 150000
#include "executor/spi.h"
#define SPI_commit() (SPI_commit(), SPI_start_transaction())
#endif

/* Blocks of a generation context: in 14 all of one size. */
#if PG_VERSION_NUM >= 150000
#define window_agg_run_condition(plan) (((WindowAgg *) (plan))->runCondition)
#define GenerationContextCreateCompat(parent, name, max) \
	GenerationContextCreate(parent, name, 0, ALLOCSET_DEFAULT_INITSIZE, max)
#else
#define window_agg_run_condition(plan) NIL
#define GenerationContextCreateCompat(parent, name, max) \
	GenerationContextCreate(parent, name, max)
#endif

#endif /* MODAL_COMPAT_H */
