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
 * Before a database is opened, its link is read without the log, and the log's links without SQLite. They
 * belong together where the log goes on from the database's value: where that is what the first link of the
 * log stands behind, or one of the log's own, because a part of it was already brought over.
 *
 * A copy begins a chain of its own, and says that it is a copy, and of when.
 */

#include "store/sqlite/writer.h"

#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd.h"

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

/* 1; 0: there is none, because what is there can't be read or is another database; negative errno. */
static int ask(Connection *c, const char *sql, sqlite3_stmt **ret)
{
        int rc, r;

        errno = 0;
        rc = sqlite3_prepare_v2(c->db, sql, -1, ret, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(*ret);
        if (rc == SQLITE_ROW || rc == SQLITE_DONE)
                return rc == SQLITE_ROW;
        r = connection_fail(c, "Could not read");
        return r == -EBADMSG || (rc & 0xff) == SQLITE_ERROR ? 0 : r; /* damaged, or without the table */
}

static int ask_for_link(Connection *c, ChainLink *ret)
{
        sqlite3_stmt *statement = NULL;
        int r;

        r = ask(c, store_writer_sql[W_GET_LINK], &statement);
        if (r > 0)
                r = chain_decode(sqlite3_column_blob(statement, 0),
                                (size_t)sqlite3_column_bytes(statement, 0), ret);
        (void)sqlite3_finalize(statement);
        return r;
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

int chain_go_on(SqliteStore *s)
{
        memcpy(s->next_link.previous, s->link.value, sizeof(s->next_link.previous));
        pick_value(&s->next_link);
        s->goes_on = true;
        return set_link(&s->connection, s->statements[W_SET_LINK], &s->next_link);
}

void chain_note(SqliteStore *s)
{
        if (s->goes_on)
                s->link = s->next_link;
        s->goes_on = false;
        write_lock_note_link(&s->write_lock, s->link.value);
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

static int begin_chain(Connection *c)
{
        ChainLink first = {};

        pick_value(&first);
        return run_once(c, W_SET_LINK, &first, 0);
}

int chain_go_on_alone(Connection *c)
{
        ChainLink next = {}, link;
        int r;

        r = ask_for_link(c, &link);
        if (r > 0)
                memcpy(next.previous, link.value, sizeof(next.previous));
        pick_value(&next);
        return r < 0 ? r : run_once(c, W_SET_LINK, &next, 0);
}

int chain_mark_copy(const char *target, int64_t at, Connection *c)
{
        int r;

        r = connection_open(c, target, SQLITE_OPEN_READWRITE);
        /* A copy is one file, and stays one for who only looks at it. */
        if (r >= 0)
                r = connection_run(c,
                                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL;"
                                "PRAGMA journal_mode = DELETE",
                                "Could not set up");
        if (r >= 0)
                r = connection_run(c, "BEGIN IMMEDIATE", "Could not mark the copy");
        if (r >= 0)
                r = begin_chain(c);
        if (r >= 0)
                r = at == TIME_NONE ? connection_run(c, store_writer_sql[W_NOTICE_COPY],
                                                      "Could not mark the copy")
                                    : run_once(c, W_SET_COPIED, NULL, at);
        if (r >= 0)
                r = connection_run(c, "COMMIT", "Could not mark the copy");
        return r;
}

/* The log, as SQLite would read it: what counts is what was committed, as far as the sums are right. */

#define LOG_HEADER_SIZE 32U
#define LOG_FRAME_SIZE  24U /* of the header of a frame */
#define LOG_MAGIC       UINT32_C(0x377f0682)
#define LOG_PAGE_MIN    512U
#define LOG_PAGE_MAX    65536U

typedef struct Log {
        int fd;
        size_t page_size;
        bool big_endian; /* the words that are summed up */
        uint32_t sum[2]; /* of all up to here */
        uint8_t salt[8]; /* of this log, in each of its frames */
        uint8_t *frame;  /* owned: a frame with its page */
} Log;

static uint32_t number_at(const uint8_t *p)
{
        uint32_t n;

        memcpy(&n, p, sizeof(n));
        return be32toh(n);
}

static void add_to_sum(Log *log, const uint8_t *p, size_t size)
{
        uint32_t words[2];

        for (size_t i = 0; i + sizeof(words) <= size; i += sizeof(words)) {
                memcpy(words, p + i, sizeof(words));
                for (size_t k = 0; k < ELEMENTSOF(words); k++) {
                        words[k] = log->big_endian ? be32toh(words[k]) : le32toh(words[k]);
                        log->sum[k] += words[k] + log->sum[1 - k];
                }
        }
}

static bool sum_is(const Log *log, const uint8_t *p)
{
        return number_at(p) == log->sum[0] && number_at(p + 4) == log->sum[1];
}

/* 1; 0: there is no log, or none that SQLite would read; negative errno. */
static int log_open(const char *path, Log *ret)
{
        uint8_t header[LOG_HEADER_SIZE];
        uint32_t magic, page_size;
        ssize_t n;

        *ret = (Log){ .fd = open(path, O_RDONLY | O_CLOEXEC) };
        if (ret->fd < 0)
                return errno == ENOENT ? 0 : -errno;
        n = pread(ret->fd, header, sizeof(header), 0);
        if (n < 0)
                return -errno;
        if ((size_t)n < sizeof(header))
                return 0;

        magic = number_at(header);
        page_size = number_at(header + 8);
        if ((magic & ~UINT32_C(1)) != LOG_MAGIC || page_size < LOG_PAGE_MIN || page_size > LOG_PAGE_MAX ||
                        (page_size & (page_size - 1)) != 0)
                return 0;
        ret->big_endian = magic & 1;
        ret->page_size = page_size;
        memcpy(ret->salt, header + 16, sizeof(ret->salt));
        add_to_sum(ret, header, 24);
        if (!sum_is(ret, header + 24))
                return 0;
        ret->frame = malloc(LOG_FRAME_SIZE + page_size);
        return ret->frame ? 1 : -ENOMEM;
}

static void log_done(Log *log)
{
        log->fd = fd_close(log->fd);
        free(log->frame);
        log->frame = NULL;
}

/* 1: frame number `n` is in log->frame; 0: there are no more; negative errno. */
static int log_read(Log *log, uint64_t n)
{
        size_t size = LOG_FRAME_SIZE + log->page_size;
        uint8_t *frame = log->frame;
        ssize_t got;

        got = pread(log->fd, frame, size, (off_t)(LOG_HEADER_SIZE + n * size));
        if (got < 0)
                return -errno;
        if ((size_t)got < size || memcmp(frame + 8, log->salt, sizeof(log->salt)) != 0)
                return 0;
        add_to_sum(log, frame, 8);
        add_to_sum(log, frame + LOG_FRAME_SIZE, log->page_size);
        return sum_is(log, frame + 16);
}

/* A page with the one row of the table: a leaf with one cell, whose content begins with its size, the row's
 * number, and a header of three bytes: its size, NULL for the row's number, and a blob of 40 bytes. */
static bool find_link(const uint8_t *page, size_t size, ChainLink *ret)
{
        static const uint8_t head[] = { 43, 1, 3, 0, 12 + 2 * CHAIN_LINK_SIZE };
        size_t at;

        if (page[0] != 0x0d || page[3] != 0 || page[4] != 1)
                return false;
        at = (size_t)page[8] << 8 | page[9];
        return at + sizeof(head) + CHAIN_LINK_SIZE <= size && memcmp(page + at, head, sizeof(head)) == 0 &&
               chain_decode(page + at + sizeof(head), CHAIN_LINK_SIZE, ret);
}

/* What the log says of a value. */
typedef struct LogFound {
        bool any;     /* transactions */
        bool linked;  /* with links */
        bool first;   /* the first of them is the first of its database */
        bool goes_on; /* from the value: it is before the first link, or in one of them */
        size_t page_size;
        uint32_t page; /* that has the links */
} LogFound;

static void take_link(LogFound *found, const ChainLink *link, uint32_t page, const uint8_t *value)
{
        static const uint8_t none[CHAIN_VALUE_SIZE];

        if (!found->linked) {
                found->first = memcmp(link->previous, none, sizeof(none)) == 0;
                found->goes_on = value && memcmp(link->previous, value, sizeof(none)) == 0;
        }
        found->linked = true;
        found->page = page;
        if (value && memcmp(link->value, value, sizeof(none)) == 0)
                found->goes_on = true;
}

/* `value`: NULL for none. */
static int search_log(const char *path, const uint8_t *value, LogFound *ret)
{
        LogFound found = {}, committed = {};
        _cleanup_(log_done) Log log;
        ChainLink link;
        int r;

        r = log_open(path, &log);
        found.page_size = log.page_size;
        for (uint64_t n = 0; r > 0 && (r = log_read(&log, n)) > 0; n++) {
                if (find_link(log.frame + LOG_FRAME_SIZE, log.page_size, &link))
                        take_link(&found, &link, number_at(log.frame), value);
                if (number_at(log.frame + 4) == 0)
                        continue;
                found.any = true; /* the transaction ends here */
                committed = found;
        }
        if (r < 0)
                return r;
        *ret = committed;
        return 0;
}

/* The database, without its log. While a log was brought over everything in it may have been torn, or not be
 * there yet, so that SQLite refuses it as a whole; then its link is read where the log has it. */

#define HEADER_SIZE 100U

typedef struct Alone {
        Connection connection;
        bool linked;
        ChainLink link;
} Alone;

/* As a URI, by which SQLite takes neither a log nor locks. */
static char *uri_of(const char *path)
{
        static const char digits[] = "0123456789abcdef", query[] = "?immutable=1";
        char *uri = malloc(strlen("file:") + 3 * strlen(path) + sizeof(query)), *p = uri;

        if (!uri)
                return NULL;
        p = stpcpy(p, "file:");
        for (const char *c = path; *c; c++)
                if (strchr("?#%", *c)) {
                        *p++ = '%';
                        *p++ = digits[(unsigned char)*c >> 4];
                        *p++ = digits[(unsigned char)*c & 15];
                } else
                        *p++ = *c;
        memcpy(p, query, sizeof(query));
        return uri;
}

static int look_alone(const char *path, Alone *a)
{
        Connection *c = &a->connection;
        _cleanup_free_ char *uri = uri_of(path);
        int r;

        c->path = strdup(path);
        if (!uri || !c->path)
                return connection_refuse(c, -ENOMEM, "Could not open the database: out of memory.");
        errno = 0;
        if (sqlite3_open_v2(uri, &c->db,
                            SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
                                            SQLITE_OPEN_EXRESCODE,
                            NULL) != SQLITE_OK)
                return connection_fail(c, "Could not open");
        r = ask_for_link(c, &a->link);
        a->linked = r > 0;
        return MIN(r, 0);
}

/* By way of SQLite: closing a descriptor of one's own would let go of other handles' locks. What is behind
 * the end is zeros. */
static int read_alone(Alone *a, void *p, size_t size, uint64_t at)
{
        sqlite3_file *file = NULL;
        int rc;

        errno = 0;
        if (sqlite3_file_control(a->connection.db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK)
                return connection_fail(&a->connection, "Could not read");
        rc = file->pMethods->xRead(file, p, (int)size, (sqlite3_int64)at);
        if (rc == SQLITE_OK || rc == SQLITE_IOERR_SHORT_READ)
                return 0;
        return connection_refuse(
                        &a->connection, -EIO, "Could not read %s: %s.", a->connection.path, strerror(errno));
}

static int find_link_alone(Alone *a, const LogFound *log)
{
        _cleanup_free_ uint8_t *page = malloc(log->page_size);
        int r;

        if (!page)
                return connection_refuse(&a->connection, -ENOMEM, "There is not enough memory.");
        r = read_alone(a, page, log->page_size, (log->page - 1) * (uint64_t)log->page_size);
        if (r < 0)
                return r;
        a->linked = find_link(page, log->page_size, &a->link);
        return 0;
}

/* Without a link that can be read: whether that may be a power cut's work, and the log puts it right. 1:
 * yes. */
static int may_be_torn(Alone *a)
{
        uint8_t header[HEADER_SIZE];
        int r;

        r = read_alone(a, header, sizeof(header), 0);
        if (r < 0)
                return r;
        if (header[0] == 0)
                return 0; /* it is empty */
        if (memcmp(header, "SQLite format 3", 16) != 0)
                return 1; /* this page is torn, too; else SQLite will say that it is none */
        return number_at(header + 68) == STORE_APPLICATION_ID && number_at(header + 60) >= CHAIN_SINCE;
}

/* The proof. 1: they belong together. */
static int belongs(Alone *a, const char *log_path, bool *ret_linked)
{
        LogFound log;
        int r;

        r = search_log(log_path, a->linked ? a->link.value : NULL, &log);
        if (r >= 0 && !a->linked && log.linked) {
                r = find_link_alone(a, &log);
                if (r >= 0 && a->linked)
                        r = search_log(log_path, a->link.value, &log);
        }
        if (r < 0)
                return r;
        *ret_linked = log.linked;
        if (!log.any || a->linked)
                return !log.any || log.goes_on;
        /* A log of before there were links, or the one that made the table. */
        return !log.linked || log.first ? 1 : may_be_torn(a);
}

static int refuse_log(Connection *c, const char *path, const char *log_path, bool linked)
{
        if (linked)
                return connection_refuse(c, -EBADMSG,
                                "%s and %s don't belong together: the log was written for another database. "
                                "Was a backup put in place by hand, and the log left? Neither was changed. "
                                "`scalectl restore FILE` puts a backup in place as it has to be, and keeps "
                                "what is there.",
                                path, log_path);
        return connection_refuse(c, -EBADMSG,
                        "%s was written by another program, which was killed, and nothing shows that it "
                        "belongs to %s. Neither was changed. If it does, `sqlite3 %s 'PRAGMA "
                        "wal_checkpoint'` brings over what it holds. If a backup was put in place by hand, "
                        "`scalectl restore FILE` does so as it has to be done, and keeps what is there.",
                        log_path, path, path);
}

int chain_check(const char *path, Connection *c)
{
        _cleanup_free_ char *real = realpath(path, NULL), *log_path = NULL;
        Alone alone = {};
        bool linked = false;
        int r;

        if (!real)
                return connection_refuse(c, -errno, "Could not look at %s: %s.", path, strerror(errno));
        if (asprintf(&log_path, "%s-wal", real) < 0) {
                log_path = NULL;
                return connection_refuse(c, -ENOMEM, "Could not open %s: out of memory.", path);
        }

        r = look_alone(real, &alone);
        if (r >= 0)
                r = belongs(&alone, log_path, &linked);
        if (r < 0 && *alone.connection.error)
                memcpy(c->error, alone.connection.error, sizeof(c->error));
        else if (r < 0)
                connection_refuse(c, r, "Could not read %s: %s.", log_path, strerror(-r));
        connection_done(&alone.connection);
        if (r != 0)
                return MIN(r, 0);
        return refuse_log(c, path, log_path, linked);
}

/* Copies that say nothing. */

int chain_is_turned_back(SqliteStore *s, bool *ret)
{
        uint8_t noted[CHAIN_VALUE_SIZE];
        LogFound log = {};
        int r;

        *ret = false;
        if (write_lock_get_link(&s->write_lock, noted)) {
                if (memcmp(noted, s->link.value, sizeof(noted)) == 0)
                        return 0;
                /* The note isn't synced, so after a power cut it may be older: then the log has it. */
                r = search_log(sqlite3_filename_wal(sqlite3_db_filename(s->connection.db, "main")), noted,
                                &log);
                if (r < 0)
                        return connection_refuse(&s->connection, r, "Could not read the log of %s: %s.",
                                        s->connection.path, strerror(-r));
        }
        *ret = !log.goes_on;
        return 0;
}

int chain_mark_turned_back(SqliteStore *s)
{
        int r;

        r = writer_begin(s);
        if (r < 0)
                return r;
        r = connection_run(&s->connection, store_writer_sql[W_NOTICE_COPY], "Could not write to");
        if (r >= 0)
                r = writer_commit(s);
        if (r < 0)
                writer_rollback(s);
        return r;
}

/* What has become of a copy. */

int sqlite_take_copied(Store *store, int64_t *ret_at)
{
        SqliteStore *s = sqlite_of(store);
        Query get = store_query(s, W_GET_COPIED), drop = store_query(s, W_DROP_COPIED);
        int64_t at = 0;
        int r;

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
