-- +goose Up
-- What was changed by hand, by whom and from where. Rows are added and, when they are
-- as old as what the ledger keeps, forgotten; nothing changes one. No number stands
-- here in full, and no secret.
CREATE TABLE audit (
    seq     INTEGER PRIMARY KEY,
    at      BIGINT NOT NULL,
    who     TEXT   NOT NULL,                        -- name of a token, a certificate, or a user of the machine
    source  TEXT   NOT NULL,                        -- address, or the machine of a command line
    action  TEXT   NOT NULL,                        -- such as account.bar
    subject TEXT   NOT NULL,                        -- such as an api_key; '' for none
    detail  TEXT   NOT NULL                         -- JSON object
);

CREATE INDEX audit_at ON audit (at);

-- +goose Down
DROP TABLE audit;
