-- What waits, by kind: each is worked through on its own. And the queue of each subscription, by itself.
CREATE INDEX effects_waiting ON @.effects (kind, due_at, effect_id) WHERE status = 'pending';
CREATE INDEX deliveries_queued ON @.effects (subscription_id, due_at, effect_id)
    WHERE status = 'pending' AND subscription_id IS NOT NULL;

-- What these two are for is read from the new ones.
DROP INDEX @.effects_due;
DROP INDEX @.deliveries_pending;
