-- Several tables that share a topic, by the regex strategies, with the field of the key that tells them apart and without it; tables without a key too.
-- under: schema topic.naming.strategy=io.debezium.schema.SchemaRegexTopicNamingStrategy; topic.regex=(.*)shard_([0-9]+); topic.replacement=$1all
-- under: default topic.naming.strategy=io.debezium.schema.DefaultRegexTopicNamingStrategy; topic.regex=(.*)\.(shard|zz_marker)(_[0-9]+)?; topic.replacement=$1.public.$2; topic.key.field.name=shard; topic.key.field.regex=(.*)shard_(.*); topic.key.field.replacement=$2
-- under: plain_keys topic.naming.strategy=io.debezium.schema.SchemaRegexTopicNamingStrategy; topic.regex=(.*)shard_([0-9]+); topic.replacement=$1all; topic.key.enforce.uniqueness=false
-- expect: 15 records
-- snapshot
CREATE TABLE shard_1 (id int PRIMARY KEY, region text NOT NULL);
CREATE TABLE shard_2 (id int PRIMARY KEY, region text NOT NULL);
CREATE TABLE other (id int PRIMARY KEY);
CREATE TABLE keyless (a int);
INSERT INTO shard_1 VALUES (1, 'a');
INSERT INTO shard_2 VALUES (1, 'b');
INSERT INTO other VALUES (1);
INSERT INTO keyless VALUES (1);
-- stream
INSERT INTO shard_1 VALUES (2, 'a');
UPDATE shard_2 SET region = 'c';
UPDATE shard_2 SET id = 5;
DELETE FROM shard_1;
INSERT INTO other VALUES (2);
INSERT INTO keyless VALUES (2);
