/*
 * What ties a database to its write-ahead log. SQLite checks that a log is whole, but not that it belongs to
 * the database that it lies beside; put a backup where the database was, leave the log, and SQLite makes one
 * of the two. So each of our transactions writes a link into a table of one row: a random value, and the
 * value that was there before. The row is in a page of its own, so every log has it, from its first
 * transaction on.
 *
 * A link is a blob of 40 bytes: the value, the value before (zeros: there is none), and a sum over both. It
 * always has the same size, so that a new one is written over the old one, and a page that was torn while it
 * was written, by a power cut for example, shows by the sum.
 *
 * A copy begins a chain of its own, and says that it is a copy, and of when.
 */

#include "store/sqlite-internal.h"

/* Of value and previous. */
static void sum_of(const ChainLink *link, uint8_t ret[static sizeof(uint64_t)])
{
        int64_t sum = store_fingerprint(link, sizeof(*link));

        memcpy(ret, &sum, sizeof(sum));
}

_Static_assert(sizeof(ChainLink) + sizeof(uint64_t) == CHAIN_LINK_SIZE, "a link has no holes");

static void chain_encode(const ChainLink *link, uint8_t ret[static CHAIN_LINK_SIZE])
{
        memcpy(ret, link, sizeof(*link));
        sum_of(link, ret + sizeof(*link));
}

bool chain_decode(const void *p, size_t size, ChainLink *ret)
{
        uint8_t sum[sizeof(uint64_t)];

        if (size != CHAIN_LINK_SIZE)
                return false;
        memcpy(ret, p, sizeof(*ret));
        sum_of(ret, sum);
        return memcmp((const uint8_t *)p + sizeof(*ret), sum, sizeof(sum)) == 0;
}

static int set_link(Connection *c, sqlite3_stmt *statement, const ChainLink *link)
{
        uint8_t encoded[CHAIN_LINK_SIZE];
        Query q = QUERY(c, statement);

        chain_encode(link, encoded);
        query_blob(&q, encoded, sizeof(encoded));
        return query_run(&q, "Could not write the link to the log into");
}

static void pick_value(ChainLink *link)
{
        sqlite3_randomness(sizeof(link->value), link->value);
}

int chain_go_on(Store *s)
{
        ChainLink next;

        memcpy(next.previous, s->link.value, sizeof(next.previous));
        pick_value(&next);
        return set_link(&s->connection, s->statements[W_SET_LINK], &next);
}

/* Without the statements of a store. */
static int run_once(Connection *c, WriterStatement which, const ChainLink *link, int64_t number)
{
        sqlite3_stmt *statement = NULL;
        int r;

        r = statements_prepare(c, &store_writer_sql[which], &statement, 1);
        if (r >= 0 && link)
                r = set_link(c, statement, link);
        else if (r >= 0) {
                Query q = QUERY(c, statement);

                query_int(&q, number);
                r = query_run(&q, "Could not mark the copy");
        }
        statements_done(&statement, 1);
        return r;
}

int chain_begin(Connection *c)
{
        ChainLink first = {};

        pick_value(&first);
        return run_once(c, W_SET_LINK, &first, 0);
}

int chain_mark_copy(const char *target, int64_t at, Connection *c)
{
        int r;

        r = connection_open(c, target, SQLITE_OPEN_READWRITE, NULL);
        /* A copy is one file, and stays one for who only looks at it. */
        if (r >= 0)
                r = connection_run(c,
                                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL;"
                                "PRAGMA journal_mode = DELETE",
                                "Could not set up");
        if (r >= 0)
                r = connection_run(c, "BEGIN IMMEDIATE", "Could not mark the copy");
        if (r >= 0)
                r = chain_begin(c);
        if (r >= 0)
                r = run_once(c, W_SET_COPIED, NULL, at);
        if (r >= 0)
                r = connection_run(c, "COMMIT", "Could not mark the copy");
        return r;
}

/* What has become of a copy. */

int store_take_copied(Store *s, int64_t *ret_at)
{
        Query get = store_query(s, W_GET_COPIED), drop = store_query(s, W_DROP_COPIED);
        int64_t at = 0;
        int r;

        assert(s->in_group);
        r = query_step(&get, "Could not read");
        if (r > 0)
                at = query_column(&get, 0);
        query_done(&get);
        if (r <= 0)
                return r;

        r = query_run(&drop, "Could not write to");
        if (r < 0)
                return r;
        *ret_at = at;
        return 1;
}
