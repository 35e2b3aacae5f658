/*-------------------------------------------------------------------------
 *
 * token_life.h
 *	  For how long a JSON web token may be used.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_TOKEN_LIFE_H
#define MODAL_CORE_TOKEN_LIFE_H

#define TOKEN_DEFAULT_LIFE 1200.0 /* seconds, where it does not say */

/*
 * Seconds from now, when it was just made, by its claims "iat" and "exp";
 * without the first, by the system's time.  That may be wrong, and the token
 * whatever it likes: what comes out as over already, or as more than a day, is
 * the default.  Its signature is the service's affair.
 */
extern double token_life(const char *token, double unix_now);

#endif /* MODAL_CORE_TOKEN_LIFE_H */
