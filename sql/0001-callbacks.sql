-- The receiver's half of the store.
--
-- The log (`delivery`) is the truth: a row is added for what came, and is never changed again; all else
-- follows from it. What is decided about a delivery later stands beside it, in small tables.
-- Keys are integers in the order of arrival: rows and indexes grow at their ends, and a text is kept once.
-- Times are microseconds since 1970, UTC. Verdicts, sources, states of tasks and kinds of events are
-- numbers, as listed in store/types.h and task/type.h. 0 or NULL: none.
-- References are declared for who reads this, and held by tests; they are not enforced at run time.

-- The names of task types; 0 elsewhere: not known.
CREATE TABLE type (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE delivery (
        n INTEGER PRIMARY KEY,
        received_at INTEGER NOT NULL,
        source INTEGER NOT NULL,
        verdict INTEGER NOT NULL,       -- at arrival; see quarantine
        status INTEGER NOT NULL,        -- answered
        unchecked INTEGER NOT NULL,
        type INTEGER NOT NULL,
        task INTEGER REFERENCES task (id),
        revision INTEGER NOT NULL,      -- made by it, or repeated by it
        duration INTEGER NOT NULL,
        fingerprint INTEGER,            -- of the body, where no revision stands on it: to find repetitions
        key_label TEXT,
        remote TEXT,
        ref TEXT,
        named TEXT,                     -- the task_id in the body, where it is no task of ours
        problems TEXT,
        body BLOB NOT NULL
) STRICT;

CREATE TRIGGER delivery_is_final BEFORE UPDATE ON delivery
BEGIN
        SELECT RAISE(ABORT, 'the log of deliveries is append-only');
END;

-- All of these leave out the ordinary delivery, the first response of its task.
CREATE INDEX delivery_by_verdict ON delivery (verdict) WHERE verdict > 0;
CREATE INDEX delivery_by_fingerprint ON delivery (fingerprint) WHERE fingerprint IS NOT NULL;
CREATE INDEX delivery_by_task ON delivery (task) WHERE fingerprint IS NOT NULL;
CREATE INDEX delivery_by_age ON delivery (received_at) WHERE fingerprint IS NOT NULL;
CREATE INDEX delivery_by_name ON delivery (named) WHERE named IS NOT NULL;
-- Which task belongs to a submission.
CREATE INDEX delivery_by_ref ON delivery (ref) WHERE ref IS NOT NULL AND task IS NOT NULL;

-- The same bytes again.
CREATE TABLE repeat (
        delivery INTEGER PRIMARY KEY REFERENCES delivery (n),
        count INTEGER NOT NULL,
        last_at INTEGER NOT NULL
) STRICT;

-- Every invalid delivery, and whether it is still waiting for somebody.
CREATE TABLE quarantine (
        delivery INTEGER PRIMARY KEY REFERENCES delivery (n),
        discarded INTEGER NOT NULL,
        superseded_by INTEGER NOT NULL
) STRICT;

CREATE INDEX quarantine_by_state ON quarantine (discarded);

CREATE TABLE task (
        id INTEGER PRIMARY KEY,
        task_id TEXT NOT NULL UNIQUE,
        type INTEGER NOT NULL,
        status INTEGER NOT NULL,
        is_test INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        completed_at INTEGER,           -- of the current revision
        document INTEGER REFERENCES delivery (n),
        response INTEGER REFERENCES delivery (n),
        revision INTEGER NOT NULL,      -- the current one's number
        revisions INTEGER NOT NULL,     -- how many there are
        last_event INTEGER NOT NULL,
        metadata BLOB                   -- what metadata has of it: key NUL value NUL ...
) STRICT;

-- The one index for all lists: within a kind (type, status, is_test) tasks are in list order, and the
-- few kinds that there are (see tally) get merged.
CREATE INDEX task_by_kind ON task (type, status, is_test, created_at);

CREATE TABLE revision (
        task INTEGER NOT NULL REFERENCES task (id),
        number INTEGER NOT NULL,
        delivery INTEGER NOT NULL REFERENCES delivery (n),
        completed_at INTEGER NOT NULL,
        digest BLOB NOT NULL,           -- of the response, as a JSON value
        PRIMARY KEY (task, number)
) STRICT, WITHOUT ROWID;

-- The feed: no gaps in seq.
CREATE TABLE event (
        seq INTEGER PRIMARY KEY,
        time INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        type INTEGER NOT NULL,
        task INTEGER REFERENCES task (id),
        status INTEGER,
        revision INTEGER NOT NULL,
        delivery INTEGER NOT NULL,      -- may have been pruned
        named TEXT,
        submission TEXT
) STRICT;

-- What tasks can be searched for, in the order of lists.
CREATE TABLE metadata (
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        task INTEGER NOT NULL REFERENCES task (id),
        PRIMARY KEY (key, value, created_at, task)
) STRICT, WITHOUT ROWID;

-- Counters, so that nothing must be counted: tasks by kind; the same by the hour of created_at; deliveries.
CREATE TABLE tally (
        type INTEGER NOT NULL,
        status INTEGER NOT NULL,
        is_test INTEGER NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (type, status, is_test)
) STRICT, WITHOUT ROWID;

CREATE TABLE tally_by_hour (
        hour INTEGER NOT NULL,
        type INTEGER NOT NULL,
        status INTEGER NOT NULL,
        is_test INTEGER NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (hour, type, status, is_test)
) STRICT, WITHOUT ROWID;

CREATE TABLE tally_of_verdicts (
        verdict INTEGER PRIMARY KEY,
        deliveries INTEGER NOT NULL,
        repeats INTEGER NOT NULL
) STRICT;
