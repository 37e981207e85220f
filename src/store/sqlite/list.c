/*
 * Lists of tasks: newest created_at first, at ties the one that came later first.
 *
 * A plain list never walks past rows that it doesn't give, whatever the filter. One index holds tasks by
 * kind (type, status, is_test) and within a kind in the order of lists; the counters know which kinds there
 * are. There are only so many: types beyond a number of them (STORE_TYPES_OWN) share one, with an index of
 * its own; a list of one of these types alone is made of the kinds that it can have, and counted.
 * The list is the merge of those kinds that the filter lets through, each read in slices from the
 * cursor on, so a page costs the same however deep it lies. Totals are sums of counters; a range of time
 * that begins or ends within an hour is counted along the index there, and only there.
 *
 * A filter on metadata walks along what there is least of: one of the entries, or the kinds. "Changed since"
 * walks along the feed. The first page counts what there is to be found, and the next ones know it from
 * their cursor; the reader's time limit bounds them.
 *
 * A place in a list is (created_at, id). Beginning anew is a place before all others.
 */

#include "store/sqlite/read.h"

#include "basic/buffer.h"

#define SLICE        32U   /* keys read at a time from one kind */
#define KINDS_MAX    1024U /* far more than there can be */
#define LIST_SQL_MAX (16U * 1024)
#define TIME_CHECK   1024U /* keys between two looks at the clock */

static const char what[] = "Could not list tasks of";

typedef struct Key {
        int64_t created_at, id;
} Key;

typedef struct Kind {
        int64_t type, status, is_test, count;
        Key keys[SLICE];
        unsigned n, next; /* keys read, keys used */
        Key place;        /* of the last one read */
        bool end;         /* there are no more to be read */
} Kind;

typedef struct Listing {
        SqliteReader *reader;
        const TaskFilter *filter;
        int64_t type; /* 0: any */
        int64_t start, end;
        bool counts;  /* the total has to be found out by counting, if it isn't known by counters */
        bool nothing; /* the filter names a type that no task has */
        Kind *kinds;
        size_t n_kinds, allocated;
        Key *page; /* filter->limit + 1 */
        size_t n_page;
        uint64_t total;
        int64_t until_seq; /* along the feed */
} Listing;

static void listing_done(Listing *l)
{
        free(l->kinds);
        free(l->page);
}

/* NULL for what doesn't restrict. */
static void bind_restrictions(Query *q, const Listing *l)
{
        const TaskFilter *f = l->filter;

        query_id(q, l->type);
        query_time(q, f->status >= 0 ? (int64_t)f->status : TIME_NONE);
        query_time(q, f->is_test >= 0 ? f->is_test : TIME_NONE);
}

static Key first_place(const Listing *l)
{
        const TaskFilter *f = l->filter;

        if (f->has_cursor && f->cursor.created_at <= l->end)
                return (Key){ f->cursor.created_at, (int64_t)MIN(f->cursor.id, (uint64_t)INT64_MAX) };
        return (Key){ l->end, INT64_MAX };
}

/* Kinds. */

static int add_kind(Listing *l, Kind kind)
{
        if (l->n_kinds == KINDS_MAX)
                return connection_refuse(&l->reader->connection, -EBADMSG,
                                "The counters of tasks in %s are damaged.", l->reader->connection.path);
        if (l->n_kinds == l->allocated) {
                size_t n = l->allocated == 0 ? 16 : l->allocated * 2;
                Kind *more = reallocarray(l->kinds, n, sizeof(Kind));

                if (!more)
                        return -ENOMEM;
                l->kinds = more;
                l->allocated = n;
        }
        kind.place = first_place(l);
        l->kinds[l->n_kinds++] = kind;
        return 0;
}

/* Of a type that has no counters of its own: what it could be. */
static int add_possible_kinds(Listing *l)
{
        const TaskFilter *f = l->filter;
        int r;

        for (int status = 0; status < _TASK_STATUS_MAX; status++)
                for (int is_test = 0; is_test <= 1; is_test++) {
                        if ((f->status >= 0 && status != (int)f->status) ||
                                        (f->is_test >= 0 && is_test != f->is_test))
                                continue;
                        r = add_kind(l, (Kind){ .type = l->type, .status = status, .is_test = is_test });
                        if (r < 0)
                                return r;
                }
        return 0;
}

static int read_kinds(Listing *l)
{
        _cleanup_query_ Query q = reader_query(l->reader, R_KINDS);
        int r;

        bind_restrictions(&q, l);
        while ((r = query_step(&q, what)) > 0) {
                r = add_kind(l, (Kind){ .type = query_column(&q, 0),
                                                .status = query_column(&q, 1),
                                                .is_test = query_column(&q, 2),
                                                .count = query_column(&q, 3) });
                if (r < 0)
                        return r;
        }
        return r;
}

