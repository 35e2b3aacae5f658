-- Options of servers and user mappings, and who may set them.
\i test/setup.sql
\set SHOW_CONTEXT never

-- unknown names, with the nearest one
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (environmnt 'main');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (quite_unlike_any 'x');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (token_secret 'x');
ALTER FOREIGN DATA WRAPPER modal_batch OPTIONS (ADD url 'https://localhost');
-- bad values; a value may be a secret and is never shown
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (url 'ftp://localhost');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (url 'https://user:secret@localhost');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (url 'http://localhost');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (max_in_flight '0');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (max_in_flight 'many');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (connect_timeout '-1');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (ssl_verify 'maybe');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'gopher');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (environment E'a\r\nx-modal-token: b');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (format 'bigquery');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (protocol 'http', url 'https://localhost', environment 'main');
-- good ones
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch
	OPTIONS (url 'https://localhost:1,https://localhost:2', environment 'main', max_in_flight '10', connect_timeout '1.5');
ALTER SERVER s OPTIONS (SET max_in_flight '20', DROP environment);
CREATE SERVER h FOREIGN DATA WRAPPER modal_batch
	OPTIONS (protocol 'http', url 'https://localhost', format 'bigquery', max_batch_rows '1000');
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (tokn_id 'ak-secret');
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (url 'https://localhost');
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (token_id '');
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (token_id 'ak-1', token_secret 'as-1');

-- options that name files or weaken TLS are for superusers, also by ALTER
CREATE ROLE regress_modal_owner;
GRANT USAGE ON FOREIGN DATA WRAPPER modal_batch TO regress_modal_owner;
ALTER SERVER s OWNER TO regress_modal_owner;
SET ROLE regress_modal_owner;
ALTER SERVER s OPTIONS (SET max_in_flight '30');
ALTER SERVER s OPTIONS (ADD ssl_ca_file '/etc/passwd');
ALTER SERVER s OPTIONS (ADD ssl_verify 'off');
ALTER SERVER s OPTIONS (ADD allow_http 'on');
ALTER SERVER s OPTIONS (ADD proxy 'http://localhost');
RESET ROLE;
ALTER SERVER s OPTIONS (ADD ssl_verify 'off');
SET ROLE regress_modal_owner;
ALTER SERVER s OPTIONS (SET max_in_flight '40');
ALTER SERVER s OPTIONS (DROP ssl_verify);
-- nor is a proxy that a superuser has set the owner's to take away
RESET ROLE;
ALTER SERVER s OPTIONS (ADD proxy 'http://localhost:3128');
SET ROLE regress_modal_owner;
ALTER SERVER s OPTIONS (DROP proxy);
ALTER SERVER s OPTIONS (DROP proxy, SET url 'https://localhost:2');
DO $$ BEGIN EXECUTE 'ALTER SERVER s OPTIONS (DROP proxy)'; END $$;
ALTER SERVER nobody OPTIONS (DROP proxy);
RESET ROLE;
ALTER SERVER s OPTIONS (DROP proxy);
SELECT srvoptions FROM pg_foreign_server WHERE srvname = 's';

DROP SERVER s CASCADE;
DROP SERVER h CASCADE;
REVOKE ALL ON FOREIGN DATA WRAPPER modal_batch FROM regress_modal_owner;
DROP ROLE regress_modal_owner;
