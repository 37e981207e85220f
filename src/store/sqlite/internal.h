#pragma once

/* What the store's own files share: connections, statements, the writer. */

#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "basic/parse.h"
#include "store/outbox.h"
#include "store/sqlite/query.h"

/* error.c, connection.c: one connection, its path and its last failure in words. */

#define STORE_APPLICATION_ID 0x5363616c /* "Scal", at its place in the header of the file */
#define STORE_ERROR_MAX      1024U
#define STORE_BUSY_MSEC      5000 /* how long the writer waits for another process's lock */

struct Connection {
        sqlite3 *db;
        char *path;
        bool lost;      /* a sync failed or the files are others: nothing may be tried any more */
        bool no_memory; /* for a text of a row: what it is part of has failed */
        char error[STORE_ERROR_MAX];
};

/* Opens, sets what every connection wants. `vfs`: by which layer of file access; NULL: SQLite's own. The
 * error is left in `c`. 0 or negative errno. */
int connection_open(Connection *c, const char *path, int flags, const char *vfs);
void connection_done(Connection *c);

/* Whose database it is. 0: ours, or an empty one (version 0); -EPROTONOSUPPORT, -ESTALE, -EBADMSG, ... */
int connection_identify(Connection *c, int *ret_version);

/* Translates SQLite's last error into the store's, and into a sentence that begins with `what` ("Could not
 * ..."). Never returns 0 or more. errno has to be cleared before the call that failed: it says which I/O
 * error it was. */
int connection_fail(Connection *c, const char *what);

/* The same for a failure of ours. Returns `error`. */
int connection_refuse(Connection *c, int error, const char *format, ...) _printf_(3, 4);

/* Runs SQL without parameters; reads the one number that it gives. */
int connection_run(Connection *c, const char *sql, const char *what);
int connection_get(Connection *c, const char *sql, const char *what, int64_t *ret);

/* gather.c: a layer of file access that writes a commit to the WAL in large pieces. */

/* For connections that have set synchronous=FULL before they write. NULL: there is none. */
const char *store_gather_vfs(void);

/* Around a COMMIT; nothing where the connection doesn't use the layer. */
void store_gather_start(Connection *c);
void store_gather_end(Connection *c, bool committed);

#define CHAIN_VALUE_SIZE 16U /* bytes: see chain.c */

/* turn.c: whose turn it is to write, among processes. */

typedef struct Turn {
        int fd; /* negative: none */
        bool taken;
} Turn;

#define TURN_INIT ((Turn){ .fd = -EBADF })

/* The file beside the database. 0; -ENOENT where there is none and `make` is false; else the error is left
 * in `c`. */
int turn_open(Turn *t, Connection *c, bool make);
void turn_close(Turn *t);

/* Once there is a database: whoever may write to it may use this file. 0 or negative errno. */
int turn_adopt(Turn *t, const char *database);

/* For as long as the file is open, that is for the life of the store. 0; -EUSERS with a sentence in `c`. */
int role_take(Turn *t, Connection *c, StoreRole role);

/* The same of all roles, so that nobody else has the database. */
int role_take_all(Turn *t, Connection *c, const char *program);

/* Waits at most that long. 0; -EBUSY with a sentence in `c`; else negative errno. Taking what is taken, and
 * letting go of what isn't, do nothing. */
int turn_take(Turn *t, Connection *c, unsigned wait_msec);
void turn_give(Turn *t);

/* A number that is left in the file for the other process, and whether it is what was left last. */
void turn_note(const Turn *t, uint64_t number);
bool turn_noted(const Turn *t, uint64_t number);

/* The newest link's value, left there for whoever opens the database next. False: there is none. */
void turn_note_value(const Turn *t, const uint8_t value[static CHAIN_VALUE_SIZE]);
bool turn_get_value(const Turn *t, uint8_t ret[static CHAIN_VALUE_SIZE]);

/* files.c: whether the files still have their names. */

typedef struct FileId {
        dev_t device;
        ino_t inode;
} FileId;

typedef struct Files {
        int fd; /* of the database, for looking at it only */
        FileId database, wal, shm;
        char *wal_path, *shm_path; /* owned */
        mode_t mode;               /* of the database */
        gid_t group;
        bool moved; /* they were found to be others' */
        char trouble[STORE_ERROR_MAX];
} Files;

