/*-------------------------------------------------------------------------
 *
 * curl_remote.c
 *	  The least that a client of Modal's API can do for one remote call, with
 *	  nothing but libcurl: what modal_remote is compared with.
 *
 * usage: curl_remote URL CA_FILE CALLS
 *
 * Calls builtin/echo with one integer, CALLS times over one warm connection:
 * FunctionMap with its input, then FunctionGetOutputs.  Prints the microseconds
 * of each call, one per line.
 *
 *-------------------------------------------------------------------------
 */
#include <curl/curl.h>
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

	input.args_oneof_case = MODAL__CLIENT__FUNCTION_INPUT__ARGS_ONEOF_ARGS;
	input.args.data = args;
	input.args.len = sizeof(args);
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
		protobuf_c_message_free_unpacked(&got->base, NULL);
	}
	protobuf_c_message_free_unpacked(&mapped->base, NULL);
}

int
main(int argc, char **argv)
{
	Modal__Client__FunctionGetResponse *function;

	if (argc != 4)
	{
		fprintf(stderr, "usage: curl_remote URL CA_FILE CALLS\n");
		return 2;
	}
	base_url = argv[1];
	start(argv[2]);
	authenticate();
	function = look_up();
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
