/*
 * The event feed. A reader says after which number it wants to go on, and gets every event behind that one,
 * in order; what it has taken is only known to it, so losing its connection loses nothing. Readers that
 * follow wait here until the writer says that there is more. They are given events a batch at a time, each
 * batch a short read of its own by a reader's thread, so a slow client holds nothing of the database: it is
 * cut by the server's time-out and comes back with its number.
 *
 * The submitter writes events, too, and can't say so to this process. So as long as there are readers, and
 * only then, the database is asked several times a second whether anything was committed; that reads nothing
 * but the index of its WAL.
 *
 * Lines of JSON by default; an event stream when asked by Accept, where Last-Event-ID says the number and a
 * comment now and then keeps proxies and libraries from giving up.
 */

#include "query/feed.h"

#include <inttypes.h>
#include <strings.h>

#include "basic/parse.h"
#include "query/local.h"
#include "query/params.h"
#include "json/encode.h"

#define BATCH           100U
#define BATCH_SIZE      ((size_t)1024 * 1024) /* a batch ends with the event that reaches it */
#define WAIT_MAX        300U                  /* seconds */
#define LIMIT_MAX       10000U
#define LIMIT_DEFAULT   100U
#define KEEP_ALIVE_USEC (15 * USEC_PER_SEC)
#define LOOK_USEC       (200 * USEC_PER_MSEC)
#define READERS_MAX     192U /* that may wait for events: connections are left for those who don't */
#define BUSY_RETRY      "30" /* seconds */

typedef struct FeedQuery {
        uint64_t after, limit, wait;
        int64_t time; /* of event `after`, as the reader had it; TIME_NONE: it doesn't say */
        int follow;
        const char *include;
} FeedQuery;

struct FeedReader {
        LIST_ENTRY(FeedReader) entry;
        LocalBase *base;
        ReadStream *stream;
        sd_event_source *timer; /* the end of waiting, or the next sign of life */
        bool listed;            /* among the readers */
        bool sse, with_task;
        bool waits, follow; /* for the first events that come; for all of them */

        /* The other thread's while a batch is read. */
        Buffer *out;
        uint64_t after;
        uint64_t left; /* events that it may still get */
        bool may_wait; /* there is something to wait for when there are no events */
};

/* It is no reader any more; what it is read by may still need it. */
static void reader_leave(FeedReader *x)
{
        Feed *feed = x->base->feed;

        x->timer = sd_event_source_disable_unref(x->timer);
        if (!x->listed)
                return;
        LIST_REMOVE(x, entry);
        x->listed = false;
        feed->n_waiting -= x->waits;
        feed->n_following -= x->follow;
}

static FeedReader *reader_free(FeedReader *x)
{
        if (!x)
                return NULL;

        reader_leave(x);
        free(x);
        return NULL;
}
DEFINE_CLEANUP(FeedReader *, reader_free)

void feed_notify(Feed *f)
{
        FeedReader *x;

        LIST_FOREACH(x, &f->readers, entry)
                read_stream_wake(x->stream);
}

void feed_close(Feed *f)
{
        FeedReader *x;

        LIST_FOREACH(x, &f->readers, entry)
                read_stream_end(x->stream);
}

void feed_done(Feed *f)
{
        assert(LIST_EMPTY(&f->readers));
        f->look = sd_event_source_disable_unref(f->look);
}

