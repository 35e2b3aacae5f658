/*-------------------------------------------------------------------------
 *
 * actions.h
 *	  What can be done from the console.
 *
 *	  call	  {function, method, args, kwargs, parameters} -> {call}
 *			  function: its id; args and kwargs: JSON as text
 *	  cancel  {call}
 *	  fault	  {text}, or {place, text, on}: adds a rule, or switches one
 *	  reload  {}
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_ACTIONS_H
#define MODAL_LOCAL_ACTIONS_H

#include <json-c/json.h>

/*
 * Does it; the answer, with a member "error" when it could not be done.  NULL:
 * there is no such action.
 */
extern json_object *action_do(const char *name, json_object *request);

#endif /* MODAL_LOCAL_ACTIONS_H */
