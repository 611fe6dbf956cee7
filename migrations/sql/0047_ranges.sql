-- What begins before a bound and ends after it: few rows, found by their end, so that a range with a
-- lower bound reads the neighbourhood of the bound and these (src/search/sql/range.rs). Dates: spans of
-- more than 32 days. Quantities: whatever is a range at all.
CREATE INDEX idx_date_long ON idx_date (type, param, high, low, id, patient) WHERE high > low + 2764800000;
CREATE INDEX idx_quantity_wide ON idx_quantity (type, param, high, low, code, system, id, patient) WHERE high > low;
-- The order of change over all types.
CREATE INDEX resource_changed ON resource (updated, id, type);
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_date', 'idx_date_long', '20000 10000 5000 2 1 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_quantity', 'idx_quantity_wide', '2000 1000 1000 4 2 2 1 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('resource', 'resource_changed', '1000000 2 1 1');
{only sqlite}ANALYZE sqlite_schema;
-- PostgreSQL takes `(id & 15) = 0`, which nearly every row satisfies, for one in two hundred unless it
-- has counted, and then joins as if there were one row.
{only postgres}CREATE STATISTICS resource_as_written ON (id & 15) FROM resource;
{only postgres}CREATE STATISTICS idx_token_as_written ON (id & 15) FROM idx_token;
{only postgres}CREATE STATISTICS idx_string_as_written ON (id & 15) FROM idx_string;
{only postgres}CREATE STATISTICS idx_date_as_written ON (id & 15) FROM idx_date;
{only postgres}CREATE STATISTICS idx_quantity_as_written ON (id & 15) FROM idx_quantity;
{only postgres}CREATE STATISTICS idx_reference_as_written ON (id & 15) FROM idx_reference;
{only postgres}CREATE STATISTICS idx_uri_as_written ON (id & 15) FROM idx_uri;
{only postgres}CREATE STATISTICS idx_composite_as_written ON (id & 15) FROM idx_composite;
{only postgres}CREATE STATISTICS idx_number_as_written ON (id & 15) FROM idx_number;
