/*-------------------------------------------------------------------------
 *
 * curl_remote.c
 *	  The least that a client of Modal's API can do for one remote call, with
 *	  nothing but libcurl: what modal_remote is compared with.
 *
 * usage: curl_remote URL CA_FILE CALLS [BYTES]
 *
 * Calls builtin/echo with one integer, CALLS times over one warm connection:
 * FunctionMap with its input, then FunctionGetOutputs.  Prints the microseconds
 * of each call, one per line.
 *
 * With BYTES the argument is so many bytes, too many to travel inline: they are
 * uploaded, and the result is downloaded, over another connection.
 *
 *-------------------------------------------------------------------------
 */
#include <curl/curl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/modal.pb-c.h"

#define PREFIX_LEN 5		  /* of a gRPC message: flag and length */
#define MAX_MESSAGE (1 << 20) /* more than any message here has */

static CURL *curl;
static struct curl_slist *headers;
static const char *base_url;
static uint8_t request[MAX_MESSAGE];
static uint8_t response[MAX_MESSAGE];
static size_t response_len;

/* The argument, and what comes back, when they are blobs. */
static CURL *store;
static uint8_t *blob;
static size_t blob_len; /* 0: there are none */
static uint8_t *received;
static size_t received_len;

static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "curl_remote: %s: %s\n", what, why);
	exit(1);
}

static size_t
receive(char *data, size_t size, size_t n, void *arg)
{
	(void) arg;
	if (response_len + size * n > sizeof(response))
		return 0;
	memcpy(response + response_len, data, size * n);
	response_len += size * n;
	return size * n;
}

/* One unary call; the answer's message is left in response. */
static void
call(const char *method, const ProtobufCMessage *message)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	char url[1024];
	long status;
	CURLcode code;

	if (PREFIX_LEN + len > sizeof(request))
		fail(method, "request too large");
	request[0] = 0;
	for (int i = 0; i < 4; i++)
		request[1 + i] = (uint8_t) (len >> (24 - 8 * i));
	protobuf_c_message_pack(message, request + PREFIX_LEN);

	snprintf(url, sizeof(url), "%s/modal.client.ModalClient/%s", base_url,
			 method);
	response_len = 0;
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long) (PREFIX_LEN + len));
	code = curl_easy_perform(curl);
	if (code != CURLE_OK)
		fail(method, curl_easy_strerror(code));
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200 || response_len < PREFIX_LEN)
		fail(method, "no answer");
}

static void *
unpack(const char *method, const ProtobufCMessageDescriptor *descriptor)
{
	void *message =
		protobuf_c_message_unpack(descriptor, NULL, response_len - PREFIX_LEN,
								  response + PREFIX_LEN);

	if (message == NULL)
		fail(method, "answer cannot be decoded");
	return message;
}

static void
add_header(const char *name, const char *value)
{
	char line[4096];

	snprintf(line, sizeof(line), "%s: %s", name, value);
	headers = curl_slist_append(headers, line);
	if (headers == NULL)
		fail(name, "out of memory");
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
}

