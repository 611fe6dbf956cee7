-- Activation codes: printed with a patient's visit papers, good once, for 60 days, together with the birth date.
-- hash: keyed hash of the code, which is kept nowhere. issued_by: client_id of the EHR's backend. replaced: when a
-- newer code took its place. account: what came of it.
CREATE TABLE activation_code (
    hash      {blob} NOT NULL PRIMARY KEY,
    patient   TEXT   NOT NULL,
    issued_by TEXT   NOT NULL,
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL,
    replaced  BIGINT,
    used      BIGINT,
    account   TEXT
);
CREATE INDEX activation_code_patient ON activation_code (patient);
CREATE INDEX activation_code_expires ON activation_code (expires);

-- Failures by code (keyed hash), whether or not there is such a code: both look alike, in time too.
CREATE TABLE activation_try (
    hash  {blob} NOT NULL PRIMARY KEY,
    tries BIGINT NOT NULL,
    last  BIGINT NOT NULL
);
CREATE INDEX activation_try_last ON activation_try (last);
