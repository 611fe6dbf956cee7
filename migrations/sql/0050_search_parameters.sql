-- What SearchParameter resources of this server define. number: of their rows in the index tables, never used
-- again. doc: surrogate id of the SearchParameter. body: the definition (src/search/extract/custom.rs).
-- state: 1 to be built, 2 being built, 3 ready, 4 its rows are to be removed, 5 gone.
CREATE TABLE search_param (
    number SMALLINT NOT NULL PRIMARY KEY,
    doc    BIGINT   NOT NULL,
    state  SMALLINT NOT NULL,
    body   TEXT     NOT NULL
);
CREATE INDEX search_param_doc ON search_param (doc);

-- Work on the index that goes through all resources of some types, in batches; the place it came to is committed
-- with each batch. kind: 1 everything again, 2 new parameters, 3 the whole index from nothing. types, params: JSON
-- arrays of numbers. type, doc: what is behind us. finished: 0 while it is not.
CREATE TABLE reindex_job (
    id       BIGINT   NOT NULL PRIMARY KEY,
    kind     SMALLINT NOT NULL,
    types    TEXT     NOT NULL,
    params   TEXT     NOT NULL,
    type     SMALLINT NOT NULL,
    doc      BIGINT   NOT NULL,
    done     BIGINT   NOT NULL,
    total    BIGINT   NOT NULL,
    created  BIGINT   NOT NULL,
    changed  BIGINT   NOT NULL,
    finished BIGINT   NOT NULL
);

-- Work that one process does for all: who, and until when by the database's clock unless it says so again.
CREATE TABLE lease (
    name   TEXT   NOT NULL PRIMARY KEY,
    holder TEXT   NOT NULL,
    ends   BIGINT NOT NULL
);
INSERT INTO lease (name, holder, ends) VALUES ('reindex', '', 0);

-- Proportions, as in 0004_statistics.
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('search_param', 'search_param_doc', '10 1');
{only sqlite}ANALYZE sqlite_schema;
