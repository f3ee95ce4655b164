-- Times are milliseconds since 1970 in UTC; ids are their text; money is whole rupiah.
-- Every key outside `directory` includes the account. Tables that only grow are keyed by id first and account second, so
-- that new rows append: ids ascend with time.

CREATE TABLE accounts (
    account_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    tier TEXT NOT NULL,
    modules TEXT NOT NULL,
    plugipay_account_id TEXT
) STRICT, WITHOUT ROWID;

-- Apart from the account's row, so that numbering moves no version.
CREATE TABLE order_numbers (
    account_id TEXT PRIMARY KEY,
    last_number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE storefronts (
    account_id TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    slug TEXT NOT NULL,
    display_name TEXT NOT NULL,
    bio TEXT,
    payment TEXT NOT NULL,
    hide_branding INTEGER NOT NULL,
    published INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE services (
    account_id TEXT NOT NULL,
    service_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    pricing TEXT NOT NULL,
    active INTEGER NOT NULL,
    sort_order INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, service_id),
    UNIQUE (account_id, slug)
) STRICT, WITHOUT ROWID;

CREATE TABLE orders (
    -- Where the index of words finds the row.
    place INTEGER PRIMARY KEY,
    order_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    service_id TEXT NOT NULL,
    access_token TEXT NOT NULL,
    access_token_hash TEXT NOT NULL,
    buyer_name TEXT NOT NULL,
    buyer_email TEXT NOT NULL,
    buyer_phone TEXT,
    package_name TEXT,
    preferred_date TEXT,
    notes TEXT,
    language TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    status TEXT NOT NULL,
    payment_status TEXT NOT NULL,
    quoted_price INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (order_id, account_id),
    UNIQUE (account_id, number),
    UNIQUE (access_token_hash, account_id),
    FOREIGN KEY (account_id, service_id) REFERENCES services (account_id, service_id)
) STRICT;
-- A page of any filter is read from one of these in order, or merged from the few that differ in one state.
CREATE INDEX orders_by_states ON orders (account_id, status, payment_status, number);
CREATE INDEX orders_by_payment ON orders (account_id, payment_status, number);
CREATE INDEX orders_by_service ON orders (account_id, service_id, number);
CREATE INDEX orders_by_service_and_states ON orders (account_id, service_id, status, payment_status, number);

-- The words of the buyer's name, address and notes, each behind the account's id.
CREATE VIRTUAL TABLE order_words USING fts5 (words, content = '', tokenize = 'unicode61 remove_diacritics 0');

CREATE TABLE order_counts (
    account_id TEXT NOT NULL,
    status TEXT NOT NULL,
    orders INTEGER NOT NULL CHECK (orders >= 0),
    PRIMARY KEY (account_id, status)
) STRICT, WITHOUT ROWID;

CREATE TABLE payments (
    payment_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    status TEXT NOT NULL,
    amount_due INTEGER NOT NULL,
    receipt_upload_id TEXT,
    receipt_type TEXT,
    receipt_bytes INTEGER,
    receipt_sha256 TEXT,
    receipt_at INTEGER,
    PRIMARY KEY (payment_id, account_id),
    FOREIGN KEY (order_id, account_id) REFERENCES orders (order_id, account_id)
) STRICT;
CREATE INDEX payments_by_order ON payments (order_id, account_id);
CREATE UNIQUE INDEX payments_by_upload ON payments (receipt_upload_id, account_id) WHERE receipt_upload_id IS NOT NULL;

CREATE TABLE api_keys (
    key_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    PRIMARY KEY (key_id, account_id),
    UNIQUE (account_id, hash)
) STRICT;

CREATE TABLE subscriptions (
    subscription_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    active INTEGER NOT NULL,
    secret TEXT NOT NULL,
    PRIMARY KEY (subscription_id, account_id)
) STRICT;
CREATE INDEX subscriptions_by_account ON subscriptions (account_id, subscription_id);

CREATE TABLE audit (
    audit_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    payment_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    act TEXT NOT NULL,
    note TEXT,
    PRIMARY KEY (audit_id, account_id)
) STRICT;
CREATE INDEX audit_by_order ON audit (order_id, account_id, at, audit_id);

-- The directories: the only names that are unique across accounts.
CREATE TABLE directory (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    account_id TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- Names that are unique within an account.
CREATE TABLE claims (
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    account_id TEXT NOT NULL,
    PRIMARY KEY (name, kind, account_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE kept_outcomes (
    scope TEXT NOT NULL,
    account_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    outcome TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (scope, account_id)
) STRICT;
CREATE INDEX kept_outcomes_by_end ON kept_outcomes (until);

CREATE TABLE change_sets (
    change_set_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    number INTEGER,
    PRIMARY KEY (change_set_id, account_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX change_sets_by_time ON change_sets (at);

CREATE TABLE effects (
    effect_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- A mail as JSON, a delivery's body, or the upload to remove.
    content TEXT NOT NULL,
    subscription_id TEXT,
    event_id TEXT,
    event_type TEXT,
    created_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    fence INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (effect_id, account_id)
) STRICT;
CREATE INDEX effects_due ON effects (due_at, effect_id) WHERE status = 'pending';
CREATE INDEX effects_leased ON effects (subscription_id, lease_until) WHERE status = 'pending' AND lease_until > 0;
CREATE INDEX effects_finished ON effects (created_at) WHERE status <> 'pending';
CREATE INDEX deliveries ON effects (account_id, created_at, effect_id) WHERE kind = 'delivery';
CREATE INDEX deliveries_by_subscription ON effects (account_id, subscription_id, created_at, effect_id)
    WHERE kind = 'delivery';
CREATE INDEX deliveries_by_status ON effects (account_id, status, created_at, effect_id) WHERE kind = 'delivery';
CREATE INDEX deliveries_by_type ON effects (account_id, event_type, created_at, effect_id) WHERE kind = 'delivery';

CREATE TABLE attempts (
    effect_id TEXT NOT NULL,
    attempt_number INTEGER NOT NULL,
    account_id TEXT NOT NULL,
    status TEXT NOT NULL,
    response_code INTEGER,
    error TEXT,
    duration_ms INTEGER NOT NULL,
    attempted_at INTEGER NOT NULL,
    next_retry_at INTEGER,
    PRIMARY KEY (effect_id, attempt_number, account_id)
) STRICT, WITHOUT ROWID;
