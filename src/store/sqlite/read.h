#pragma once

/* The reader. */

#include <stdatomic.h>

#include "store/driver.h"
#include "store/sqlite/connection.h"
#include "store/sqlite/sql.h"

typedef struct SqliteReader {
        StoreReader base;
        Connection connection;
        sqlite3_stmt *statements[_R_MAX], *outbox[_OR_MAX];
        uint64_t time_limit, deadline; /* microseconds; 0: none */
        atomic_bool interrupted;
        int64_t data_version; /* as of the last changed(); 0: none yet */
} SqliteReader;

static inline SqliteReader *sqlite_reader_of(const StoreReader *base)
{
        return container_of(base, SqliteReader, base);
}

static inline Query reader_query(SqliteReader *reader, ReaderStatement statement)
{
        return QUERY(&reader->connection, reader->statements[statement]);
}

static inline Query reader_outbox_query(SqliteReader *reader, OutboxReaderStatement statement)
{
        return QUERY(&reader->connection, reader->outbox[statement]);
}

/* One call, one snapshot: everything between the two sees the same state. reader_end() gives `result` back,
 * unless that is fine and ending isn't. */
int reader_begin(SqliteReader *reader);
int reader_end(SqliteReader *reader, int result);

/* -ETIME once the call has taken too long: for loops of ours between statements. */
int reader_check_time(SqliteReader *reader);

/* Calls fn with the task of that key, bodies included. 1, or 0: no such task. */
int reader_give_task(SqliteReader *reader, int64_t id, StoreTaskFn fn, void *userdata);

/* Calls fn for every row of the deliveries that `q` has still to give. */
int reader_give_deliveries(Query *q, bool with_body, StoreDeliveryFn fn, void *userdata);

/* Each as its namesake in StoreReading. */
extern const StoreReading sqlite_reading;
int sqlite_read_get_task(StoreReader *base, const char *task_id, StoreTaskFn fn, void *userdata);
int sqlite_read_list_revisions(StoreReader *base, const char *task_id, unsigned after, unsigned limit,
                StoreRevisionFn fn, void *userdata);
int sqlite_read_list_deliveries(StoreReader *base, Verdict verdict, const char *task_id, uint64_t after,
                unsigned limit, StoreDeliveryFn fn, void *userdata);
int sqlite_read_list_deliveries_back(StoreReader *base, Verdict verdict, const char *task_id,
                uint64_t before, unsigned limit, StoreDeliveryFn fn, void *userdata);
int sqlite_read_get_delivery(
                StoreReader *base, uint64_t n, bool with_body, StoreDeliveryFn fn, void *userdata);
int sqlite_read_list_events(StoreReader *base, uint64_t after, unsigned limit, bool with_task,
                StoreEventFn fn, void *userdata);
int sqlite_read_get_event_time(StoreReader *base, uint64_t seq, int64_t *ret);
int sqlite_read_get_stats(StoreReader *base, StoreStats *ret);
int sqlite_read_list_tasks(
                StoreReader *base, const TaskFilter *filter, StoreTaskFn fn, void *userdata, TaskPage *ret);
int sqlite_read_get_submission(
                StoreReader *base, const char *id, bool with_params, StoreSubmissionFn fn, void *userdata);
int sqlite_read_list_submissions(StoreReader *base, SubmissionState state, uint64_t after, unsigned limit,
                StoreSubmissionFn fn, void *userdata);
int sqlite_read_list_submissions_back(StoreReader *base, SubmissionState state, uint64_t before,
                unsigned limit, StoreSubmissionFn fn, void *userdata);
int sqlite_read_list_due(StoreReader *base, SubmissionState state, int64_t now, unsigned limit,
                StoreSubmissionFn fn, void *userdata);
int sqlite_read_list_cancel_wanted(
                StoreReader *base, uint64_t after, unsigned limit, StoreSubmissionFn fn, void *userdata);
int sqlite_read_get_next_due(StoreReader *base, SubmissionState state, int64_t *ret);
int sqlite_read_get_queue(StoreReader *base, int64_t now, StoreQueue *ret);
int sqlite_read_find_task_of_submission(
                StoreReader *base, const char *id, char ret_task_id[static CALLBACK_ID_MAX + 1]);
int sqlite_read_list_pending_tasks(StoreReader *base, int64_t due_before, int64_t after_due,
                uint64_t after_id, unsigned limit, StorePendingFn fn, void *userdata);

/* list.c: SQL of lists along metadata or along the feed; tests look at its plans. */

typedef enum TaskListPart {
        TASK_LIST_PAGE,
        TASK_LIST_COUNT,
} TaskListPart;

/* A new text (free()), NULL without memory. */
char *task_list_sql(const TaskFilter *f, TaskListPart part, size_t lead);
