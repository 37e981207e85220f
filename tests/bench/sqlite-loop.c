/*
 * What durability alone costs: the rows of a receiver's database, once more, into a database with the same
 * schema, in groups, by a loop that does nothing else. SQLite is left as it comes, with its automatic
 * checkpoints; WAL and synchronous=FULL are as the receiver's.
 *
 *   bench-sqlite SOURCE TARGET GROUP SECONDS
 *
 * Only BEGIN to COMMIT is timed. Rows are fetched before, so reading costs nothing. Whoever was in a group
 * would have waited for all of it, so a group's time is the latency of each of its rows. It ends early when
 * the source has no more.
 */

#include <jansson.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "measure.h"

/* Where the rows of delivery N are: the key that is N in a database of ordinary deliveries alone. */
static const struct {
        const char *table, *key;
} tables[] = {
        { "delivery", "n" },
        { "task", "id" },
        { "revision", "task" },
        { "event", "seq" },
};

typedef struct Row {
        unsigned table;
        int n_values;
        sqlite3_value **values;
} Row;

typedef struct Loop {
        sqlite3 *source, *target;
        sqlite3_stmt *select[ELEMENTSOF(tables)], *insert[ELEMENTSOF(tables)];
        Row *rows;
        size_t n_rows, allocated;
        Samples samples;
        uint64_t spent;
        double cpu; /* of the timed part */
        uint64_t wal_peak;
} Loop;

static void die(sqlite3 *db, const char *what)
{
        (void)fprintf(stderr, "bench-sqlite: %s: %s\n", what, db ? sqlite3_errmsg(db) : strerror(errno));
        exit(1);
}

static void execute(sqlite3 *db, const char *sql)
{
        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
                die(db, sql);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
        sqlite3_stmt *statement = NULL;

        if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
                die(db, sql);
        return statement;
}

/* Setting up. */