static int append_keys(Kind *k, Query *q)
{
        int r;

        while ((r = query_step(q, what)) > 0) {
                assert(k->n < SLICE);
                k->keys[k->n++] = (Key){ query_column(q, 0), query_column(q, 1) };
        }
        return r;
}

/* The next slice: what shares the place's time, then what is older. Two statements, because each of them
 * finds its first row directly, also where thousands of tasks have one time. */
static int fill(Listing *l, Kind *k)
{
        const bool others = k->type == TYPE_OTHERS;
        _cleanup_query_ Query ties = reader_query(l->reader, others ? R_OTHERS_TIES : R_KIND_TIES),
                              slice = reader_query(l->reader, others ? R_OTHERS_SLICE : R_KIND_SLICE);
        int r = 0;

        k->n = k->next = 0;
        query_int(&ties, k->type);
        query_int(&ties, k->status);
        query_int(&ties, k->is_test);
        query_int(&ties, k->place.created_at);
        query_int(&ties, k->place.id);
        query_int(&ties, SLICE);
        if (k->place.created_at >= l->start)
                r = append_keys(k, &ties);
        if (r < 0)
                return r;

        query_int(&slice, k->type);
        query_int(&slice, k->status);
        query_int(&slice, k->is_test);
        query_int(&slice, k->place.created_at);
        query_int(&slice, l->start);
        query_int(&slice, SLICE - k->n);
        if (k->n < SLICE)
                r = append_keys(k, &slice);
        if (r < 0)
                return r;

        k->end = k->n < SLICE;
        if (k->n > 0)
                k->place = k->keys[k->n - 1];
        return 0;
}

static bool key_before(Key a, Key b)
{
        return a.created_at != b.created_at ? a.created_at > b.created_at : a.id > b.id;
}

/* 1 and the next key of the merge, 0: no more. */
static int next_key(Listing *l, Key *ret)
{
        Kind *best = NULL;
        int r;

        FOREACH_ARRAY(k, l->kinds, l->n_kinds) {
                if (k->next == k->n && !k->end) {
                        r = fill(l, k);
                        if (r < 0)
                                return r;
                }
                if (k->next < k->n && (!best || key_before(k->keys[k->next], best->keys[best->next])))
                        best = k;
        }
        if (!best)
                return 0;
        *ret = best->keys[best->next++];
        return 1;
}

static int merge_page(Listing *l)
{
        uint64_t skip = l->filter->offset;
        Key key;
        int r = 0;

        while (l->n_page <= l->filter->limit && (r = next_key(l, &key)) > 0) {
                if (skip == 0)
                        l->page[l->n_page++] = key;
                else if (--skip % TIME_CHECK == 0) {
                        r = reader_check_time(l->reader);
                        if (r < 0)
                                return r;
                }
        }
        return l->n_page > l->filter->limit ? 0 : r;
}

/* Totals. */

static int count_between(Listing *l, int64_t start, int64_t end)
{
        if (start > end)
                return 0;

        FOREACH_ARRAY(k, l->kinds, l->n_kinds) {
                _cleanup_query_ Query q = reader_query(
                                l->reader, k->type == TYPE_OTHERS ? R_OTHERS_COUNT : R_KIND_COUNT);
                int r;

                query_int(&q, k->type);
                query_int(&q, k->status);
                query_int(&q, k->is_test);
                query_int(&q, start);
                query_int(&q, end);
                r = query_step(&q, what);
                if (r < 0)
                        return r;
                l->total += (uint64_t)query_column(&q, 0);
        }
        return 0;
}

/* Hours from `first` to `last`, which are in the range as a whole. */
static int count_hours(Listing *l, int64_t first, int64_t last)
{
        _cleanup_query_ Query q = reader_query(l->reader, R_HOURS);
        int r;

        if (first > last)
                return 0;
        query_int(&q, first);
        query_int(&q, last);
        bind_restrictions(&q, l);
        r = query_step(&q, what);
        if (r < 0)
                return r;
        l->total += (uint64_t)query_column(&q, 0);
        return 0;
}

