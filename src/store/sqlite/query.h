#pragma once

/* One run of a prepared statement, in query.c. Parameters are bound in the order of their numbers;
 * what is bound must live until query_done(). An error on the way is kept and comes out of the next step. */

#include <sqlite3.h>

#include "basic/macros.h"

typedef struct Connection Connection;

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
