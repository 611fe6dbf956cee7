-- What each app does here, for its developer's pages. Nothing in it is of a patient.

-- day: of the hospital's calendar, 2026-11-26. tokens: token requests that were answered with tokens.
-- requests: FHIR requests with a token that was alive.
CREATE TABLE app_usage (
    client_id TEXT   NOT NULL,
    day       TEXT   NOT NULL,
    tokens    BIGINT NOT NULL,
    requests  BIGINT NOT NULL,
    PRIMARY KEY (client_id, day)
) {without_rowid};
CREATE INDEX app_usage_day ON app_usage (day);

-- endpoint: authorize, token or fhir. code: the OAuth error or the code of the OperationOutcome's issue.
-- words: a fixed sentence, or the name of the interaction. reference: the request's id in the log, where this
-- server made it. The newest of each app are kept.
CREATE TABLE app_error (
    id        TEXT     NOT NULL PRIMARY KEY,
    client_id TEXT     NOT NULL,
    at        BIGINT   NOT NULL,
    endpoint  TEXT     NOT NULL,
    status    SMALLINT NOT NULL,
    code      TEXT     NOT NULL,
    words     TEXT     NOT NULL,
    reference TEXT
);
CREATE INDEX app_error_client ON app_error (client_id, at);
CREATE INDEX app_error_at ON app_error (at);
