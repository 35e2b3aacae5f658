/*-------------------------------------------------------------------------
 *
 * journal.c
 *	  What survives the end of modal-local.
 *
 * A file of records, each a header (length, checksum, type) and fields; what
 * follows a record that is cut off or damaged does not count.  At the start
 * the records are applied, those still needed are copied to a new file that
 * takes the old one's place, and inputs that have no output are run again.
 *
 *-------------------------------------------------------------------------
 */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "calls/attempts.h"
#include "calls/idempotency.h"
#include "util.h"

#define HEADER_SIZE 9
#define FLUSH_SIZE (1024 * 1024)
#define MAX_AGE (7 * 86400.0) /* of calls, in seconds */
#define MAX_KEY_AGE 3600.0	  /* of idempotency keys */

typedef enum RecordType
{
	RECORD_HANDLE = 1, /* base id, params, options */
	RECORD_CALL,	   /* call, map, created, function id, parent input */
	RECORD_DECLARED,   /* call, number of inputs */
	RECORD_CANCELLED,  /* call */
	RECORD_INPUT,	   /* call, idx, format, by blob?, args, method */
	RECORD_OUTPUT,	   /* call, idx, status, item */
	RECORD_KEY		   /* time, key, reply */
} RecordType;

static struct
{
	int fd; /* -1: nothing is recorded */
	char *path;
	Buf out;
	size_t record; /* where the one being written begins */
	LoopDeferred flush;
} journal = {.fd = -1};

/* --- writing ------------------------------------------------------------- */

static uint32_t
checksum(const uint8_t *p, size_t n)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * 16777619u;
	return hash;
}

static void
write_bytes(int fd, const uint8_t *data, size_t len, const char *path)
{
	while (len > 0)
	{
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die_errno("cannot write \"%s\"", path);
		data += n;
		len -= (size_t) n;
	}
}

static void
flush(void *arg)
{
	(void) arg;
	write_bytes(journal.fd, journal.out.data, journal.out.len, journal.path);
	buf_reset(&journal.out);
}

static void
begin_record(RecordType type)
{
	static const uint8_t header[HEADER_SIZE - 1];

	journal.record = journal.out.len;
	buf_put(&journal.out, header, sizeof(header));
	buf_put_u8(&journal.out, type);
}

static void
put(const void *value, size_t size)
{
	buf_put(&journal.out, value, size);
}

static void
put_string(const void *data, size_t len)
{
	uint32_t size = (uint32_t) len;

	put(&size, sizeof(size));
	put(data, len);
}

static void
put_number(uint64_t value)
{
	put(&value, sizeof(value));
}

static void
end_record(void)
{
	uint8_t *header = journal.out.data + journal.record;
	uint32_t len =
		(uint32_t) (journal.out.len - journal.record - HEADER_SIZE);
	uint32_t sum = checksum(header + HEADER_SIZE - 1, len + 1);

	memcpy(header, &len, sizeof(len));
	memcpy(header + sizeof(len), &sum, sizeof(sum));
	if (journal.out.len > FLUSH_SIZE)
		flush(NULL);
	else
		loop_defer(&journal.flush, flush, NULL);
}

void
journal_handle(const Handle *handle)
{
	size_t len = handle->options != NULL
					 ? protobuf_c_message_get_packed_size(
						   &handle->options->base)
					 : 0;
	uint8_t *options = xmalloc(len);

	if (journal.fd >= 0)
	{
		if (len > 0)
			protobuf_c_message_pack(&handle->options->base, options);
		begin_record(RECORD_HANDLE);
		put_string(handle->base->id, strlen(handle->base->id));
		put_string(handle->params, handle->params_len);
		put_string(options, len);
		end_record();
	}
	free(options);
}

void
journal_call(const Call *call)
{
	if (journal.fd < 0 || !call->async)
		return;
	begin_record(RECORD_CALL);
	put_number(call->number);
	put_number(call->map);
	put(&call->created, sizeof(call->created));
	put_string(call->handle->id, strlen(call->handle->id));
	put_string(call->parent_input_id, strlen(call->parent_input_id));
	end_record();
}

void
journal_declared(const Call *call)
{
	if (journal.fd < 0 || !call->async)
		return;
	begin_record(RECORD_DECLARED);
	put_number(call->number);
	put_number((uint64_t) call->declared_inputs);
	end_record();
}

void
journal_cancelled(const Call *call)
{
	if (journal.fd < 0 || !call->async)
		return;
	begin_record(RECORD_CANCELLED);
	put_number(call->number);
	end_record();
}

