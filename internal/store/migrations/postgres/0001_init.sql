-- +goose Up
-- Times are milliseconds since 1970 UTC; money is in units of 10⁻⁸; ids are the
-- 16 bytes of a UUID. NULL means "not yet" or "no longer", never "empty". Keys are
-- compared byte by byte, as SQLite does it, so that no change of the system's
-- collations can break an index.

CREATE TABLE settings (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE TABLE accounts (
    key              TEXT COLLATE "C" PRIMARY KEY,           -- the api_key
    name             TEXT    NOT NULL,
    barred           BOOLEAN NOT NULL DEFAULT FALSE,
    trial            BOOLEAN NOT NULL DEFAULT FALSE,
    custom_pin       BOOLEAN NOT NULL DEFAULT FALSE,
    rate             INTEGER NOT NULL DEFAULT 0,    -- requests a second; 0 for the default
    unlimited        BOOLEAN NOT NULL DEFAULT FALSE,
    balance          BIGINT  NOT NULL DEFAULT 0,    -- the sum of the account's ledger entries
    signature_method TEXT    NOT NULL DEFAULT '',
    signature_secret BYTEA,                          -- sealed
    created_at       BIGINT  NOT NULL
);

-- An account may have several secrets, so that one can be replaced without a gap.
CREATE TABLE account_secrets (
    account    TEXT COLLATE "C" NOT NULL REFERENCES accounts (key),
    hash       BYTEA  NOT NULL,                     -- keyed: HMAC-SHA-256
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account, hash)
);

CREATE TABLE approved_numbers (
    account    TEXT COLLATE "C" NOT NULL REFERENCES accounts (key),
    number     TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account, number)
);

CREATE TABLE blocked_numbers (
    number     TEXT COLLATE "C" PRIMARY KEY,
    reason     TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE prices (
    country TEXT COLLATE "C" PRIMARY KEY,                     -- ISO 3166-1 alpha-2; '' for all others
    amount  BIGINT NOT NULL
);

INSERT INTO prices (country, amount) VALUES ('', 12050000), ('US', 3610000), ('IN', 3610000);

CREATE TABLE verifications (
    id             BYTEA   PRIMARY KEY,
    account        TEXT COLLATE "C" NOT NULL REFERENCES accounts (key),
    number         TEXT COLLATE "C" NOT NULL,
    country        TEXT    NOT NULL,
    brand          TEXT    NOT NULL,
    payee          TEXT,                            -- with amount: a payment verification
    amount         TEXT,
    sender         TEXT    NOT NULL,
    locale         TEXT    NOT NULL,
    code_length    INTEGER NOT NULL,
    chosen_pin     BOOLEAN NOT NULL,                -- the application chose the PIN
    workflow       TEXT    NOT NULL,                -- JSON
    price          BIGINT  NOT NULL,
    submitted_at   BIGINT  NOT NULL,

    status         TEXT    NOT NULL,
    finalized_at   BIGINT,
    pin            BYTEA,                            -- sealed; NULL once the verification is over
    generation     INTEGER NOT NULL,
    pin_expires_at BIGINT  NOT NULL,
    tries          INTEGER NOT NULL,
    events         INTEGER NOT NULL,
    first_event_at BIGINT  NOT NULL,
    last_event_at  BIGINT  NOT NULL,
    last_event_id  BYTEA   NOT NULL,
    step_at        BIGINT,                          -- when the next step falls due

    -- The row is the timer: due_at is step_at while nobody holds the row, and the
    -- end of the lease while a node does. A node that dies lets it fall due.
    due_at         BIGINT,
    node           TEXT,
    fence          BIGINT  NOT NULL                 -- grows with every claim
);

CREATE INDEX verifications_due ON verifications (due_at) WHERE due_at IS NOT NULL;

-- One running verification per account and number.
CREATE UNIQUE INDEX verifications_running ON verifications (account, number)
    WHERE status = 'IN PROGRESS';

CREATE TABLE events (
    id           BYTEA   PRIMARY KEY,
    verification BYTEA   NOT NULL REFERENCES verifications (id),
    seq          INTEGER NOT NULL,
    channel      TEXT    NOT NULL,
    generation   INTEGER NOT NULL,
    state        TEXT    NOT NULL,
    attempt      INTEGER NOT NULL,
    started_at   BIGINT  NOT NULL,
    carrier      TEXT    NOT NULL DEFAULT '',
    carrier_ref  TEXT    NOT NULL DEFAULT '',
    cost         BIGINT  NOT NULL DEFAULT 0
);

CREATE UNIQUE INDEX events_verification ON events (verification, seq);

CREATE TABLE checks (
    verification BYTEA   NOT NULL REFERENCES verifications (id),
    seq          INTEGER NOT NULL,
    generation   INTEGER NOT NULL,
    code         BYTEA,                              -- sealed; NULL once it was destroyed
    valid        BOOLEAN NOT NULL,
    ip_address   TEXT    NOT NULL,
    received_at  BIGINT  NOT NULL,
    PRIMARY KEY (verification, seq)
);

-- Append-only. The unique key makes a repeated entry change nothing.
CREATE TABLE ledger (
    key          TEXT COLLATE "C" PRIMARY KEY,                -- such as charge/<request id>
    account      TEXT COLLATE "C" NOT NULL REFERENCES accounts (key),
    kind         TEXT   NOT NULL,                   -- charge, top-up
    amount       BIGINT NOT NULL,                   -- negative for a charge
    created_at   BIGINT NOT NULL
);

CREATE INDEX ledger_account ON ledger (account, created_at);

-- Requests of each account in the last second, on all nodes (see rate.go). Nothing is
-- lost when a crash empties it, so it costs no write to the log.
CREATE UNLOGGED TABLE request_rates (
    account TEXT COLLATE "C" PRIMARY KEY,
    seen    BYTEA NOT NULL
) WITH (fillfactor = 50);

-- The inbox of the virtual phone. A message that was sent twice is here twice.
CREATE TABLE phone_messages (
    seq        BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event      BYTEA   NOT NULL,
    request    BYTEA   NOT NULL,
    number     TEXT COLLATE "C" NOT NULL,
    channel    TEXT    NOT NULL,
    sender     TEXT    NOT NULL,
    text       TEXT    NOT NULL,
    script     TEXT    NOT NULL,                    -- JSON; '{}' for an SMS
    sent_at    BIGINT  NOT NULL
);

CREATE INDEX phone_messages_number ON phone_messages (number, seq);
CREATE INDEX phone_messages_event ON phone_messages (event);

-- +goose Down
DROP TABLE request_rates;
DROP TABLE phone_messages;
DROP TABLE ledger;
DROP TABLE checks;
DROP TABLE events;
DROP TABLE verifications;
DROP TABLE prices;
DROP TABLE blocked_numbers;
DROP TABLE approved_numbers;
DROP TABLE account_secrets;
DROP TABLE accounts;
DROP TABLE settings;
