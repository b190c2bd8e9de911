-- +goose Up
ALTER TABLE accounts ADD COLUMN settings TEXT NOT NULL DEFAULT '{}'; -- JSON, see verify.Settings
ALTER TABLE accounts ADD COLUMN parent TEXT COLLATE "C" NOT NULL DEFAULT '';     -- whose balance it uses; '' for its own

-- What the account, and those that use its balance, spent on spend_day, counted in
-- days since 1970 (UTC); of an older day it is nothing.
ALTER TABLE accounts ADD COLUMN daily_cap BIGINT NOT NULL DEFAULT 0; -- 0 for none
ALTER TABLE accounts ADD COLUMN spend_day BIGINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN spent     BIGINT NOT NULL DEFAULT 0;

ALTER TABLE account_secrets ADD COLUMN expires_at BIGINT; -- NULL for never

-- The signature secret before the present one, which is accepted until then.
ALTER TABLE accounts ADD COLUMN old_signature_method TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN old_signature_secret BYTEA; -- sealed
ALTER TABLE accounts ADD COLUMN old_signature_until  BIGINT;

-- +goose Down
ALTER TABLE accounts DROP COLUMN old_signature_until;
ALTER TABLE accounts DROP COLUMN old_signature_secret;
ALTER TABLE accounts DROP COLUMN old_signature_method;
ALTER TABLE account_secrets DROP COLUMN expires_at;
ALTER TABLE accounts DROP COLUMN spent;
ALTER TABLE accounts DROP COLUMN spend_day;
ALTER TABLE accounts DROP COLUMN daily_cap;
ALTER TABLE accounts DROP COLUMN parent;
ALTER TABLE accounts DROP COLUMN settings;
