/*-------------------------------------------------------------------------
 *
 * errors.h
 *	  The SQLSTATEs that remote calls end with.
 *
 * The dispatcher sends SQLSTATEs as five characters, so that the mapping
 * from gRPC and HTTP status is made once, there; sessions turn them into
 * errors with modal_sqlstate().  Plain C: also included by worker code.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_ERRORS_H
#define MODAL_ERRORS_H

#define MODAL_SQLSTATE_CONNECT "08001"	  /* could not connect, or TLS failed */
#define MODAL_SQLSTATE_CONNECTION "08006" /* lost, or the service has trouble */
#define MODAL_SQLSTATE_PROTOCOL "08P01"	  /* an answer that cannot be decoded */
#define MODAL_SQLSTATE_AUTH "28000"		  /* token missing or refused */
#define MODAL_SQLSTATE_PERMISSION "42501" /* authenticated, but not allowed */
#define MODAL_SQLSTATE_NOT_FOUND "42883"  /* no such function, class or method */
#define MODAL_SQLSTATE_GONE "HV00B"	  /* the remote call, or its results, are no more */
#define MODAL_SQLSTATE_REFERENCE "22023"  /* malformed reference or argument */
#define MODAL_SQLSTATE_OPTION "HV00D"	  /* bad option of server or mapping */
#define MODAL_SQLSTATE_REMOTE "38000"	  /* the remote function failed */
#define MODAL_SQLSTATE_TIMEOUT "57014"	  /* remote timeout, or cancelled there */
#define MODAL_SQLSTATE_TOO_LARGE "54000"  /* a payload over a limit */
#define MODAL_SQLSTATE_NO_DISPATCHER "55000"
#define MODAL_SQLSTATE_UNSUPPORTED "0A000"
#define MODAL_SQLSTATE_RESOURCES "53000"  /* the service refuses for want of resources */
#define MODAL_SQLSTATE_MEMORY "53200"	  /* the dispatcher has no memory left */
#define MODAL_SQLSTATE_INTERNAL "XX000"

/* The text form of an SQLSTATE as ereport's errcode() wants it. */
#define modal_sqlstate(s) MAKE_SQLSTATE((s)[0], (s)[1], (s)[2], (s)[3], (s)[4])

#endif /* MODAL_ERRORS_H */
