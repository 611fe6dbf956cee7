-- Who somebody of an OpenID provider is here. issuer and subject: the id_token's `iss` and `sub`. account empty: fits nobody
-- here, and the front desk was told.
CREATE TABLE upstream_identity (
    issuer  TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    account TEXT   NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX upstream_identity_account ON upstream_identity (account);
