/*-------------------------------------------------------------------------
 *
 * assets.h
 *	  The files of the console, which are in the program.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_ASSETS_H
#define MODAL_LOCAL_ASSETS_H

#include <stddef.h>

typedef struct Asset
{
	const char *name;
	const char *type; /* of its content */
	const char *data;
	size_t len;
} Asset;

/* NULL: there is none of that name, which is len bytes long. */
extern const Asset *asset_find(const char *name, size_t len);

#endif /* MODAL_LOCAL_ASSETS_H */
