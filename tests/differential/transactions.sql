-- Transaction metadata: boundaries, the place of each event, tables in the order of a hash map, one transaction that is rolled back, one without captured changes.
-- config: provide.transaction.metadata=true
-- config: topic.transaction=tx
-- config: table.exclude.list=public.hidden
-- expect: 59 records
-- snapshot
CREATE SCHEMA inv;
CREATE TABLE a (id int PRIMARY KEY, v int);
CREATE TABLE inv.b (id int PRIMARY KEY, v int);
CREATE TABLE c (id int PRIMARY KEY, v int);
CREATE TABLE hidden (id int PRIMARY KEY);
INSERT INTO a VALUES (1, 1);
-- stream
BEGIN; INSERT INTO a VALUES (2, 2); INSERT INTO inv.b VALUES (1, 1), (2, 2); UPDATE a SET v = 3; DELETE FROM inv.b WHERE id = 2; COMMIT;
INSERT INTO c VALUES (1, 1);
BEGIN; UPDATE a SET id = id + 100; COMMIT;
BEGIN; INSERT INTO c VALUES (50, 1); ROLLBACK;
INSERT INTO hidden VALUES (1);
BEGIN; INSERT INTO hidden VALUES (2); INSERT INTO c VALUES (2, 2); COMMIT;
BEGIN; DELETE FROM a; DELETE FROM inv.b; DELETE FROM c; COMMIT;
-- away
BEGIN; INSERT INTO a VALUES (7, 7); INSERT INTO c VALUES (7, 7); COMMIT;
INSERT INTO inv.b VALUES (7, 7);
-- stream
BEGIN; INSERT INTO a SELECT n, n FROM generate_series(20, 25) n; SAVEPOINT one; INSERT INTO c VALUES (9, 9); ROLLBACK TO one; COMMIT;
