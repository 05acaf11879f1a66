-- Version 2. Small batches that are on disk but not in the tables yet; see journal.py. The server empties it when it
-- stops, and takes over what is left in it when it starts.
CREATE TABLE journal (
    batch   INTEGER PRIMARY KEY,
    changes BLOB    NOT NULL  -- MessagePack
);