static int count_kinds(Listing *l)
{
        const TaskFilter *f = l->filter;
        int64_t first = store_hour(l->start), last = store_hour(l->end);
        int r = 0;

        if (f->start_time == TIME_NONE && f->end_time == TIME_NONE) {
                FOREACH_ARRAY(k, l->kinds, l->n_kinds)
                        l->total += (uint64_t)k->count;
                return 0;
        }
        if (first == last)
                return count_between(l, l->start, l->end);

        /* The hours at both ends are counted along the index, unless that end is open. */
        if (f->start_time != TIME_NONE)
                r = count_between(l, l->start, (first + 1) * STORE_HOUR - 1);
        if (r >= 0 && f->end_time != TIME_NONE)
                r = count_between(l, last * STORE_HOUR, l->end);
        if (r >= 0)
                r = count_hours(l, f->start_time != TIME_NONE ? first + 1 : INT64_MIN,
                                f->end_time != TIME_NONE ? last - 1 : INT64_MAX);
        return r;
}

/* Which there are, and how many tasks they have together. */
static int find_kinds(Listing *l, bool count)
{
        const bool has_counters = type_in_counters(l->type) == l->type;
        int r;

        r = has_counters ? read_kinds(l) : add_possible_kinds(l);
        if (r < 0 || !count)
                return r;
        return has_counters ? count_kinds(l) : count_between(l, l->start, l->end);
}

static int list_kinds(Listing *l)
{
        int r;

        r = find_kinds(l, !l->filter->without_total);
        return r < 0 ? r : merge_page(l);
}

/* Along metadata, or along the feed: SQL that is put together for the filter. The parameters come in the
 * order of bind_list(). */

#define ENTRY_IS "key = ?%zu AND value = ?%zu "

static bool is_restricted(const TaskFilter *f)
{
        return f->type || f->status >= 0 || f->is_test >= 0;
}

/* Where the rows come from, and those of their columns that a list is in the order of. */
static int build_source(Buffer *b, const TaskFilter *f, TaskListPart part, size_t lead)
{
        bool feed = f->after_seq > 0;
        const char *columns = part == TASK_LIST_COUNT ? "count(*)"
                              : feed                  ? "e.seq, t.id"
                                                      : "m.created_at, m.task";
        int r;

        if (feed)
                return buffer_append_f(b,
                                "SELECT %s FROM event e CROSS JOIN task t ON t.id = e.task "
                                "WHERE e.seq > ?1 AND t.last_event = e.seq "
                                "AND t.created_at >= ?2 AND t.created_at <= ?3 ",
                                columns);
        r = buffer_append_f(b, "SELECT %s FROM metadata m %s", columns,
                        is_restricted(f) ? "CROSS JOIN task t ON t.id = m.task " : "");
        return r < 0 ? r
                     : buffer_append_f(b, "WHERE m." ENTRY_IS "AND m.created_at >= ?2 ", 7 + 2 * lead,
                                       8 + 2 * lead);
}

static int build_sql(Buffer *b, const TaskFilter *f, TaskListPart part, size_t lead)
{
        bool feed = f->after_seq > 0;
        const char *created_at = feed ? "t.created_at" : "m.created_at", *task = feed ? "t.id" : "m.task";
        size_t next = 7 + 2 * f->n_metadata;
        int r;

        assert(feed || lead < f->n_metadata);
        r = build_source(b, f, part, lead);
        if (r >= 0 && (feed || is_restricted(f)))
                r = buffer_append_str(b, "AND (?4 IS NULL OR t.type = ?4) AND (?5 IS NULL OR t.status = ?5) "
                                         "AND (?6 IS NULL OR t.is_test = ?6) ");
        for (size_t i = 0; r >= 0 && i < f->n_metadata; i++)
                if (feed || i != lead)
                        r = buffer_append_f(b,
                                        "AND EXISTS (SELECT 1 FROM metadata WHERE " ENTRY_IS
                                        "            AND created_at = %s AND task = %s) ",
                                        7 + 2 * i, 8 + 2 * i, created_at, task);
        if (r < 0)
                return r;
        if (part == TASK_LIST_COUNT)
                return buffer_append_f(b, "AND %s <= ?3", created_at);
        if (feed)
                return buffer_append_f(b, "AND e.seq <= ?%zu ORDER BY e.seq LIMIT ?%zu OFFSET ?%zu", next,
                                next + 2, next + 3);
        /* A place is where the walk begins, and never after the end of the range. */
        return buffer_append_f(b,
                        "AND (m.created_at, m.task) < (?%zu, ?%zu) "
                        "ORDER BY m.created_at DESC, m.task DESC LIMIT ?%zu OFFSET ?%zu",
                        next, next + 1, next + 2, next + 3);
}

char *task_list_sql(const TaskFilter *f, TaskListPart part, size_t lead)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(LIST_SQL_MAX);

        return build_sql(&b, f, part, lead) < 0 ? NULL : buffer_take(&b, NULL);
}

