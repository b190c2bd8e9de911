-- +goose Up
-- Starts that were refused. A row counts refusals of one account, number and rule by
-- one process within an hour.
CREATE TABLE refusals (
    id       BYTEA  PRIMARY KEY,
    account  TEXT COLLATE "C" NOT NULL,                       -- '' without a proven account
    number   TEXT COLLATE "C",                                  -- NULL if it is not kept
    rule     TEXT   NOT NULL,                       -- see verify.Rules
    detail   TEXT   NOT NULL,
    figure   BIGINT NOT NULL,
    bound    BIGINT NOT NULL,
    until    BIGINT,                                -- NULL if unknown
    source   TEXT   NOT NULL,                       -- address; '' if it is not kept
    times    BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at  BIGINT NOT NULL
);

CREATE INDEX refusals_number ON refusals (number) WHERE number IS NOT NULL;
CREATE INDEX refusals_account ON refusals (account, last_at);
CREATE INDEX refusals_last ON refusals (last_at);

-- Ranges of keys must not depend on the locale of the database.
ALTER TABLE ledger_past ALTER COLUMN key TYPE TEXT COLLATE "C";

-- When the receipt of a part arrived; NULL before the first.
ALTER TABLE parts ADD COLUMN reported_at BIGINT;

-- +goose Down
ALTER TABLE ledger_past ALTER COLUMN key TYPE TEXT COLLATE "default";
ALTER TABLE parts DROP COLUMN reported_at;
DROP TABLE refusals;
