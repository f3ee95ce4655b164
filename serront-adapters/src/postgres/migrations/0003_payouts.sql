-- The seller's money: what is in flight, payouts, where they go, operators' adjustments. It only adds, so that a
-- host of the version before goes on working beside it.

-- The row that all debits of an account write.
CREATE TABLE @.funds (
    account_id text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    in_flight bigint NOT NULL
);

-- Where an account's payouts go by default, as JSON.
CREATE TABLE @.bank_accounts (
    account_id text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    details text NOT NULL
);

CREATE TABLE @.payouts (
    payout_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    -- Where it goes, as JSON, as it was when the payout was asked for.
    bank text NOT NULL,
    note text,
    created_at bigint NOT NULL,
    version bigint NOT NULL,
    status text COLLATE "C" NOT NULL,
    reference text,
    failure_reason text,
    processed_at bigint,
    completed_at bigint,
    updated_at bigint NOT NULL,
    PRIMARY KEY (payout_id, account_id)
);
-- The seller's page of any state is merged from the few states.
CREATE INDEX payouts_by_status ON @.payouts (account_id, status, created_at, payout_id);
-- What operators have to do, of all accounts: it is little.
CREATE INDEX payouts_in_flight ON @.payouts (created_at, payout_id) WHERE status IN ('pending', 'in_transit');

CREATE TABLE @.payout_audit (
    audit_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    payout_id text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    actor text NOT NULL,
    from_status text COLLATE "C",
    to_status text COLLATE "C" NOT NULL,
    note text,
    PRIMARY KEY (audit_id, account_id),
    FOREIGN KEY (payout_id, account_id) REFERENCES @.payouts (payout_id, account_id)
);
CREATE INDEX payout_audit_by_payout ON @.payout_audit (payout_id, account_id);

CREATE TABLE @.adjustments (
    adjustment_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    direction text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    reason text NOT NULL,
    reference text COLLATE "C" NOT NULL,
    actor text NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (adjustment_id, account_id),
    UNIQUE (reference, account_id)
);

-- The adjustment that settled an exception, where one was named.
ALTER TABLE @.exceptions ADD COLUMN adjustment_id text COLLATE "C";
