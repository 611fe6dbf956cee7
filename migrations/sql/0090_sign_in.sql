-- Whether a browser is a shared terminal: 1, else 0.
ALTER TABLE session ADD COLUMN kiosk SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE half_sign_in ADD COLUMN kiosk SMALLINT NOT NULL DEFAULT 0;

-- How sure it is who has an account, as levels of NIST SP 800-63A: 0 nobody says, 1 a code handed over at a visit,
-- 2 a provider who proofs identity. A grant keeps what it was when it was given.
ALTER TABLE account ADD COLUMN ial SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE auth_grant ADD COLUMN ial SMALLINT NOT NULL DEFAULT 0;
UPDATE account SET ial = 1 WHERE id IN (SELECT account FROM activation_code WHERE account IS NOT NULL);