#define FILES_INIT ((Files){ .fd = -EBADF })

/* chain.c: what ties a database to its log, and tells it from a copy. */

#define CHAIN_LINK_SIZE 40U
#define CHAIN_SINCE     3 /* the step of the schema that brought it */

typedef struct ChainLink {
        uint8_t value[CHAIN_VALUE_SIZE];
        uint8_t previous[CHAIN_VALUE_SIZE]; /* zeros: it is the first of its database */
} ChainLink;

/* False: it is none, or not whole. */
bool chain_decode(const void *p, size_t size, ChainLink *ret);

/* Within a group: the link behind the one that the group began with. */
int chain_go_on(Store *s);

/* The group was committed, or there was none yet: notes the newest link beside the database. */
void chain_note(Store *s);

/* The same in a transaction that is no group. Nothing is noted. */
int chain_go_on_alone(Connection *c);

/* Before anything is opened, with the turn taken if there is one: whether the database and the log beside it
 * belong together. 0; -EBADMSG with a sentence in `c`: they don't; negative errno. */
int chain_check(const char *path, Connection *c);

/* At the start, before the log is brought over: whether this is not the database that was last written to
 * here, nor one that goes on from that: so somebody put another in its place. 0 or negative errno. */
int chain_is_turned_back(Store *s, bool *ret);

/* Outside a group: makes it one of which store_take_copied() says so. */
int chain_mark_turned_back(Store *s);

/* The database at `target` is a finished copy, which nobody else has open: makes it one that says so, in one
 * file. TIME_NONE where it isn't known when it was made: then it may say so already. Leaves `c` open. */
int chain_mark_copy(const char *target, int64_t at, Connection *c);

/* migrate.c: brings the schema up to date, in one transaction. */

int store_schema_version(void);
int connection_migrate(Connection *c);

/* sql.c: all statements. */

typedef enum WriterStatement {
        W_NUMBERS,
        W_GET_LINK,
        W_SET_LINK,
        W_GET_COPIED,
        W_SET_COPIED,
        W_NOTICE_COPY,
        W_DROP_COPIED,
        W_FIND_TYPE,
        W_ADD_TYPE,
        W_FIND_TASK,
        W_FIND_TASK_OF_REF,
        W_FIND_TASK_OF_NUMBER,
        W_ADD_TASK,
        W_CHANGE_TASK,
        W_GET_METADATA,
        W_SET_METADATA,
        W_ADD_METADATA,
        W_DROP_METADATA,
        W_ADD_DELIVERY,
        W_FIND_ASIDE,
        W_IS_BODY,
        W_COUNT_REPEAT,
        W_GET_VERDICT,
        W_GET_NAMES,
        W_FIND_REVISION,
        W_ADD_REVISION,
        W_SET_REVISION_TIME,
        W_ADD_EVENT,
        W_QUARANTINE,
        W_GET_QUARANTINE,
        W_DISCARD,
        W_TALLY,
        W_TALLY_BY_HOUR,
        W_TALLY_OF_VERDICTS,
        W_GET_RUNNING_TIME,
        W_SET_RUNNING_TIME,
        W_ADD_MARK,
        W_THIN_MARKS,
        W_FIND_MARK,
        W_FIND_OLD,
        W_DROP_DELIVERY,
        W_DROP_REPEAT,
        W_DROP_QUARANTINE,
        W_BEGIN,
        W_COMMIT,
        W_ROLLBACK,
        _W_MAX,
} WriterStatement;

typedef enum ReaderStatement {
        R_TASK,
        R_TASK_BY_KEY,
        R_BODY,
        R_RESPONSE,
        R_FIND_TYPE,
        R_KINDS,
        R_KIND_SLICE,
        R_KIND_TIES,
        R_KIND_COUNT,
        R_OTHERS_TIES,
        R_OTHERS_SLICE,
        R_OTHERS_COUNT,
        R_HAS_METADATA,
        R_COUNT_METADATA,
        R_HOURS,
        R_REVISIONS,
        R_DELIVERY,
        R_DELIVERIES,
        R_DELIVERIES_STORED,
        R_DELIVERIES_OF_VERDICT,
        R_DELIVERIES_OF_QUARANTINE,
        R_DELIVERIES_OF_TASK,
        R_EVENTS,
        R_EVENT_TIME,
        R_LAST_EVENT,
        R_LAST_DELIVERY,
        R_TALLY,
        R_VERDICTS,
        R_BEGIN,
        R_COMMIT,
        R_ROLLBACK,
        _R_MAX,
} ReaderStatement;

