/*-------------------------------------------------------------------------
 *
 * map_rows.h
 *	  A map in progress, read row by row: what modal_map, modal_for_each and
 *	  the plan node that stands for modal_map in FROM have in common.
 *
 * Inputs are read and sent as results are asked for, so a reader who stops
 * has caused no more calls than it said it would take.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_FUNCTIONS_MAP_ROWS_H
#define MODAL_FUNCTIONS_MAP_ROWS_H

#include "compat.h"

#include "link/remote_call.h"

typedef struct MapRows MapRows;

/* Which SQL function it is: what its arguments are. */
typedef enum MapForm
{
	MAP_QUERY,	  /* function, query, kwargs, key, ordered, on_error */
	MAP_ARRAY,	  /* function, inputs, kwargs, ordered, on_error */
	MAP_FOR_EACH, /* function, query, kwargs, on_error */
} MapForm;

#define MAP_COLUMNS 4	/* ordinal, input, result, error */
#define MAP_MAX_ARGS 6

/*
 * By the arguments of the function, which must last as long as the map; it is
 * kept in the current memory context.  Nothing is sent yet, and the query is
 * not run.
 */
extern MapRows *map_rows_open(MapForm form, FunctionCallInfo fcinfo);
/*
 * The next result, in order or as they come; false after the last.  ahead, at
 * least 1: so many inputs may be sent whose results have not been returned,
 * this one included, as far as the window allows.  What is returned lasts
 * until the next call.  Raises what fails, if the function is to.
 */
extern bool map_rows_next(MapRows *map, int64 ahead, Datum *values,
						  bool *nulls);
/* Cancels what is in flight.  Not needed when an error ends the reader. */
extern void map_rows_close(MapRows *map);

/* Results that have been returned. */
extern int64 map_rows_returned(const MapRows *map);
/* The output that the last result was made of. */
extern const FrameOutput *map_rows_output(const MapRows *map);
/* Most inputs in flight, but for those that are put ahead. */
extern int map_rows_window(const MapRows *map);
/* NULL: nothing has been sent. */
extern RemoteCall *map_rows_call(const MapRows *map);

#endif /* MODAL_FUNCTIONS_MAP_ROWS_H */
