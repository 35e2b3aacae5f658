/*-------------------------------------------------------------------------
 *
 * journal.h
 *	  What survives the end of modal-local: a file of records.
 *
 * What the records say, and which of them are still of use, is known to the
 * modules whose they are; each registers its kinds before journal_init.
 *
 * What is recorded in a round of the event loop is written at its end, before
 * any reply leaves: a client never knows of something that a crash of this
 * process (not of the machine) could undo.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_JOURNAL_H
#define MODAL_LOCAL_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum RecordType
{
	RECORD_HANDLE = 1, /* base id, params, options */
	RECORD_CALL,	   /* call, map, created, function id, parent input */
	RECORD_DECLARED,   /* call, number of inputs */
	RECORD_CANCELLED,  /* call */
	RECORD_INPUT,	   /* call, idx, format, by blob?, args, method */
	RECORD_OUTPUT,	   /* call, idx, status, item */
	RECORD_KEY,		   /* time, key, reply */
	N_RECORD_TYPES
} RecordType;

/* A record that is read, field by field. */
typedef struct Record
{
	RecordType type;
	const uint8_t *data; /* with its header */
	size_t len;
	const uint8_t *p; /* the next field */
	bool failed;	  /* a field was missing */
} Record;

typedef struct Text
{
	const uint8_t *data;
	size_t len;
} Text;

/* What the owner of a type of records does with one, from its first field on. */
typedef struct RecordKind
{
	/* At the start: it has happened.  NULL: nothing. */
	void (*take)(Record *record);
	/* Is it of any use from now on?  NULL: always. */
	bool (*needed)(Record *record);
	/* At the start, when all has been taken: go on with it.  NULL: nothing. */
	void (*resume)(Record *record);
} RecordKind;

/* kind must stay. */
extern void journal_register(RecordType type, const RecordKind *kind);
/*
 * Take up what the journal says, forget what nobody needs any more, and go on
 * recording.  All functions must be registered already.
 */
extern void journal_init(const char *state_dir);

/* There is no room: no new work is to be taken that would have to be recorded. */
extern bool journal_full(void);

/* --- writing ------------------------------------------------------------- */

/* False: nothing is recorded (yet), and no field or end is to follow. */
extern bool journal_begin(RecordType type);
extern void journal_number(uint64_t value);
extern void journal_double(double value);
extern void journal_text(const void *data, size_t len);
extern void journal_end(void);

/* --- reading: the next field of a record --------------------------------- */

extern uint64_t record_number(Record *record);
extern double record_double(Record *record);
extern Text record_text(Record *record);
/* The same with a zero at its end, to be freed. */
extern char *record_string(Record *record);

#endif /* MODAL_LOCAL_JOURNAL_H */
