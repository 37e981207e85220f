-- The submitter's half of the store: the outbox, and what ties tasks to it.
--
-- A submission is never deleted: it is what an Idempotency-Key stands for, and the proof of what was asked.
-- Its row is small, because it changes at every step; what is large and never changes stands beside it.
-- States and holds are numbers, as listed in store/outbox.h.

CREATE TABLE submission (
        n INTEGER PRIMARY KEY,          -- in the order of arrival
        id TEXT NOT NULL UNIQUE,
        type INTEGER NOT NULL,
        state INTEGER NOT NULL,
        is_test INTEGER NOT NULL,
        cancel_wanted INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        changed_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        next_at INTEGER,                -- only where it is queued or unknown
        attempts INTEGER NOT NULL,
        sent_at INTEGER,
        floor_at INTEGER,
        task INTEGER REFERENCES task (id), -- where it is accepted
        failure INTEGER NOT NULL,       -- a delivery: an attachment failed before the task was known
        status INTEGER NOT NULL,        -- of the last answer
        idempotency_key TEXT,
        digest BLOB NOT NULL,           -- of type and parameters
        error TEXT,
        answer TEXT,
        problems TEXT
) STRICT;

CREATE INDEX submission_by_state ON submission (state);
CREATE INDEX submission_by_due ON submission (state, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX submission_by_cancel ON submission (state) WHERE cancel_wanted = 1;
CREATE UNIQUE INDEX submission_by_key ON submission (idempotency_key) WHERE idempotency_key IS NOT NULL;

-- What is to be sent.
CREATE TABLE parameters (
        submission INTEGER PRIMARY KEY REFERENCES submission (n),
        body BLOB NOT NULL
) STRICT;

-- What the API said of the task, {"task_id": ..., "task": {...}}, until a delivery brings a document.
CREATE TABLE account (
        submission INTEGER PRIMARY KEY REFERENCES submission (n),
        body BLOB NOT NULL
) STRICT;

-- By which a failed attachment finds its submission: until the task has an end.
CREATE TABLE attachment (
        submission INTEGER NOT NULL REFERENCES submission (n),
        hash INTEGER NOT NULL,          -- of the URL
        url TEXT NOT NULL,
        open INTEGER NOT NULL,          -- there is, or may be, a pending task of which none failed yet
        PRIMARY KEY (submission, hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX attachment_by_hash ON attachment (hash, submission) WHERE open = 1;

CREATE TABLE tally_of_submissions (
        state INTEGER PRIMARY KEY,
        count INTEGER NOT NULL
) STRICT;

-- One row at most; none: it runs.
CREATE TABLE queue (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        hold INTEGER NOT NULL,
        reason TEXT NOT NULL,
        since INTEGER NOT NULL
) STRICT;

-- Tasks sent with a live key, by days of UTC since 1970.
CREATE TABLE live_day (
        day INTEGER PRIMARY KEY,
        sent INTEGER NOT NULL
) STRICT;

ALTER TABLE task ADD COLUMN submission INTEGER REFERENCES submission (n);
ALTER TABLE task ADD COLUMN due_at INTEGER; -- when it should be done; always there while it is pending

UPDATE task SET due_at = created_at + 604800000000 WHERE status = 0; -- a week
CREATE INDEX task_by_due ON task (due_at) WHERE status = 0;
