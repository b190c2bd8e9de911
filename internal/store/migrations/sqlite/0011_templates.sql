-- +goose Up
-- Templates of accounts. Of those for one account, channel and locale at most one is
-- in use.
CREATE TABLE templates (
    id          BLOB    PRIMARY KEY,
    account     TEXT    NOT NULL REFERENCES accounts (key),
    channel     TEXT    NOT NULL,
    locale      TEXT    NOT NULL,
    version     INTEGER NOT NULL,                -- from 1
    status      TEXT    NOT NULL,                -- PENDING, ACTIVE, RETIRED
    encoding    TEXT    NOT NULL,                -- of an SMS: text or unicode
    text        TEXT    NOT NULL,                -- '' where recordings speak
    recordings  TEXT    NOT NULL,                -- JSON: the ids of recordings, by name; '{}' for none
    contact     TEXT    NOT NULL,
    created_at  BIGINT  NOT NULL,
    approved_at BIGINT                           -- when it was last put into use; NULL while it may not be
);

CREATE UNIQUE INDEX templates_version ON templates (account, channel, locale, version);
CREATE UNIQUE INDEX templates_active ON templates (account, channel, locale) WHERE status = 'ACTIVE';

CREATE TABLE recordings (
    id         BLOB    PRIMARY KEY,
    account    TEXT    NOT NULL REFERENCES accounts (key),
    sound      BLOB    NOT NULL,                 -- G.711 μ-law, 8,000 samples a second
    created_at BIGINT  NOT NULL
);

-- +goose Down
DROP TABLE recordings;
DROP TABLE templates;
