#pragma once

/* One connection to SQLite: its path, its last failure in words, and one run of a prepared statement. */

#include <sqlite3.h>

#include "basic/macros.h"
#include "store/store.h"

#define STORE_APPLICATION_ID 0x5363616c /* "Scal", at its place in the header of the file */
#define STORE_ERROR_MAX      1024U
#define STORE_BUSY_MSEC      5000 /* how long the writer waits for another process's lock */

typedef struct Connection {
        sqlite3 *db;
        char *path;
        bool lost;      /* a sync failed or the files are others: nothing may be tried any more */
        bool at_fault;  /* since that was cleared: it, or the disk, failed, and not what was asked of it */
        bool no_memory; /* for a text of a row: what it is part of has failed */
        char error[STORE_ERROR_MAX];
} Connection;

/* Opens, sets what every connection wants. The error is left in `c`. 0 or negative errno. */
int connection_open(Connection *c, const char *path, int flags);
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

/* One run of a statement. Parameters are bound in the order of their numbers; what is bound must live until
 * query_done(). An error on the way is kept and comes out of the next step. */
typedef struct Query {
        Connection *connection;
        sqlite3_stmt *statement; /* borrowed */
        int n_bound;
        int rc;
} Query;

#define QUERY(c, s)     ((Query){ .connection = (c), .statement = (s) })
#define _cleanup_query_ _cleanup_(query_done)

void query_int(Query *q, int64_t v);
void query_id(Query *q, int64_t v);       /* 0 is NULL */
void query_time(Query *q, int64_t v);     /* TIME_NONE is NULL */
void query_text(Query *q, const char *s); /* NULL is NULL */
void query_blob(Query *q, const void *p, size_t size);

/* 1: a row, 0: no more, negative errno. `what` begins the sentence of an error. */
int query_step(Query *q, const char *what);

/* A statement without rows: runs it and makes it ready for the next parameters. 0 or negative errno. */
int query_run(Query *q, const char *what);

/* The same where nothing more can be done when it fails: the last error and its sentence stay. */
void query_try(Query *q);

/* Lets go of what was bound and of the rows; the statement stays. */
void query_done(Query *q);

static inline int64_t query_column(const Query *q, int i)
{
        return sqlite3_column_int64(q->statement, i);
}

/* Texts and bytes live until the next step or query_done(). A text that there was no memory for is "", and
 * connection_check_memory() says so. */
const char *query_column_text(const Query *q, int i);
const void *query_column_blob(const Query *q, int i, size_t *ret_size);
int64_t query_column_time(const Query *q, int i);

/* -ENOMEM when a text of a row was lost since the last time; else `result`. */
int connection_check_memory(Connection *c, int result);

int statements_prepare(Connection *c, const char *const *sql, sqlite3_stmt **ret, size_t n);
void statements_done(sqlite3_stmt **statements, size_t n);

/* migrate.c: brings the schema up to date, in one transaction. */

int store_schema_version(void);
int connection_migrate(Connection *c);
