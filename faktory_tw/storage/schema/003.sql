-- Version 3. What features know of jobs beyond the jobs themselves: locks of unique jobs, for example. What key and value
-- mean is the feature's own business.
CREATE TABLE entries (
    kind  TEXT NOT NULL,  -- which feature's
    key   BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
