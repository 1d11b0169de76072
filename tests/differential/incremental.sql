-- Incremental snapshots asked for by rows of a signal table: small chunks, keys of many types, conditions, a key of another column, a table without rows.
-- config: signal.data.collection=public.signal_${side}
-- config: table.include.list=public\.(?!signal_).*
-- config: snapshot.include.collection.list=public.zz_marker
-- config: incremental.snapshot.chunk.size=3
-- config: incremental.snapshot.allow.schema.changes=false
-- config: notification.enabled.channels=sink,log
-- config: notification.sink.topic.name=${prefix}.notifications
-- under: inserts
-- under: deletes incremental.snapshot.watermarking.strategy=INSERT_DELETE
-- ignore: \.signal_
-- expect: 131 records
-- snapshot
CREATE TABLE signal_peer (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text);
CREATE TABLE signal_ours (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text);
CREATE TABLE item (id int PRIMARY KEY, name text, at timestamptz, price numeric(8,2));
CREATE TABLE pair (a int, b varchar(9), v numeric, PRIMARY KEY (b, a));
CREATE TABLE by_uuid (id uuid PRIMARY KEY, v text);
CREATE TABLE by_text (id text PRIMARY KEY, v int);
CREATE TABLE by_number (id numeric(9,3) PRIMARY KEY, v int);
CREATE TABLE by_day (id date PRIMARY KEY, v int);
CREATE TABLE by_float (id float8 PRIMARY KEY, v int);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad', 'wild');
CREATE TABLE by_mood (id mood PRIMARY KEY, v int);
CREATE TABLE by_part (a int NOT NULL, b int, v text, UNIQUE (a, b));
CREATE TABLE empty_one (id int PRIMARY KEY);
INSERT INTO item SELECT g, 'item ' || g, timestamptz '2024-01-01 00:00:00+00' + g * interval '1 hour', g / 3.0 FROM generate_series(1, 10) g;
INSERT INTO pair SELECT g / 4, 'k''' || g % 4, g / 3.0 FROM generate_series(1, 8) g;
INSERT INTO by_uuid SELECT md5(g::text)::uuid, 'u' || g FROM generate_series(1, 5) g;
INSERT INTO by_text SELECT 'k''\' || chr(64 + g), g FROM generate_series(1, 5) g;
INSERT INTO by_number SELECT g / 8.0 - 0.3, g FROM generate_series(1, 5) g;
INSERT INTO by_day SELECT date '2024-02-27' + g, g FROM generate_series(1, 5) g;
INSERT INTO by_float SELECT g / 7.0 - 0.3, g FROM generate_series(1, 5) g;
INSERT INTO by_mood VALUES ('wild', 4), ('sad', 1), ('glad', 3), ('ok', 2);
INSERT INTO by_part VALUES (1, 1, 'x'), (1, NULL, 'y'), (2, 1, 'z'), (2, NULL, 'w'), (3, 5, 'v');
-- stream
INSERT INTO item VALUES (100, 'streamed', '2024-06-01 00:00:00+00', 1);
INSERT INTO signal_peer VALUES ('s1', 'execute-snapshot', '{"data-collections": ["public.item"], "type": "incremental"}');
INSERT INTO signal_ours VALUES ('s1', 'execute-snapshot', '{"data-collections": ["public.item"], "type": "incremental"}');
-- wait: public.item 12
-- stream
UPDATE item SET name = 'after' WHERE id = 1;
DELETE FROM item WHERE id = 2;
INSERT INTO signal_peer VALUES ('s2', 'execute-snapshot', '{"data-collections": ["public.empty_one", "public.pair", "public.by_uuid", "public.by_text", "public.by_number", "public.by_day", "public.by_float", "public.by_mood", "public.by_part"]}');
INSERT INTO signal_ours VALUES ('s2', 'execute-snapshot', '{"data-collections": ["public.empty_one", "public.pair", "public.by_uuid", "public.by_text", "public.by_number", "public.by_day", "public.by_float", "public.by_mood", "public.by_part"]}');
-- wait: public.by_part 5
-- stream
INSERT INTO pair VALUES (99, 'z', 9.5);
INSERT INTO signal_peer VALUES ('s3', 'execute-snapshot', '{"data-collections": ["public.item"], "additional-conditions": [{"data-collection": "public.ITEM", "filter": "id > 4 OR id = 100"}]}');
INSERT INTO signal_ours VALUES ('s3', 'execute-snapshot', '{"data-collections": ["public.item"], "additional-conditions": [{"data-collection": "public.ITEM", "filter": "id > 4 OR id = 100"}]}');
-- wait: public.item 22
-- stream
INSERT INTO signal_peer VALUES ('s4', 'execute-snapshot', '{"data-collections": ["public.pair"], "surrogate-key": "v"}');
INSERT INTO signal_ours VALUES ('s4', 'execute-snapshot', '{"data-collections": ["public.pair"], "surrogate-key": "v"}');
-- wait: public.pair 18
-- stream
INSERT INTO item VALUES (101, 'last', NULL, NULL);
