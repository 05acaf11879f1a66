-- Version 1. Times are seconds since the epoch, UTC. The text of a job is JSON as its worker will get it, less
-- enqueued_at and failure, which change while it lives.

-- A job as it was pushed. Rows are added at one end and deleted, mostly, at the other; none is ever changed.
CREATE TABLE jobs (
    id          INTEGER PRIMARY KEY,  -- grows with every push; a job enqueued at once has it as its position, too
    queue       TEXT    NOT NULL,
    priority    INTEGER NOT NULL,     -- 1 to 9; 9 is fetched first
    at          REAL,                 -- when a scheduled job is due; NULL when it was enqueued at once
    enqueued_at REAL,
    body        TEXT    NOT NULL
);

-- Where a job is, once it has left its first place. A job without a row here is in its queue, or, with jobs.at, in the
-- scheduled set.
CREATE TABLE places (
    id          INTEGER PRIMARY KEY,  -- jobs.id
    place       INTEGER NOT NULL,     -- 0 queued, 1 scheduled, 2 retries, 3 dead, 4 working
    position    INTEGER NOT NULL,     -- its turn in the queue; from the same numbers as jobs.id
    at          REAL,                 -- retries: when it is due; dead: when it is dropped; working: when the
                                      -- reservation was to end, counted from reserved_at
    enqueued_at REAL,
    failure     TEXT    NOT NULL,     -- the job's failure object as JSON, or ''
    wid         TEXT    NOT NULL,     -- working: the worker that fetched it, or ''
    reserved_at REAL
);

-- The queues that exist. A queued job below the floor of its queue, or of no queue, was removed with it and is swept
-- away in the background.
CREATE TABLE queues (
    name   TEXT    PRIMARY KEY,
    paused INTEGER NOT NULL,
    floor  INTEGER NOT NULL
) WITHOUT ROWID;

-- Workers that have sent a heartbeat: their jobs are taken back a minute after the last sign of life.
CREATE TABLE workers (wid TEXT PRIMARY KEY) WITHOUT ROWID;

-- Statistics: one row a UTC day, such as 2026-11-21, and one named total.
CREATE TABLE days (
    day       TEXT    PRIMARY KEY,
    processed INTEGER NOT NULL,
    failures  INTEGER NOT NULL
) WITHOUT ROWID;
