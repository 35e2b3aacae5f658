/*-------------------------------------------------------------------------
 *
 * service_account.c
 *	  Who asks, and the named things of an account.
 *
 *-------------------------------------------------------------------------
 */
#include "registry.h"
#include "service.h"
#include "jwt.h"

#define TOKEN_LIFE 3600.0
#define IMAGE_BUILDER_VERSION "2025.06"
#define DEFAULT_ENVIRONMENT "main"
#define WORKSPACE "local"

void
service_client_hello(Rpc *rpc)
{
	Modal__Client__ClientHelloResponse reply =
		MODAL__CLIENT__CLIENT_HELLO_RESPONSE__INIT;
	Modal__Client__Warning warning = MODAL__CLIENT__WARNING__INIT;
	Modal__Client__Warning *warnings[] = {&warning};

	reply.image_builder_version = IMAGE_BUILDER_VERSION;
	if (strcmp(rpc->headers[HEADER_CLIENT_VERSION], "deprecated") == 0)
	{
		warning.type =
			MODAL__CLIENT__WARNING__WARNING_TYPE__WARNING_TYPE_CLIENT_DEPRECATION;
		warning.message = "This client version is deprecated.";
		reply.n_server_warnings = 1;
		reply.server_warnings = warnings;
	}
	rpc_reply_message(rpc, &reply.base);
}

void
service_auth_token_get(Rpc *rpc)
{
	Modal__Client__AuthTokenGetResponse reply =
		MODAL__CLIENT__AUTH_TOKEN_GET_RESPONSE__INIT;

	reply.token = (char *) (uintptr_t)
		jwt_sign_client(&rpc->arena, rpc_token_id(),
						loop_wall_time() + TOKEN_LIFE, rpc_token_secret());
	rpc_reply_message(rpc, &reply.base);
}

void
service_environment_get_or_create(Rpc *rpc)
{
	Modal__Client__EnvironmentGetOrCreateRequest *request =
		rpc_unpack(rpc,
				   &modal__client__environment_get_or_create_request__descriptor);
	Modal__Client__EnvironmentGetOrCreateResponse reply =
		MODAL__CLIENT__ENVIRONMENT_GET_OR_CREATE_RESPONSE__INIT;
	Modal__Client__EnvironmentMetadata metadata =
		MODAL__CLIENT__ENVIRONMENT_METADATA__INIT;
	Modal__Client__EnvironmentSettings environment =
		MODAL__CLIENT__ENVIRONMENT_SETTINGS__INIT;
	char id[FUNCTION_ID_SIZE];

	if (request == NULL)
		return;
	if (!environment_known(request->deployment_name))
	{
		rpc_fail(rpc, GRPC_INVALID_ARGUMENT, "Environment '%s' not found",
				 request->deployment_name);
		return;
	}
	registry_name_id(id, "en", DEFAULT_ENVIRONMENT);
	environment.image_builder_version = IMAGE_BUILDER_VERSION;
	metadata.name = DEFAULT_ENVIRONMENT;
	metadata.settings = &environment;
	reply.environment_id = id;
	reply.metadata = &metadata;
	rpc_reply_message(rpc, &reply.base);
}

/* There is one environment, and it is the default. */
bool
environment_known(const char *name)
{
	return name[0] == '\0' || strcmp(name, DEFAULT_ENVIRONMENT) == 0;
}
