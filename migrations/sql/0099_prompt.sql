-- Whether an app wants the person to be asked whatever was approved before (`prompt=consent`): 1, else 0.
ALTER TABLE authorize_request ADD COLUMN must_ask SMALLINT NOT NULL DEFAULT 0;
