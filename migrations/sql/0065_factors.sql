-- Second factors and passkeys.

-- How somebody signed in: values of RFC 8176 between spaces, for amr and acr of id_tokens.
ALTER TABLE session ADD COLUMN methods TEXT NOT NULL DEFAULT '';
ALTER TABLE auth_grant ADD COLUMN methods TEXT NOT NULL DEFAULT '';

-- An authenticator app (RFC 6238), one for each account. secret, pending: sealed (src/smart/factors/seal.rs).
-- pending waits for its first code; only then it becomes the secret. last_step: codes of this step of 30
-- seconds and of earlier ones are spent.
CREATE TABLE totp (
    account       TEXT   NOT NULL PRIMARY KEY,
    secret        {blob},
    confirmed     BIGINT,
    last_step     BIGINT NOT NULL,
    pending       {blob},
    pending_since BIGINT
);

-- Codes on paper, ten at a time, each good once. hash: keyed.
CREATE TABLE recovery_code (
    hash    {blob} NOT NULL PRIMARY KEY,
    account TEXT   NOT NULL,
    created BIGINT NOT NULL,
    used    BIGINT
);
CREATE INDEX recovery_code_account ON recovery_code (account);

-- Browsers in which a password was right and the second step is still to come, as the hash of a cookie.
-- target: the path of the page that they were going to.
-- methods: as in session.
CREATE TABLE half_sign_in (
    hash    {blob} NOT NULL PRIMARY KEY,
    account TEXT   NOT NULL,
    target  TEXT   NOT NULL,
    methods TEXT   NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX half_sign_in_account ON half_sign_in (account);
CREATE INDEX half_sign_in_expires ON half_sign_in (expires);

-- Passkeys (WebAuthn). credential: the authenticator's id of it. handle: what authenticators call the
-- account, the same for all of its passkeys. key: public key and what never changes; state: counter and flags.
CREATE TABLE passkey (
    credential {blob} NOT NULL PRIMARY KEY,
    account    TEXT   NOT NULL,
    handle     {blob} NOT NULL,
    name       TEXT   NOT NULL,
    key        {blob} NOT NULL,
    state      {blob} NOT NULL,
    created    BIGINT NOT NULL,
    used       BIGINT
);
CREATE INDEX passkey_account ON passkey (account);

-- Challenges that an authenticator has not answered yet; account NULL: somebody signs in.
CREATE TABLE passkey_challenge (
    hash    {blob} NOT NULL PRIMARY KEY,
    account TEXT,
    state   {blob} NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX passkey_challenge_expires ON passkey_challenge (expires);
