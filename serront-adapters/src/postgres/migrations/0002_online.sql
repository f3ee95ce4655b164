-- Online checkout: checkouts, sessions' names, ledger, exceptions, notifications, and errands at Plugipay. It only adds
-- tables, so that a host of the version before goes on working beside it.

-- What is known of an account's notification endpoint, with its secrets.
CREATE TABLE @.provisioning (
    account_id text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    state text NOT NULL
);

-- Covered by the order's version.
CREATE TABLE @.checkouts (
    checkout_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    fee_rate text NOT NULL,
    -- The exact bytes of the call that mints the session.
    request text NOT NULL,
    created_at bigint NOT NULL,
    status text COLLATE "C" NOT NULL,
    session_id text COLLATE "C",
    hosted_url text,
    expires_at bigint,
    unneeded boolean NOT NULL,
    ended_at bigint,
    PRIMARY KEY (checkout_id, account_id),
    FOREIGN KEY (order_id, account_id) REFERENCES @.orders (order_id, account_id)
);
-- What every read of an order looks for, and seldom finds.
CREATE INDEX checkouts_live ON @.checkouts (order_id, account_id) WHERE status IN ('intended', 'open');

-- The names of sessions: the row on which a notification and the commit that makes its session known meet.
CREATE TABLE @.sessions (
    session_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    checkout_id text COLLATE "C",
    PRIMARY KEY (session_id, account_id)
);

CREATE TABLE @.ledger_entries (
    entry_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    tx_id text COLLATE "C" NOT NULL,
    book text COLLATE "C" NOT NULL,
    code text COLLATE "C" NOT NULL,
    direction text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    source_type text COLLATE "C" NOT NULL,
    source_id text COLLATE "C" NOT NULL,
    description text,
    created_at bigint NOT NULL,
    PRIMARY KEY (entry_id, account_id)
);
-- The seller's page of any filter is merged from the few codes and kinds of source; one source has few entries.
CREATE INDEX ledger_entries_by_code ON @.ledger_entries (account_id, code, source_type, created_at, entry_id)
    WHERE book = 'seller';
CREATE INDEX ledger_entries_by_source ON @.ledger_entries (source_id, account_id) WHERE book = 'seller';

-- The legs on the seller's balance, summed up. Folded as the counts of orders are: a commit appends what it changes.
CREATE TABLE @.ledger_balances (
    account_id text COLLATE "C" NOT NULL,
    code text COLLATE "C" NOT NULL,
    debits bigint NOT NULL,
    credits bigint NOT NULL,
    PRIMARY KEY (account_id, code)
);
CREATE TABLE @.ledger_deltas (
    change_set_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    code text COLLATE "C" NOT NULL,
    debits bigint NOT NULL,
    credits bigint NOT NULL,
    PRIMARY KEY (change_set_id, account_id, code)
);
CREATE INDEX ledger_deltas_by_account ON @.ledger_deltas (account_id);

CREATE TABLE @.exceptions (
    exception_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    kind text NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    created_at bigint NOT NULL,
    status text COLLATE "C" NOT NULL,
    note text,
    resolved_at bigint,
    PRIMARY KEY (exception_id, account_id)
);
CREATE INDEX exceptions_by_status ON @.exceptions (account_id, status, created_at, exception_id);

-- What Plugipay notified of, as its raw bytes, each event once.
CREATE TABLE @.inbox (
    event_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    event_type text NOT NULL,
    session_id text COLLATE "C",
    body text NOT NULL,
    received_at bigint NOT NULL,
    status text COLLATE "C" NOT NULL,
    PRIMARY KEY (event_id, account_id)
);
-- What nothing came of yet: looked up by its session, and sorted for the operator, for it is little.
CREATE INDEX inbox_waiting ON @.inbox (session_id, account_id)
    WHERE status IN ('parked', 'foreign_currency', 'unreadable');

-- What is to be done at Plugipay: effects in a lane of their own, which hosts of the version before never take.
CREATE TABLE @.errands (
    effect_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    -- The errand as JSON.
    content text NOT NULL,
    created_at bigint NOT NULL,
    status text COLLATE "C" NOT NULL,
    due_at bigint NOT NULL,
    attempts bigint NOT NULL DEFAULT 0,
    fence bigint NOT NULL DEFAULT 0,
    lease_until bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (effect_id, account_id)
);
CREATE INDEX errands_due ON @.errands (due_at, effect_id) WHERE status = 'pending';
CREATE INDEX errands_finished ON @.errands (created_at) WHERE status <> 'pending';
