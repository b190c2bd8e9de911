-- +goose Up
-- Fewer indexes, and none that is written all over by each start.

-- An event is found by its place in its verification, and parts refer to it so.
ALTER TABLE parts ADD COLUMN verification BYTEA, ADD COLUMN event_seq INTEGER;
UPDATE parts SET verification = e.verification, event_seq = e.seq FROM events e WHERE e.id = parts.event;
ALTER TABLE parts ALTER COLUMN verification SET NOT NULL, ALTER COLUMN event_seq SET NOT NULL, DROP COLUMN event;
DROP INDEX events_verification;
ALTER TABLE events DROP CONSTRAINT events_pkey, ADD PRIMARY KEY (verification, seq);
ALTER TABLE parts ADD FOREIGN KEY (verification, event_seq) REFERENCES events (verification, seq);
CREATE INDEX parts_event ON parts (verification, event_seq);

-- Guards that may go are found by a walk through the table.
DROP INDEX guards_stale;

-- +goose Down
CREATE INDEX guards_stale ON guards (stale_at);

ALTER TABLE parts ADD COLUMN event BYTEA;
UPDATE parts SET event = e.id FROM events e WHERE e.verification = parts.verification AND e.seq = parts.event_seq;
ALTER TABLE parts ALTER COLUMN event SET NOT NULL, DROP COLUMN verification, DROP COLUMN event_seq;
ALTER TABLE events DROP CONSTRAINT events_pkey, ADD PRIMARY KEY (id);
CREATE UNIQUE INDEX events_verification ON events (verification, seq);
ALTER TABLE parts ADD FOREIGN KEY (event) REFERENCES events (id);
CREATE INDEX parts_event ON parts (event);