static void bind_list(Query *q, const Listing *l, TaskListPart part)
{
        const TaskFilter *f = l->filter;
        bool feed = f->after_seq > 0;
        /* Along the feed the place is the number of an event, and where the search begins. */
        Key place = feed ? (Key){ l->until_seq, 0 } : first_place(l);
        int64_t after = (int64_t)MIN(f->after_seq, (uint64_t)INT64_MAX);

        if (feed && part == TASK_LIST_PAGE && f->has_cursor)
                after = MAX(after, f->cursor.created_at);
        query_int(q, after);
        query_int(q, l->start);
        query_int(q, l->end);
        bind_restrictions(q, l);
        FOREACH_ARRAY(m, f->metadata, f->n_metadata) {
                query_text(q, m->key);
                query_text(q, m->value);
        }
        if (part == TASK_LIST_COUNT)
                return;
        query_int(q, place.created_at);
        query_int(q, place.id);
        query_int(q, (int64_t)f->limit + 1);
        query_int(q, (int64_t)MIN(f->offset, (uint64_t)INT64_MAX));
}

static void finalizep(sqlite3_stmt **statement)
{
        (void)sqlite3_finalize(*statement); /* repeats the error of its last step */
}

static int run_list(Listing *l, TaskListPart part, size_t lead)
{
        Connection *c = &l->reader->connection;
        _cleanup_free_ char *sql = task_list_sql(l->filter, part, lead);
        _cleanup_(finalizep) sqlite3_stmt *statement = NULL;
        Query q;
        int r;

        if (!sql)
                return -ENOMEM;
        errno = 0;
        if (sqlite3_prepare_v2(c->db, sql, -1, &statement, NULL) != SQLITE_OK)
                return connection_fail(c, what);

        q = QUERY(c, statement);
        bind_list(&q, l, part);
        while ((r = query_step(&q, what)) > 0) {
                if (part == TASK_LIST_COUNT)
                        l->total = (uint64_t)query_column(&q, 0);
                else
                        l->page[l->n_page++] = (Key){ query_column(&q, 0), query_column(&q, 1) };
        }
        return r;
}

static int list_along(Listing *l, size_t lead)
{
        int r = 0;

        if (l->counts)
                r = run_list(l, TASK_LIST_COUNT, lead);
        return r < 0 ? r : run_list(l, TASK_LIST_PAGE, lead);
}

/* Metadata: the list is walked along what there is least of, and all else is looked up. */

#define FIRST_LOOK 256U /* rows of each that are counted, to begin with */
#define NEXT_LOOK  8U   /* times as many */
#define KINDS_COST 4U   /* what a task of a kind costs, an entry being 1 */

/* Whether a task has all of the metadata that is asked for. 1, 0. */
static int has_metadata(Listing *l, Key key)
{
        FOREACH_ARRAY(m, l->filter->metadata, l->filter->n_metadata) {
                _cleanup_query_ Query q = reader_query(l->reader, R_HAS_METADATA);
                int r;

                query_text(&q, m->key);
                query_text(&q, m->value);
                query_int(&q, key.created_at);
                query_int(&q, key.id);
                r = query_step(&q, what);
                if (r <= 0)
                        return r;
        }
        return 1;
}

/* Tasks with this entry, at most `limit`. */
static int count_entry(Listing *l, const StoreMetadata *m, uint64_t limit, uint64_t *ret)
{
        _cleanup_query_ Query q = reader_query(l->reader, R_COUNT_METADATA);
        int r;

        query_text(&q, m->key);
        query_text(&q, m->value);
        query_int(&q, l->start);
        query_int(&q, l->end);
        query_int(&q, (int64_t)limit);
        r = query_step(&q, what);
        if (r < 0)
                return r;
        *ret = (uint64_t)query_column(&q, 0);
        return 0;
}

/* The entry that the fewest tasks have; n_metadata: there are fewer of the kinds asked for. Looking costs no
 * more than a few times what there is of the fewest. */
static int choose_lead(Listing *l, size_t *ret)
{
        const TaskFilter *f = l->filter;
        uint64_t n, least = is_restricted(f) ? KINDS_COST * l->total : UINT64_MAX;
        int r;

        *ret = f->n_metadata;
        for (uint64_t limit = FIRST_LOOK; least > limit; limit *= NEXT_LOOK)
                for (size_t i = 0; i < f->n_metadata; i++) {
                        r = count_entry(l, &f->metadata[i], limit, &n);
                        if (r < 0)
                                return r;
                        if (n < limit && n < least) {
                                least = n;
                                *ret = i;
                        }
                }
        return 0;
}

