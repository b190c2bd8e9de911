-- +goose Up
-- Kinds of entries: charge, refund, top-up, carried; and carrier-cost, carried-cost,
-- which are what the operator owes carriers, and not part of the balance.
ALTER TABLE ledger ADD COLUMN sub_account TEXT NOT NULL DEFAULT '';      -- whose the matter is, where another account pays
ALTER TABLE ledger_past ADD COLUMN sub_account TEXT NOT NULL DEFAULT '';

ALTER TABLE verifications ADD COLUMN payer  TEXT    NOT NULL DEFAULT '';    -- account that pays; '' for its own
ALTER TABLE verifications ADD COLUMN paid   BOOLEAN NOT NULL DEFAULT TRUE;  -- the price was charged, and not refunded
ALTER TABLE verifications ADD COLUMN unsent BOOLEAN NOT NULL DEFAULT FALSE; -- an event never left: a refund is to be looked at once it is over
ALTER TABLE verifications ADD COLUMN cost   BIGINT  NOT NULL DEFAULT 0;     -- the sum of that of its events

ALTER TABLE accounts ADD COLUMN low_since BIGINT; -- the balance fell below the warning then; NULL while it is not

-- Of several that fit, the longest prefix counts, then the country, then '' for all
-- others; and a price for the channel before one for all.
CREATE TABLE price_list (
    carrier     TEXT COLLATE "C" NOT NULL,                    -- what it charges the operator; '' for what accounts pay
    country     TEXT COLLATE "C" NOT NULL,                    -- ISO 3166-1 alpha-2; '' for all others, and with a prefix
    prefix      TEXT COLLATE "C" NOT NULL,                    -- first digits of the number; '' for none
    channel     TEXT COLLATE "C" NOT NULL,                    -- '' for all
    amount      BIGINT NOT NULL,
    valid_from  BIGINT NOT NULL,                    -- 0 for since ever
    valid_until BIGINT,                             -- the first moment at which it is over; NULL for never
    PRIMARY KEY (carrier, country, prefix, channel, valid_from)
);

INSERT INTO price_list (carrier, country, prefix, channel, amount, valid_from)
    SELECT '', country, '', '', amount, 0 FROM prices;
DROP TABLE prices;

-- +goose Down
CREATE TABLE prices (
    country TEXT COLLATE "C" PRIMARY KEY,
    amount  BIGINT NOT NULL
);
INSERT INTO prices (country, amount) SELECT country, amount FROM price_list
    WHERE carrier = '' AND prefix = '' AND channel = '' AND valid_until IS NULL;
DROP TABLE price_list;
ALTER TABLE accounts DROP COLUMN low_since;
ALTER TABLE verifications DROP COLUMN cost;
ALTER TABLE verifications DROP COLUMN unsent;
ALTER TABLE verifications DROP COLUMN paid;
ALTER TABLE verifications DROP COLUMN payer;
ALTER TABLE ledger_past DROP COLUMN sub_account;
ALTER TABLE ledger DROP COLUMN sub_account;
