-- Online checkout: checkouts, sessions' names, ledger, exceptions, notifications, and errands at Plugipay.

-- What is known of an account's notification endpoint, with its secrets.
CREATE TABLE provisioning (
    account_id TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Covered by the order's version.
CREATE TABLE checkouts (
    checkout_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    amount INTEGER NOT NULL,
    fee_rate TEXT NOT NULL,
    -- The exact bytes of the call that mints the session.
    request TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    session_id TEXT,
    hosted_url TEXT,
    expires_at INTEGER,
    unneeded INTEGER NOT NULL,
    ended_at INTEGER,
    PRIMARY KEY (checkout_id, account_id),
    FOREIGN KEY (order_id, account_id) REFERENCES orders (order_id, account_id)
) STRICT;
-- What every read of an order looks for, and seldom finds.
CREATE INDEX checkouts_live ON checkouts (order_id, account_id) WHERE status IN ('intended', 'open');

-- The names of sessions: the row on which a notification and the commit that makes its session known meet.
CREATE TABLE sessions (
    session_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    checkout_id TEXT,
    PRIMARY KEY (session_id, account_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger_entries (
    entry_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    tx_id TEXT NOT NULL,
    book TEXT NOT NULL,
    code TEXT NOT NULL,
    direction TEXT NOT NULL,
    amount INTEGER NOT NULL,
    source_type TEXT NOT NULL,
    source_id TEXT NOT NULL,
    description TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (entry_id, account_id)
) STRICT;
-- The seller's page of any filter is merged from the few codes and kinds of source; one source has few entries.
CREATE INDEX ledger_entries_by_code ON ledger_entries (account_id, code, source_type, created_at, entry_id)
    WHERE book = 'seller';
CREATE INDEX ledger_entries_by_source ON ledger_entries (source_id, account_id) WHERE book = 'seller';

-- The legs on the seller's balance, summed up in place: there is one writer.
CREATE TABLE ledger_balances (
    account_id TEXT NOT NULL,
    code TEXT NOT NULL,
    debits INTEGER NOT NULL,
    credits INTEGER NOT NULL,
    PRIMARY KEY (account_id, code)
) STRICT, WITHOUT ROWID;

CREATE TABLE exceptions (
    exception_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    kind TEXT NOT NULL,
    order_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    amount INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    note TEXT,
    resolved_at INTEGER,
    PRIMARY KEY (exception_id, account_id)
) STRICT;
CREATE INDEX exceptions_by_status ON exceptions (account_id, status, created_at, exception_id);

-- What Plugipay notified of, as its raw bytes, each event once.
CREATE TABLE inbox (
    event_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    session_id TEXT,
    body TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    PRIMARY KEY (event_id, account_id)
) STRICT;
-- What nothing came of yet: looked up by its session, and sorted for the operator, for it is little.
CREATE INDEX inbox_waiting ON inbox (session_id, account_id)
    WHERE status IN ('parked', 'foreign_currency', 'unreadable');

-- What is to be done at Plugipay: effects in a lane of their own.
CREATE TABLE errands (
    effect_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    -- The errand as JSON.
    content TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    fence INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (effect_id, account_id)
) STRICT;
CREATE INDEX errands_due ON errands (due_at, effect_id) WHERE status = 'pending';
CREATE INDEX errands_finished ON errands (created_at) WHERE status <> 'pending';
