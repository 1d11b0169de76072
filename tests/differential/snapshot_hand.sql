-- A slot that was made by hand, before the rows: what the snapshot shows does not come once more behind it.
-- expect: 6 records
-- snapshot
CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT pg_create_logical_replication_slot(format('d%s%s_%s', side, length(name), name), 'pgoutput')
  FROM unnest(ARRAY['peer', 'ours']) side, substr(current_database(), length('differential_') + 1) name;
INSERT INTO t VALUES (1, 'a'), (2, 'b');
UPDATE t SET v = 'changed' WHERE id = 1;
DELETE FROM t WHERE id = 2;
-- stream
INSERT INTO t VALUES (3, 'c');
UPDATE t SET v = 'again' WHERE id = 1;
-- away
INSERT INTO t VALUES (4, 'd');
-- stream
DELETE FROM t WHERE id = 3;
