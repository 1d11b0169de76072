-- pgvector: dense, half and sparse vectors, with and without dimensions, in arrays, defaults and nulls.
-- server: 16
-- ours: slot.stream.params=binary=true
-- under: plain include.unknown.datatypes=false
-- under: source_types column.propagate.source.type=.*
-- expect: 15 records
-- snapshot
CREATE EXTENSION vector;
CREATE TABLE embedding (id int PRIMARY KEY, v vector, v3 vector(3), h halfvec(3), s sparsevec(5), a vector[], required vector(2) NOT NULL DEFAULT '[1,2]');
INSERT INTO embedding VALUES
 (1, '[1,2.5,-3e-10]', '[0.1,0.2,0.3]', '[0.1,65504,-6e-8]', '{1:0.5,3:2}/5', ARRAY['[1]', '[2,3]']::vector[], '[0,0]'),
 (2, '[1e38,4216143872]', '[16777216,1e6,1e-7]', '[1,2,3]', '{}/5', '{}', '[-0,1]'),
 (3, NULL, NULL, NULL, NULL, NULL, DEFAULT),
 (4, '[0]', '[0,0,0]', '[0,0,0]', '{5:-1e-7}/5', NULL, DEFAULT);
CREATE TABLE wide (id int PRIMARY KEY, v vector(1536), s sparsevec(30000), n int);
INSERT INTO wide SELECT 1, array_agg(sin(n))::real[]::vector, '{1:1,200:2,17:3,1025:4,29999:5}/30000', 0 FROM generate_series(1, 1536) n;
-- stream
INSERT INTO embedding SELECT id + 100, v, v3, h, s, a, required FROM embedding;
UPDATE embedding SET v = '[7]' WHERE id = 101;
DELETE FROM embedding WHERE id = 102;
INSERT INTO wide SELECT id + 1, v, s, n FROM wide;
-- A vector that an update leaves alone is not in the log.
UPDATE wide SET n = 1;
