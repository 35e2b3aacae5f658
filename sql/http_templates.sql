-- Options that say what requests and replies of HTTP functions look like.
\i test/setup.sql
\set SHOW_CONTEXT never
\set http 'protocol ''http'', url ''https://localhost'''

-- a fault in a template says where
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, request '');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, request '{"a": "$rows", }');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, request '{"a": "b"}');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, request '["$rows", "$rows"]');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, request '["$rows", "$1"]');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, request '["$0"]');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, request '{"a": "$1", "a": "$2"}');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, request '["$1", "$count"]');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, parameters '[1]');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, parameters '{"a": 1} x');

-- and so does one in a path
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, result 'data');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, result '$.data[last]');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, result '$.data.size()');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, usage E'$.a\n$.b.');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, row_error '$.why ? (@ > 1)');

-- what does not go together
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, request '"$rows"', result '$.data');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, request '"$rows"', result '$.data[*].v', result_index '$.index[*]');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, request '"$rows"', result_type 'text');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, request '"$1"', result '$.data', result_shape '$.shape');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, format 'bigquery', result '$.data');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, format 'snowflake', method 'GET');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, request '"$1"', method 'GET');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, request '"$1"', content_type 'text/plain');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (request '"$1"');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, format 'webhook', gzip 'on');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, format 'openai');
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, reslt '$.data');

-- good ones
CREATE SERVER s FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, format 'openai-embeddings', parameters '{"model": "m"}');
ALTER SERVER s OPTIONS (ADD result '$.vectors[*]');
ALTER SERVER s OPTIONS (ADD result_index '$.vector[*].i', SET format 'tei');
ALTER SERVER s OPTIONS (ADD result_index '$.vectors[*].i', SET format 'tei');
ALTER SERVER s OPTIONS (SET format 'json', DROP result_index, DROP result, ADD request '{"$rows": ["$1"]}');

-- references
SELECT modal_with_options('s:v1', '{"request": {"a": "$1"}, "result": "$.a"}');
SELECT modal_with_options(modal_with_options('s:a/{id}?x=#', '{}'), '{"method": "GET"}');
SELECT modal_with_options(modal_with_options('s:a/{id}?x', '{"method": "PUT", "timeout": 1}'), '{"method": "GET"}');
SELECT modal_with_options('s:v1', '{"reqest": {"a": "$1"}}');
SELECT modal_with_options('s:v1', '{"request": {"a": 1}}');
SELECT modal_with_options('s:v1', '{"max_concurrency": 1}');
SELECT modal_with_options('s:v1', '{"timeout": "soon"}');
SELECT modal_with_options('s:v1', '{"timeout": null}');
SELECT modal_remote('s:v1#{"method": "GET", "request": ["$1"]}', 1);
SELECT modal_remote('s:v1#{"result": "$.a"}', 1);
SELECT modal_remote('s:v1#{"format": "webhook", "gzip": true}', 1);
ALTER SERVER s OPTIONS (ADD gzip 'yes');
SELECT modal_remote('s:v1#{"format": "webhook"}', 1);
ALTER SERVER s OPTIONS (DROP gzip);
SELECT modal_remote('s:v1#fragment', 1);
CREATE FUNCTION broken(int) RETURNS int LANGUAGE modal AS 's:v1#{"result"';
CREATE FUNCTION broken(int) RETURNS int LANGUAGE modal AS 's:v1#{"reslt": "$.a"}';
CREATE FUNCTION broken(int) RETURNS int LANGUAGE modal AS 's:v1#{"request": ["$"]}';

-- of two arguments of one name a reader would see one
CREATE SERVER p FOREIGN DATA WRAPPER modal_batch OPTIONS (:http, retry_budget '1');
SELECT result FROM modal_map('p:v1', 'SELECT 5, 6');
SELECT result FROM modal_map('p:v1', 'SELECT 5 AS id, 6 AS day, 7 AS day', key => '{id}');
SELECT result FROM modal_map('p:v1#{"request": {"a": "$day"}}', 'SELECT 5 AS day, 6 AS day');
SELECT result FROM modal_map('p:{day}', 'SELECT 5 AS day, 6 AS day, 7 AS month');
CREATE FUNCTION named_twice(int, arg1 int) RETURNS jsonb LANGUAGE modal AS 'p:v1';
SELECT named_twice(1, 2);
DROP FUNCTION named_twice;

DROP SERVER s, p;
