-- +goose Up
-- The key files that open the database: two while one takes the place of another.
-- Each opens the master key, and that opens the keys below.
CREATE TABLE key_files (
    fingerprint BLOB   PRIMARY KEY,                -- tells the file, and nothing of what is in it
    master      BLOB   NOT NULL,                   -- sealed under the file
    created_at  BIGINT NOT NULL,
    used_at     BIGINT NOT NULL                    -- when a server last said that it has it; only told while there are two
);

-- What the keys are for: account (signature secrets) and secret (the hash of API
-- secrets) stay; pin and code (typed ones) are made anew each day, and deleted when
-- nothing is left that they opened.
CREATE TABLE data_keys (
    id          INTEGER PRIMARY KEY,                 -- what is sealed names it; 0 is that of before there were any
    purpose     TEXT    NOT NULL,
    sealed      BLOB   NOT NULL,                   -- under the master key
    created_at  BIGINT  NOT NULL
);

-- +goose Down
-- There is no way back for what was sealed: accounts need new secrets.
DROP TABLE data_keys;
DROP TABLE key_files;
DELETE FROM settings WHERE name = 'key_check';
