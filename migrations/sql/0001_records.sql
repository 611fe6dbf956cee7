-- The record: resources, their older versions, their index, what is held back from whom, and the ledger.
-- The words in {braces} are the only ones that differ between SQLite and PostgreSQL.
-- Times are milliseconds since the epoch; keys are src/keys.rs hashes; type and param numbers are
-- those of fhir-profiles/derived.

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- One row for each resource as it stands, and one for each redacted rendition of it.
-- id: time-ordered, low 4 bits = rendition (0 = as written). body: the bytes that leave; NULL when deleted.
-- method: how this version came to be (0 POST, 1 PUT, 2 DELETE, 3 PATCH). patient: 0 when about no patient.
CREATE TABLE resource (
    id        {row_key} NOT NULL PRIMARY KEY,
    type      SMALLINT NOT NULL,
    rendition SMALLINT NOT NULL,
    key       BIGINT   NOT NULL,
    patient   BIGINT   NOT NULL,
    version   INTEGER  NOT NULL,
    updated   BIGINT   NOT NULL,
    method    SMALLINT NOT NULL,
    deleted   SMALLINT NOT NULL,
    fhir_id   TEXT     NOT NULL,
    body      {blob}
);
CREATE UNIQUE INDEX resource_key ON resource (key, rendition);
CREATE INDEX resource_type ON resource (type, id);
CREATE INDEX resource_patient ON resource (patient, type, id);
CREATE INDEX resource_updated ON resource (type, updated, id);

-- Versions that were replaced. hidden_until: when a viewer who is subject to holds may see this version
-- (0 = at once), carried over from the holds that stood when it was replaced. body: zstd of the bytes.
CREATE TABLE history (
    doc          BIGINT   NOT NULL,
    version      INTEGER  NOT NULL,
    type         SMALLINT NOT NULL,
    patient      BIGINT   NOT NULL,
    updated      BIGINT   NOT NULL,
    method       SMALLINT NOT NULL,
    hidden_until BIGINT   NOT NULL,
    body         {blob},
    PRIMARY KEY (doc, version)
) {without_rowid};
CREATE INDEX history_type ON history (type, updated, doc);
CREATE INDEX history_patient ON history (patient, type, updated, doc);
CREATE INDEX history_updated ON history (updated, doc);

CREATE TABLE idx_token (
    type    SMALLINT NOT NULL,
    param   SMALLINT NOT NULL,
    code    BIGINT   NOT NULL,
    id      BIGINT   NOT NULL,
    system  INTEGER  NOT NULL,
    patient BIGINT   NOT NULL,
    PRIMARY KEY (type, param, code, id, system, patient)
) {without_rowid};
CREATE INDEX idx_token_patient ON idx_token (patient, type, param, code, id, system);

CREATE TABLE idx_string (
    type    SMALLINT NOT NULL,
    param   SMALLINT NOT NULL,
    norm    TEXT     {collate} NOT NULL,
    id      BIGINT   NOT NULL,
    patient BIGINT   NOT NULL,
    exact   TEXT     {collate} NOT NULL
);
CREATE INDEX idx_string_norm ON idx_string (type, param, norm, id, patient);
CREATE INDEX idx_string_id ON idx_string (id, param);

CREATE TABLE idx_date (
    type    SMALLINT NOT NULL,
    param   SMALLINT NOT NULL,
    low     BIGINT   NOT NULL,
    id      BIGINT   NOT NULL,
    high    BIGINT   NOT NULL,
    patient BIGINT   NOT NULL,
    PRIMARY KEY (type, param, low, id, high, patient)
) {without_rowid};
CREATE INDEX idx_date_patient ON idx_date (patient, type, param, low, id, high);

CREATE TABLE idx_number (
    type    SMALLINT NOT NULL,
    param   SMALLINT NOT NULL,
    low     DOUBLE PRECISION NOT NULL,
    high    DOUBLE PRECISION NOT NULL,
    id      BIGINT   NOT NULL,
    patient BIGINT   NOT NULL,
    PRIMARY KEY (type, param, low, high, id, patient)
) {without_rowid};

CREATE TABLE idx_quantity (
    type    SMALLINT NOT NULL,
    param   SMALLINT NOT NULL,
    low     DOUBLE PRECISION NOT NULL,
    high    DOUBLE PRECISION NOT NULL,
    code    BIGINT   NOT NULL,
    system  INTEGER  NOT NULL,
    id      BIGINT   NOT NULL,
    patient BIGINT   NOT NULL,
    PRIMARY KEY (type, param, low, high, code, system, id, patient)
) {without_rowid};
CREATE INDEX idx_quantity_patient ON idx_quantity (patient, type, param, low, high, code, system, id);

