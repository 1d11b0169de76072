-- What is notified of the chunks of a snapshot, where every table has one.
-- config: snapshot.max.threads=1
-- config: snapshot.max.threads.multiplier=2
-- config: notification.enabled.channels=sink
-- config: notification.sink.topic.name=${prefix}.notifications
-- expect: 17 records
-- snapshot
CREATE TABLE a (id int PRIMARY KEY, v text);
CREATE TABLE b (id int PRIMARY KEY, v text);
INSERT INTO a VALUES (1, 'x');
-- stream
INSERT INTO b VALUES (1, 'y');
