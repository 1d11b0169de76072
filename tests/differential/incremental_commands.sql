-- Commands to incremental snapshots: paused and resumed, stopped by table and whole, several at once, tables by pattern, tables that are not there, not captured or without a key, and signals that can't be followed.
-- config: signal.data.collection=public.signal_${side}
-- config: table.include.list=public\.(?!signal_|hidden).*
-- config: snapshot.include.collection.list=public.zz_marker
-- config: incremental.snapshot.chunk.size=2
-- config: notification.enabled.channels=sink,log,jmx
-- config: notification.sink.topic.name=${prefix}.notifications
-- ignore: \.signal_
-- expect: 166 records
-- snapshot
CREATE TABLE signal_peer (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text);
CREATE TABLE signal_ours (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text);
CREATE FUNCTION tell(text, text, text) RETURNS void LANGUAGE sql AS $$
  INSERT INTO signal_peer VALUES ($1, $2, $3);
  INSERT INTO signal_ours VALUES ($1, $2, $3);
$$;
CREATE TABLE a (id int PRIMARY KEY, v text);
CREATE TABLE b (id int PRIMARY KEY, v text);
CREATE TABLE c (id int PRIMARY KEY, v text);
CREATE TABLE d (id int PRIMARY KEY, v text);
CREATE TABLE hidden (id int PRIMARY KEY, v text);
CREATE TABLE nokey (id int, v text);
INSERT INTO a SELECT g, 'a' || g FROM generate_series(1, 5) g;
INSERT INTO b SELECT g, 'b' || g FROM generate_series(1, 5) g;
INSERT INTO c SELECT g, 'c' || g FROM generate_series(1, 5) g;
INSERT INTO d SELECT g, 'd' || g FROM generate_series(1, 5) g;
INSERT INTO hidden VALUES (1, 'x');
INSERT INTO nokey VALUES (1, 'x'), (2, 'y'), (3, 'z');
-- stream
BEGIN; SELECT tell('s1', 'execute-snapshot', '{"data-collections": ["public.a", "public.b"]}'); SELECT tell('p1', 'pause-snapshot', '{}'); COMMIT;
-- wait: public.a 2
-- stream
SELECT tell('p2', 'pause-snapshot', '');
SELECT tell('r1', 'resume-snapshot', '{}');
-- wait: public.b 5
-- stream
SELECT tell('r2', 'resume-snapshot', '{}');
SELECT tell('p3', 'pause-snapshot', '{}');
SELECT tell('x1', 'stop-snapshot', '{}');
BEGIN; SELECT tell('s2', 'execute-snapshot', '{"data-collections": ["public.a", "public.b", "public.c", "public.d"]}'); SELECT tell('x2', 'stop-snapshot', '{"data-collections": ["public.b", "public.d"], "type": "incremental"}'); COMMIT;
-- wait: public.c 5
-- stream
BEGIN; SELECT tell('s3', 'execute-snapshot', '{"data-collections": ["public.d", "public.a"]}'); SELECT tell('x3', 'stop-snapshot', '{}'); COMMIT;
-- wait: public.d 2
-- stream
BEGIN; SELECT tell('s4', 'execute-snapshot', '{"data-collections": ["public.d", "public.b"]}'); SELECT tell('x4', 'stop-snapshot', '{"data-collections": ["public.d", "public.never"]}'); COMMIT;
-- wait: public.b 10
-- stream
SELECT tell('s5', 'execute-snapshot', '{"data-collections": ["public.nowhere", "public.nokey", "public.hidden", "public.c"]}');
-- wait: public.c 10
-- stream
SELECT tell('s6', 'execute-snapshot', '{"data-collections": ["public\\.(a|d)"], "additional-conditions": [{"data-collection": "public.d", "filter": "id < 4"}]}');
-- wait: public.d 7
-- stream
BEGIN; SELECT tell('s7', 'execute-snapshot', '{"data-collections": ["public.a"]}'); SELECT tell('s8', 'execute-snapshot', '{"data-collections": ["public.b"]}'); SELECT tell('s9', 'execute-snapshot', '{"data-collections": ["public.a", "public.c"]}'); COMMIT;
-- wait: public.c 15
-- stream
SELECT tell('w1', 'tea', '{}');
SELECT tell('w2', 'execute-snapshot', '');
SELECT tell('w3', 'execute-snapshot', '{"data-collections": []}');
SELECT tell('w4', 'execute-snapshot', '{"data-collections": ');
SELECT tell('w5', 'log', '{"message": "at {}"}');
SELECT tell('w6', 'execute-snapshot', '{"data-collections": ["public.a"], "type": "sideways"}');
SELECT tell('w7', 'execute-snapshot', '{"data-collections": ["public.a"], "surrogate-key": "nothing"}');
SELECT tell('w8', 'execute-snapshot', '{"data-collections": ["public.a"], "additional-conditions": [{"data-collection": "public.a", "filter": "nothing = 1"}]}');
-- stream
SELECT tell('s11', 'execute-snapshot', '{"data-collections": ["public.d"]}');
-- wait: public.d 12
-- stream
INSERT INTO a VALUES (100, 'last');
