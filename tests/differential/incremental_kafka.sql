-- Signals by a Kafka topic: with marks in a table, and on a database that is only read.
-- config: table.include.list=public\.(?!signal_).*
-- config: snapshot.include.collection.list=public.zz_marker
-- config: incremental.snapshot.chunk.size=10
-- config: signal.kafka.bootstrap.servers=${kafka}
-- config: signal.kafka.groupId=${prefix}
-- config: signal.kafka.poll.timeout.ms=50
-- config: signal.poll.interval.ms=100
-- config: signal.consumer.fetch.max.wait.ms=20
-- config: notification.enabled.channels=sink
-- config: notification.sink.topic.name=${prefix}.notifications
-- under: marks signal.enabled.channels=source,kafka; signal.data.collection=public.signal_${side}
-- under: read_only signal.enabled.channels=kafka; read.only=true; heartbeat.interval.ms=100
-- ignore: \.signal_|heartbeat
-- expect: 39 records
-- snapshot
CREATE TABLE signal_peer (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text);
CREATE TABLE signal_ours (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text);
CREATE TABLE a (id int PRIMARY KEY, v text);
CREATE TABLE b (id int PRIMARY KEY, v text);
INSERT INTO a SELECT g, 'a' || g FROM generate_series(1, 5) g;
INSERT INTO b SELECT g, 'b' || g FROM generate_series(1, 5) g;
-- stream
INSERT INTO a VALUES (6, 'streamed');
-- stream
-- signal: {"id": "s1", "type": "execute-snapshot", "data": {"data-collections": ["public.a"], "type": "incremental"}}
-- wait: public.a 7
-- stream
INSERT INTO b VALUES (6, 'streamed');
-- signal: nonsense
-- signal: {"type": "log", "data": {"message": "without an id"}}
-- signal: {"id": "s2", "type": "execute-snapshot", "data": {"data-collections": ["public.b"], "additional-conditions": [{"data-collection": "public.b", "filter": "id > 2"}]}}
-- wait: public.b 5
-- stream
-- signal: {"id": "s3", "type": "execute-snapshot", "data": {"data-collections": ["public.a"], "type": "blocking"}}
-- wait: public.a 13
-- stream
UPDATE a SET v = 'last' WHERE id = 1;