static void
start(const char *ca_file)
{
	curl_global_init(CURL_GLOBAL_ALL);
	curl = curl_easy_init();
	if (curl == NULL)
		fail("libcurl", "cannot start");
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
	curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(curl, CURLOPT_POST, 1L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
	add_header("content-type", "application/grpc");
	add_header("te", "trailers");
	add_header("x-modal-client-type", "9");
	add_header("x-modal-client-version", "1.0.0");
	add_header("x-modal-token-id", "ak-local");
	add_header("x-modal-token-secret", "as-local");
}

static void
authenticate(void)
{
	Modal__Client__AuthTokenGetRequest ask =
		MODAL__CLIENT__AUTH_TOKEN_GET_REQUEST__INIT;
	Modal__Client__AuthTokenGetResponse *answer;

	call("AuthTokenGet", &ask.base);
	answer = unpack("AuthTokenGet",
					&modal__client__auth_token_get_response__descriptor);
	add_header("x-modal-auth-token", answer->token);
	protobuf_c_message_free_unpacked(&answer->base, NULL);
}

static Modal__Client__FunctionGetResponse *
look_up(void)
{
	Modal__Client__FunctionGetRequest ask =
		MODAL__CLIENT__FUNCTION_GET_REQUEST__INIT;

	ask.app_name = "builtin";
	ask.object_tag = "echo";
	call("FunctionGet", &ask.base);
	return unpack("FunctionGet",
				  &modal__client__function_get_response__descriptor);
}

/* --- blobs ---------------------------------------------------------------- */

static void
make_blob(size_t bytes)
{
	static const uint8_t head[] = {0x82, 0x81, 0x5a}; /* [[bytes], {}] */
	uint8_t *p;

	blob_len = sizeof(head) + 4 + bytes + 1;
	p = blob = malloc(blob_len);
	received = malloc(blob_len);
	store = curl_easy_init();
	if (blob == NULL || received == NULL || store == NULL)
		fail("blob", "out of memory");
	memcpy(p, head, sizeof(head));
	p += sizeof(head);
	for (int shift = 24; shift >= 0; shift -= 8)
		*p++ = (uint8_t) (bytes >> shift);
	for (size_t i = 0; i < bytes; i++)
		*p++ = (uint8_t) (i * 2654435761u >> 24);
	*p = 0xa0;
}

static void
digest(const EVP_MD *type, char *base64)
{
	uint8_t bytes[EVP_MAX_MD_SIZE];
	unsigned int len;

	if (EVP_Digest(blob, blob_len, bytes, &len, type, NULL) != 1)
		fail("digest", "refused");
	EVP_EncodeBlock((uint8_t *) base64, bytes, (int) len);
}

static size_t
receive_blob(char *data, size_t size, size_t n, void *arg)
{
	(void) arg;
	if (received_len + size * n > blob_len)
		return 0;
	memcpy(received + received_len, data, size * n);
	received_len += size * n;
	return size * n;
}

static size_t
note_etag(char *line, size_t size, size_t n, void *etag)
{
	(void) sscanf(line, "%*1[Ee]%*1[Tt]ag: \"%32[0-9a-f]\"", (char *) etag);
	return size * n;
}

/* *etag: of what was sent, as the store says; at least 33 bytes. */
static void
transfer(const char *method, const char *url, const void *body, size_t len,
		 struct curl_slist *lines, char *etag)
{
	CURLcode code;
	long status;

	curl_easy_reset(store);
	curl_easy_setopt(store, CURLOPT_URL, url);
	curl_easy_setopt(store, CURLOPT_WRITEFUNCTION, receive_blob);
	received_len = 0;
	if (body != NULL)
	{
		lines = curl_slist_append(lines, "Expect:");
		curl_easy_setopt(store, CURLOPT_CUSTOMREQUEST, method);
		curl_easy_setopt(store, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(store, CURLOPT_POSTFIELDSIZE, (long) len);
		curl_easy_setopt(store, CURLOPT_HTTPHEADER, lines);
		curl_easy_setopt(store, CURLOPT_HEADERFUNCTION, note_etag);
		curl_easy_setopt(store, CURLOPT_HEADERDATA, etag);
	}
	code = curl_easy_perform(store);
	if (code != CURLE_OK)
		fail(method, curl_easy_strerror(code));
	curl_easy_getinfo(store, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		fail(method, "the store refuses");
	curl_slist_free_all(lines);
}

static void
upload_parts(const Modal__Client__MultiPartUpload *parts)
{
	size_t part_len = (size_t) parts->part_length;
	char xml[16 * 1024] = "<CompleteMultipartUpload>\n";
	char etag[33];

	for (size_t i = 0; i < parts->n_upload_urls && i < 100; i++)
	{
		size_t at = i * part_len;
		size_t left = blob_len - at;

		transfer("PUT", parts->upload_urls[i], blob + at,
				 left < part_len ? left : part_len,
				 curl_slist_append(NULL, "Content-Type:"), etag);
		snprintf(xml + strlen(xml), 160,
				 "<Part>\n<PartNumber>%zu</PartNumber>\n<ETag>\"%s\"</ETag>\n</Part>\n",
				 i + 1, etag);
	}
	snprintf(xml + strlen(xml), 32, "</CompleteMultipartUpload>");
	transfer("POST", parts->completion_url, xml, strlen(xml),
			 curl_slist_append(NULL, "Content-Type:"), etag);
}

static void
upload_whole(const char *url, const char *md5)
{
	struct curl_slist *lines = curl_slist_append(
		NULL, "Content-Type: application/octet-stream");
	char line[128];
	char etag[33];

	snprintf(line, sizeof(line), "Content-MD5: %s", md5);
	transfer("PUT", url, blob, blob_len, curl_slist_append(lines, line), etag);
}

/* To be freed. */
static char *
upload_blob(void)
{
	Modal__Client__BlobCreateRequest ask =
		MODAL__CLIENT__BLOB_CREATE_REQUEST__INIT;
	Modal__Client__BlobCreateResponse *answer;
	char md5[64], sha256[64];
	char *id;

	digest(EVP_md5(), md5);
	digest(EVP_sha256(), sha256);
	ask.content_md5 = md5;
	ask.content_sha256_base64 = sha256;
	ask.content_length = (int64_t) blob_len;
	call("BlobCreate", &ask.base);
	answer = unpack("BlobCreate",
					&modal__client__blob_create_response__descriptor);
	if (answer->upload_types_oneof_case ==
		MODAL__CLIENT__BLOB_CREATE_RESPONSE__UPLOAD_TYPES_ONEOF_MULTIPARTS)
		upload_parts(answer->multiparts->items[0]);
	else
		upload_whole(answer->upload_urls->items[0], md5);
	id = strdup(answer->blob_ids[0]);
	protobuf_c_message_free_unpacked(&answer->base, NULL);
	return id;
}

static void
download_blob(char *id)
{
	Modal__Client__BlobGetRequest ask = MODAL__CLIENT__BLOB_GET_REQUEST__INIT;
	Modal__Client__BlobGetResponse *answer;

	ask.blob_id = id;
	call("BlobGet", &ask.base);
	answer = unpack("BlobGet", &modal__client__blob_get_response__descriptor);
	transfer("GET", answer->download_url, NULL, 0, NULL, NULL);
	if (received_len < blob_len - 8)
		fail("GET", "the result is too short");
	protobuf_c_message_free_unpacked(&answer->base, NULL);
}

/* --- calls ---------------------------------------------------------------- */

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static void
remote(char *function_id)
{
	static uint8_t args[] = {0x82, 0x81, 0x01, 0xa0}; /* [[1], {}] */
	Modal__Client__FunctionInput input = MODAL__CLIENT__FUNCTION_INPUT__INIT;
	Modal__Client__FunctionPutInputsItem item =
		MODAL__CLIENT__FUNCTION_PUT_INPUTS_ITEM__INIT;
	Modal__Client__FunctionPutInputsItem *items[] = {&item};
	Modal__Client__FunctionMapRequest map =
		MODAL__CLIENT__FUNCTION_MAP_REQUEST__INIT;
	Modal__Client__FunctionMapResponse *mapped;
	Modal__Client__FunctionGetOutputsRequest get =
		MODAL__CLIENT__FUNCTION_GET_OUTPUTS_REQUEST__INIT;
	Modal__Client__FunctionGetOutputsResponse *got;
	size_t outputs = 0;

	if (blob_len > 0)
	{
		input.args_oneof_case =
			MODAL__CLIENT__FUNCTION_INPUT__ARGS_ONEOF_ARGS_BLOB_ID;
		input.args_blob_id = upload_blob();
	}
	else
	{
		input.args_oneof_case = MODAL__CLIENT__FUNCTION_INPUT__ARGS_ONEOF_ARGS;
		input.args.data = args;
		input.args.len = sizeof(args);
	}
	input.data_format = MODAL__CLIENT__DATA_FORMAT__DATA_FORMAT_CBOR;
	item.input = &input;
	map.function_id = function_id;
	map.function_call_type =
		MODAL__CLIENT__FUNCTION_CALL_TYPE__FUNCTION_CALL_TYPE_UNARY;
	map.function_call_invocation_type =
		MODAL__CLIENT__FUNCTION_CALL_INVOCATION_TYPE__FUNCTION_CALL_INVOCATION_TYPE_SYNC;
	map.n_pipelined_inputs = 1;
	map.pipelined_inputs = items;
	call("FunctionMap", &map.base);
	mapped = unpack("FunctionMap",
					&modal__client__function_map_response__descriptor);
	if (mapped->n_pipelined_inputs != 1)
		fail("FunctionMap", "the input was not accepted");

	get.function_call_id = mapped->function_call_id;
	get.max_values = 1;
	get.timeout = 55;
	get.last_entry_id = "0-0";
	get.clear_on_success = 1;
	get.n_input_jwts = 1;
	get.input_jwts = &mapped->pipelined_inputs[0]->input_jwt;
	while (outputs == 0)
	{
		get.requested_at = now();
		call("FunctionGetOutputs", &get.base);
		got = unpack("FunctionGetOutputs",
					 &modal__client__function_get_outputs_response__descriptor);
		outputs = got->n_outputs;
		if (outputs > 0 && blob_len > 0)
			download_blob(got->outputs[0]->result->data_blob_id);
		protobuf_c_message_free_unpacked(&got->base, NULL);
	}
	protobuf_c_message_free_unpacked(&mapped->base, NULL);
	if (blob_len > 0)
		free(input.args_blob_id);
}

int
main(int argc, char **argv)
{
	Modal__Client__FunctionGetResponse *function;

	if (argc != 4 && argc != 5)
	{
		fprintf(stderr, "usage: curl_remote URL CA_FILE CALLS [BYTES]\n");
		return 2;
	}
	base_url = argv[1];
	start(argv[2]);
	authenticate();
	function = look_up();
	if (argc == 5)
		make_blob(strtoul(argv[4], NULL, 10));
	remote(function->function_id); /* warms everything up */
	for (int i = atoi(argv[3]); i > 0; i--)
	{
		double begin = now();

		remote(function->function_id);
		printf("%.1f\n", (now() - begin) * 1e6);
	}
	protobuf_c_message_free_unpacked(&function->base, NULL);
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	return 0;
}
