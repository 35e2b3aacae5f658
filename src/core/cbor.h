/*-------------------------------------------------------------------------
 *
 * cbor.h
 *	  CBOR (RFC 8949) tokens, written and read one at a time.
 *
 * A thin layer over libcbor's streaming functions: shortest forms when
 * writing; when reading, every length checked, text checked as UTF-8, depth
 * limited, nothing recursive.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_CBOR_H
#define MODAL_CORE_CBOR_H

#include "core/buf.h"

/* Tags that the codec knows (RFC 8949, IANA registry). */
#define CBOR_TAG_DATETIME_TEXT 0
#define CBOR_TAG_EPOCH 1
#define CBOR_TAG_BIGNUM 2
#define CBOR_TAG_NEG_BIGNUM 3
#define CBOR_TAG_DECIMAL 4
#define CBOR_TAG_UUID 37
#define CBOR_TAG_HOMOGENEOUS 41 /* an array whose elements are alike */
#define CBOR_TAG_SET 258
#define CBOR_TAG_DATE_TEXT 1004
#define CBOR_TAG_SELF_DESCRIBED 55799

#define CBOR_MAX_DEPTH 10100 /* levels of arrays, maps and tags */

/* --- writing ----------------------------------------------------------- */

extern void cbor_put_uint(Buf *buf, uint64_t v);
extern void cbor_put_nint(Buf *buf, uint64_t v); /* the integer -1 - v */
extern void cbor_put_int(Buf *buf, int64_t v);
/* In 64 and 32 bits; NaN and infinities in 16. */
extern void cbor_put_double(Buf *buf, double v);
extern void cbor_put_float(Buf *buf, float v);
extern void cbor_put_bytes(Buf *buf, const void *p, size_t n);
extern void cbor_put_text(Buf *buf, const char *p, size_t n); /* caller vouches for UTF-8 */
extern void cbor_put_array(Buf *buf, uint64_t n);
extern void cbor_put_map(Buf *buf, uint64_t n);
extern void cbor_put_tag(Buf *buf, uint64_t tag);
/*
 * An integer of any size, in its shortest form: v, or -1 - v if negative; v in
 * n bytes, highest first.
 */
extern void cbor_put_big(Buf *buf, bool negative, const uint8_t *v, size_t n);
extern void cbor_put_bool(Buf *buf, bool v);
extern void cbor_put_null(Buf *buf);

/* --- reading ----------------------------------------------------------- */

typedef enum CborKind
{
	CBOR_UINT,		/* u: the value */
	CBOR_NINT,		/* u: value is -1 - u */
	CBOR_BYTES,		/* p, n; indefinite strings arrive joined */
	CBOR_TEXT,		/* p, n; valid UTF-8, may hold zero bytes */
	CBOR_ARRAY,		/* u: element count, or indefinite.  A count is never more */
	CBOR_MAP,		/* u: pair count			 than the bytes left could hold */
	CBOR_TAG,		/* u: the tag; its content follows */
	CBOR_BOOL,		/* u: 0 or 1 */
	CBOR_NULL,
	CBOR_UNDEFINED,
	CBOR_SIMPLE,	/* u: another simple value */
	CBOR_DOUBLE,	/* d: half, single and double alike */
	CBOR_END		/* the end of an array or map (definite or not); is_key
					 * and depth as in the token that began it */
} CborKind;

typedef enum CborError
{
	CBOR_OK,
	CBOR_TRUNCATED,
	CBOR_MALFORMED,	 /* reserved header, break out of place, odd map */
	CBOR_BAD_UTF8,
	CBOR_TOO_DEEP,
	CBOR_TRAILING,	 /* bytes after the item */
	CBOR_NO_MEMORY
} CborError;

typedef struct CborToken
{
	CborKind kind;
	bool indefinite;
	uint64_t u;
	double d;
	const uint8_t *p; /* into the input, or into the reader's join buffer */
	size_t n;		  /*   valid until the next call */
	uint8_t typed;	  /* CBOR_ARRAY: the tag that says what the elements are,
					   * which have no heads, or 0 */
	bool is_key;	  /* this item is a map's key, or the content of a tag
					   * that is */
	uint32_t depth;	  /* containers (and tags) open around it */
} CborToken;

typedef struct CborReader CborReader;

struct CborReader
{
	const uint8_t *p;
	const uint8_t *end;
	CborError error;
	uint32_t max_depth;
	uint32_t depth;
	void *stack;	/* open containers; see cbor.c */
	uint32_t stack_cap;
	bool done;		/* the one top-level item is complete */
	bool typed_arrays; /* set by the owner: typed arrays (RFC 8746) are read as
						* arrays of numbers, not as tagged bytes */
	Buf joined;		/* for indefinite strings */
};

/* grow as in buf.h; max_depth at most CBOR_MAX_DEPTH. */
extern void cbor_reader_init(CborReader *r, const void *p, size_t n,
							 uint32_t max_depth, BufRealloc grow);
extern void cbor_reader_free(CborReader *r);
/*
 * False at the end of the top-level item, or on error (then r->error is set).
 * An item is known to be good, with no bytes after it, only when false came
 * without an error.
 */
extern bool cbor_next(CborReader *r, CborToken *tok);
/* Having read the token that begins an item: skip to that item's end. */
extern bool cbor_skip(CborReader *r, const CborToken *tok);
/*
 * The elements of the array that was begun last, whose number is known, have
 * been read otherwise; they end at p.
 */
extern void cbor_elements_read(CborReader *r, const uint8_t *p);
extern const char *cbor_error_text(CborError error);

/* Is [p, p+n) valid UTF-8 (RFC 3629: no surrogates, no overlong forms)? */
extern bool utf8_valid(const uint8_t *p, size_t n);

#endif /* MODAL_CORE_CBOR_H */
