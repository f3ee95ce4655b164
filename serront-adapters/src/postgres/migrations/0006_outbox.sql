-- Effects that were given up and that an operator wants no more of: off the list, and on record for good.
ALTER TABLE @.effects ADD COLUMN discarded boolean NOT NULL DEFAULT false;
ALTER TABLE @.errands ADD COLUMN discarded boolean NOT NULL DEFAULT false;
-- The list reads these; the indexes before them serve hosts of the version before, and go with a later one.
CREATE INDEX effects_listed ON @.effects (created_at, effect_id) WHERE status = 'failed' AND NOT discarded;
CREATE INDEX errands_listed ON @.errands (created_at, effect_id) WHERE status = 'failed' AND NOT discarded;

CREATE TABLE @.discards (
    audit_id text NOT NULL,
    account_id text NOT NULL,
    effect_id text NOT NULL,
    at bigint NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (audit_id, account_id)
);
CREATE INDEX discards_by_time ON @.discards (at, audit_id);
