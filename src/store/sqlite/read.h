#pragma once

/* The reader. */

#include <stdatomic.h>

#include "store/outbox.h"
#include "store/sqlite/connection.h"
#include "store/sqlite/sql.h"

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
