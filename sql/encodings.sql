-- Text in the database's encoding.  The other expected files are of databases
-- that lack some of these characters: LATIN1 has the first, EUC_JP the first
-- two.  SQL_ASCII takes any bytes for what they are.
\encoding UTF8
\i test/setup.sql
CREATE FUNCTION as_text(bytea) RETURNS text LANGUAGE modal AS 'local:builtin/raw';

-- what is sent, and comes back; 𠮷 has four bytes, and is two columns wide
SELECT modal_remote('local:builtin/types', 'grün');
SELECT modal_remote('local:builtin/types', '日本');
SELECT modal_remote('local:builtin/types', '𠮷');
SELECT modal_remote('local:builtin/types', '{"grün": "ü"}'::jsonb, '["ü"]'::json, '{ü}'::text[]);
SELECT modal_call('local:builtin/kwargs', kwargs => '{"grün": "ü"}');
SELECT modal_remote('local:builtin/Counter{"name": "grün"}.describe');

-- what comes only
SELECT modal_remote('local:builtin/raw', '\x62c3bc'::bytea), as_text('\x62c3bc');
SELECT modal_remote('local:builtin/raw', '\x66e697a5e69cac'::bytea);
SELECT as_text('\x66e697a5e69cac');
SELECT modal_remote('local:builtin/raw', '\x64f0a0aeb7'::bytea);
SELECT as_text('\x64f0a0aeb7');
SELECT modal_remote('local:builtin/raw', '\xa162c3bc01'::bytea);
SELECT modal_remote('local:builtin/raw', '\xa163e697a501'::bytea);

-- errors
SELECT modal_remote('local:builtin/fail', 'grün');
SELECT modal_remote('local:grün/f');
SELECT ordinal, result, error ->> 'message' AS message FROM modal_map('local:builtin/fail', $$VALUES ('grün')$$, on_error => 'return');
DROP FUNCTION as_text;
