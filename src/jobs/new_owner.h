/*-------------------------------------------------------------------------
 *
 * new_owner.h
 *	  Jobs that get another owner.
 *
 * A trigger's jobs follow the owner of the table; the others follow REASSIGN
 * OWNED, and when their owner is gone, whoever may and wants to go on with
 * them.  A running job goes on as who started it: the owner is changed only
 * while no runner has the job, and a runner starts it only as its owner.  One
 * that may not write to its table any more is handed over.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_NEW_OWNER_H
#define MODAL_JOBS_NEW_OWNER_H

#include "compat.h"

#include "jobs/store.h"
#include "nodes/parsenodes.h"

/* What a utility statement will do to owners; NULL: nothing. */
typedef struct OwnerChange OwnerChange;

extern OwnerChange *owner_change_of(Node *parsetree);
/* It has been done. */
extern void owner_change_follow(const OwnerChange *change);

/* Of that job, or with 0 of all: those of triggers are their tables' owners'. */
extern void owner_change_follow_tables(int64 job);

/* Before the current user goes on with a job that has ended or is paused. */
extern void owner_change_job(Job *job);

/*
 * The runner gives up a job of a trigger whose table is another role's now: it
 * goes on as that role's.  False: the table is the owner's, or gone.
 */
extern bool owner_change_hand_over(const Job *job);

#endif /* MODAL_JOBS_NEW_OWNER_H */
