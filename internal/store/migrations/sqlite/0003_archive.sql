-- +goose Up
-- What is over moves from the tables above, which stay small, to this one: a row
-- for each verification. What tells of a person is not in the document, so that it
-- can be taken out by itself.
CREATE TABLE archive (
    id           BLOB    PRIMARY KEY,
    account      TEXT    NOT NULL,
    number       TEXT,                             -- NULL once it was taken out
    finalized_at BIGINT  NOT NULL,
    submitted_at BIGINT  NOT NULL,
    price        BIGINT  NOT NULL,
    personal     TEXT,                             -- JSON: payee, IP addresses; goes with the number
    document     TEXT    NOT NULL                  -- JSON: the rest, with events and checks, without codes
);

CREATE INDEX archive_finalized ON archive (finalized_at);
CREATE INDEX archive_numbers ON archive (finalized_at) WHERE number IS NOT NULL;

-- What is to move next.
CREATE INDEX verifications_finalized ON verifications (finalized_at) WHERE finalized_at IS NOT NULL;

-- +goose Down
-- There is no way back for what was moved.
DROP INDEX verifications_finalized;
DROP TABLE archive;
