-- The seller's money: what is in flight, payouts, where they go, operators' adjustments.

-- The row that all debits of an account write.
CREATE TABLE funds (
    account_id TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    in_flight INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Where an account's payouts go by default, as JSON.
CREATE TABLE bank_accounts (
    account_id TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    details TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE payouts (
    payout_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    amount INTEGER NOT NULL,
    -- Where it goes, as JSON, as it was when the payout was asked for.
    bank TEXT NOT NULL,
    note TEXT,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    status TEXT NOT NULL,
    reference TEXT,
    failure_reason TEXT,
    processed_at INTEGER,
    completed_at INTEGER,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (payout_id, account_id)
) STRICT;
-- The seller's page of any state is merged from the few states.
CREATE INDEX payouts_by_status ON payouts (account_id, status, created_at, payout_id);
-- What operators have to do, of all accounts: it is little.
CREATE INDEX payouts_in_flight ON payouts (created_at, payout_id) WHERE status IN ('pending', 'in_transit');

CREATE TABLE payout_audit (
    audit_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    payout_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    from_status TEXT,
    to_status TEXT NOT NULL,
    note TEXT,
    PRIMARY KEY (audit_id, account_id),
    FOREIGN KEY (payout_id, account_id) REFERENCES payouts (payout_id, account_id)
) STRICT;
CREATE INDEX payout_audit_by_payout ON payout_audit (payout_id, account_id);

CREATE TABLE adjustments (
    adjustment_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    amount INTEGER NOT NULL,
    reason TEXT NOT NULL,
    reference TEXT NOT NULL,
    actor TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (adjustment_id, account_id),
    UNIQUE (reference, account_id)
) STRICT;

-- The adjustment that settled an exception, where one was named.
ALTER TABLE exceptions ADD COLUMN adjustment_id TEXT;
