-- Logical decoding messages inside and outside of transactions, prefixes left out, and a truncate of several tables.
-- config: skipped.operations=none
-- config: message.prefix.exclude.list=secret.*
-- under: bytes binary.handling.mode=bytes
-- under: base64_url_safe binary.handling.mode=base64-url-safe
-- under: hex binary.handling.mode=hex
-- expect: 22 records
-- snapshot
CREATE TABLE t1 (id int PRIMARY KEY, v text);
CREATE TABLE t2 (id int PRIMARY KEY REFERENCES t1, v text);
CREATE TABLE t3 (id serial PRIMARY KEY, v text);
INSERT INTO t1 VALUES (1, 'a'); INSERT INTO t2 VALUES (1, 'b'); INSERT INTO t3 (v) VALUES ('c');
-- stream
TRUNCATE t3 RESTART IDENTITY;
INSERT INTO t3 (v) VALUES ('after');
TRUNCATE t1 CASCADE;
BEGIN;
INSERT INTO t1 VALUES (5, 'in tx');
SELECT pg_logical_emit_message(true, 'app', 'transactional text');
SELECT pg_logical_emit_message(true, 'Secret-1', 'not seen');
SELECT pg_logical_emit_message(true, 'bytes', '\x00ff10'::bytea);
COMMIT;
SELECT pg_logical_emit_message(true, '', 'empty prefix');
BEGIN; SELECT pg_logical_emit_message(true, 'app', 'rolled back'); ROLLBACK;
BEGIN; INSERT INTO t1 VALUES (6, 'x'); TRUNCATE t1, t2, t3; INSERT INTO t1 VALUES (7, 'y'); COMMIT;
SELECT pg_logical_emit_message(false, 'alone', 'outside');
BEGIN; INSERT INTO t1 VALUES (8, 'z'); SELECT pg_logical_emit_message(false, 'alone', 'early'); COMMIT;
-- away
SELECT pg_logical_emit_message(false, 'alone', 'while away');
INSERT INTO t1 VALUES (9, 'away');
-- stream
SELECT pg_logical_emit_message(false, 'secret', 'not seen');
INSERT INTO t1 VALUES (10, 'back');
