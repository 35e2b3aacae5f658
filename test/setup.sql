\set ECHO none
-- What regression tests and development clusters begin with: the extension,
-- and the server "local", which is the modal-local that runs beside the
-- cluster.  Its address comes from the environment; see tools/dev-cluster.
-- (psql 14 has no \getenv.)
\set local_url `echo "$MODAL_LOCAL_URL"`
\set local_ca `echo "$MODAL_LOCAL_CA"`
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS modal_batch;
CREATE SERVER IF NOT EXISTS local FOREIGN DATA WRAPPER modal_batch
	OPTIONS (url :'local_url', ssl_ca_file :'local_ca');
ALTER SERVER local OPTIONS (SET url :'local_url', SET ssl_ca_file :'local_ca');
CREATE USER MAPPING IF NOT EXISTS FOR CURRENT_USER SERVER local
	OPTIONS (token_id 'ak-local', token_secret 'as-local');
RESET client_min_messages;
\set ECHO all