CREATE TABLE idx_uri (
    type    SMALLINT NOT NULL,
    param   SMALLINT NOT NULL,
    value   TEXT     {collate} NOT NULL,
    id      BIGINT   NOT NULL,
    patient BIGINT   NOT NULL
);
CREATE INDEX idx_uri_value ON idx_uri (type, param, value, id, patient);
CREATE INDEX idx_uri_id ON idx_uri (id, param);

-- target leads: reverse includes, _has, chains and "who depends on this" all start from a target.
CREATE TABLE idx_reference (
    target      BIGINT   NOT NULL,
    type        SMALLINT NOT NULL,
    param       SMALLINT NOT NULL,
    id          BIGINT   NOT NULL,
    target_type SMALLINT NOT NULL,
    patient     BIGINT   NOT NULL,
    PRIMARY KEY (target, type, param, id, target_type, patient)
) {without_rowid};
CREATE INDEX idx_reference_id ON idx_reference (id, param, target, target_type);

CREATE TABLE idx_composite (
    type    SMALLINT NOT NULL,
    param   SMALLINT NOT NULL,
    code    BIGINT   NOT NULL,
    id      BIGINT   NOT NULL,
    system  INTEGER  NOT NULL,
    code2   BIGINT   NOT NULL,
    system2 INTEGER  NOT NULL,
    low     DOUBLE PRECISION NOT NULL,
    high    DOUBLE PRECISION NOT NULL,
    text    TEXT     {collate} NOT NULL,
    patient BIGINT   NOT NULL
);
CREATE INDEX idx_composite_code ON idx_composite (type, param, code, id);
CREATE INDEX idx_composite_id ON idx_composite (id, param);

-- Who may not see what, and until when. Only exceptions have rows. shown: the rendition seen instead, 0 = none.
-- exempt: the key of the one person whom the row does not touch (a note's author), 0 = nobody.
-- mode: 1 pending, 2 notice, 3 conceal (release-policy.md 4.4). detail: JSON, the rule ids and the references behind
-- the keys in audience and exempt.
CREATE TABLE hold (
    doc      BIGINT   NOT NULL,
    audience BIGINT   NOT NULL,
    starts   BIGINT   NOT NULL,
    ends     BIGINT   NOT NULL,
    exempt   BIGINT   NOT NULL,
    shown    SMALLINT NOT NULL,
    mode     SMALLINT NOT NULL,
    patient  BIGINT   NOT NULL,
    detail   TEXT     NOT NULL,
    PRIMARY KEY (doc, audience, starts)
) {without_rowid};
CREATE INDEX hold_patient ON hold (patient, doc);

-- Resources that steer decisions about a patient's record: holds (Task), directives (Consent), ResearchSubject,
-- flagged orders, suspended representatives. One probe tells that a patient has none. fed: came from a feed that
-- cannot be refused.
CREATE TABLE release_input (
    patient BIGINT   NOT NULL,
    doc     BIGINT   NOT NULL,
    fed     SMALLINT NOT NULL,
    PRIMARY KEY (patient, doc)
) {without_rowid};
CREATE INDEX release_input_doc ON release_input (doc);

-- doc is decided again whenever the resource with key on_key is written (it may not exist yet).
CREATE TABLE release_dependency (
    on_key BIGINT NOT NULL,
    doc    BIGINT NOT NULL,
    PRIMARY KEY (on_key, doc)
) {without_rowid};
CREATE INDEX release_dependency_doc ON release_dependency (doc);

-- Append-only, hash-chained: hash = SHA-256 over seq, at, kind, body and prev (src/store/ledger.rs).
-- subject: the surrogate id that a decision is about, 0 for an entry that sums up a transaction.
CREATE TABLE ledger (
    seq     {row_key} NOT NULL PRIMARY KEY,
    at      BIGINT NOT NULL,
    subject BIGINT NOT NULL,
    kind    TEXT   NOT NULL,
    body    TEXT   NOT NULL,
    prev    TEXT   NOT NULL,
    hash    TEXT   NOT NULL
);
CREATE INDEX ledger_at ON ledger (at, seq);
CREATE INDEX ledger_subject ON ledger (subject, seq);
CREATE TABLE ledger_head (
    one  SMALLINT NOT NULL PRIMARY KEY,
    seq  BIGINT   NOT NULL,
    hash TEXT     NOT NULL
);
INSERT INTO ledger_head (one, seq, hash) VALUES (1, 0, '');
