/*-------------------------------------------------------------------------
 *
 * call_limit.h
 *	  What keeps a call from having more inputs under way: the driver knows it,
 *	  views show it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_CALL_LIMIT_H
#define MODAL_CORE_CALL_LIMIT_H

typedef enum CallLimit
{
	CALL_LIMIT_NONE, /* all that it has been given are, or it is not known */
	CALL_LIMIT_READER,
	CALL_LIMIT_SERVICE, /* more at once would bring no more a second */
	CALL_LIMIT_CONCURRENCY,
	CALL_LIMIT_RATE,
	CALL_LIMIT_DESCRIPTORS,
	CALL_LIMIT_PAUSE /* as the service asked, or until it is in reach */
} CallLimit;

#endif /* MODAL_CORE_CALL_LIMIT_H */
