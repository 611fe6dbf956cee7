-- When somebody showed who they are, where that was not when the session began: a provider may have let in
-- somebody who signed in there long ago. NULL: when it began.
ALTER TABLE session ADD COLUMN signed_in BIGINT;
ALTER TABLE half_sign_in ADD COLUMN signed_in BIGINT;
