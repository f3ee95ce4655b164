-- How many whole seconds the last attempt at a subscription's deliveries took. Not part of what its version tells of.
ALTER TABLE @.subscriptions ADD COLUMN took_seconds bigint NOT NULL DEFAULT 0;
