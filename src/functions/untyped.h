/*-------------------------------------------------------------------------
 *
 * untyped.h
 *	  Parameters of statements whose type the client has left open.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_FUNCTIONS_UNTYPED_H
#define MODAL_FUNCTIONS_UNTYPED_H

extern void modal_untyped_init(void); /* from _PG_init, when preloading */

#endif /* MODAL_FUNCTIONS_UNTYPED_H */
