-- PostgreSQL pads each column to its own width and keeps every column of a key once more in its index:
-- the wide columns stand first, and keys end where rows are told apart (src/store/index.rs). An index of
-- nothing but the id keeps one entry for all rows of a resource, which stand side by side in the
-- table. SQLite does none of this, and a table without rowid is its own key.
-- Should a row stand under two patients, the one of its resource stays. Rows go in by id, as new ones do.
{only postgres}CREATE TABLE idx_token_narrow (code BIGINT NOT NULL, id BIGINT NOT NULL, patient BIGINT NOT NULL, system INTEGER NOT NULL, type SMALLINT NOT NULL, param SMALLINT NOT NULL, text TEXT COLLATE "C" NOT NULL DEFAULT '');
{only postgres}INSERT INTO idx_token_narrow (code, id, patient, system, type, param, text) SELECT code, id, patient, system, type, param, text FROM (SELECT DISTINCT ON (i.type, i.param, i.code, i.id, i.system) i.code, i.id, i.patient, i.system, i.type, i.param, i.text FROM idx_token i LEFT JOIN resource r ON r.id = i.id ORDER BY i.type, i.param, i.code, i.id, i.system, i.patient IS DISTINCT FROM r.patient) AS i ORDER BY id;
{only postgres}DROP TABLE idx_token;
{only postgres}ALTER TABLE idx_token_narrow RENAME TO idx_token;
{only postgres}ALTER TABLE idx_token ADD CONSTRAINT idx_token_pkey PRIMARY KEY (type, param, code, id, system);
{only postgres}CREATE INDEX idx_token_patient ON idx_token (patient, type, param, code, id, system);

{only postgres}CREATE TABLE idx_string_narrow (id BIGINT NOT NULL, patient BIGINT NOT NULL, type SMALLINT NOT NULL, param SMALLINT NOT NULL, norm TEXT COLLATE "C" NOT NULL, exact TEXT COLLATE "C" NOT NULL, more TEXT NOT NULL DEFAULT '');
{only postgres}INSERT INTO idx_string_narrow (id, patient, type, param, norm, exact, more) SELECT id, patient, type, param, norm, exact, more FROM idx_string;
{only postgres}DROP TABLE idx_string;
{only postgres}ALTER TABLE idx_string_narrow RENAME TO idx_string;
{only postgres}CREATE INDEX idx_string_norm ON idx_string (type, param, norm, id);
{only postgres}CREATE INDEX idx_string_id ON idx_string (id);

{only postgres}CREATE TABLE idx_date_narrow (low BIGINT NOT NULL, high BIGINT NOT NULL, id BIGINT NOT NULL, patient BIGINT NOT NULL, type SMALLINT NOT NULL, param SMALLINT NOT NULL);
{only postgres}INSERT INTO idx_date_narrow (low, high, id, patient, type, param) SELECT low, high, id, patient, type, param FROM (SELECT DISTINCT ON (i.type, i.param, i.low, i.id, i.high) i.low, i.high, i.id, i.patient, i.type, i.param FROM idx_date i LEFT JOIN resource r ON r.id = i.id ORDER BY i.type, i.param, i.low, i.id, i.high, i.patient IS DISTINCT FROM r.patient) AS i ORDER BY id;
{only postgres}DROP TABLE idx_date;
{only postgres}ALTER TABLE idx_date_narrow RENAME TO idx_date;
{only postgres}ALTER TABLE idx_date ADD CONSTRAINT idx_date_pkey PRIMARY KEY (type, param, low, id, high);
{only postgres}CREATE INDEX idx_date_patient ON idx_date (patient, type, param, low, id, high);

