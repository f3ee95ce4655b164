-- Rows that can't be read, such as those of a newer version after a rollback: each stops only itself.
CREATE TABLE @.set_aside (
    -- What it is.
    kind text COLLATE "C" NOT NULL,
    row_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    -- Which part of it can't be read: a column's name, never its content.
    what text NOT NULL,
    since bigint NOT NULL,
    tried_at bigint NOT NULL,
    -- The newest version that tried.
    tried_by bigint NOT NULL,
    PRIMARY KEY (kind, row_id, account_id)
);

-- What no read of this version looks for, since its state or kind is not known. As a rule there is nothing.
CREATE INDEX effects_unknown ON @.effects (effect_id)
    WHERE status NOT IN ('pending', 'succeeded', 'failed') OR kind NOT IN ('mail', 'delivery', 'removal');
CREATE INDEX errands_unknown ON @.errands (effect_id) WHERE status NOT IN ('pending', 'succeeded', 'failed');
CREATE INDEX payouts_unknown ON @.payouts (payout_id)
    WHERE status NOT IN ('pending', 'in_transit', 'paid', 'cancelled', 'failed');
CREATE INDEX inbox_unknown ON @.inbox (event_id)
    WHERE status NOT IN ('applied', 'noted', 'parked', 'foreign_currency', 'unreadable');
