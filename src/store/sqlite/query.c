/*
 * One run of a prepared statement. Binding counts its own positions and remembers the first failure, so that
 * a caller writes down values in order and asks once. Whatever happens, query_done() leaves the statement
 * reset and without pointers to anybody's memory: that is what makes it right to bind without copying.
 */

#include "store/sqlite/internal.h"

static void bound(Query *q, int rc)
{
        if (q->rc == SQLITE_OK)
                q->rc = rc;
}

void query_int(Query *q, int64_t v)
{
        bound(q, sqlite3_bind_int64(q->statement, ++q->n_bound, v));
}

void query_id(Query *q, int64_t v)
{
        if (v != 0)
                query_int(q, v);
        else
                bound(q, sqlite3_bind_null(q->statement, ++q->n_bound));
}

void query_time(Query *q, int64_t v)
{
        if (v != TIME_NONE)
                query_int(q, v);
        else
                bound(q, sqlite3_bind_null(q->statement, ++q->n_bound));
}

/* SQLITE_STATIC: the caller's memory outlives query_done(), which clears the bindings. */
void query_text(Query *q, const char *s)
{
        bound(q, sqlite3_bind_text(q->statement, ++q->n_bound, s, -1, SQLITE_STATIC));
}

void query_blob(Query *q, const void *p, size_t size)
{
        /* A NULL pointer would bind NULL, and an empty body is a body. */
        bound(q, sqlite3_bind_blob64(q->statement, ++q->n_bound, size > 0 ? p : "", size, SQLITE_STATIC));
}

int query_step(Query *q, const char *what)
{
        int rc;

        if (q->rc != SQLITE_OK)
                return connection_fail(q->connection, what);

        errno = 0; /* see connection_fail() */
        rc = sqlite3_step(q->statement);
        if (rc == SQLITE_ROW)
                return 1;
        if (rc == SQLITE_DONE)
                return 0;
        return connection_fail(q->connection, what);
}

int query_run(Query *q, const char *what)
{
        int r;

        r = query_step(q, what);
        query_done(q);
        return r < 0 ? r : 0;
}

void query_try(Query *q)
{
        (void)sqlite3_step(q->statement);
        query_done(q);
}

void query_done(Query *q)
{
        /* It repeats the error of the last step, which was reported there. */
        (void)sqlite3_reset(q->statement);
        (void)sqlite3_clear_bindings(q->statement);
        q->n_bound = 0;
        q->rc = SQLITE_OK;
}

const char *query_column_text(const Query *q, int i)
{
        bool is_null = sqlite3_column_type(q->statement, i) == SQLITE_NULL; /* as long as it knows */
        const char *s = (const char *)sqlite3_column_text(q->statement, i);

        if (s || is_null)
                return s;
        q->connection->no_memory = true;
        return "";
}

int connection_check_memory(Connection *c, int result)
{
        bool no_memory = c->no_memory;

        c->no_memory = false;
        if (!no_memory || result < 0)
                return result;
        return connection_refuse(c, -ENOMEM, "There was not enough memory for the rows of %s.", c->path);
}

const void *query_column_blob(const Query *q, int i, size_t *ret_size)
{
        const void *p = sqlite3_column_blob(q->statement, i);

        *ret_size = (size_t)sqlite3_column_bytes(q->statement, i);
        return p || sqlite3_column_type(q->statement, i) == SQLITE_NULL ? p : "";
}

int64_t query_column_time(const Query *q, int i)
{
        return sqlite3_column_type(q->statement, i) == SQLITE_NULL ? TIME_NONE : query_column(q, i);
}

int statements_prepare(Connection *c, const char *const *sql, sqlite3_stmt **ret, size_t n)
{
        errno = 0;
        for (size_t i = 0; i < n; i++)
                if (sqlite3_prepare_v3(c->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &ret[i], NULL) !=
                                SQLITE_OK)
                        return connection_fail(c, "Could not prepare the statements for");
        return 0;
}

void statements_done(sqlite3_stmt **statements, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                (void)sqlite3_finalize(statements[i]); /* repeats the error of its last step */
                statements[i] = NULL;
        }
}
