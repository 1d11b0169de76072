-- What is notified of a snapshot with several readers.
-- config: snapshot.max.threads=2
-- config: snapshot.include.collection.list=public.zz_marker
-- config: notification.enabled.channels=sink
-- config: notification.sink.topic.name=${prefix}.notifications
-- expect: 8 records
-- snapshot
CREATE TABLE a (id int PRIMARY KEY, v text);
-- stream
INSERT INTO a VALUES (1, 'x');
