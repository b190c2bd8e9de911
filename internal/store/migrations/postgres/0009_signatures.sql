-- +goose Up
-- Signatures of requests that were accepted, until they are too old to be believed:
-- a second request with one of them is a copy.
CREATE TABLE used_signatures (
    account    TEXT COLLATE "C" NOT NULL,
    signature  BYTEA  NOT NULL,                     -- the first 16 bytes of its SHA-256
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (account, signature)
);

CREATE INDEX used_signatures_expires ON used_signatures (expires_at);

-- +goose Down
DROP TABLE used_signatures;