static int on_look(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        LocalBase *base = userdata;

        if (LIST_EMPTY(&base->feed->readers))
                return 0; /* the next one begins anew */

        /* When it can't be read, who asks for events finds that out and says so. */
        if (store_reader_changed(base->reader) != 0)
                feed_notify(base->feed);

        (void)sd_event_source_set_time_relative(source, LOOK_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int feed_look(LocalBase *base)
{
        Feed *feed = base->feed;
        int enabled = SD_EVENT_OFF, r;

        if (!feed->look)
                return sd_event_add_time_relative(
                                base->loop, &feed->look, CLOCK_MONOTONIC, LOOK_USEC, 0, on_look, base);

        r = sd_event_source_get_enabled(feed->look, &enabled);
        if (r < 0 || enabled != SD_EVENT_OFF)
                return MIN(r, 0);
        r = sd_event_source_set_time_relative(feed->look, LOOK_USEC);
        return r < 0 ? r : sd_event_source_set_enabled(feed->look, SD_EVENT_ONESHOT);
}

/* Events as text. */

static int append_text_member(Buffer *out, const char *name, const char *value)
{
        json_auto_t *text = NULL;
        int r;

        if (!value)
                return buffer_append_f(out, ",\"%s\":null", name);
        text = json_string(value);
        if (!text)
                return -ENOMEM;
        r = buffer_append_f(out, ",\"%s\":", name);
        return r < 0 ? r : json_encode(text, out);
}

static int append_number_member(Buffer *out, const char *name, uint64_t value)
{
        if (value == 0)
                return buffer_append_f(out, ",\"%s\":null", name);
        return buffer_append_f(out, ",\"%s\":%" PRIu64, name, value);
}

static int append_task_member(Buffer *out, const TaskDocument *task)
{
        json_auto_t *value = NULL;
        int r;

        r = task_document_to_json(task, &value);
        if (r >= 0)
                r = buffer_append_str(out, ",\"task\":");
        return r < 0 ? r : json_encode(value, out);
}

static int append_event(const StoredEvent *e, Buffer *out)
{
        char time[TIME_STAMP_SIZE];
        int r;

        r = buffer_append_f(out, "{\"seq\":%" PRIu64 ",\"time\":\"%s\",\"kind\":\"%s\"", e->seq,
                        time_format(e->time, time), event_kind_to_string(e->kind));
        if (r >= 0)
                r = append_text_member(out, "task_id", e->task_id);
        if (r >= 0)
                r = append_text_member(out, "type", e->type);
        if (r >= 0)
                r = append_text_member(out, "status", task_status_to_string(e->status));
        if (r >= 0)
                r = append_number_member(out, "revision", e->revision);
        if (r >= 0)
                r = append_number_member(out, "delivery", e->delivery);
        if (r >= 0)
                r = append_text_member(out, "submission", e->submission);
        if (r >= 0 && e->task)
                r = append_task_member(out, e->task);
        return r < 0 ? r : buffer_append_str(out, "}");
}

static int take_event(const StoredEvent *e, void *userdata)
{
        FeedReader *x = userdata;
        char time[TIME_STAMP_SIZE];
        int r = 0;

        if (x->sse)
                r = buffer_append_f(
                                x->out, "id: %" PRIu64 "@%s\ndata: ", e->seq, time_format(e->time, time));
        if (r >= 0)
                r = append_event(e, x->out);
        if (r >= 0)
                r = buffer_append_str(x->out, x->sse ? "\n\n" : "\n");
        if (r < 0)
                return r;

        x->after = e->seq;
        x->left--;
        return x->out->size > BATCH_SIZE ? -ECANCELED : 0;
}

/* The stream. */

static int fill(void *userdata, StoreReader *reader, Buffer *out)
{
        FeedReader *x = userdata;
        int r;

        x->out = out;
        r = store_list_events(reader, x->after, (unsigned)MIN(x->left, BATCH), x->with_task, take_event, x);
        if (r < 0 && r != -ECANCELED)
                return r;
        if (x->left == 0)
                return READ_END;
        if (out->size == 0)
                return x->may_wait ? READ_WAIT : READ_END;
        if (!x->follow)
                x->may_wait = false; /* what it waited for has come */
        return READ_MORE;
}

static void end(void *userdata)
{
        reader_leave(userdata);
}

static void done(void *userdata)
{
        reader_free(userdata);
}

static int on_wait_over(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        FeedReader *x = userdata;

        read_stream_end(x->stream);
        return 0;
}

static int on_keep_alive(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        FeedReader *x = userdata;

        read_stream_say(x->stream, ":\n\n");
        (void)sd_event_source_set_time_relative(source, KEEP_ALIVE_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int reader_arm(FeedReader *x, uint64_t wait)
{
        if (x->follow && !x->sse)
                return 0;
        if (!x->follow && wait == 0)
                return 0;

        return sd_event_add_time_relative(x->base->loop, &x->timer, CLOCK_MONOTONIC,
                        x->follow ? KEEP_ALIVE_USEC : wait * USEC_PER_SEC, 0,
                        x->follow ? on_keep_alive : on_wait_over, x);
}

/* Parameters. */

const Param feed_params[] = {
        { "after", PARAM_NUMBER, offsetof(FeedQuery, after), 0, INT64_MAX },
        { "time", PARAM_TIME, offsetof(FeedQuery, time), 0, 0 },
        { "limit", PARAM_NUMBER, offsetof(FeedQuery, limit), 1, LIMIT_MAX },
        { "wait", PARAM_NUMBER, offsetof(FeedQuery, wait), 0, WAIT_MAX },
        { "follow", PARAM_BOOLEAN, offsetof(FeedQuery, follow), 0, 0 },
        { "include", PARAM_TEXT, offsetof(FeedQuery, include), 0, 64 },
        {},
};

static bool wants_sse(const HttpRequest *request)
{
        const char *accept = http_request_header(request, "Accept");

        return accept && strcasestr(accept, "text/event-stream");
}

/* "SEQ" or, as we give it, "SEQ@TIME". */
static int parse_event_id(const char *id, FeedQuery *q)
{
        const char *at = strchr(id, '@');
        _cleanup_free_ char *seq = strndup(id, at ? (size_t)(at - id) : strlen(id));
        int r;

        if (!seq)
                return -ENOMEM;
        r = parse_u64(seq, 0, INT64_MAX, &q->after);
        q->time = TIME_NONE;
        return r >= 0 && at ? time_parse(at + 1, &q->time) : r;
}

/* 0; 1: answered 400; negative errno. */
static int read_query(HttpRequest *request, FeedQuery *q)
{
        const char *last = http_request_header(request, "Last-Event-ID");
        int r;

        r = params_read(request, q);
        if (r == 0 && q->include && !streq(q->include, "task"))
                r = params_refuse(request, "include", "task") ?: 1;
        /* A reader that comes back says where it was in the header, with the URL it began with. */
        if (r == 0 && last && *last && wants_sse(request) && parse_event_id(last, q) < 0)
                r = params_refuse(request, "Last-Event-ID", "the id of an event, or no such header") ?: 1;
        if (r == 0 && q->time != TIME_NONE && q->after == 0)
                r = params_refuse(request, "time", "the time of the event that `after` names") ?: 1;
        return r;
}

/* Whether the event that the reader was at is still the same: it isn't when the database was turned back
 * since, because numbers are given again. 0: it is; 1: answered 409; negative errno. */
static int check_place(HttpRequest *request, const LocalBase *base, const FeedQuery *q)
{
        char time[TIME_STAMP_SIZE];
        int64_t was = TIME_NONE;
        int r;

        if (q->time == TIME_NONE)
                return 0;
        r = store_get_event_time(base->reader, q->after, &was);
        if (r < 0)
                return local_reply_failure(base->reader, request, r) ?: 1;
        if (r > 0 && was == q->time)
                return 0;
        if (r == 0)
                r = http_reply_error(request, 409, NULL,
                                "There is no event %" PRIu64 " (any more): the database was turned back, as "
                                "by a backup that was put back. Decide where to go on, and leave out "
                                "`time`.",
                                q->after);
        else
                r = http_reply_error(request, 409, NULL,
                                "Event %" PRIu64
                                " is another one now, of %s: the database was turned back, as "
                                "by a backup that was put back. Decide where to go on, and leave out "
                                "`time`.",
                                q->after, time_format(was, time));
        return r < 0 ? r : 1;
}

static int refuse_reader(HttpRequest *request)
{
        int r;

        r = http_reply_header(request, "Retry-After", BUSY_RETRY);
        if (r < 0)
                return r;
        return http_reply_error(request, 503, NULL,
                        "%u readers wait for events already: come back later, or ask without wait and "
                        "follow.",
                        READERS_MAX);
}

int feed_on_events(HttpRequest *request, void *userdata)
{
        static const ReadSource source = { .lane = READ_QUICK, .fill = fill, .end = end, .free = done };
        bool sse = wants_sse(request);
        FeedQuery q = { .follow = sse, .time = TIME_NONE };
        _cleanup_(reader_freep) FeedReader *x = NULL;
        LocalBase *base = userdata;
        Feed *feed = base->feed;
        ReadStream **stream;
        int r;

        r = read_query(request, &q);
        if (r == 0)
                r = check_place(request, base, &q);
        if (r != 0)
                return MIN(r, 0);

        if ((q.follow || q.wait > 0) && feed->n_waiting >= READERS_MAX)
                return refuse_reader(request);

        x = calloc(1, sizeof(FeedReader));
        if (!x)
                return -ENOMEM;
        *x = (FeedReader){
                .base = base,
                .after = q.after,
                .left = q.limit > 0 ? q.limit
                        : q.follow  ? UINT64_MAX
                                    : LIMIT_DEFAULT,
                .sse = sse,
                .with_task = q.include,
                .follow = q.follow,
                .waits = q.follow || q.wait > 0,
                .may_wait = q.follow || q.wait > 0,
        };
        r = reader_arm(x, q.wait);
        if (r >= 0 && x->may_wait)
                r = feed_look(base);
        if (r < 0)
                return r;

        LIST_INSERT_HEAD(&feed->readers, x, entry);
        x->listed = true;
        feed->n_waiting += x->waits;
        feed->n_following += x->follow;

        r = http_reply_header(request, "Cache-Control", "no-store");
        if (r < 0)
                return r;
        stream = &x->stream;
        return readers_stream(base->readers, request, sse ? "text/event-stream" : "application/x-ndjson",
                        &source, TAKE_PTR(x), stream);
}