void
journal_input(const Call *call, const NewInput *input)
{
	if (journal.fd < 0 || !call->async)
		return;
	begin_record(RECORD_INPUT);
	put_number(call->number);
	put_number((uint64_t) input->idx);
	put_number(input->format);
	put_number(input->blob_id != NULL);
	if (input->blob_id != NULL)
		put_string(input->blob_id, input->blob_id_len);
	else
		put_string(input->args, input->args_len);
	put_string(input->method, input->method_len);
	end_record();
}

void
journal_output(const Call *call, int32_t idx, ResultStatus status,
			   const void *item, size_t len)
{
	if (journal.fd < 0 || !call->async)
		return;
	begin_record(RECORD_OUTPUT);
	put_number(call->number);
	put_number((uint64_t) idx);
	put_number(status);
	put_string(item, len);
	end_record();
}

void
journal_key(const void *key, size_t key_len, const void *reply,
			size_t reply_len)
{
	if (journal.fd < 0)
		return;
	begin_record(RECORD_KEY);
	put_number((uint64_t) loop_wall_time());
	put_string(key, key_len);
	put_string(reply, reply_len);
	end_record();
}

/* --- reading ------------------------------------------------------------- */

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

/* The record at *at, which moves behind it; false: there is none. */
static bool
next_record(const uint8_t **at, const uint8_t *end, Record *record)
{
	uint32_t len;
	uint32_t sum;

	if (end - *at < HEADER_SIZE)
		return false;
	memcpy(&len, *at, sizeof(len));
	memcpy(&sum, *at + sizeof(len), sizeof(sum));
	if (len > (size_t) (end - *at) - HEADER_SIZE ||
		sum != checksum(*at + HEADER_SIZE - 1, (size_t) len + 1))
		return false;
	*record = (Record){.type = (*at)[HEADER_SIZE - 1],
					   .data = *at,
					   .len = HEADER_SIZE + (size_t) len,
					   .p = *at + HEADER_SIZE};
	*at += record->len;
	return true;
}

static uint64_t
get_number(Record *record)
{
	uint64_t value = 0;

	if ((size_t) (record->data + record->len - record->p) < sizeof(value))
	{
		record->failed = true;
		return 0;
	}
	memcpy(&value, record->p, sizeof(value));
	record->p += sizeof(value);
	return value;
}

static Text
get_text(Record *record)
{
	uint32_t len;
	Text text = {record->p, 0};
	size_t left = (size_t) (record->data + record->len - record->p);

	if (left < sizeof(len))
	{
		record->failed = true;
		return text;
	}
	memcpy(&len, record->p, sizeof(len));
	if (len > left - sizeof(len))
	{
		record->failed = true;
		return text;
	}
	text.data = record->p + sizeof(len);
	text.len = len;
	record->p += sizeof(len) + len;
	return text;
}

/* The same with a zero at its end, to be freed. */
static char *
get_string(Record *record)
{
	Text text = get_text(record);

	return xasprintf("%.*s", (int) text.len, (const char *) text.data);
}

/* The call and index that input and output records begin with. */
static Call *
get_call_and_index(Record *record, int32_t *idx)
{
	Call *call = call_get(get_number(record));
	uint64_t index = get_number(record);

	if (record->failed || index > MAX_INPUT_INDEX)
		return NULL;
	*idx = (int32_t) index;
	return call;
}

/* --- taking up ----------------------------------------------------------- */

static void
take_handle(Record *record)
{
	char *base_id = get_string(record);
	Text params = get_text(record);
	Text packed = get_text(record);
	Handle *base = registry_get(base_id);
	Modal__Client__FunctionOptions *options = NULL;
	const char *error;

	if (base != NULL && packed.len > 0)
		options = modal__client__function_options__unpack(NULL, packed.len,
														  packed.data);
	/* A secret that went with the process is no obstacle to the rest. */
	if (base != NULL)
		registry_bind(base,
					  (ProtobufCBinaryData){params.len,
											(uint8_t *) (uintptr_t) params.data},
					  options, &error);
	if (options != NULL)
		modal__client__function_options__free_unpacked(options, NULL);
	free(base_id);
}

static void
take_call(Record *record)
{
	uint64_t number = get_number(record);
	bool map = get_number(record) != 0;
	uint64_t bits = get_number(record);
	char *function_id = get_string(record);
	char *parent = get_string(record);
	Handle *handle = registry_get(function_id);
	double created;

	memcpy(&created, &bits, sizeof(created));
	if (!record->failed && handle != NULL && call_get(number) == NULL &&
		loop_wall_time() - created < MAX_AGE)
		call_restore(number, handle, map, created, parent);
	free(function_id);
	free(parent);
}

static void
take_output(Record *record)
{
	int32_t idx;
	Call *call = get_call_and_index(record, &idx);
	uint64_t status = get_number(record);
	Text item = get_text(record);

	if (call != NULL && !record->failed && status < N_RESULT_STATUS)
		attempts_restore_output(call, idx, item.data, item.len,
								(ResultStatus) status);
}

