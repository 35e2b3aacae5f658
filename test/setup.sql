\set ECHO none
-- What regression tests and development clusters begin with: the extension,
-- and the server "local", which is the modal-local that runs beside the
-- cluster.  Its address comes from the environment; see tools/dev-cluster.
\getenv local_url MODAL_LOCAL_URL
\getenv local_ca MODAL_LOCAL_CA
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS modal_batch;
CREATE SERVER IF NOT EXISTS local FOREIGN DATA WRAPPER modal_batch
	OPTIONS (url :'local_url', ssl_ca_file :'local_ca');
ALTER SERVER local OPTIONS (SET url :'local_url', SET ssl_ca_file :'local_ca');
CREATE USER MAPPING IF NOT EXISTS FOR CURRENT_USER SERVER local
	OPTIONS (token_id 'ak-local', token_secret 'as-local');
RESET client_min_messages;
\set ECHO all
