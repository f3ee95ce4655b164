-- What was given up, of all accounts, newest first, for operators: it is little.
CREATE INDEX effects_given_up ON effects (created_at, effect_id) WHERE status = 'failed';
CREATE INDEX errands_given_up ON errands (created_at, effect_id) WHERE status = 'failed';