static bool
key_is_fresh(uint64_t time)
{
	return loop_wall_time() - (double) time < MAX_KEY_AGE;
}

/* All but inputs, of which it is not known yet whether they have outputs. */
static void
take(Record *record)
{
	Call *call;
	uint64_t number;
	Text key;
	Text reply;

	switch (record->type)
	{
		case RECORD_HANDLE:
			take_handle(record);
			break;
		case RECORD_CALL:
			take_call(record);
			break;
		case RECORD_DECLARED:
			call = call_get(get_number(record));
			number = get_number(record);
			if (call != NULL && number <= MAX_INPUT_INDEX)
				call->declared_inputs = (int32_t) number;
			break;
		case RECORD_CANCELLED:
			call = call_get(get_number(record));
			if (call != NULL)
				call->cancelled = true;
			break;
		case RECORD_OUTPUT:
			take_output(record);
			break;
		case RECORD_KEY:
			number = get_number(record);
			key = get_text(record);
			reply = get_text(record);
			if (!record->failed && key_is_fresh(number))
				idempotency_restore(key.data, key.len, reply.data, reply.len);
			break;
		case RECORD_INPUT:
			break;
	}
}

/* Is the record of any use from now on? */
static bool
needed(Record record)
{
	const Slot *slot;
	Call *call;
	int32_t idx;

	switch (record.type)
	{
		case RECORD_HANDLE:
			return true;
		case RECORD_KEY:
			return key_is_fresh(get_number(&record));
		case RECORD_INPUT:
			call = get_call_and_index(&record, &idx);
			slot = call != NULL ? call_slot(call, idx) : NULL;
			return call != NULL && (slot == NULL || slot->output == 0);
		default:
			return call_get(get_number(&record)) != NULL;
	}
}

/* Run again what has no output. */
static void
restart_input(Record *record)
{
	NewInput input = {0};
	Call *call = get_call_and_index(record, &input.idx);
	bool by_blob;
	Text args;
	Text method;
	GrpcStatus status;

	input.format = (DataFormat) get_number(record);
	by_blob = get_number(record) != 0;
	args = get_text(record);
	method = get_text(record);
	if (call == NULL || record->failed)
		return;
	if (by_blob)
	{
		input.blob_id = (const char *) args.data;
		input.blob_id_len = args.len;
	}
	else
	{
		input.args = args.data;
		input.args_len = args.len;
	}
	input.method = (const char *) method.data;
	input.method_len = method.len;
	if (input_error(call->handle, &input, &status) == NULL)
		attempts_take_input(call, &input);
}

/* --- the file ------------------------------------------------------------ */

/* Maps the journal into memory; NULL: it is empty or does not exist. */
static const uint8_t *
map_file(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *data;

	*len = 0;
	if (fd < 0 && errno == ENOENT)
		return NULL;
	if (fd < 0 || fstat(fd, &st) != 0)
		die_errno("cannot read \"%s\"", path);
	*len = (size_t) st.st_size;
	data = *len > 0 ? mmap(NULL, *len, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
	if (data == MAP_FAILED)
		die_errno("cannot read \"%s\"", path);
	close(fd);
	return data;
}

static void
copy_record(int fd, const Record *record, const char *path)
{
	buf_put(&journal.out, record->data, record->len);
	if (journal.out.len < FLUSH_SIZE)
		return;
	write_bytes(fd, journal.out.data, journal.out.len, path);
	buf_reset(&journal.out);
}

void
journal_init(const char *state_dir)
{
	char *aside;
	size_t len;
	const uint8_t *data;
	const uint8_t *at;
	const uint8_t *end;
	Record record;
	int fd;

	journal.path = xasprintf("%s/journal", state_dir);
	aside = xasprintf("%s.new", journal.path);
	buf_init(&journal.out, 0, xbuf_realloc);
	data = map_file(journal.path, &len);
	end = data + len;
	for (at = data; next_record(&at, end, &record);)
		take(&record);

	fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		die_errno("cannot create \"%s\"", aside);
	for (at = data; next_record(&at, end, &record);)
		if (needed(record))
			copy_record(fd, &record, aside);
	write_bytes(fd, journal.out.data, journal.out.len, aside);
	buf_reset(&journal.out);
	if (rename(aside, journal.path) != 0)
		die_errno("cannot write \"%s\"", journal.path);
	journal.fd = fd;

	/* From here on outputs are recorded, also those of these inputs. */
	for (at = data; next_record(&at, end, &record);)
		if (record.type == RECORD_INPUT && needed(record))
			restart_input(&record);
	if (data != NULL)
		munmap((void *) (uintptr_t) data, len);
	free(aside);
}
