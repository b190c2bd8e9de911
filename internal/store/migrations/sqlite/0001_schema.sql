-- +goose Up
-- Times are milliseconds since 1970 UTC; money is in units of 10⁻⁸; ids are the
-- 16 bytes of a UUID. NULL means "not yet" or "no longer", never "empty".

CREATE TABLE settings (
    name  TEXT  PRIMARY KEY,
    value BLOB NOT NULL
);

CREATE TABLE accounts (
    key                  TEXT     PRIMARY KEY,           -- the api_key
    name                 TEXT    NOT NULL,
    barred               BOOLEAN NOT NULL DEFAULT FALSE,
    trial                BOOLEAN NOT NULL DEFAULT FALSE,
    custom_pin           BOOLEAN NOT NULL DEFAULT FALSE,
    rate                 INTEGER NOT NULL DEFAULT 0,    -- requests a second; 0 for the default
    unlimited            BOOLEAN NOT NULL DEFAULT FALSE,
    parent               TEXT     NOT NULL DEFAULT '',   -- account whose balance it uses; '' for its own
    balance              BIGINT  NOT NULL DEFAULT 0,    -- the sum of the account's ledger entries
    low_since            BIGINT,                        -- when the balance fell below the warning; NULL above it

    -- The amount that the account, and those that use its balance, spent on spend_day
    -- (days since 1970 UTC). It is in the row that a charge changes anyway.
    daily_cap            BIGINT  NOT NULL DEFAULT 0,    -- 0 for none
    spend_day            BIGINT  NOT NULL DEFAULT 0,
    spent                BIGINT  NOT NULL DEFAULT 0,

    on_undeliverable     TEXT    NOT NULL DEFAULT 'wait', -- or next_event
    settings             TEXT    NOT NULL DEFAULT '{}', -- JSON, see verify.Settings
    signature_method     TEXT    NOT NULL DEFAULT '',
    signature_secret     BLOB,                          -- sealed
    old_signature_method TEXT    NOT NULL DEFAULT '',
    old_signature_secret BLOB,                          -- sealed
    old_signature_until  BIGINT,
    created_at           BIGINT  NOT NULL
);

CREATE TABLE account_secrets (
    account    TEXT    NOT NULL REFERENCES accounts (key),
    hash       BLOB   NOT NULL,                     -- keyed: HMAC-SHA-256
    created_at BIGINT NOT NULL,
    expires_at BIGINT,                              -- NULL for never
    PRIMARY KEY (account, hash)
);

CREATE TABLE approved_numbers (
    account    TEXT    NOT NULL REFERENCES accounts (key),
    number     TEXT    NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account, number)
);