extern const char *const store_writer_sql[_W_MAX];
extern const char *const store_reader_sql[_R_MAX];

/* outbox-sql.c: the outbox's. */

typedef enum OutboxWriterStatement {
        OW_FIND,
        OW_FIND_KEY,
        OW_GET,
        OW_GET_TASK,
        OW_ADD,
        OW_ADD_PARAMETERS,
        OW_MOVE,
        OW_ACCEPT,
        OW_SET_CANCEL,
        OW_END_CANCEL,
        OW_FLUSH,
        OW_RECOVER,
        OW_RECOVER_UNKNOWN,
        OW_DOUBT_ATTACHMENTS,
        OW_DOUBT_ENDED,
        OW_DOUBT_UNKNOWN,
        OW_DOUBT_QUEUED,
        OW_SET_FAILURE,
        OW_ADD_ATTACHMENT,
        OW_OPEN_ATTACHMENTS,
        OW_DROP_ATTACHMENTS,
        OW_FIND_ATTACHMENT,
        OW_HAS_ATTACHMENT,
        OW_ADD_ACCOUNT,
        OW_DROP_ACCOUNT,
        OW_TALLY,
        OW_GET_QUEUE,
        OW_SET_QUEUE,
        OW_COUNT_LIVE,
        OW_UNCOUNT_LIVE,
        _OW_MAX,
} OutboxWriterStatement;

typedef enum OutboxReaderStatement {
        OR_SUBMISSION,
        OR_PARAMETERS,
        OR_ACCOUNT,
        OR_LIST,
        OR_LIST_OF_STATE,
        OR_DUE,
        OR_NEXT_DUE,
        OR_CANCEL_WANTED,
        OR_TALLY,
        OR_OLDEST,
        OR_QUEUE,
        OR_LIVE,
        OR_FIND_TASK,
        OR_PENDING,
        OR_DATA_VERSION,
        _OR_MAX,
} OutboxReaderStatement;

extern const char *const outbox_writer_sql[_OW_MAX];
extern const char *const outbox_reader_sql[_OR_MAX];

#define STORE_HOUR ((int64_t)USEC_PER_HOUR)

/* The hour that a time is in; also right before 1970. */
static inline int64_t store_hour(int64_t t)
{
        return t / STORE_HOUR - (t % STORE_HOUR < 0 ? 1 : 0);
}

/* sqlite.c: the writer. */

#define STORE_DELTAS_MAX 128U

/* In counters: all types that are not among STORE_TYPES_OWN. */
#define TYPE_OTHERS (-1)

static inline int64_t type_in_counters(int64_t type)
{
        return type > STORE_TYPES_OWN ? TYPE_OTHERS : type;
}

/* A change of counters, gathered for a group. */
typedef struct StoreDelta {
        int64_t hour, type, count;
        int status;
        bool is_test;
} StoreDelta;

typedef struct StoreTypeName {
        int64_t id;
        char name[CALLBACK_TYPE_MAX + 1];
} StoreTypeName;

struct Store {
        Connection connection;
        sqlite3_stmt *statements[_W_MAX], *outbox[_OW_MAX];
        Turn turn;
        Files files;
        bool in_group;

        /* The newest numbers, within the group; last_event: as committed. */
        int64_t delivery, task, event;
        uint64_t last_event;

        ChainLink link, next_link; /* as the group found it; to be the newest when it is committed */
        bool goes_on;              /* there is a next one */
        int64_t changes;           /* of the connection, when the group began */

        StoreDelta deltas[STORE_DELTAS_MAX];
        size_t n_deltas;
        int64_t verdicts[_VERDICT_MAX], repeats[_VERDICT_MAX];
        int64_t submissions[_SUBMISSION_STATE_MAX];

        StoreTypeName types[STORE_TYPES_OWN]; /* of their own kind; known to be in the database, or in this
                                                 group */
        size_t n_types;

