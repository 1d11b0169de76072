-- A table with a column added, and one with a column dropped, while an incremental snapshot of it is paused in its middle.
-- config: signal.data.collection=public.signal_${side}
-- config: table.include.list=public\.(?!signal_).*
-- config: snapshot.include.collection.list=public.zz_marker
-- config: incremental.snapshot.chunk.size=2
-- config: signal.enabled.channels=source,jmx
-- under: refused
-- under: allowed incremental.snapshot.allow.schema.changes=true
-- ignore: \.signal_
-- expect: 14 records
-- snapshot
CREATE TABLE signal_peer (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text);
CREATE TABLE signal_ours (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text);
CREATE FUNCTION tell(text, text, text) RETURNS void LANGUAGE sql AS $$
  INSERT INTO signal_peer VALUES ($1, $2, $3);
  INSERT INTO signal_ours VALUES ($1, $2, $3);
$$;
CREATE TABLE wider (id int PRIMARY KEY, v text);
CREATE TABLE narrower (id int PRIMARY KEY, w int, v text);
INSERT INTO wider SELECT g, 'w' || g FROM generate_series(1, 5) g;
INSERT INTO narrower SELECT g, g * 2, 'n' || g FROM generate_series(1, 5) g;
-- stream
BEGIN; SELECT tell('s1', 'execute-snapshot', '{"data-collections": ["public.wider"]}'); SELECT tell('p1', 'pause-snapshot', '{}'); COMMIT;
-- wait: public.wider 2
-- stream
ALTER TABLE wider ADD COLUMN x int DEFAULT 7;
INSERT INTO wider VALUES (50, 'new', 8);
-- stream
SELECT tell('r1', 'resume-snapshot', '{}');
-- wait: public.wider 6
-- stream
BEGIN; SELECT tell('s2', 'execute-snapshot', '{"data-collections": ["public.narrower"]}'); SELECT tell('p2', 'pause-snapshot', '{}'); COMMIT;
-- wait: public.narrower 2
-- stream
ALTER TABLE narrower DROP COLUMN w;
INSERT INTO narrower VALUES (50, 'new');
-- stream
SELECT tell('r2', 'resume-snapshot', '{}');
-- wait: public.narrower 6
-- stream
UPDATE wider SET v = 'last' WHERE id = 5;
UPDATE narrower SET v = 'last' WHERE id = 5;
