-- +goose Up
-- What each node counted for the rules against fraud, a row for each time that it
-- told the others, with the number of that time. Rows go when they are older than
-- what any rule looks at.
CREATE TABLE fraud_log (
    node   TEXT COLLATE "C" NOT NULL,
    seq    BIGINT NOT NULL,
    at     BIGINT NOT NULL,
    body   TEXT   NOT NULL,                         -- JSON
    PRIMARY KEY (node, seq)
);

CREATE INDEX fraud_log_at ON fraud_log (at);

-- How far the log of each node goes, so that the others need not look.
CREATE TABLE fraud_nodes (
    node TEXT COLLATE "C" PRIMARY KEY,
    seq  BIGINT NOT NULL,
    at   BIGINT NOT NULL
);

-- What the rules compare with that look further back than a day. Of a node each, so
-- that none waits for another.
CREATE TABLE fraud_hours (
    hour    BIGINT NOT NULL,                        -- since 1970
    account TEXT COLLATE "C" NOT NULL,
    country TEXT COLLATE "C" NOT NULL,
    node    TEXT COLLATE "C" NOT NULL,
    starts  BIGINT NOT NULL,
    spend   BIGINT NOT NULL,
    PRIMARY KEY (account, country, hour, node)
);

CREATE INDEX fraud_hours_hour ON fraud_hours (hour);

CREATE TABLE fraud_blocks (
    id         TEXT COLLATE "C" PRIMARY KEY,
    account    TEXT COLLATE "C" NOT NULL,                    -- '' for all
    kind       TEXT COLLATE "C" NOT NULL,                    -- network, prefix, country, range, source, voice, account
    value      TEXT COLLATE "C" NOT NULL,
    rule       TEXT COLLATE "C" NOT NULL,
    action     TEXT    NOT NULL,                    -- block, shadow, alert
    network    TEXT COLLATE "C" NOT NULL,                    -- as replies name it
    figures    TEXT    NOT NULL,                    -- JSON
    since      BIGINT  NOT NULL,
    until      BIGINT,                              -- NULL: until it is lifted
    repeats    INTEGER NOT NULL,
    ordinal    INTEGER NOT NULL,
    lifted_at  BIGINT,
    lifted_by  TEXT    NOT NULL DEFAULT '',
    changed_at BIGINT  NOT NULL
);

-- Two nodes that decide the same at a time make one block.
CREATE UNIQUE INDEX fraud_blocks_target ON fraud_blocks (rule, account, kind, value, ordinal);
CREATE INDEX fraud_blocks_changed ON fraud_blocks (changed_at);

CREATE TABLE fraud_unblocks (
    account    TEXT COLLATE "C" NOT NULL,
    network    TEXT COLLATE "C" NOT NULL,
    until      BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (account, network)
);

-- +goose Down
DROP TABLE fraud_unblocks;
DROP TABLE fraud_blocks;
DROP TABLE fraud_hours;
DROP TABLE fraud_nodes;
DROP TABLE fraud_log;
