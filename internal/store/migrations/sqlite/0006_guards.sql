-- +goose Up
-- What is known of numbers that got messages lately: a row for each, which every
-- message to it and every check of a code writes. It has no number in clear, but a
-- keyed hash, so that it tells nobody anything who has no key.
CREATE TABLE guards (
    number   BLOB    PRIMARY KEY, -- the first 16 bytes of its HMAC-SHA-256
    state    BLOB    NOT NULL,    -- see fraud.Number
    stale_at BIGINT  NOT NULL     -- when the row may go; whole days, since an index must not change each time
) WITHOUT ROWID;

CREATE INDEX guards_stale ON guards (stale_at);

-- +goose Down
DROP TABLE guards;
