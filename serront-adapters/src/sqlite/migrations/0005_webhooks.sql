-- What is queued for one subscription, to be given up when it is paused, switched off or deleted.
CREATE INDEX deliveries_pending ON effects (subscription_id, account_id) WHERE status = 'pending';

-- The failed attempts in a row at a subscription's deliveries, and when the first of them began. Not part of what its version
-- tells of.
ALTER TABLE subscriptions ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN failing_since INTEGER;

-- The secret before the present one, and until when it signs too.
ALTER TABLE subscriptions ADD COLUMN previous_secret TEXT;
ALTER TABLE subscriptions ADD COLUMN previous_until INTEGER;
