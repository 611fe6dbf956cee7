-- What people are told of an app and what they allowed it, and what a wildcard meant when it was granted.

-- facts: what the maker says of the app, JSON; smart/facts.rs has its shape. launch_uri: where an EHR opens it.
-- catalogue: the version of src/smart/scopes.toml when it was registered, for the wildcards of backends.
ALTER TABLE oauth_client ADD COLUMN facts TEXT;
ALTER TABLE oauth_client ADD COLUMN launch_uri TEXT;
ALTER TABLE oauth_client ADD COLUMN catalogue TEXT;

-- The same version when it was granted; NULL: the first. asked: what the person was asked for, facts: what
-- they were told, both NULL before this was kept. ends: access is over then, whatever is used.
-- read: when the app last read something, read_types: what (types, space-separated), a minute behind at most.
ALTER TABLE auth_grant ADD COLUMN catalogue TEXT;
ALTER TABLE auth_grant ADD COLUMN asked TEXT;
ALTER TABLE auth_grant ADD COLUMN facts TEXT;
ALTER TABLE auth_grant ADD COLUMN ends BIGINT;
ALTER TABLE auth_grant ADD COLUMN read BIGINT;
ALTER TABLE auth_grant ADD COLUMN read_types TEXT;

-- The username that the app expects (login_hint).
ALTER TABLE authorize_request ADD COLUMN login_hint TEXT;

-- owner: the developer's account. issuer: who signed the software statement it came with.
ALTER TABLE client_registration ADD COLUMN owner TEXT;
ALTER TABLE client_registration ADD COLUMN issuer TEXT;
CREATE INDEX client_registration_owner ON client_registration (owner);
