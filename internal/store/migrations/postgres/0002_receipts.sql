-- +goose Up
-- What the carriers took of an event, part by part, under their own ids. A
-- carrier that comes to use an id again means its newest message.
CREATE TABLE parts (
    carrier TEXT COLLATE "C" NOT NULL,
    ref     TEXT COLLATE "C" NOT NULL,
    event   BYTEA   NOT NULL REFERENCES events (id),
    attempt INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    state   TEXT    NOT NULL,
    error   TEXT    NOT NULL,
    PRIMARY KEY (carrier, ref)
);

CREATE INDEX parts_event ON parts (event);

-- Receipts that came before the carrier's answer to the message, for as long as
-- that may take.
CREATE TABLE receipts (
    carrier     TEXT COLLATE "C" NOT NULL,
    ref         TEXT COLLATE "C" NOT NULL,
    state       TEXT   NOT NULL,
    error       TEXT   NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (carrier, ref)
);

CREATE INDEX receipts_received ON receipts (received_at);

ALTER TABLE events DROP COLUMN carrier_ref;
ALTER TABLE events ADD COLUMN error TEXT NOT NULL DEFAULT ''; -- the carrier's own code

ALTER TABLE accounts ADD COLUMN on_undeliverable TEXT NOT NULL DEFAULT 'wait'; -- or next_event

-- +goose Down
ALTER TABLE accounts DROP COLUMN on_undeliverable;
ALTER TABLE events DROP COLUMN error;
ALTER TABLE events ADD COLUMN carrier_ref TEXT NOT NULL DEFAULT '';
DROP TABLE receipts;
DROP TABLE parts;
