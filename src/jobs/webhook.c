/*-------------------------------------------------------------------------
 *
 * webhook.c
 *	  Webhooks; see webhook.h.
 *
 * A message is the row of a table that exists nowhere, with two columns of the
 * table's own row type, and is encoded as any row is.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "jobs/nearest_name.h"
#include "jobs/sink_target.h"
#include "jobs/webhook.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "values/input_encoder.h"

typedef enum MessageColumn
{
	MESSAGE_ID, /* the first: core/webhook.h */
	MESSAGE_TYPE,
	MESSAGE_TABLE,
	MESSAGE_SCHEMA,
	MESSAGE_RECORD,
	MESSAGE_OLD_RECORD,
	MESSAGE_TIMESTAMP,
	MESSAGE_COLUMNS
} MessageColumn;

/* How to write the messages of one table. */
typedef struct MessageWriter
{
	Oid relid;
	TupleDesc desc; /* of the table, when this was made; NULL: to be made */
	InputEncoder *enc;
	char *table, *schema;
	int32 stored; /* a record type without virtual columns; -1: there are none */
} MessageWriter;

/* Of the present transaction; NULL: none yet. */
static HTAB *writers = NULL;

static const ArgFormat message_format = {.payload = PAYLOAD_JSON,
										 .named = true,
										 .as_object = true};

void
webhook_check_type(int16 tgtype)
{
	if (!TRIGGER_FOR_AFTER(tgtype) || !TRIGGER_FOR_ROW(tgtype) ||
		TRIGGER_FOR_TRUNCATE(tgtype))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("modal_trigger() for a webhook must be fired AFTER INSERT, UPDATE OR DELETE, FOR EACH ROW")));
}

void
webhook_job_model(Job *job, Oid table)
{
	job->sink.mode = SINK_DISCARD;
	job->sink.source_table = table;
	job->owner = relation_owner(table);
	job->format = PAYLOAD_JSON;
}

/* --- writers -------------------------------------------------------------- */

static void
forget_writers(void *arg)
{
	(void) arg;
	writers = NULL;
}

