-- Names of tables and columns that Avro does not accept, adjusted.
-- expect: 21 records
-- under: avro schema.name.adjustment.mode=avro; field.name.adjustment.mode=avro
-- under: schema schema.name.adjustment.mode=avro
-- under: field field.name.adjustment.mode=avro_unicode
-- snapshot
CREATE SCHEMA "Odd-Schema";
CREATE TABLE "Odd-Schema"."My Table" ("Id" int PRIMARY KEY, "first name" text, "e-mail" text, "1st" int, "Größe" text, "a.b" text);
CREATE TABLE "UPPER" ("ID" int PRIMARY KEY, "Camel" text);
CREATE TABLE "dot.ted" (id int PRIMARY KEY, "x$y" text);
CREATE TABLE "日本" ("鍵a" int PRIMARY KEY, "値b" text);
CREATE TABLE "quo""te" (id int PRIMARY KEY, "c""q" text, "it's" text);
CREATE TABLE "select" ("from" int PRIMARY KEY, "where" text);
INSERT INTO "Odd-Schema"."My Table" VALUES (1, 'f', 'e', 1, 'g', 'ab');
INSERT INTO "UPPER" VALUES (1, 'c'); INSERT INTO "dot.ted" VALUES (1, 'd'); INSERT INTO "日本" VALUES (1, '値'); INSERT INTO "quo""te" VALUES (1, 'q', 's'); INSERT INTO "select" VALUES (1, 'w');
CREATE TABLE "1_st-🚀" ("1" int PRIMARY KEY, "_x" text, "é🚀" text, "tab	x" text, "x.y" text); INSERT INTO "1_st-🚀" VALUES (1, 'a', 'b', 'c', 'd');
-- stream
UPDATE "1_st-🚀" SET "1" = 2;
UPDATE "Odd-Schema"."My Table" SET "first name" = 'F', "Id" = 2;
DELETE FROM "Odd-Schema"."My Table";
UPDATE "UPPER" SET "Camel" = 'C'; INSERT INTO "dot.ted" VALUES (2, 'x'); UPDATE "日本" SET "値b" = NULL; INSERT INTO "quo""te" VALUES (2, 'q', NULL); DELETE FROM "select";
