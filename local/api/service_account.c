/*-------------------------------------------------------------------------
 *
 * service_account.c
 *	  Who asks, and the named things of an account.
 *
 *-------------------------------------------------------------------------
 */
#include "api/jwt.h"
#include "api/service.h"
#include "calls/registry.h"
#include "calls/secrets.h"

#define TOKEN_LIFE 3600.0
#define IMAGE_BUILDER_VERSION "2025.06"
#define DEFAULT_ENVIRONMENT "main"
#define WORKSPACE "local"

size_t
service_warnings(Rpc *rpc, Modal__Client__Warning ***warnings)
{
	Modal__Client__Warning *warning;

	if (strcmp(rpc->headers[HEADER_CLIENT_VERSION], "deprecated") != 0)
		return 0;
	warning = arena_alloc(&rpc->arena, sizeof(*warning));
	*warnings = arena_alloc(&rpc->arena, sizeof(**warnings));
	modal__client__warning__init(warning);
	warning->type =
		MODAL__CLIENT__WARNING__WARNING_TYPE__WARNING_TYPE_CLIENT_DEPRECATION;
	warning->message = "This client version is deprecated.";
	(*warnings)[0] = warning;
	return 1;
}

void
service_client_hello(Rpc *rpc)
{
	Modal__Client__ClientHelloResponse reply =
		MODAL__CLIENT__CLIENT_HELLO_RESPONSE__INIT;

	reply.image_builder_version = IMAGE_BUILDER_VERSION;
	reply.n_server_warnings = service_warnings(rpc, &reply.server_warnings);
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

void
service_token_info_get(Rpc *rpc)
{
	Modal__Client__TokenInfoGetResponse reply =
		MODAL__CLIENT__TOKEN_INFO_GET_RESPONSE__INIT;
	Modal__Client__UserIdentity user = MODAL__CLIENT__USER_IDENTITY__INIT;

	user.user_id = "us-local";
	user.username = WORKSPACE;
	reply.token_id = unconst(rpc_token_id());
	reply.workspace_id = "ws-local";
	reply.workspace_name = WORKSPACE;
	reply.identity_case =
		MODAL__CLIENT__TOKEN_INFO_GET_RESPONSE__IDENTITY_USER_IDENTITY;
	reply.user_identity = &user;
	reply.token_name = "modal-local";
	rpc_reply_message(rpc, &reply.base);
}

void
service_workspace_name_lookup(Rpc *rpc)
{
	Modal__Client__WorkspaceNameLookupResponse reply =
		MODAL__CLIENT__WORKSPACE_NAME_LOOKUP_RESPONSE__INIT;

	reply.workspace_name = WORKSPACE;
	reply.username = WORKSPACE;
	rpc_reply_message(rpc, &reply.base);
}

/* --- secrets and volumes ------------------------------------------------- */

typedef Modal__Client__SecretGetOrCreateRequest SecretRequest;

#define CREATION_(t) MODAL__CLIENT__OBJECT_CREATION_TYPE__OBJECT_CREATION_TYPE_##t

static const Secret *
create_secret(Rpc *rpc, const SecretRequest *request, const char *name,
			  const char **error)
{
	size_t n = request->n_env_dict;
	const char **variables = arena_alloc(&rpc->arena, (n + 1) * sizeof(char *));
	const char **values = arena_alloc(&rpc->arena, (n + 1) * sizeof(char *));

	for (size_t i = 0; i < n; i++)
	{
		variables[i] = request->env_dict[i]->key;
		values[i] = request->env_dict[i]->value;
	}
	return secret_create(name, n, variables, values, error);
}

void
service_secret_get_or_create(Rpc *rpc)
{
	SecretRequest *request = rpc_unpack(
		rpc, &modal__client__secret_get_or_create_request__descriptor);
	Modal__Client__SecretGetOrCreateResponse reply =
		MODAL__CLIENT__SECRET_GET_OR_CREATE_RESPONSE__INIT;
	const Secret *secret;
	const char *error = NULL;

	if (request == NULL)
		return;
	if (request->object_creation_type == CREATION_(EPHEMERAL))
		secret = create_secret(rpc, request, NULL, &error);
	else
	{
		secret = secret_find(request->deployment_name);
		if (secret == NULL &&
			request->object_creation_type == CREATION_(CREATE_IF_MISSING))
			secret = create_secret(rpc, request, request->deployment_name, &error);
		else if (secret == NULL || !environment_known(request->environment_name))
		{
			rpc_fail(rpc, GRPC_NOT_FOUND, "Secret '%s' not found",
					 request->deployment_name);
			return;
		}
	}
	if (secret == NULL)
	{
		rpc_fail(rpc, GRPC_INVALID_ARGUMENT, "%s", error);
		return;
	}
	for (size_t i = 0; i < request->n_required_keys; i++)
		if (!secret_has(secret, request->required_keys[i]))
		{
			rpc_fail(rpc, GRPC_FAILED_PRECONDITION,
					 "Secret is missing key(s) %s", request->required_keys[i]);
			return;
		}
	reply.secret_id = unconst(secret_id(secret));
	rpc_reply_message(rpc, &reply.base);
}

void
service_volume_get_or_create(Rpc *rpc)
{
	Modal__Client__VolumeGetOrCreateRequest *request = rpc_unpack(
		rpc, &modal__client__volume_get_or_create_request__descriptor);
	Modal__Client__VolumeGetOrCreateResponse reply =
		MODAL__CLIENT__VOLUME_GET_OR_CREATE_RESPONSE__INIT;
	char id[FUNCTION_ID_SIZE];

	if (request == NULL)
		return;
	if (!volume_exists(request->deployment_name) ||
		!environment_known(request->environment_name))
	{
		rpc_fail(rpc, GRPC_NOT_FOUND, "Volume '%s' not found",
				 request->deployment_name);
		return;
	}
	registry_name_id(id, "vo", request->deployment_name);
	reply.volume_id = id;
	rpc_reply_message(rpc, &reply.base);
}
