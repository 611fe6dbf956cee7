-- Accounts, OAuth clients, and what people granted to apps.
-- Secrets are at rest only as SHA-256 of 256 random bits (hash columns) or as argon2id (passwords).
-- Times are milliseconds since the epoch; a NULL time means "not yet".

-- kind: public, confidential, backend. class: viewer class of tokens the client gets for itself.
-- person: reference that such tokens speak for (`Organization/x` of a payer). redirect_uris: JSON array.
CREATE TABLE oauth_client (
    client_id     TEXT   NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL,
    kind          TEXT   NOT NULL,
    class         TEXT   NOT NULL,
    person        TEXT,
    secret        {blob},
    jwks          TEXT,
    jwks_uri      TEXT,
    redirect_uris TEXT   NOT NULL,
    scope         TEXT   NOT NULL,
    id_token_alg  TEXT   NOT NULL,
    created       BIGINT NOT NULL,
    disabled      BIGINT
);

-- id is the `sub` of id_tokens. role: patient, representative, clinician, staff, auditor, admin.
CREATE TABLE account (
    id           TEXT   NOT NULL PRIMARY KEY,
    username     TEXT   NOT NULL UNIQUE,
    name         TEXT   NOT NULL,
    role         TEXT   NOT NULL,
    password     TEXT   NOT NULL,
    practitioner TEXT,
    created      BIGINT NOT NULL,
    disabled     BIGINT
);

-- The records an account may open. related_person NULL: the account holder is the patient.
CREATE TABLE account_record (
    account        TEXT NOT NULL,
    patient        TEXT NOT NULL,
    related_person TEXT,
    name           TEXT NOT NULL,
    PRIMARY KEY (account, patient)
);

CREATE TABLE session (
    hash    {blob}  NOT NULL PRIMARY KEY,
    account TEXT   NOT NULL,
    created BIGINT NOT NULL,
    seen    BIGINT NOT NULL
);
CREATE INDEX session_account ON session (account);
CREATE INDEX session_seen ON session (seen);

-- An authorization request between the app's link and the person's answer.
-- fresh_after: the sign-in that answers it must be younger than this.
CREATE TABLE authorize_request (
    id             TEXT   NOT NULL PRIMARY KEY,
    client_id      TEXT   NOT NULL,
    redirect_uri   TEXT   NOT NULL,
    state          TEXT   NOT NULL,
    scope          TEXT   NOT NULL,
    code_challenge TEXT   NOT NULL,
    nonce          TEXT,
    fresh_after    BIGINT NOT NULL,
    account        TEXT,
    patient        TEXT,
    created        BIGINT NOT NULL,
    expires        BIGINT NOT NULL
);
CREATE INDEX authorize_request_expires ON authorize_request (expires);

-- What was granted to a client, by a person (account) or by registration (account NULL).
-- Revoking it ends every code and token below it. person, patient: FHIR references and ids.
CREATE TABLE auth_grant (
    id        TEXT   NOT NULL PRIMARY KEY,
    client_id TEXT   NOT NULL,
    account   TEXT,
    class     TEXT   NOT NULL,
    person    TEXT,
    patient   TEXT,
    scope     TEXT   NOT NULL,
    auth_time BIGINT NOT NULL,
    created   BIGINT NOT NULL,
    used      BIGINT,
    revoked   BIGINT
);
CREATE INDEX auth_grant_account ON auth_grant (account);

CREATE TABLE auth_code (
    hash           {blob}  NOT NULL PRIMARY KEY,
    grant_id       TEXT   NOT NULL,
    redirect_uri   TEXT   NOT NULL,
    code_challenge TEXT   NOT NULL,
    nonce          TEXT,
    expires        BIGINT NOT NULL,
    used           BIGINT
);
CREATE INDEX auth_code_expires ON auth_code (expires);

-- kind: 1 access, 2 refresh. used: when a refresh token was exchanged; a second use ends the grant.
CREATE TABLE auth_token (
    hash     {blob}    NOT NULL PRIMARY KEY,
    grant_id TEXT     NOT NULL,
    kind     SMALLINT NOT NULL,
    scope    TEXT     NOT NULL,
    created  BIGINT   NOT NULL,
    expires  BIGINT   NOT NULL,
    used     BIGINT
);
CREATE INDEX auth_token_grant ON auth_token (grant_id);
CREATE INDEX auth_token_expires ON auth_token (expires);

-- Client assertions seen (hash of client and jti), until they expire by themselves.
CREATE TABLE used_assertion (
    hash    {blob}  NOT NULL PRIMARY KEY,
    expires BIGINT NOT NULL
);
CREATE INDEX used_assertion_expires ON used_assertion (expires);

-- Keys that sign id_tokens. pem: PKCS#8. A retired key is published until the last token it signed expired.
CREATE TABLE signing_key (
    kid     TEXT   NOT NULL PRIMARY KEY,
    alg     TEXT   NOT NULL,
    pem     TEXT   NOT NULL,
    created BIGINT NOT NULL,
    retired BIGINT
);