static void copy_schema(Loop *l)
{
        sqlite3_stmt *s = prepare(l->source,
                        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' "
                        "ORDER BY type = 'table' DESC, rowid");
        sqlite3_stmt *size = prepare(l->source, "PRAGMA page_size");
        char sql[64];

        if (sqlite3_step(size) != SQLITE_ROW)
                die(l->source, "page size");
        snprintf(sql, sizeof(sql), "PRAGMA page_size = %d", sqlite3_column_int(size, 0));
        execute(l->target, sql);
        execute(l->target, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
        while (sqlite3_step(s) == SQLITE_ROW)
                execute(l->target, (const char *)sqlite3_column_text(s, 0));
        sqlite3_finalize(size);
        sqlite3_finalize(s);
}

static void prepare_table(Loop *l, unsigned i)
{
        char sql[512];
        size_t n;

        snprintf(sql, sizeof(sql), "SELECT * FROM %s WHERE %s >= ?1 AND %s < ?2 ORDER BY %s",
                        tables[i].table, tables[i].key, tables[i].key, tables[i].key);
        l->select[i] = prepare(l->source, sql);
        n = (size_t)snprintf(sql, sizeof(sql), "INSERT INTO %s VALUES (?", tables[i].table);
        for (int k = 1; k < sqlite3_column_count(l->select[i]); k++)
                n += (size_t)snprintf(sql + n, sizeof(sql) - n, ", ?");
        snprintf(sql + n, sizeof(sql) - n, ")");
        l->insert[i] = prepare(l->target, sql);
}

/* Groups. */

static void keep_row(Loop *l, unsigned table)
{
        sqlite3_stmt *s = l->select[table];
        Row row = { .table = table, .n_values = sqlite3_column_count(s) };

        row.values = calloc((size_t)row.n_values, sizeof(*row.values));
        if (l->n_rows == l->allocated) {
                l->allocated = MAX(l->allocated * 2, (size_t)1024);
                l->rows = realloc(l->rows, l->allocated * sizeof(Row));
        }
        if (!row.values || !l->rows)
                die(NULL, "memory");
        for (int i = 0; i < row.n_values; i++)
                row.values[i] = sqlite3_value_dup(sqlite3_column_value(s, i));
        l->rows[l->n_rows++] = row;
}

/* Delivery by delivery, as they would come. */
static void fetch(Loop *l, int64_t from, int64_t to)
{
        for (int64_t n = from; n < to; n++)
                for (unsigned i = 0; i < ELEMENTSOF(tables); i++) {
                        sqlite3_stmt *s = l->select[i];

                        sqlite3_bind_int64(s, 1, n);
                        sqlite3_bind_int64(s, 2, n + 1);
                        while (sqlite3_step(s) == SQLITE_ROW)
                                keep_row(l, i);
                        sqlite3_reset(s);
                }
}

static void forget(Loop *l)
{
        FOREACH_ARRAY(row, l->rows, l->n_rows) {
                for (int i = 0; i < row->n_values; i++)
                        sqlite3_value_free(row->values[i]);
                free(row->values);
        }
        l->n_rows = 0;
}

static void insert(Loop *l, const Row *row)
{
        sqlite3_stmt *s = l->insert[row->table];

        for (int i = 0; i < row->n_values; i++)
                sqlite3_bind_value(s, i + 1, row->values[i]);
        if (sqlite3_step(s) != SQLITE_DONE)
                die(l->target, "inserting");
        sqlite3_reset(s);
}

static double cpu_now(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void write_group(Loop *l)
{
        double cpu = cpu_now();
        uint64_t began = now_monotonic(), took;

        execute(l->target, "BEGIN IMMEDIATE");
        FOREACH_ARRAY(row, l->rows, l->n_rows)
                insert(l, row);
        execute(l->target, "COMMIT");
        took = now_monotonic() - began;
        l->spent += took;
        l->cpu += cpu_now() - cpu;
        if (samples_add(&l->samples, took) < 0)
                die(NULL, "memory");
}

static void watch_wal(Loop *l, const char *target)
{
        char path[4096];
        struct stat st;

        snprintf(path, sizeof(path), "%s-wal", target);
        if (stat(path, &st) == 0)
                l->wal_peak = MAX(l->wal_peak, (uint64_t)st.st_size);
}

static uint64_t run(Loop *l, const char *target, uint64_t group, double seconds)
{
        sqlite3_stmt *s = prepare(l->source, "SELECT coalesce(max(n), 0) FROM delivery");
        int64_t n, last;

        last = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
        sqlite3_finalize(s);
        for (n = 1; n + (int64_t)group <= last + 1 && (double)l->spent < seconds * 1e6;
                        n += (int64_t)group) {
                fetch(l, n, n + (int64_t)group);
                write_group(l);
                forget(l);
                if (l->samples.n % 16 == 0)
                        watch_wal(l, target);
        }
        watch_wal(l, target);
        return (uint64_t)(n - 1);
}

/* The result. */

static void print_result(Loop *l, uint64_t n, uint64_t group)
{
        double seconds = (double)l->spent / 1e6;
        json_t *result;
        Usage usage;

        usage_read(getpid(), &usage);
        samples_sort(&l->samples);
        result = json_pack("{s:f s:I s:I s:f s:f s:f s:f s:f s:f s:f s:I s:I}", "seconds", seconds,
                        "requests", (json_int_t)n, "group", (json_int_t)group, "rate",
                        n > 0 ? (double)n / seconds : 0.0, "p50", samples_at(&l->samples, 0.5) / 1e3, "p99",
                        samples_at(&l->samples, 0.99) / 1e3, "p999", samples_at(&l->samples, 0.999) / 1e3,
                        "max", samples_at(&l->samples, 1) / 1e3, "cpu_usec",
                        n > 0 ? l->cpu / (double)n * 1e6 : 0.0, "cpu", n > 0 ? l->cpu / seconds : 0.0,
                        "resident_kib", (json_int_t)usage.resident_peak, "watched_bytes",
                        (json_int_t)l->wal_peak);
        if (!result || json_dumpf(result, stdout, JSON_COMPACT) < 0 || puts("") == EOF)
                die(NULL, "the result");
        json_decref(result);
}

int main(int argc, char *argv[])
{
        Loop l = {};
        uint64_t group, n;

        if (argc != 5 || parse_u64(argv[3], 1, 1000000, &group) < 0) {
                (void)fputs("bench-sqlite SOURCE TARGET GROUP SECONDS\n", stderr);
                return 64;
        }
        if (sqlite3_open_v2(argv[1], &l.source, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
                die(l.source, argv[1]);
        if (sqlite3_open_v2(argv[2], &l.target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
                        SQLITE_OK)
                die(l.target, argv[2]);
        copy_schema(&l);
        for (unsigned i = 0; i < ELEMENTSOF(tables); i++)
                prepare_table(&l, i);

        n = run(&l, argv[2], group, strtod(argv[4], NULL));
        print_result(&l, n, group);

        for (unsigned i = 0; i < ELEMENTSOF(tables); i++) {
                sqlite3_finalize(l.select[i]);
                sqlite3_finalize(l.insert[i]);
        }
        samples_done(&l.samples);
        free(l.rows);
        sqlite3_close(l.target);
        sqlite3_close(l.source);
        return 0;
}
