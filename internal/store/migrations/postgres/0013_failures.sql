-- +goose Up
-- Hand-overs of the event that a carrier did not accept: a line each, "CARRIER: ERROR".
ALTER TABLE events ADD COLUMN failures TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE events DROP COLUMN failures;