        uint64_t page_size, frames, frames_done; /* of the WAL: there, and already brought over */

        /* The time that was counted when the monotonic clock was `counted_at`; see age.c. */
        bool counts;
        uint64_t counted, counted_at;
};

/* maintain.c: like store_checkpoint(), without waiting, and nothing stays in the log's file. */
int store_empty_log(Store *s);

/* Before opening: makes the database where there is none, refuses what can't be one. */
int files_prepare(Connection *c, const char *path);

/* With the turn taken, once the WAL is there. */
int files_open(Store *s);
void files_close(Files *f);

/* With the turn taken. 0; -EIDRM, for good: see store.h; negative errno: it can't be told. */
int files_check(Store *s);

/* Removes what a backup or a restore that was killed has left beside the database. */
void files_clean(const char *path);

static inline Query store_query(Store *s, WriterStatement statement)
{
        return QUERY(&s->connection, s->statements[statement]);
}

static inline Query outbox_query(Store *s, OutboxWriterStatement statement)
{
        return QUERY(&s->connection, s->outbox[statement]);
}

/* task.c: the writer's view of a task. */

typedef struct TaskRow {
        int64_t id; /* 0: none */
        int64_t type;
        int status;
        bool is_test;
        int64_t created_at, completed_at;
        int64_t document, response; /* deliveries; 0: none. Without a revision the response is the failure
                                     * of an attachment */
        int64_t revision, revisions;
        int64_t last_event;
        int64_t submission; /* 0: not ours */
        int64_t due_at;     /* TIME_NONE only where it never was pending */
        bool described;     /* not a column: what its document says of it was just taken over */
} TaskRow;

/* The type's number, made if need be; 0 for NULL. */
int store_type_id(Store *s, const char *name, int64_t *ret);

/* 1: found, 0: not. */
int store_find_task(Store *s, const char *task_id, TaskRow *ret);
int store_find_task_of_ref(Store *s, const char *ref, TaskRow *ret);
int store_find_task_of_number(Store *s, int64_t id, TaskRow *ret);

/* Writes the row back: `before` is NULL for a new one. Keeps counters, metadata and what its submission
 * still has of it in step; the metadata is `d`'s when its document was taken over. */
int store_save_task(Store *s, const TaskRow *before, const TaskRow *task, const StoreDelivery *d);

/* Brings the counters of a group into the database, before it commits. */
int store_flush_tallies(Store *s);

/* submission.c: the writer's view of a submission. */

typedef struct SubmissionRow {
        int64_t n; /* 0: none */
        char id[SUBMISSION_ID_SIZE];
        int64_t type;
        SubmissionState state;
        int64_t task;    /* 0: none */
        int64_t failure; /* a delivery; 0: none */
        int64_t expires_at;
} SubmissionRow;

/* 1: found, 0: not. */
int store_find_submission(Store *s, const char *id, SubmissionRow *ret);
int store_find_submission_of_number(Store *s, int64_t n, SubmissionRow *ret);

/* What it has only as long as its task is pending. */
int store_tidy_submission(Store *s, int64_t n);

/* It has this task. `status`: of the answer that said so; 0: none did. */
int store_settle_submission(Store *s, SubmissionRow *row, const TaskRow *task, unsigned status, int64_t now);

/* An attachment of it failed, as delivery `failure` says, and its task is not known yet. */
int store_fail_submission(Store *s, SubmissionRow *row, int64_t failure);

/* attachment.c: URLs and the submissions that they may be about. */

int store_add_attachments(Store *s, int64_t submission, const char *const *urls, size_t n);

/* Whether they can be found: there is, or may be, a pending task. */
int store_open_attachments(Store *s, int64_t submission, bool open);
int store_drop_attachments(Store *s, int64_t submission);

/* The oldest open submission that has all of these. 1: found, 0: none. */
int store_find_attachments(Store *s, const char *const *urls, size_t n, SubmissionRow *ret);

/* event.c: events, in words of the store. */

