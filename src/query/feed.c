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
#define SUBSCRIBERS_MAX 192U /* that may wait for events: connections are left for those who don't */
#define BUSY_RETRY      "30" /* seconds */

typedef struct FeedQuery {
        uint64_t after, limit, wait;
        int64_t time; /* of event `after`, as the reader had it; TIME_NONE: it doesn't say */
        int follow;
        const char *include;
} FeedQuery;

struct Subscriber {
        LIST_ENTRY(Subscriber) entry;
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
static void subscriber_leave(Subscriber *subscriber)
{
        Feed *feed = subscriber->base->feed;

        subscriber->timer = sd_event_source_disable_unref(subscriber->timer);
        if (!subscriber->listed)
                return;
        LIST_REMOVE(subscriber, entry);
        subscriber->listed = false;
        feed->n_waiting -= subscriber->waits;
        feed->n_following -= subscriber->follow;
}

static Subscriber *subscriber_free(Subscriber *subscriber)
{
        if (!subscriber)
                return NULL;

        subscriber_leave(subscriber);
        free(subscriber);
        return NULL;
}
DEFINE_CLEANUP(Subscriber *, subscriber_free)

void feed_notify(Feed *feed)
{
        Subscriber *subscriber;

        LIST_FOREACH(subscriber, &feed->subscribers, entry)
                read_stream_wake(subscriber->stream);
}

void feed_close(Feed *feed)
{
        Subscriber *subscriber;

        LIST_FOREACH(subscriber, &feed->subscribers, entry)
                read_stream_end(subscriber->stream);
}

void feed_done(Feed *feed)
{
        assert(LIST_EMPTY(&feed->subscribers));
        feed->look = sd_event_source_disable_unref(feed->look);
}

static int on_look(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        LocalBase *base = userdata;

        if (LIST_EMPTY(&base->feed->subscribers))
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

static json_t *number_or_null(uint64_t n)
{
        return n > 0 ? json_integer((json_int_t)n) : json_null();
}

static int append_event(const StoredEvent *event, Buffer *out)
{
        json_auto_t *object = NULL, *task = NULL;
        char time[TIME_STAMP_SIZE];
        int r;

        object = json_pack("{s:I, s:s, s:s, s:s?, s:s?, s:s?, s:o, s:o, s:s?}", "seq",
                        (json_int_t)event->seq, "time", time_format(event->time, time), "kind",
                        event_kind_to_string(event->kind), "task_id", event->task_id, "type", event->type,
                        "status", task_status_to_string(event->status), "revision",
                        number_or_null(event->revision), "delivery", number_or_null(event->delivery),
                        "submission", event->submission);
        if (!object)
                return -ENOMEM;
        if (event->task) {
                r = task_document_to_json(event->task, &task);
                if (r < 0)
                        return r;
                if (json_object_set(object, "task", task) < 0)
                        return -ENOMEM;
        }
        return json_encode(object, out);
}

static int take_event(const StoredEvent *event, void *userdata)
{
        Subscriber *subscriber = userdata;
        char time[TIME_STAMP_SIZE];
        int r = 0;

        if (subscriber->sse)
                r = buffer_append_f(subscriber->out, "id: %" PRIu64 "@%s\ndata: ", event->seq,
                                time_format(event->time, time));
        if (r < 0)
                return r;
        r = append_event(event, subscriber->out);
        if (r < 0)
                return r;
        r = buffer_append_str(subscriber->out, subscriber->sse ? "\n\n" : "\n");
        if (r < 0)
                return r;

        subscriber->after = event->seq;
        subscriber->left--;
        return subscriber->out->size > BATCH_SIZE ? -ECANCELED : 0;
}

/* The stream. */

static int feed_fill(void *userdata, StoreReader *reader, Buffer *out)
{
        Subscriber *subscriber = userdata;
        int r;

        subscriber->out = out;
        r = store_list_events(reader, subscriber->after, (unsigned)MIN(subscriber->left, BATCH),
                        subscriber->with_task, take_event, subscriber);
        if (r < 0 && r != -ECANCELED)
                return r;
        if (subscriber->left == 0)
                return READ_END;
        if (out->size == 0)
                return subscriber->may_wait ? READ_WAIT : READ_END;
        if (!subscriber->follow)
                subscriber->may_wait = false; /* what it waited for has come */
        return READ_MORE;
}

static void feed_stream_end(void *userdata)
{
        subscriber_leave(userdata);
}

static void feed_stream_free(void *userdata)
{
        subscriber_free(userdata);
}

static int on_wait_over(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Subscriber *subscriber = userdata;

        read_stream_end(subscriber->stream);
        return 0;
}

static int on_keep_alive(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Subscriber *subscriber = userdata;

        read_stream_say(subscriber->stream, ":\n\n");
        (void)sd_event_source_set_time_relative(source, KEEP_ALIVE_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int subscriber_arm(Subscriber *subscriber, uint64_t wait)
{
        if (subscriber->follow && !subscriber->sse)
                return 0;
        if (!subscriber->follow && wait == 0)
                return 0;

        return sd_event_add_time_relative(subscriber->base->loop, &subscriber->timer, CLOCK_MONOTONIC,
                        subscriber->follow ? KEEP_ALIVE_USEC : wait * USEC_PER_SEC, 0,
                        subscriber->follow ? on_keep_alive : on_wait_over, subscriber);
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
static int parse_event_id(const char *id, FeedQuery *query)
{
        const char *at = strchr(id, '@');
        _cleanup_free_ char *seq = strndup(id, at ? (size_t)(at - id) : strlen(id));
        int r;

        if (!seq)
                return -ENOMEM;
        r = parse_u64(seq, 0, INT64_MAX, &query->after);
        query->time = TIME_NONE;
        return r >= 0 && at ? time_parse(at + 1, &query->time) : r;
}

/* 0; 1: answered 400; negative errno. */
static int read_feed_query(HttpRequest *request, FeedQuery *query)
{
        const char *last = http_request_header(request, "Last-Event-ID");
        int r;

        r = params_read(request, query);
        if (r == 0 && query->include && !streq(query->include, "task"))
                r = params_refuse(request, "include", "task") ?: 1;
        /* A reader that comes back says where it was in the header, with the URL it began with. */
        if (r == 0 && last && *last && wants_sse(request) && parse_event_id(last, query) < 0)
                r = params_refuse(request, "Last-Event-ID", "the id of an event, or no such header") ?: 1;
        if (r == 0 && query->time != TIME_NONE && query->after == 0)
                r = params_refuse(request, "time", "the time of the event that `after` names") ?: 1;
        return r;
}

/* Whether the event that the reader was at is still the same: it isn't when the database was turned back
 * since, because numbers are given again. 0: it is; 1: answered 409; negative errno. */
static int check_place(HttpRequest *request, const LocalBase *base, const FeedQuery *query)
{
        char time[TIME_STAMP_SIZE];
        int64_t was = TIME_NONE;
        int r;

        if (query->time == TIME_NONE)
                return 0;
        r = store_get_event_time(base->reader, query->after, &was);
        if (r < 0)
                return local_reply_failure(base->reader, request, r) ?: 1;
        if (r > 0 && was == query->time)
                return 0;
        if (r == 0)
                r = http_reply_error(request, 409, NULL,
                                "There is no event %" PRIu64
                                " (any more): the database was turned back, as by a backup that was put back. Decide where to go on, and leave out `time`.",
                                query->after);
        else
                r = http_reply_error(request, 409, NULL,
                                "Event %" PRIu64
                                " is another one now, of %s: the database was turned back, as by a backup that was put back. Decide where to go on, and leave out `time`.",
                                query->after, time_format(was, time));
        return r < 0 ? r : 1;
}

static int refuse_subscriber(HttpRequest *request)
{
        int r;

        r = http_reply_header(request, "Retry-After", BUSY_RETRY);
        if (r < 0)
                return r;
        return http_reply_error(request, 503, NULL,
                        "%u readers wait for events already: come back later, or ask without wait and follow.",
                        SUBSCRIBERS_MAX);
}

static int subscriber_new(LocalBase *base, const FeedQuery *query, bool sse, Subscriber **ret)
{
        _cleanup_(subscriber_freep) Subscriber *subscriber = NULL;
        Feed *feed = base->feed;
        int r;

        subscriber = calloc(1, sizeof(Subscriber));
        if (!subscriber)
                return -ENOMEM;
        *subscriber = (Subscriber){
                .base = base,
                .after = query->after,
                .left = query->limit > 0 ? query->limit
                        : query->follow  ? UINT64_MAX
                                         : LIMIT_DEFAULT,
                .sse = sse,
                .with_task = query->include,
                .follow = query->follow,
                .waits = query->follow || query->wait > 0,
                .may_wait = query->follow || query->wait > 0,
        };
        r = subscriber_arm(subscriber, query->wait);
        if (r >= 0 && subscriber->waits)
                r = feed_look(base);
        if (r < 0)
                return r;

        LIST_INSERT_HEAD(&feed->subscribers, subscriber, entry);
        subscriber->listed = true;
        feed->n_waiting += subscriber->waits;
        feed->n_following += subscriber->follow;
        *ret = TAKE_PTR(subscriber);
        return 0;
}

int feed_on_events(HttpRequest *request, void *userdata)
{
        static const ReadSource source = {
                .lane = READ_QUICK, .fill = feed_fill, .end = feed_stream_end, .free = feed_stream_free
        };
        bool sse = wants_sse(request);
        FeedQuery query = { .follow = sse, .time = TIME_NONE };
        Subscriber *subscriber;
        LocalBase *base = userdata;
        int r;

        r = read_feed_query(request, &query);
        if (r == 0)
                r = check_place(request, base, &query);
        if (r != 0)
                return MIN(r, 0);
        if ((query.follow || query.wait > 0) && base->feed->n_waiting >= SUBSCRIBERS_MAX)
                return refuse_subscriber(request);

        r = http_reply_header(request, "Cache-Control", "no-store");
        if (r < 0)
                return r;
        r = subscriber_new(base, &query, sse, &subscriber);
        if (r < 0)
                return r;
        return readers_stream(base->readers, request, sse ? "text/event-stream" : "application/x-ndjson",
                        &source, subscriber, &subscriber->stream);
}
