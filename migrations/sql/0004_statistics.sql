-- SQLite plans without statistics until somebody runs ANALYZE, and then guesses that a type has ten
-- resources. These are the proportions of a hospital's record: a million resources about three
-- thousand patients. Per index: its rows, then how many share the first column, the first two, ...
-- (sqlite.org, "The sqlite_stat1 table"). ANALYZE replaces them with the truth.
{only sqlite}ANALYZE meta;
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('resource', 'sqlite_autoindex_resource_1', '1000000 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('resource', 'resource_key', '1000000 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('resource', 'resource_type', '1000000 40000 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('resource', 'resource_patient', '1000000 300 20 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('resource', 'resource_updated', '1000000 40000 2 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('history', 'history', '500000 2 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('history', 'history_type', '500000 20000 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('history', 'history_patient', '500000 150 10 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('history', 'history_updated', '500000 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_token', 'idx_token', '6000000 240000 50000 1000 1 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_token', 'idx_token_patient', '6000000 1800 120 30 4 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_string', 'idx_string_norm', '1000000 100000 20000 4 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_string', 'idx_string_id', '1000000 6 2');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_date', 'idx_date', '1500000 60000 50000 2 1 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_date', 'idx_date_patient', '1500000 450 30 25 1 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_number', 'idx_number', '10000 5000 5000 5 5 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_quantity', 'idx_quantity', '1000000 250000 120000 60 50 30 30 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_quantity', 'idx_quantity_patient', '1000000 300 150 80 2 2 1 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_uri', 'idx_uri_value', '500000 20000 20000 1000 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_uri', 'idx_uri_id', '500000 2 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_reference', 'idx_reference', '5000000 40 8 4 1 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_reference', 'idx_reference_id', '5000000 5 1 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_composite', 'idx_composite_code', '1000000 1000000 250000 3000 2');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_composite', 'idx_composite_id', '1000000 3 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('hold', 'hold', '10000 2 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('hold', 'hold_patient', '10000 10 2');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('release_input', 'release_input', '10000 3 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('release_input', 'release_input_doc', '10000 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('release_dependency', 'release_dependency', '100000 2 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('release_dependency', 'release_dependency_doc', '100000 2');
{only sqlite}ANALYZE sqlite_schema;