CREATE TABLE blocked_numbers (
    number     TEXT    PRIMARY KEY,
    reason     TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE price_list (
    carrier     TEXT    NOT NULL,                    -- that charges the operator; '' for the price of accounts
    country     TEXT    NOT NULL,                    -- ISO 3166-1 alpha-2; '' for all others, and with a prefix
    prefix      TEXT    NOT NULL,                    -- first digits of the number; '' for none
    channel     TEXT    NOT NULL,                    -- '' for all
    amount      BIGINT NOT NULL,
    valid_from  BIGINT NOT NULL,                    -- 0 for always
    valid_until BIGINT,                             -- the first moment after the last; NULL for never
    PRIMARY KEY (carrier, country, prefix, channel, valid_from)
);

INSERT INTO price_list (carrier, country, prefix, channel, amount, valid_from)
    VALUES ('', '', '', '', 12050000, 0), ('', 'US', '', '', 3610000, 0), ('', 'IN', '', '', 3610000, 0);

-- A verification is one row, with its events, checks and facts in the document. The other
-- columns are those that queries need.
CREATE TABLE verifications (
    id           BLOB   PRIMARY KEY,
    account      TEXT    NOT NULL REFERENCES accounts (key),
    address      TEXT    NOT NULL,                   -- canonical form, see verify.Address
    status       TEXT   NOT NULL,
    submitted_at BIGINT NOT NULL,
    finalized_at BIGINT,
    step_at      BIGINT,                            -- the next step, or the end; NULL after it

    -- The row is the timer: due_at is when a runner has to look at it, due_reason why: step,
    -- expiry, lease (due_at is its end) or refund.
    due_at       BIGINT,
    due_reason   TEXT   NOT NULL,
    node         TEXT,                              -- with the lease; NULL without one
    fence        BIGINT NOT NULL,                   -- fencing token: grows with every lease
    document     BLOB   NOT NULL                    -- see document.go; codes in it are sealed
);

CREATE INDEX verifications_due ON verifications (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX verifications_finalized ON verifications (finalized_at) WHERE finalized_at IS NOT NULL;

-- The verifications of the message ids that carriers gave.
CREATE TABLE message_ids (
    carrier      TEXT  NOT NULL,
    ref          TEXT  NOT NULL,
    verification BLOB NOT NULL,
    PRIMARY KEY (carrier, ref)
) WITHOUT ROWID;

-- Receipts that arrived before the response of their carrier.
CREATE TABLE receipts (
    carrier     TEXT    NOT NULL,
    ref         TEXT    NOT NULL,
    state       TEXT   NOT NULL,
    error       TEXT   NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (carrier, ref)
) WITHOUT ROWID;

CREATE INDEX receipts_received ON receipts (received_at);

-- Ended verifications move from the table above, which stays small, to this one. Personal
-- data is outside the document, so that it can be erased by itself.
CREATE TABLE archive (
    id           BLOB   PRIMARY KEY,
    account      TEXT    NOT NULL,
    address      TEXT,                              -- canonical form; NULL once it was erased
    finalized_at BIGINT NOT NULL,
    submitted_at BIGINT NOT NULL,
    personal     BLOB,                             -- payee, IP addresses, other forms; erased with the address
    document     BLOB   NOT NULL                   -- as in verifications, without codes
);

CREATE INDEX archive_finalized ON archive (finalized_at);
CREATE INDEX archive_addresses ON archive (finalized_at) WHERE address IS NOT NULL;

CREATE TABLE ledger (
    key         TEXT    PRIMARY KEY,                 -- such as charge/<request id>
    account     TEXT    NOT NULL REFERENCES accounts (key),
    kind        TEXT   NOT NULL,                    -- charge, refund, top-up, carrier-cost, carried, carried-cost
    amount      BIGINT NOT NULL,                    -- negative for a charge and a cost
    created_at  BIGINT NOT NULL,
    sub_account TEXT   NOT NULL DEFAULT ''          -- the account concerned, if another one pays
);

CREATE INDEX ledger_account ON ledger (account, created_at);

-- Entries of the ledger that no request reads.
CREATE TABLE ledger_past (
    seq         INTEGER PRIMARY KEY,
    key         TEXT    NOT NULL,
    account     TEXT    NOT NULL REFERENCES accounts (key),
    kind        TEXT   NOT NULL,
    amount      BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    sub_account TEXT   NOT NULL DEFAULT ''
);

CREATE INDEX ledger_past_account ON ledger_past (account, created_at);

-- The inbox of the virtual phone.
CREATE TABLE phone_messages (
    seq     INTEGER PRIMARY KEY,
    event   BLOB   NOT NULL,
    request BLOB   NOT NULL,
    number  TEXT    NOT NULL,
    channel TEXT   NOT NULL,
    sender  TEXT   NOT NULL,
    text    TEXT   NOT NULL,
    script  TEXT   NOT NULL,                        -- JSON; '{}' for an SMS
    sent_at BIGINT NOT NULL
);

CREATE INDEX phone_messages_number ON phone_messages (number, seq);
CREATE INDEX phone_messages_event ON phone_messages (event);

-- The history of numbers across verifications. Rows become stale at the end of a day. No
-- index leads to stale rows: each message to a new number would write to it at random.
CREATE TABLE guards (
    number   BLOB   PRIMARY KEY,                    -- the first 16 bytes of its HMAC-SHA-256
    state    BLOB   NOT NULL,                       -- see fraud.Number
    running  BLOB,                                 -- ids of verifications that may be in progress; NULL for none
    stale_at BIGINT NOT NULL                        -- end of the day after which the row may go
) WITHOUT ROWID;

-- The counts of each node for the velocity rules, a row for each publication. Rows go when
-- they are older than any rule looks back.
CREATE TABLE fraud_log (
    node TEXT    NOT NULL,
    seq  BIGINT NOT NULL,
    at   BIGINT NOT NULL,
    body TEXT   NOT NULL,                           -- JSON
    PRIMARY KEY (node, seq)
) WITHOUT ROWID;

CREATE INDEX fraud_log_at ON fraud_log (at);

-- The newest row of each node in fraud_log, so that the others need not search it.
CREATE TABLE fraud_nodes (
    node TEXT    PRIMARY KEY,
    seq  BIGINT NOT NULL,
    at   BIGINT NOT NULL
) WITHOUT ROWID;

-- Sums for the rules that look back further than a day, by node, so that no node waits for
-- another.
CREATE TABLE fraud_hours (
    hour    BIGINT NOT NULL,                        -- since 1970
    account TEXT    NOT NULL,
    country TEXT    NOT NULL,
    node    TEXT    NOT NULL,
    starts  BIGINT NOT NULL,
    spend   BIGINT NOT NULL,
    PRIMARY KEY (account, country, hour, node)
) WITHOUT ROWID;

CREATE INDEX fraud_hours_hour ON fraud_hours (hour);

CREATE TABLE fraud_blocks (
    id         TEXT     PRIMARY KEY,
    account    TEXT     NOT NULL,                    -- '' for all
    kind       TEXT     NOT NULL,                    -- network, prefix, country, range, source, voice, account
    value      TEXT     NOT NULL,
    rule       TEXT     NOT NULL,
    action     TEXT    NOT NULL,                    -- block, shadow, alert
    network    TEXT    NOT NULL,                    -- its name in responses
    figures    TEXT    NOT NULL,                    -- JSON
    since      BIGINT  NOT NULL,
    until      BIGINT,                              -- NULL: until it is lifted
    repeats    INTEGER NOT NULL,
    ordinal    INTEGER NOT NULL,
    lifted_at  BIGINT,
    lifted_by  TEXT    NOT NULL DEFAULT '',
    changed_at BIGINT  NOT NULL
);

CREATE UNIQUE INDEX fraud_blocks_target ON fraud_blocks (rule, account, kind, value, ordinal);
CREATE INDEX fraud_blocks_changed ON fraud_blocks (changed_at);

CREATE TABLE fraud_unblocks (
    account    TEXT    NOT NULL,
    network    TEXT    NOT NULL,
    until      BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (account, network)
) WITHOUT ROWID;

CREATE TABLE key_files (
    fingerprint BLOB   PRIMARY KEY,                 -- identifies the file and reveals nothing of its content
    master      BLOB   NOT NULL,                    -- sealed with the file
    created_at  BIGINT NOT NULL,
    used_at     BIGINT NOT NULL                     -- last report of a server with the file; only kept while there are two files
);

CREATE TABLE data_keys (
    id         INTEGER PRIMARY KEY,                  -- begins each value that it sealed; 0 for values before the first data key
    purpose    TEXT   NOT NULL,
    sealed     BLOB   NOT NULL,                     -- with the master key
    created_at BIGINT NOT NULL
);

CREATE TABLE used_signatures (
    account    TEXT    NOT NULL,
    signature  BLOB   NOT NULL,                     -- the first 16 bytes of its SHA-256
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (account, signature)
);

CREATE INDEX used_signatures_expires ON used_signatures (expires_at);

CREATE TABLE audit (
    seq     INTEGER PRIMARY KEY,
    at      BIGINT NOT NULL,
    who     TEXT    NOT NULL,                        -- name of a token, a certificate, or a user of the machine
    source  TEXT   NOT NULL,                        -- address, or the machine of a command line
    action  TEXT    NOT NULL,                        -- such as account.bar
    subject TEXT    NOT NULL,                        -- such as an api_key; '' for none
    detail  TEXT   NOT NULL                         -- JSON object
);

CREATE INDEX audit_at ON audit (at);

-- At most one template of an account, channel and locale is in use.
CREATE TABLE templates (
    id          BLOB    PRIMARY KEY,
    account     TEXT     NOT NULL REFERENCES accounts (key),
    channel     TEXT     NOT NULL,
    locale      TEXT     NOT NULL,
    version     INTEGER NOT NULL,                   -- from 1
    status      TEXT    NOT NULL,                   -- PENDING, ACTIVE, RETIRED
    encoding    TEXT    NOT NULL,                   -- of an SMS: text or unicode
    text        TEXT    NOT NULL,                   -- '' with recordings
    recordings  TEXT    NOT NULL,                   -- JSON: the ids of recordings, by name; '{}' for none
    contact     TEXT    NOT NULL,
    created_at  BIGINT  NOT NULL,
    approved_at BIGINT                              -- last approval; NULL while it is not approved
);

CREATE UNIQUE INDEX templates_version ON templates (account, channel, locale, version);
CREATE UNIQUE INDEX templates_active ON templates (account, channel, locale) WHERE status = 'ACTIVE';

CREATE TABLE recordings (
    id         BLOB   PRIMARY KEY,
    account    TEXT    NOT NULL REFERENCES accounts (key),
    sound      BLOB   NOT NULL,                     -- G.711 μ-law, 8,000 samples a second
    created_at BIGINT NOT NULL
);

CREATE TABLE refusals (
    id       BLOB   PRIMARY KEY,
    account  TEXT    NOT NULL,                       -- '' without a proven account
    number   TEXT,                                   -- NULL if it is not kept
    rule     TEXT   NOT NULL,                       -- see verify.Rules
    detail   TEXT   NOT NULL,
    figure   BIGINT NOT NULL,
    bound    BIGINT NOT NULL,
    until    BIGINT,                                -- NULL if unknown
    source   TEXT   NOT NULL,                       -- address; '' if it is not kept
    times    BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at  BIGINT NOT NULL
);

CREATE INDEX refusals_number ON refusals (number) WHERE number IS NOT NULL;
CREATE INDEX refusals_account ON refusals (account, last_at);
CREATE INDEX refusals_last ON refusals (last_at);
