/*-------------------------------------------------------------------------
 *
 * guc.h
 *	  Settings of modal_batch; defined in guc.c, sorted by name.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_GUC_H
#define MODAL_GUC_H

extern int modal_dispatchers;			  /* modal_batch.dispatchers */
extern bool modal_enable_async_projection; /* .enable_async_projection */
extern int modal_max_payload_kb;		  /* .max_payload: one input or result */
extern int modal_result_retention_s;	  /* .result_retention */
extern int modal_runner_idle_ms;		  /* .runner_idle_timeout */
extern char *modal_default_server;		  /* .server */
extern int modal_window;				  /* .window: inputs in flight per call */
extern int modal_window_bytes_kb;		  /* .window_bytes: results held per call */

#ifdef MODAL_DEBUG_POINTS
/*
 * For tests: functions of this language ("*": of any) are rewritten as if
 * they were LANGUAGE modal, and called as usual by the apply node.
 */
extern char *modal_debug_remote_language; /* .debug_remote_language */
#endif

extern void modal_guc_init(void);

#endif /* MODAL_GUC_H */
