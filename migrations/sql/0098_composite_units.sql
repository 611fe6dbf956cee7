-- The UCUM units that stand beside a code in idx_composite, each once for the whole database: a search converts its
-- number to them (src/search/amounts.rs). code: as in idx_composite, or 0 for composites of this server's own and those
-- without a code before the quantity. Rows are never taken away: a unit that nothing has any more finds nothing.
CREATE TABLE composite_unit (
    code BIGINT NOT NULL,
    unit TEXT   {collate} NOT NULL,
    PRIMARY KEY (code, unit)
) {without_rowid};
