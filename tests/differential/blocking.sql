-- Blocking snapshots in the middle of a stream: whole tables, and a table by a statement of the signal's own; the notifications of all.
-- config: signal.data.collection=public.signal_${side}
-- config: table.include.list=public\.(?!signal_).*
-- config: notification.enabled.channels=sink
-- config: notification.sink.topic.name=${prefix}.notifications
-- ignore: \.signal_
-- expect: 53 records
-- snapshot
CREATE TABLE signal_peer (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text);
CREATE TABLE signal_ours (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text);
CREATE TABLE item (id int PRIMARY KEY, name text);
CREATE TABLE part (id int PRIMARY KEY, item int);
CREATE TABLE empty_one (id int PRIMARY KEY);
INSERT INTO item SELECT g, 'item ' || g FROM generate_series(1, 4) g;
INSERT INTO part SELECT g, g % 2 FROM generate_series(1, 5) g;
-- stream
INSERT INTO item VALUES (5, 'streamed');
INSERT INTO signal_peer VALUES ('b1', 'execute-snapshot', '{"data-collections": ["public.item", "public.part", "public.empty_one"], "type": "BLOCKING", "additional-conditions": [{"data-collection": "public.part", "filter": "SELECT * FROM part WHERE item = 1"}]}');
INSERT INTO signal_ours VALUES ('b1', 'execute-snapshot', '{"data-collections": ["public.item", "public.part", "public.empty_one"], "type": "BLOCKING", "additional-conditions": [{"data-collection": "public.part", "filter": "SELECT * FROM part WHERE item = 1"}]}');
-- wait: public.part 8
-- stream
DELETE FROM item WHERE id = 3;
INSERT INTO part VALUES (6, 6);
INSERT INTO signal_peer VALUES ('b2', 'execute-snapshot', '{"data-collections": ["PUBLIC.PART"], "type": "blocking"}');
INSERT INTO signal_ours VALUES ('b2', 'execute-snapshot', '{"data-collections": ["PUBLIC.PART"], "type": "blocking"}');
-- wait: public.part 15
-- stream
UPDATE item SET name = 'changed' WHERE id = 1;
