/*-------------------------------------------------------------------------
 *
 * pickle_opcodes.h
 *	  The opcodes of Python's pickle that plain data takes (CPython's
 *	  Lib/pickletools.py describes them all).
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_PICKLE_OPCODES_H
#define MODAL_CORE_PICKLE_OPCODES_H

#define PICKLE_PROTOCOL 4 /* what is written */

#define OP_MARK 0x28
#define OP_EMPTY_TUPLE 0x29
#define OP_STOP 0x2e
#define OP_POP 0x30
#define OP_POP_MARK 0x31
#define OP_DUP 0x32
#define OP_BINBYTES 0x42
#define OP_SHORT_BINBYTES 0x43
#define OP_BINFLOAT 0x47
#define OP_BININT 0x4a
#define OP_BININT1 0x4b
#define OP_BININT2 0x4d
#define OP_NONE 0x4e
#define OP_BINPERSID 0x51
#define OP_REDUCE 0x52
#define OP_BINUNICODE 0x58
#define OP_EMPTY_LIST 0x5d
#define OP_APPEND 0x61
#define OP_BUILD 0x62
#define OP_GLOBAL 0x63
#define OP_DICT 0x64
#define OP_APPENDS 0x65
#define OP_BINGET 0x68
#define OP_LONG_BINGET 0x6a
#define OP_LIST 0x6c
#define OP_BINPUT 0x71
#define OP_LONG_BINPUT 0x72
#define OP_SETITEM 0x73
#define OP_TUPLE 0x74
#define OP_SETITEMS 0x75
#define OP_EMPTY_DICT 0x7d
#define OP_PROTO 0x80
#define OP_NEWOBJ 0x81
#define OP_TUPLE1 0x85
#define OP_TUPLE2 0x86
#define OP_TUPLE3 0x87
#define OP_NEWTRUE 0x88
#define OP_NEWFALSE 0x89
#define OP_LONG1 0x8a
#define OP_LONG4 0x8b
#define OP_SHORT_BINUNICODE 0x8c
#define OP_BINUNICODE8 0x8d
#define OP_BINBYTES8 0x8e
#define OP_EMPTY_SET 0x8f
#define OP_ADDITEMS 0x90
#define OP_FROZENSET 0x91
#define OP_NEWOBJ_EX 0x92
#define OP_STACK_GLOBAL 0x93
#define OP_MEMOIZE 0x94
#define OP_FRAME 0x95
#define OP_BYTEARRAY8 0x96

#endif /* MODAL_CORE_PICKLE_OPCODES_H */
