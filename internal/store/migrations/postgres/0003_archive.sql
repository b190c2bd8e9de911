-- +goose Up
-- What is over moves from the tables above, which stay small, to this one: a row
-- for each verification. What tells of a person is not in the document, so that it
-- can be taken out by itself. The server makes a partition for each month (UTC) of
-- finalized_at, such as archive_2026_11, and drops those that are too old.
CREATE TABLE archive (
    id           BYTEA  NOT NULL,
    account      TEXT COLLATE "C" NOT NULL,
    number       TEXT COLLATE "C",                 -- NULL once it was taken out
    finalized_at BIGINT NOT NULL,
    submitted_at BIGINT NOT NULL,
    price        BIGINT NOT NULL,
    personal     TEXT,                             -- JSON: payee, IP addresses; goes with the number
    document     TEXT   NOT NULL,                  -- JSON: the rest, with events and checks, without codes
    PRIMARY KEY (id, finalized_at)
) PARTITION BY RANGE (finalized_at);

CREATE INDEX archive_numbers ON archive (finalized_at) WHERE number IS NOT NULL;

-- What is to move next.
CREATE INDEX verifications_finalized ON verifications (finalized_at) WHERE finalized_at IS NOT NULL;

-- Entries of the ledger that nobody can make again: a charge is tried only while its
-- request is new. Here the requests never look, and nothing is in the order of
-- random ids, so that it may grow.
CREATE TABLE ledger_past (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key        TEXT   NOT NULL,
    account    TEXT COLLATE "C" NOT NULL REFERENCES accounts (key),
    kind       TEXT   NOT NULL,
    amount     BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX ledger_past_account ON ledger_past (account, created_at);

-- +goose Down
-- There is no way back for what was moved to the archive.
INSERT INTO ledger (key, account, kind, amount, created_at) SELECT key, account, kind, amount, created_at FROM ledger_past;
DROP TABLE ledger_past;
DROP INDEX verifications_finalized;
DROP TABLE archive;
