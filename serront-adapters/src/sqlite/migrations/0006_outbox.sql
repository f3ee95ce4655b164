-- Effects that were given up and that an operator wants no more of: off the list, and on record for good.
ALTER TABLE effects ADD COLUMN discarded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE errands ADD COLUMN discarded INTEGER NOT NULL DEFAULT 0;
-- The list reads these; the indexes before them serve hosts of the version before, and go with a later one.
CREATE INDEX effects_listed ON effects (created_at, effect_id) WHERE status = 'failed' AND NOT discarded;
CREATE INDEX errands_listed ON errands (created_at, effect_id) WHERE status = 'failed' AND NOT discarded;

CREATE TABLE discards (
    audit_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    effect_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (audit_id, account_id)
) WITHOUT ROWID;
CREATE INDEX discards_by_time ON discards (at, audit_id);
