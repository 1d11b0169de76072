-- Large transactions: here they are taken while they are in progress, some of them from files, at the peer once they have committed. Two sessions write by turns, with savepoints, rollbacks, a change of a table's columns in the middle and key changes.
-- config: provide.transaction.metadata=true
-- config: skipped.operations=none
-- ours: slot.stream.params=proto_version=2;streaming=on
-- ours: slot.stream.memory.max.bytes=262144
-- expect: 7617 records
-- snapshot
CREATE EXTENSION dblink;
SELECT format('ALTER DATABASE %I SET logical_decoding_work_mem = ''64kB''', current_database()) \gexec
CREATE TABLE a (id int PRIMARY KEY, v text);
CREATE TABLE b (id int PRIMARY KEY, v text, n numeric(8,2));
ALTER TABLE b REPLICA IDENTITY FULL;
CREATE TYPE mood AS ENUM ('sad', 'ok');
INSERT INTO a VALUES (0, 'first');
-- stream
SELECT dblink_connect('other', format('host=%s port=%s user=postgres dbname=%s', host(inet_server_addr()), inet_server_port(), current_database()));
BEGIN;
INSERT INTO a SELECT n, repeat('a', 100) FROM generate_series(1, 800) n;
SELECT dblink_exec('other', 'BEGIN');
SELECT dblink_exec('other', 'INSERT INTO b SELECT n, repeat(''b'', 100), n / 3.0 FROM generate_series(1, 800) n');
SAVEPOINT one;
UPDATE a SET v = 'gone' WHERE id <= 600;
ROLLBACK TO one;
SELECT dblink_exec('other', 'SAVEPOINT s');
SELECT dblink_exec('other', 'UPDATE b SET n = -n');
SELECT dblink_exec('other', 'INSERT INTO b SELECT n, ''x'', NULL FROM generate_series(5001, 5600) n');
UPDATE a SET id = id + 1000 WHERE id % 3 = 0;
SAVEPOINT two;
INSERT INTO a SELECT n, 'two' FROM generate_series(3001, 3400) n;
SAVEPOINT three;
DELETE FROM a WHERE id > 3200;
RELEASE three;
SELECT dblink_exec('other', 'ROLLBACK TO s');
SELECT dblink_exec('other', 'UPDATE b SET v = v || ''c'' WHERE id <= 300');
ALTER TABLE a ADD COLUMN feeling mood DEFAULT 'ok';
INSERT INTO a SELECT n, 'wide', 'sad' FROM generate_series(4001, 4500) n;
SELECT dblink_exec('other', 'DELETE FROM b WHERE id > 400');
SELECT dblink_exec('other', 'COMMIT');
ALTER TABLE a DROP COLUMN v;
UPDATE a SET feeling = 'sad' WHERE id < 300;
COMMIT;
INSERT INTO a VALUES (9000, 'ok');
-- stream
BEGIN;
INSERT INTO a SELECT n, 'ok' FROM generate_series(10001, 12000) n;
ROLLBACK;
BEGIN;
SAVEPOINT all_of_it;
INSERT INTO b SELECT n, 'never', 1 FROM generate_series(10001, 12000) n;
ROLLBACK TO all_of_it;
COMMIT;
DO $$ BEGIN
  FOR n IN 20001..20900 LOOP
    BEGIN
      INSERT INTO b VALUES (n, repeat('each in a subtransaction', 5), n / 100.0);
      IF n % 4 = 0 THEN RAISE EXCEPTION 'every fourth'; END IF;
    EXCEPTION WHEN others THEN
      INSERT INTO a VALUES (n, 'sad');
    END;
  END LOOP;
END $$;
BEGIN;
INSERT INTO a SELECT n, 'sad' FROM generate_series(30001, 30700) n;
SAVEPOINT s;
TRUNCATE b;
CREATE TABLE c (id int PRIMARY KEY, big text);
ALTER TABLE c ALTER big SET STORAGE EXTERNAL;
INSERT INTO c SELECT n, repeat('large', 2000) FROM generate_series(1, 30) n;
UPDATE c SET id = -id WHERE id > 10;
COMMIT;
-- away
-- Otherwise this would be the test of something else.
DO $$ BEGIN
  IF (SELECT stream_txns FROM pg_stat_replication_slots WHERE slot_name = 'dours8_streamed') < 6 THEN
    RAISE EXCEPTION 'the server streamed too few transactions in progress';
  END IF;
END $$;
BEGIN;
INSERT INTO b SELECT n, repeat('away', 30), 1 FROM generate_series(1, 900) n;
UPDATE c SET big = 'small' WHERE id > 5;
COMMIT;
