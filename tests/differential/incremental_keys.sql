-- Incremental snapshots by keys of many types, of several columns, and of texts in collations that sort otherwise than bytes.
-- config: signal.data.collection=public.signal_${side}
-- config: table.include.list=public\.(?!signal_).*
-- config: snapshot.include.collection.list=public.zz_marker
-- config: incremental.snapshot.chunk.size=2
-- config: message.key.columns=public.by_chosen:u,v
-- config: notification.enabled.channels=sink
-- config: notification.sink.topic.name=${prefix}.notifications
-- ignore: \.signal_
-- expect: 101 records
-- snapshot
CREATE TABLE signal_peer (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text);
CREATE TABLE signal_ours (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text);
CREATE FUNCTION tell(text, text, text) RETURNS void LANGUAGE sql AS $$
  INSERT INTO signal_peer VALUES ($1, $2, $3);
  INSERT INTO signal_ours VALUES ($1, $2, $3);
$$;
CREATE COLLATION german (provider = icu, locale = 'de-u-ks-level2', deterministic = true);
CREATE TABLE by_german (id text COLLATE german PRIMARY KEY, v int);
CREATE TABLE by_c (id varchar(20) COLLATE "C" PRIMARY KEY, v int);
CREATE TABLE by_char (id char(5) PRIMARY KEY, v int);
CREATE TABLE by_small (id int2 PRIMARY KEY, v int);
CREATE TABLE by_big (id int8 PRIMARY KEY, v int);
CREATE TABLE by_real (id real PRIMARY KEY, v int);
CREATE TABLE by_flag (id bool PRIMARY KEY, v int);
CREATE TABLE by_bytes (id bytea PRIMARY KEY, v int);
CREATE TABLE by_three (a uuid, b date, c text COLLATE german, v int, PRIMARY KEY (c, a, b));
CREATE TABLE by_chosen (id int PRIMARY KEY, u uuid NOT NULL, v int NOT NULL);
INSERT INTO by_german VALUES ('zebra', 1), ('Äpfel', 2), ('apfel', 3), ('Zoo', 4), ('öl', 5), ('Öl', 6), ('ofen', 7);
INSERT INTO by_c VALUES ('zebra', 1), ('Äpfel', 2), ('apfel', 3), ('Zoo', 4), ('öl', 5);
INSERT INTO by_char VALUES ('a', 1), ('ab', 2), ('B', 3), ('b', 4), ('abcde', 5);
INSERT INTO by_small VALUES (-32768, 1), (0, 2), (32767, 3);
INSERT INTO by_big VALUES (-9223372036854775808, 1), (0, 2), (9223372036854775807, 3);
INSERT INTO by_real VALUES (-1.5, 1), (0.1, 2), (1e20, 3);
INSERT INTO by_flag VALUES (true, 1), (false, 2);
INSERT INTO by_bytes VALUES ('\x00', 1), ('\x7f', 2), ('\xff', 3), ('\x80', 4);
INSERT INTO by_three SELECT md5((g % 2)::text)::uuid, date '2024-01-01' + g % 3, chr(97 + g % 4) || CASE g % 2 WHEN 0 THEN 'Ä' ELSE 'a' END, g FROM generate_series(1, 9) g;
INSERT INTO by_chosen SELECT g, md5((g / 3)::text)::uuid, g % 3 FROM generate_series(1, 7) g;
-- stream
SELECT tell('k1', 'execute-snapshot', '{"data-collections": ["public.by_german", "public.by_c", "public.by_char", "public.by_small", "public.by_big", "public.by_real", "public.by_flag"]}');
-- wait: public.by_flag 2
-- stream
SELECT tell('k2', 'execute-snapshot', '{"data-collections": ["public.by_three", "public.by_chosen"]}');
-- wait: public.by_chosen 7
-- stream
SELECT tell('k3', 'execute-snapshot', '{"data-collections": ["public.by_bytes"]}');
-- wait: public.by_bytes 4
-- stream
INSERT INTO by_small VALUES (5, 5);
