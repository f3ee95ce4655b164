-- The installation that this database belongs to: one row. Its id stands in the receipts' store as well, so that a host
-- finds out that it was given another installation's. The key check is a known text, sealed under the installation's keys.
CREATE TABLE installation (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    installation_id TEXT NOT NULL,
    key_check TEXT
);
