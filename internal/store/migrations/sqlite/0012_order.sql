-- +goose Up
-- Fewer indexes, and none that is written all over by each start: a page that a
-- commit changes is written as a whole, twice.

-- An event is found by its place in its verification, and parts refer to it so.
ALTER TABLE parts RENAME TO parts_before;
ALTER TABLE events RENAME TO events_before;

CREATE TABLE events (
    id           BLOB    NOT NULL,
    verification BLOB    NOT NULL REFERENCES verifications (id),
    seq          INTEGER NOT NULL,
    channel      TEXT    NOT NULL,
    generation   INTEGER NOT NULL,
    state        TEXT    NOT NULL,
    attempt      INTEGER NOT NULL,
    started_at   BIGINT  NOT NULL,
    carrier      TEXT    NOT NULL DEFAULT '',
    cost         BIGINT  NOT NULL DEFAULT 0,
    error        TEXT    NOT NULL DEFAULT '', -- the carrier's own code
    PRIMARY KEY (verification, seq)
);

INSERT INTO events (id, verification, seq, channel, generation, state, attempt, started_at, carrier, cost, error)
    SELECT id, verification, seq, channel, generation, state, attempt, started_at, carrier, cost, error
    FROM events_before ORDER BY rowid;

CREATE TABLE parts (
    carrier      TEXT    NOT NULL,
    ref          TEXT    NOT NULL,
    verification BLOB    NOT NULL,
    event_seq    INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    count        INTEGER NOT NULL,
    state        TEXT    NOT NULL,
    error        TEXT    NOT NULL,
    PRIMARY KEY (carrier, ref),
    FOREIGN KEY (verification, event_seq) REFERENCES events (verification, seq)
) WITHOUT ROWID;

INSERT INTO parts (carrier, ref, verification, event_seq, attempt, seq, count, state, error)
    SELECT p.carrier, p.ref, e.verification, e.seq, p.attempt, p.seq, p.count, p.state, p.error
    FROM parts_before p JOIN events_before e ON e.id = p.event;

DROP TABLE parts_before;
DROP TABLE events_before;
CREATE INDEX parts_event ON parts (verification, event_seq);

-- Guards that may go are found by a walk through the table.
DROP INDEX guards_stale;

-- +goose Down
CREATE INDEX guards_stale ON guards (stale_at);

ALTER TABLE parts RENAME TO parts_after;
ALTER TABLE events RENAME TO events_after;

CREATE TABLE events (
    id           BLOB    PRIMARY KEY,
    verification BLOB    NOT NULL REFERENCES verifications (id),
    seq          INTEGER NOT NULL,
    channel      TEXT    NOT NULL,
    generation   INTEGER NOT NULL,
    state        TEXT    NOT NULL,
    attempt      INTEGER NOT NULL,
    started_at   BIGINT  NOT NULL,
    carrier      TEXT    NOT NULL DEFAULT '',
    cost         BIGINT  NOT NULL DEFAULT 0,
    error        TEXT    NOT NULL DEFAULT ''
);

CREATE UNIQUE INDEX events_verification ON events (verification, seq);

INSERT INTO events (id, verification, seq, channel, generation, state, attempt, started_at, carrier, cost, error)
    SELECT id, verification, seq, channel, generation, state, attempt, started_at, carrier, cost, error
    FROM events_after ORDER BY rowid;

CREATE TABLE parts (
    carrier TEXT    NOT NULL,
    ref     TEXT    NOT NULL,
    event   BLOB    NOT NULL REFERENCES events (id),
    attempt INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    state   TEXT    NOT NULL,
    error   TEXT    NOT NULL,
    PRIMARY KEY (carrier, ref)
) WITHOUT ROWID;

INSERT INTO parts (carrier, ref, event, attempt, seq, count, state, error)
    SELECT p.carrier, p.ref, e.id, p.attempt, p.seq, p.count, p.state, p.error
    FROM parts_after p JOIN events_after e ON e.verification = p.verification AND e.seq = p.event_seq;

DROP TABLE parts_after;
DROP TABLE events_after;
CREATE INDEX parts_event ON parts (event);
