/*-------------------------------------------------------------------------
 *
 * text_fault.h
 *	  What is wrong with a text that a user wrote, and where.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_TEXT_FAULT_H
#define MODAL_CORE_TEXT_FAULT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct TextFault
{
	const char *problem; /* a clause, without its point; static */
	size_t at;			 /* bytes before the place */
} TextFault;

/* For functions that return whether all is well; the first fault stays. */
static inline bool
text_fault(TextFault *fault, const char *problem, size_t at)
{
	if (fault->problem == NULL)
		*fault = (TextFault){problem, at};
	return false;
}

#endif /* MODAL_CORE_TEXT_FAULT_H */
