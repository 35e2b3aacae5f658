-- The texts of pg_description that are most like a question: one call of a
-- Python function per row, a window of them in flight.
--
-- For ./quickstart's database; modal-local serves examples/similarity.py there.

SELECT (m.result::float8)::numeric(4,3) AS similarity, d.description
  FROM modal_map('local:similarity/compute_similarity',
                 $$SELECT 'how many rows were updated', description, objoid, classoid, objsubid
                     FROM pg_description$$,
                 key => '{objoid,classoid,objsubid}') m
  JOIN pg_description d ON (d.objoid, d.classoid, d.objsubid)
     = ((m.input->>'objoid')::oid, (m.input->>'classoid')::oid, (m.input->>'objsubid')::int)
 ORDER BY similarity DESC, d.description
 LIMIT 5;

-- A bad row need not end the statement.

SELECT m.ordinal, m.result, m.error->>'message' AS message
  FROM modal_map('local:embeddings/embed_text',
                 $$SELECT t, n FROM (VALUES ('good', 2), ('bad', 0)) v(t, n)$$,
                 on_error => 'return') m;
