/*-------------------------------------------------------------------------
 *
 * guc.h
 *	  Settings of modal_batch; defined in guc.c, sorted by name.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_GUC_H
#define MODAL_GUC_H

extern char *modal_allowed_hosts;		  /* modal_batch.allowed_hosts */
extern int modal_dispatchers;			  /* modal_batch.dispatchers */
extern bool modal_enable_pipelining;	  /* .enable_pipelining */
extern int modal_max_in_flight;			  /* .max_in_flight: inputs of a call */
extern int modal_max_runners;			  /* .max_runners: job runners at a time */
extern int modal_max_payload_kb;		  /* .max_payload: one input or result */
extern int modal_max_failures;			  /* .max_failures: of a job; -1: none */
extern int modal_max_job_inputs;		  /* .max_job_inputs; -1: none */
extern int modal_result_retention_s;	  /* .result_retention */
extern bool modal_run_jobs;				  /* .run_jobs */
extern int modal_runner_idle_ms;		  /* .runner_idle_timeout */
extern int modal_runner_memory_kb;		  /* .runner_memory: of all its jobs */
extern int modal_on_complete_timeout_ms;  /* .on_complete_timeout */
extern char *modal_default_server;		  /* .server */
extern int modal_dispatcher_memory_mb;	  /* .dispatcher_memory */
extern int modal_trigger_job_retention_s; /* .trigger_job_retention */
extern int modal_window_bytes_kb;		  /* .window_bytes: results held per call */

#ifdef MODAL_DEBUG_POINTS
/*
 * For tests: functions of this language ("*": of any) are rewritten as if
 * they were LANGUAGE modal, and called as usual by the apply node.
 */
extern char *modal_debug_remote_language; /* .debug_remote_language */
#endif

/*
 * Who has set modal_batch.server to what it is; InvalidOid: whoever may set it
 * for all sessions of the database, whose value modal_standing_server gives
 * where another does not count.
 */
extern Oid modal_server_setter(void);
extern const char *modal_standing_server(void);

/* Read the configuration files again, if that was asked for. */
extern void modal_reload_configuration(void);

extern void modal_guc_init(void);

#endif /* MODAL_GUC_H */