typedef struct StoreNews {
        EventKind kind;
        int64_t time;
        int64_t type;
        int64_t task;           /* 0: none */
        int status;             /* _TASK_STATUS_INVALID: it is not about a task's state */
        int64_t revision;       /* 0: none */
        int64_t delivery;       /* 0: none */
        const char *named;      /* a task_id that is no task of ours; NULL: none */
        const char *submission; /* NULL: none, or known by the task */
} StoreNews;

int store_add_event(Store *s, const StoreNews *news);

/* log.c: rows of the log, and whether the same bytes came before. */

typedef struct Recording {
        Store *store;
        const StoreDelivery *delivery;
        int64_t type;
        TaskRow task; /* id 0: none */
        TaskRow before;
        SubmissionRow submission; /* n 0: none */
        bool accepts;             /* the submission turns out to have this task */
        bool second_task;         /* it has another one */
        unsigned answered;        /* the status of the answer that said so; 0: none did */
        int64_t fingerprint;
        int64_t n; /* the number of its row, or of the one that it repeats; 0: it has none */
} Recording;

/* Of bytes, to find them again; never 0. */
int64_t store_fingerprint(const void *body, size_t size);

/* Gives it a row, with the next number. `aside`: no revision stands on it, so its fingerprint is kept. */
int recording_log(Recording *x, Verdict verdict, int64_t revision, bool aside);

/* It came before as delivery n, and is counted there. */
int recording_count_repeat(Recording *x, int64_t n);

/* 1: it came before, byte for byte and with this verdict, and is counted there. */
int recording_find_repeat(Recording *x, Verdict verdict, int64_t *ret_n, int64_t *ret_revision);

/* Says in the outcome which task the delivery, or the one that it repeats, is about. */
int recording_name_task(Recording *x, StoreOutcome *ret);

/* 1: its body is that of delivery n. */
int recording_is_body_of(Recording *x, int64_t n);

/* record.c: the steps that accounts share with deliveries. */

void recording_invent_task(Recording *x);
void recording_take_document(Recording *x, int64_t n);

/* Writes the task back and tells of it: that its submission has it, where that is news, then `kind`, unless
 * that is negative. */
int recording_tell(Recording *x, EventKind kind, int status, int64_t revision);

/* account.c: tasks as the API describes them, without a response. */

/* Which submission the delivery says it is about, and whether that is news. */
int recording_find_submission(Recording *x);

/* Like record_response() in record.c, for an account. */
int recording_add_account(Recording *x, StoreOutcome *ret);

/* quarantine.c: takes a delivery out, for good. `superseded_by` is 0 when it is given up. 0, -ENOENT,
 * -EINVAL: see store_discard_delivery(). */
int store_settle(Store *s, uint64_t n, uint64_t superseded_by);

/* read.c: the reader. */

struct StoreReader {
        Connection connection;
        sqlite3_stmt *statements[_R_MAX], *outbox[_OR_MAX];
        uint64_t time_limit, deadline; /* microseconds; 0: none */
        atomic_bool interrupted;
        int64_t data_version; /* as of the last store_reader_changed(); 0: none yet */
};

static inline Query reader_query(StoreReader *r, ReaderStatement statement)
{
        return QUERY(&r->connection, r->statements[statement]);
}

static inline Query reader_outbox_query(StoreReader *r, OutboxReaderStatement statement)
{
        return QUERY(&r->connection, r->outbox[statement]);
}

/* One call, one snapshot: everything between the two sees the same state. reader_end() gives `result` back,
 * unless that is fine and ending isn't. */
int reader_begin(StoreReader *r);
int reader_end(StoreReader *r, int result);

/* -ETIME once the call has taken too long: for loops of ours between statements. */
int reader_check_time(StoreReader *r);

/* Calls fn with the task of that key, bodies included. 1, or 0: no such task. */
int reader_give_task(StoreReader *r, int64_t id, StoreTaskFn fn, void *userdata);

/* Calls fn for every row of the deliveries that `q` has still to give. */
int reader_give_deliveries(Query *q, bool with_body, StoreDeliveryFn fn, void *userdata);

/* list.c: SQL of lists along metadata or along the feed; tests look at its plans. */

typedef enum TaskListPart {
        TASK_LIST_PAGE,
        TASK_LIST_COUNT,
} TaskListPart;

/* A new text (free()), NULL without memory. */
char *task_list_sql(const TaskFilter *f, TaskListPart part, size_t lead);
