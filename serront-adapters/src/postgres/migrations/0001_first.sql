-- `@.` stands for the schema that the host chose. Times are milliseconds since 1970 in UTC; ids are their text, compared
-- byte by byte; money is whole rupiah; bytes rendered once are text, for jsonb would reorder them.
-- Every primary key and unique constraint outside `directory` includes the account.

CREATE TABLE @.accounts (
    account_id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    created_at bigint NOT NULL,
    version bigint NOT NULL,
    tier text NOT NULL,
    modules text NOT NULL,
    plugipay_account_id text
);

-- Apart from the account's row, so that numbering moves no version that others guard on.
CREATE TABLE @.order_numbers (
    account_id text COLLATE "C" PRIMARY KEY,
    last_number bigint NOT NULL
) WITH (fillfactor = 50);

-- How many services a catalog holds: the row on which "fewer than the limit" is decided.
CREATE TABLE @.service_counts (
    account_id text COLLATE "C" PRIMARY KEY,
    services bigint NOT NULL
);

CREATE TABLE @.storefronts (
    account_id text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    slug text NOT NULL,
    display_name text NOT NULL,
    bio text,
    payment text NOT NULL,
    hide_branding boolean NOT NULL,
    published boolean NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);

CREATE TABLE @.services (
    account_id text COLLATE "C" NOT NULL,
    service_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    slug text NOT NULL,
    name text NOT NULL,
    description text,
    pricing text NOT NULL,
    active boolean NOT NULL,
    sort_order bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    -- Set with the first order, so that a deletion that waited for the row's lock sees it.
    has_orders boolean NOT NULL DEFAULT false,
    PRIMARY KEY (account_id, service_id),
    UNIQUE (account_id, slug)
);

CREATE TABLE @.orders (
    order_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    service_id text COLLATE "C" NOT NULL,
    access_token text NOT NULL,
    access_token_hash text COLLATE "C" NOT NULL,
    buyer_name text NOT NULL,
    buyer_email text NOT NULL,
    buyer_phone text,
    package_name text,
    preferred_date text,
    notes text,
    -- The words of the buyer's name, address and notes, each behind the account's id.
    search tsvector NOT NULL,
    language text NOT NULL,
    created_at bigint NOT NULL,
    version bigint NOT NULL,
    status text COLLATE "C" NOT NULL,
    payment_status text COLLATE "C" NOT NULL,
    quoted_price bigint NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (order_id, account_id),
    UNIQUE (account_id, number),
    UNIQUE (access_token_hash, account_id),
    FOREIGN KEY (account_id, service_id) REFERENCES @.services (account_id, service_id)
);
-- A page of any filter is read from one of these in order, or merged from the few that differ in one state.
CREATE INDEX orders_by_states ON @.orders (account_id, status, payment_status, number);
CREATE INDEX orders_by_payment ON @.orders (account_id, payment_status, number);
CREATE INDEX orders_by_service ON @.orders (account_id, service_id, number);
CREATE INDEX orders_by_service_and_states ON @.orders (account_id, service_id, status, payment_status, number);

CREATE INDEX orders_by_word ON @.orders USING gin (search);

-- Counts are folded: a commit appends what it changes, and a folder moves that into the totals.
CREATE TABLE @.order_counts (
    account_id text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    orders bigint NOT NULL,
    PRIMARY KEY (account_id, status)
);
CREATE TABLE @.order_count_deltas (
    change_set_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    delta bigint NOT NULL,
    PRIMARY KEY (change_set_id, account_id, status)
);
CREATE INDEX order_count_deltas_by_account ON @.order_count_deltas (account_id);

CREATE TABLE @.payments (
    payment_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    status text NOT NULL,
    amount_due bigint NOT NULL,
    receipt_upload_id text COLLATE "C",
    receipt_type text,
    receipt_bytes bigint,
    receipt_sha256 text,
    receipt_at bigint,
    PRIMARY KEY (payment_id, account_id),
    FOREIGN KEY (order_id, account_id) REFERENCES @.orders (order_id, account_id)
);
CREATE INDEX payments_by_order ON @.payments (order_id, account_id);
CREATE UNIQUE INDEX payments_by_upload ON @.payments (receipt_upload_id, account_id)
    WHERE receipt_upload_id IS NOT NULL;

CREATE TABLE @.api_keys (
    key_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    prefix text NOT NULL,
    hash text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    last_used_at bigint,
    PRIMARY KEY (key_id, account_id),
    UNIQUE (account_id, hash)
);

CREATE TABLE @.subscriptions (
    subscription_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    version bigint NOT NULL,
    url text NOT NULL,
    events text NOT NULL,
    active boolean NOT NULL,
    secret text NOT NULL,
    PRIMARY KEY (subscription_id, account_id)
);
CREATE INDEX subscriptions_by_account ON @.subscriptions (account_id, subscription_id);

CREATE TABLE @.audit (
    audit_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    actor text NOT NULL,
    act text NOT NULL,
    note text,
    PRIMARY KEY (audit_id, account_id)
);
CREATE INDEX audit_by_order ON @.audit (order_id, account_id, at, audit_id);

-- The directories: the only names that are unique across accounts.
CREATE TABLE @.directory (
    kind text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, name)
);

-- Names that are unique within an account.
CREATE TABLE @.claims (
    name text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (name, kind, account_id)
);

CREATE TABLE @.kept_outcomes (
    scope text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    fingerprint text NOT NULL,
    outcome text NOT NULL,
    until bigint NOT NULL,
    PRIMARY KEY (scope, account_id)
);
CREATE INDEX kept_outcomes_by_end ON @.kept_outcomes (until);

CREATE TABLE @.change_sets (
    change_set_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    number bigint,
    PRIMARY KEY (change_set_id, account_id)
);
CREATE INDEX change_sets_by_time ON @.change_sets USING brin (at);

CREATE TABLE @.effects (
    effect_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    -- A mail as JSON, a delivery's body, or the upload to remove.
    content text NOT NULL,
    subscription_id text COLLATE "C",
    event_id text COLLATE "C",
    event_type text COLLATE "C",
    created_at bigint NOT NULL,
    status text COLLATE "C" NOT NULL,
    due_at bigint NOT NULL,
    attempts bigint NOT NULL DEFAULT 0,
    fence bigint NOT NULL DEFAULT 0,
    lease_until bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (effect_id, account_id)
);
CREATE INDEX effects_due ON @.effects (due_at, effect_id) WHERE status = 'pending';
CREATE INDEX effects_leased ON @.effects (subscription_id, lease_until) WHERE status = 'pending' AND lease_until > 0;
CREATE INDEX effects_finished ON @.effects (created_at) WHERE status <> 'pending';
CREATE INDEX deliveries ON @.effects (account_id, created_at, effect_id) WHERE kind = 'delivery';
CREATE INDEX deliveries_by_subscription ON @.effects (account_id, subscription_id, created_at, effect_id)
    WHERE kind = 'delivery';
CREATE INDEX deliveries_by_status ON @.effects (account_id, status, created_at, effect_id) WHERE kind = 'delivery';
CREATE INDEX deliveries_by_type ON @.effects (account_id, event_type, created_at, effect_id) WHERE kind = 'delivery';

CREATE TABLE @.attempts (
    effect_id text COLLATE "C" NOT NULL,
    attempt_number bigint NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    status text NOT NULL,
    response_code bigint,
    error text,
    duration_ms bigint NOT NULL,
    attempted_at bigint NOT NULL,
    next_retry_at bigint,
    PRIMARY KEY (effect_id, attempt_number, account_id)
);
