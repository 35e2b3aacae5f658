/*-------------------------------------------------------------------------
 *
 * pickle_machine.h
 *	  Pickles to a graph of nodes, from which pickle_read.c takes values.
 *
 * The machine runs the opcodes of plain data.  Classes and functions are
 * only names to it: calling one makes a node that says what was called with
 * what.  Nodes are numbered; 0 is "none", and may not be used as a value.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_PICKLE_MACHINE_H
#define MODAL_CORE_PICKLE_MACHINE_H

#include "core/buf.h"

typedef uint32_t NodeId;

typedef enum NodeKind
{
	NODE_UNUSED,
	NODE_NONE,
	NODE_BOOL,	 /* i */
	NODE_INT,	 /* i */
	NODE_LONG,	 /* p, n: two's complement, lowest byte first */
	NODE_FLOAT,	 /* d */
	NODE_TEXT,	 /* p, n: valid UTF-8 */
	NODE_BYTES,	 /* p, n */
	NODE_LATIN1, /* p, n: bytes, given as the UTF-8 text of which each
				  * character is one byte (protocol 2) */
	NODE_TUPLE,	 /* items, n of them */
	NODE_LIST,	 /* items */
	NODE_DICT,	 /* items: keys and values by turns */
	NODE_SET,	 /* items */
	NODE_GLOBAL, /* pair: module and name; n: KnownClass */
	NODE_OBJECT	 /* n: what was called; pair: with which tuple, and the state
				  * that was set later, or 0 */
} NodeKind;

/* Classes and functions that mean something to us. */
typedef enum KnownClass
{
	CLASS_OTHER,
	CLASS_BYTES,
	CLASS_BYTEARRAY,
	CLASS_SET, /* frozenset too */
	CLASS_DICT, /* OrderedDict and defaultdict */
	CLASS_ENCODE, /* codecs.encode: how protocol 2 makes bytes */
	CLASS_DATETIME,
	CLASS_DATE,
	CLASS_TIMEZONE,
	CLASS_TIMEDELTA,
	CLASS_DECIMAL,
	CLASS_UUID,
	CLASS_SKELETON /* cloudpickle: a class that travels by value */
} KnownClass;

typedef struct Node
{
	uint8_t kind; /* NodeKind */
	bool open;	  /* pickle_read: being written just now */
	uint32_t n;
	union
	{
		int64_t i;
		double d;
		const uint8_t *p; /* into the pickle */
		struct
		{
			uint32_t first; /* cells, 0: none */
			uint32_t last;
		} items;
		struct
		{
			NodeId a;
			NodeId b;
		} pair;
	} u;
} Node;

/* An item of a container. */
typedef struct Cell
{
	NodeId node;
	uint32_t next; /* cell, 0: none */
} Cell;

typedef struct Machine
{
	const uint8_t *p;
	const uint8_t *end;
	size_t size;	   /* of the whole pickle */
	Buf nodes;		   /* of Node */
	Buf cells;		   /* of Cell */
	Buf stack;		   /* of NodeId */
	Buf marks;		   /* of uint32_t: the stack's height at each MARK */
	Buf memo;		   /* of NodeId */
	bool stopped;	   /* STOP was met */
	const char *error; /* what is wrong, if anything */
} Machine;

/*
 * Run a pickle; the node it leaves, or 0 with m->error set.  The machine, and
 * the pickle, must live as long as its nodes are used.
 */
extern NodeId machine_run(Machine *m, const void *p, size_t n, BufRealloc grow);
extern void machine_free(Machine *m);

static inline Node *
machine_node(const Machine *m, NodeId id)
{
	return (Node *) m->nodes.data + id;
}

static inline const Cell *
machine_cell(const Machine *m, uint32_t cell)
{
	return (const Cell *) m->cells.data + cell;
}

/* Item i of a container, from 0; 0 when there are not so many. */
extern NodeId machine_item(const Machine *m, const Node *container, uint32_t i);
extern bool machine_is_text(const Machine *m, NodeId id, const char *text);
/* A class or function by its module's name and its own: pickle_class.c. */
extern KnownClass machine_known_class(const Machine *m, NodeId module,
									  NodeId name);

#endif /* MODAL_CORE_PICKLE_MACHINE_H */
