/*-------------------------------------------------------------------------
 *
 * map.h
 *	  modal_map as the planner sees it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_FUNCTIONS_MAP_H
#define MODAL_FUNCTIONS_MAP_H

#include "compat.h"

#include "functions/map_rows.h"

/*
 * Is it a modal_map, with nothing that fmgr would wrap around it (SECURITY
 * DEFINER, SET, security labels)?
 */
extern bool map_function_form(Oid funcid, MapForm *form);

#endif /* MODAL_FUNCTIONS_MAP_H */
