-- Indexes that have an order which a page is read in (src/search/walk.rs), or a bound that it begins at.
-- A code and a number beside it: `code-value-quantity=8302-2$gt190`.
CREATE INDEX idx_composite_low ON idx_composite (type, param, code, low, high, id);
CREATE INDEX idx_composite_wide ON idx_composite (type, param, code, high, low, id) WHERE high > low;
-- Quantities in the order of their values and then of the resources, for `_sort=value-quantity`.
{only sqlite}CREATE TABLE idx_quantity_ordered (type SMALLINT NOT NULL, param SMALLINT NOT NULL, low DOUBLE PRECISION NOT NULL, id BIGINT NOT NULL, high DOUBLE PRECISION NOT NULL, code BIGINT NOT NULL, system INTEGER NOT NULL, patient BIGINT NOT NULL, PRIMARY KEY (type, param, low, id, high, code, system, patient)) WITHOUT ROWID;
{only sqlite}INSERT INTO idx_quantity_ordered (type, param, low, id, high, code, system, patient) SELECT type, param, low, id, high, code, system, patient FROM idx_quantity ORDER BY type, param, low, id;
{only sqlite}DROP TABLE idx_quantity;
{only sqlite}ALTER TABLE idx_quantity_ordered RENAME TO idx_quantity;
{only sqlite}CREATE INDEX idx_quantity_patient ON idx_quantity (patient, type, param, low, high, code, system, id);
{only sqlite}CREATE INDEX idx_quantity_wide ON idx_quantity (type, param, high, low, code, system, id, patient) WHERE high > low;
{only postgres}ALTER TABLE idx_quantity DROP CONSTRAINT idx_quantity_pkey;
{only postgres}ALTER TABLE idx_quantity ADD PRIMARY KEY (type, param, low, id, high, code, system, patient);
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_quantity', 'idx_quantity', '1000000 250000 120000 60 1 1 1 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_quantity', 'idx_quantity_patient', '1000000 300 150 80 2 2 1 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_quantity', 'idx_quantity_wide', '2000 1000 1000 4 2 2 1 1 1');
-- What exists of a type, counted without looking at a resource.
DROP INDEX resource_type;
CREATE INDEX resource_type ON resource (type, id, deleted);
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('resource', 'resource_type', '1000000 40000 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_composite', 'idx_composite_low', '1000000 1000000 250000 3000 60 50 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_composite', 'idx_composite_wide', '2000 2000 1000 10 2 2 1');
{only sqlite}ANALYZE sqlite_schema;