{only postgres}CREATE TABLE idx_quantity_narrow (low DOUBLE PRECISION NOT NULL, high DOUBLE PRECISION NOT NULL, code BIGINT NOT NULL, id BIGINT NOT NULL, patient BIGINT NOT NULL, system INTEGER NOT NULL, type SMALLINT NOT NULL, param SMALLINT NOT NULL);
{only postgres}INSERT INTO idx_quantity_narrow (low, high, code, id, patient, system, type, param) SELECT low, high, code, id, patient, system, type, param FROM (SELECT DISTINCT ON (i.type, i.param, i.low, i.high, i.code, i.id, i.system) i.low, i.high, i.code, i.id, i.patient, i.system, i.type, i.param FROM idx_quantity i LEFT JOIN resource r ON r.id = i.id ORDER BY i.type, i.param, i.low, i.high, i.code, i.id, i.system, i.patient IS DISTINCT FROM r.patient) AS i ORDER BY id;
{only postgres}DROP TABLE idx_quantity;
{only postgres}ALTER TABLE idx_quantity_narrow RENAME TO idx_quantity;
{only postgres}ALTER TABLE idx_quantity ADD CONSTRAINT idx_quantity_pkey PRIMARY KEY (type, param, low, high, code, id, system);
{only postgres}CREATE INDEX idx_quantity_patient ON idx_quantity (patient, type, param, low, high, id);

{only postgres}CREATE TABLE idx_reference_narrow (target BIGINT NOT NULL, id BIGINT NOT NULL, patient BIGINT NOT NULL, type SMALLINT NOT NULL, param SMALLINT NOT NULL, target_type SMALLINT NOT NULL, text TEXT COLLATE "C" NOT NULL DEFAULT '');
{only postgres}INSERT INTO idx_reference_narrow (target, id, patient, type, param, target_type, text) SELECT target, id, patient, type, param, target_type, text FROM (SELECT DISTINCT ON (i.target, i.type, i.param, i.id, i.target_type) i.target, i.id, i.patient, i.type, i.param, i.target_type, i.text FROM idx_reference i LEFT JOIN resource r ON r.id = i.id ORDER BY i.target, i.type, i.param, i.id, i.target_type, i.patient IS DISTINCT FROM r.patient) AS i ORDER BY id;
{only postgres}DROP TABLE idx_reference;
{only postgres}ALTER TABLE idx_reference_narrow RENAME TO idx_reference;
{only postgres}ALTER TABLE idx_reference ADD CONSTRAINT idx_reference_pkey PRIMARY KEY (target, type, param, id, target_type);
{only postgres}CREATE INDEX idx_reference_id ON idx_reference (id);

{only postgres}CREATE TABLE idx_composite_narrow (code BIGINT NOT NULL, code2 BIGINT NOT NULL, low DOUBLE PRECISION NOT NULL, high DOUBLE PRECISION NOT NULL, id BIGINT NOT NULL, patient BIGINT NOT NULL, system INTEGER NOT NULL, system2 INTEGER NOT NULL, type SMALLINT NOT NULL, param SMALLINT NOT NULL, text TEXT COLLATE "C" NOT NULL);
{only postgres}INSERT INTO idx_composite_narrow (code, code2, low, high, id, patient, system, system2, type, param, text) SELECT code, code2, low, high, id, patient, system, system2, type, param, text FROM idx_composite;
{only postgres}DROP TABLE idx_composite;
{only postgres}ALTER TABLE idx_composite_narrow RENAME TO idx_composite;
{only postgres}CREATE INDEX idx_composite_code ON idx_composite (type, param, code, id);
{only postgres}CREATE INDEX idx_composite_id ON idx_composite (id);

{only postgres}DROP INDEX idx_uri_id;
{only postgres}CREATE INDEX idx_uri_id ON idx_uri (id);

-- What waits to be merged into a full text index keeps its place in the file for ever: 4 MB by
-- default, for each of the two.
{only postgres}ALTER INDEX idx_text_narrative SET (gin_pending_list_limit = 256);
{only postgres}ALTER INDEX idx_text_content SET (gin_pending_list_limit = 256);

-- Bodies that are compressed at all (from 2 kB on) cost a third less to insert, in 5 % more bytes. A PostgreSQL
-- that was built without it keeps to its own.
{only postgres}DO $do$ BEGIN ALTER TABLE resource ALTER COLUMN body SET COMPRESSION lz4; EXCEPTION WHEN feature_not_supported THEN NULL; END $do$;