/* Along the kinds that are asked for, which are few tasks. */
static int filter_kinds(Listing *l)
{
        const TaskFilter *f = l->filter;
        const Key place = first_place(l);
        uint64_t skip = f->offset, n = 0;
        Key key;
        int r = 0;

        l->total = 0;
        FOREACH_ARRAY(k, l->kinds, l->n_kinds)
                k->place = l->counts ? (Key){ l->end, INT64_MAX } : place;
        while ((l->counts || l->n_page <= f->limit) && (r = next_key(l, &key)) > 0) {
                r = ++n % TIME_CHECK == 0 ? reader_check_time(l->reader) : 0;
                if (r >= 0)
                        r = has_metadata(l, key);
                if (r < 0)
                        return r;
                l->total += (uint64_t)r;
                if (r > 0 && key_before(place, key) && l->n_page <= f->limit && (skip == 0 || skip-- == 0))
                        l->page[l->n_page++] = key;
        }
        return MIN(r, 0);
}

static int list_metadata(Listing *l)
{
        size_t lead = 0;
        int r = 0;

        if (is_restricted(l->filter))
                r = find_kinds(l, true);
        if (r >= 0 && (is_restricted(l->filter) || l->filter->n_metadata > 1))
                r = choose_lead(l, &lead);
        if (r < 0)
                return r;
        return lead == l->filter->n_metadata ? filter_kinds(l) : list_along(l, lead);
}

/* The whole. */

static int find_type(Listing *l)
{
        _cleanup_query_ Query q = reader_query(l->reader, R_FIND_TYPE);
        int r;

        query_text(&q, l->filter->type);
        r = query_step(&q, what);
        if (r > 0)
                l->type = query_column(&q, 0);
        else if (r == 0)
                l->nothing = true;
        return r;
}

/* What happens while page after page is read has later numbers: so there is an end. */
static int find_until(Listing *l)
{
        _cleanup_query_ Query q = reader_query(l->reader, R_LAST_EVENT);
        int r;

        l->until_seq = (int64_t)MIN(l->filter->until_seq, (uint64_t)INT64_MAX);
        if (l->until_seq > 0)
                return 0;
        r = query_step(&q, what);
        if (r > 0)
                l->until_seq = query_column(&q, 0);
        return MIN(r, 0);
}

static int find_keys(Listing *l)
{
        const TaskFilter *f = l->filter;
        int r = 0;

        if (f->type)
                r = find_type(l);
        if (r < 0 || l->nothing || l->start > l->end)
                return r;
        if (f->after_seq > 0) {
                r = find_until(l);
                return r < 0 ? r : list_along(l, 0);
        }
        return f->n_metadata > 0 ? list_metadata(l) : list_kinds(l);
}

static int give_page(Listing *l, StoreTaskFn fn, void *userdata, TaskPage *ret)
{
        size_t n = MIN(l->n_page, (size_t)l->filter->limit);
        int r;

        FOREACH_ARRAY(key, l->page, n) {
                r = reader_check_time(l->reader);
                if (r >= 0)
                        r = reader_give_task(l->reader, key->id, fn, userdata);
                if (r < 0)
                        return r;
        }

        if (!l->counts && (l->filter->after_seq > 0 || l->filter->n_metadata > 0))
                l->total = l->filter->has_cursor ? l->filter->cursor.total : 0;
        *ret = (TaskPage){
                .total = l->total, .has_more = l->n_page > n, .until_seq = (uint64_t)l->until_seq
        };
        if (ret->has_more)
                ret->next = (TaskCursor){ l->page[n - 1].created_at, (uint64_t)l->page[n - 1].id, l->total };
        return 0;
}

int sqlite_read_list_tasks(
                StoreReader *base, const TaskFilter *filter, StoreTaskFn fn, void *userdata, TaskPage *ret)
{
        SqliteReader *reader = sqlite_reader_of(base);
        _cleanup_(listing_done) Listing l = {
                .reader = reader,
                .filter = filter,
                .start = filter->start_time,
                .end = filter->end_time != TIME_NONE ? filter->end_time : INT64_MAX,
                .counts = !filter->without_total && !(filter->has_cursor && filter->cursor.total > 0),
        };
        int r;

        assert(filter->limit >= 1 && filter->limit <= 1000);
        assert(filter->n_metadata <= STORE_METADATA_MAX);

        l.page = calloc((size_t)filter->limit + 1, sizeof(Key));
        if (!l.page)
                return -ENOMEM;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        r = find_keys(&l);
        if (r >= 0)
                r = give_page(&l, fn, userdata, ret);
        return reader_end(reader, r);
}