static void
begin_writers(MemoryContext cxt)
{
	HASHCTL info = {.keysize = sizeof(Oid), .entrysize = sizeof(MessageWriter)};
	MemoryContextCallback *callback;

	if (writers != NULL)
		return;
	info.hcxt = cxt;
	callback = MemoryContextAllocZero(cxt, sizeof(*callback));
	callback->func = forget_writers;
	writers = hash_create("modal_batch webhooks", 16, &info,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	MemoryContextRegisterResetCallback(cxt, callback);
}

static TupleDesc
message_desc(Oid rowtype)
{
	static const char *const names[MESSAGE_COLUMNS] = {
		[MESSAGE_ID] = "id", [MESSAGE_TYPE] = "type",
		[MESSAGE_TABLE] = "table", [MESSAGE_SCHEMA] = "schema",
		[MESSAGE_RECORD] = "record", [MESSAGE_OLD_RECORD] = "old_record",
		[MESSAGE_TIMESTAMP] = "timestamp"};
	TupleDesc desc = CreateTemplateTupleDesc(MESSAGE_COLUMNS);

	for (int i = 0; i < MESSAGE_COLUMNS; i++)
	{
		Oid type = i == MESSAGE_ID ? UUIDOID
			: i == MESSAGE_RECORD || i == MESSAGE_OLD_RECORD ? rowtype
			: i == MESSAGE_TIMESTAMP						 ? TIMESTAMPTZOID
															 : TEXTOID;

		TupleDescInitEntry(desc, (AttrNumber) (i + 1), names[i], type, -1, 0);
	}
	TupleDescFinalize(desc);
	return desc;
}

/* Virtual columns have no value in a trigger: rows are told without them. */
static int32
type_of_stored(Relation rel)
{
	TupleDesc desc = CreateTupleDescCopy(RelationGetDescr(rel));
	bool all = true;

	for (int i = 0; i < desc->natts; i++)
		if (is_virtual_column(TupleDescAttr(RelationGetDescr(rel), i)))
		{
			TupleDescAttr(desc, i)->attisdropped = true;
			all = false;
		}
	if (all)
		return -1;
	desc->tdtypeid = RECORDOID;
	desc->tdtypmod = -1;
	return BlessTupleDesc(desc)->tdtypmod;
}

static void
fill_writer(MessageWriter *writer, MemoryContext cxt, Relation rel)
{
	int args[MESSAGE_COLUMNS];
	InputColumns columns = {.nargs = MESSAGE_COLUMNS, .args = args};

	for (int i = 0; i < MESSAGE_COLUMNS; i++)
		args[i] = i;
	writer->enc = input_encoder_create(cxt, message_format, NULL,
									   message_desc(rel->rd_rel->reltype),
									   &columns);
	writer->table = pstrdup(RelationGetRelationName(rel));
	writer->schema = get_namespace_name(RelationGetNamespace(rel));
	writer->stored = type_of_stored(rel);
	writer->desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
}

/* The table may have been altered since; what was kept stays until the end. */
static MessageWriter *
get_writer(MemoryContext cxt, Relation rel)
{
	Oid relid = RelationGetRelid(rel);
	MessageWriter *writer;
	MemoryContext old;
	bool found;

	begin_writers(cxt);
	writer = hash_search(writers, &relid, HASH_ENTER, &found);
	if (!found)
		writer->desc = NULL;
	if (writer->desc != NULL &&
		equalTupleDescs(writer->desc, RelationGetDescr(rel)) &&
		strcmp(writer->table, RelationGetRelationName(rel)) == 0 &&
		strcmp(writer->schema,
			   get_namespace_name(RelationGetNamespace(rel))) == 0)
		return writer;
	writer->desc = NULL;
	old = MemoryContextSwitchTo(cxt);
	fill_writer(writer, cxt, rel);
	MemoryContextSwitchTo(old);
	return writer;
}

/* --- order ---------------------------------------------------------------- */

#define STRIPES 64
#define NULL_KEY 1 /* rows without a key are one */

AttrNumber
webhook_order_column(Relation rel, const char *ordered_by)
{
	return nearest_stored_column(rel, ordered_by, "ordering column");
}

/* Equal values have the same, where their type has a hash function. */
static uint32
key_of(TupleTableSlot *slot, AttrNumber column)
{
	Form_pg_attribute att = TupleDescAttr(slot->tts_tupleDescriptor,
										  column - 1);
	TypeCacheEntry *type = lookup_type_cache(att->atttypid,
											 TYPECACHE_HASH_PROC_FINFO);
	bool isnull;
	Datum value = slot_getattr(slot, column, &isnull);

	if (isnull)
		return NULL_KEY;
	return OidIsValid(type->hash_proc)
		? DatumGetUInt32(FunctionCall1Coll(&type->hash_proc_finfo,
										   att->attcollation, value))
		: datum_image_hash(value, att->attbyval, att->attlen);
}

/* slots may be NULL. */
static int
keys_of(TupleTableSlot *const slots[WEBHOOK_MAX_KEYS], AttrNumber column,
		uint32 *keys)
{
	int n = 0;

	for (int i = 0; i < WEBHOOK_MAX_KEYS; i++)
		if (slots[i] != NULL)
		{
			keys[n] = key_of(slots[i], column);
			n += n == 0 || keys[n] != keys[n - 1];
		}
	return n;
}

int
webhook_keys(const ChunkRecord *rec, uint32 *keys)
{
	int n = Min((int) (rec->meta_len / sizeof(uint32)), WEBHOOK_MAX_KEYS);

	memcpy(keys, rec->meta, sizeof(uint32) * n);
	return n;
}

/* The input is what record is, but for its meta data. */
static uint64
append_with_keys(const Buf *record, const uint32 *keys, int n, Buf *inputs)
{
	const uint8_t *p = record->data;
	uint64 stripes = 0;
	ChunkRecord rec;

	if (!chunk_next(&p, p + record->len, &rec))
		elog(ERROR, "an input was not written whole");
	chunk_put(inputs, keys, sizeof(uint32) * n, rec.payload, rec.payload_len);
	for (int i = 0; i < n; i++)
		stripes |= UINT64CONST(1) << (keys[i] % STRIPES);
	return stripes;
}

/* --- messages ------------------------------------------------------------- */

static uint64
encode_in_order(const TriggerData *td, const char *ordered_by,
				InputEncoder *enc, const Datum *values, const bool *isnull,
				Buf *inputs)
{
	TupleTableSlot *slots[WEBHOOK_MAX_KEYS] = {
		td->tg_trigslot,
		TRIGGER_FIRED_BY_UPDATE(td->tg_event) ? td->tg_newslot : NULL};
	uint32 keys[WEBHOOK_MAX_KEYS];
	int n = keys_of(slots, webhook_order_column(td->tg_relation, ordered_by),
					keys);
	uint64 stripes;
	Buf record;

	buf_init(&record, MaxAllocSize, buf_palloc);
	input_encode(enc, &record, values, isnull);
	stripes = append_with_keys(&record, keys, n, inputs);
	buf_free(&record);
	return stripes;
}

static Datum
row_of(const MessageWriter *writer, TupleTableSlot *slot)
{
	Datum row = ExecFetchSlotHeapTupleDatum(slot);

	if (writer->stored >= 0)
	{
		HeapTupleHeaderSetTypeId(DatumGetHeapTupleHeader(row), RECORDOID);
		HeapTupleHeaderSetTypMod(DatumGetHeapTupleHeader(row), writer->stored);
	}
	return row;
}

uint64
webhook_encode(const TriggerData *td, const char *ordered_by,
			   MemoryContext cxt, Buf *inputs)
{
	MessageWriter *writer = get_writer(cxt, td->tg_relation);
	bool inserted = TRIGGER_FIRED_BY_INSERT(td->tg_event);
	bool updated = TRIGGER_FIRED_BY_UPDATE(td->tg_event);
	TupleTableSlot *new = inserted ? td->tg_trigslot
		: updated				   ? td->tg_newslot
								   : NULL;
	TupleTableSlot *old = inserted ? NULL : td->tg_trigslot;
	Datum values[MESSAGE_COLUMNS] = {0};
	bool isnull[MESSAGE_COLUMNS] = {false};

	values[MESSAGE_ID] = OidFunctionCall0(F_GEN_RANDOM_UUID);
	values[MESSAGE_TYPE] = CStringGetTextDatum(inserted ? "INSERT"
											   : updated ? "UPDATE"
														 : "DELETE");
	values[MESSAGE_TABLE] = CStringGetTextDatum(writer->table);
	values[MESSAGE_SCHEMA] = CStringGetTextDatum(writer->schema);
	isnull[MESSAGE_RECORD] = new == NULL;
	isnull[MESSAGE_OLD_RECORD] = old == NULL;
	if (new != NULL)
		values[MESSAGE_RECORD] = row_of(writer, new);
	if (old != NULL)
		values[MESSAGE_OLD_RECORD] = row_of(writer, old);
	values[MESSAGE_TIMESTAMP] =
		TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	if (ordered_by != NULL)
		return encode_in_order(td, ordered_by, writer->enc, values, isnull,
							   inputs);
	input_encode(writer->enc, inputs, values, isnull);
	return 0;
}
