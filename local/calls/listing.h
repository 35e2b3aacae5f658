/*-------------------------------------------------------------------------
 *
 * listing.h
 *	  The functions that are served, for people to read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_LISTING_H
#define MODAL_LOCAL_LISTING_H

#include <stdio.h>

#include "calls/exec.h"

/*
 * A line for each function and method of an executor, or, NULL, of all that
 * tell their signatures; returns how many.
 */
extern int listing_print(FILE *out, const Executor *executor);

#endif /* MODAL_LOCAL_LISTING_H */
