/*
 * consume: something is done with each event, at least once and in order. The feed is read a page at a time,
 * with no connection open while there is work. An event is done when the command said so and the place
 * behind it is on the disk, and not before that the next one is begun. So whatever ends this program, a
 * later run begins with an event that was not done, or with one that was and isn't known to be.
 *
 * The daemon may be away, and is waited for. It is told with each page which event is the last that was
 * done, and of when: where the feed was turned back it says so.
 */

#include <inttypes.h>
#include <jansson.h>
#include <unistd.h>

#include "basic/parse.h"
#include "scalectl/api.h"
#include "scalectl/consume/action.h"
#include "scalectl/metadata.h"

#define PAGE_EVENTS  100U
#define PAGE_SIZE    ((size_t)1024 * 1024) /* it ends with the event that reaches it */
#define PAGE_MAX     ((size_t)512 * 1024 * 1024)
#define SCAN_EVENTS  10000U
#define BATCH_MOST   10000U
#define WAIT_SECONDS 60U
#define EMPTY_USEC   (200 * USEC_PER_MSEC)
#define AWAY_FIRST   (200 * USEC_PER_MSEC)
#define AWAY_MOST    (10 * USEC_PER_SEC)
#define AGAIN_FIRST  USEC_PER_SEC
#define AGAIN_MOST   (300 * USEC_PER_SEC)
#define SAVE_PASSED_USEC \
        (10 * USEC_PER_SEC) /* how often the place is saved for events that were passed over */

typedef struct ConsumeOptions {
        const char *exec, *to, *state, *from;
        uint64_t batch, give_up;
        OptionList kinds, types, metadata;
        bool once, accept_rewind;
} ConsumeOptions;

static const Option consume_options[] = {
        { "--exec", OPTION_TEXT, offsetof(ConsumeOptions, exec) },
        { "--to", OPTION_TEXT, offsetof(ConsumeOptions, to) },
        { "--state", OPTION_TEXT, offsetof(ConsumeOptions, state) },
        { "--from", OPTION_TEXT, offsetof(ConsumeOptions, from) },
        { "--batch", OPTION_NUMBER, offsetof(ConsumeOptions, batch) },
        { "--give-up", OPTION_NUMBER, offsetof(ConsumeOptions, give_up) },
        { "--kind", OPTION_LIST, offsetof(ConsumeOptions, kinds) },
        { "--type", OPTION_LIST, offsetof(ConsumeOptions, types) },
        { "--metadata", OPTION_LIST, offsetof(ConsumeOptions, metadata) },
        { "--once", OPTION_FLAG, offsetof(ConsumeOptions, once) },
        { "--accept-rewind", OPTION_FLAG, offsetof(ConsumeOptions, accept_rewind) },
};

typedef struct Consumer {
        Ctl *ctl;
        const char *name;
        const ConsumeOptions *options;
        Action action;
        PlaceFile file;
        Place place; /* of the last event that is done, or was passed over */

        Buffer page;
        const char *next; /* in the page, what is not done */
        bool full;        /* the page has enough */

        uint64_t singly;          /* how many events still come one by one, of a batch that was given up */
        uint64_t saved, saved_at; /* the number that is on the disk, and since when (monotonic) */
        uint64_t away;            /* how long the daemon is waited for the next time; 0: it is there */
} Consumer;

/* Reading. */

static int on_data(const char *data, size_t size, void *userdata)
{
        Consumer *c = userdata;
        int r;

        r = buffer_append(&c->page, data, size);
        if (r < 0) {
                complain("%s", r == -ENOMEM ? "out of memory" : "the feed holds an event that is too large");
                return r;
        }
        c->full = c->page.size >= PAGE_SIZE && memchr(data, '\n', size);
        return c->full ? -ECANCELED : 0;
}

/* What the daemon answers, into the page; nothing where it is away, and that is waited for. 0, or an exit
 * status (said). */
static int ask(Consumer *c, ApiUrl *url)
{
        bool away = false;
        int r;

        buffer_consume(&c->page, c->page.size);
        c->full = false;
        action_begin_idle(&c->action);
        r = api_stream(c->ctl, API_QUERY, url, on_data, c, c->options->once ? NULL : &away);
        action_end_idle(&c->action);
        if (r == 0 || c->full) {
                c->away = 0;
                return 0;
        }
        buffer_consume(&c->page, c->page.size);
        if (!away)
                return r;
        if (c->away == 0)
                complain("scale-callbackd is not there: going on behind event %" PRIu64 " once it is back",
                                c->place.seq);
        c->away = c->away ? MIN(2 * c->away, AWAY_MOST) : AWAY_FIRST;
        return 0;
}

/* The events behind a place, as many as were read. 0, or an exit status (said); EX_NO: the event of that
 * number is another one now. */
static int read_page(Consumer *c, const Place *place, bool with_task, uint64_t limit, uint64_t wait)
{
        ApiUrl url = api_url("/v1/events");
        const char *end;
        int r;

        api_url_add_number(&url, "after", place->seq);
        api_url_add(&url, "time", place->seq > 0 && *place->time ? place->time : NULL);
        api_url_add_number(&url, "limit", limit);
        api_url_add(&url, "include", with_task ? "task" : NULL);
        api_url_add_number(&url, "wait", wait);
        r = ask(c, &url);

        end = c->page.size > 0 ? memrchr(c->page.data, '\n', c->page.size) : NULL;
        c->page.size = end ? (size_t)(end - c->page.data) + 1 : 0;
        c->next = c->page.data;
        return r;
}

/* Whether there is a line at hand. */
static bool has_line(const Consumer *c)
{
        return c->page.size > 0 && c->next < c->page.data + c->page.size;
}

/* The event of the line at hand, a new reference; *ret_end is behind the line, *ret_place its number and
 * time. NULL: it is none (said). */
static json_t *read_event(const Consumer *c, const char *line, const char **ret_end, Place *ret_place)
{
        const char *end = memchr(line, '\n', (size_t)(c->page.data + c->page.size - line)), *time;
        json_auto_t *event = api_json_text(line, (size_t)(end - line));
        json_int_t seq = json_integer_value(json_object_get(event, "seq"));

        time = json_string_value(json_object_get(event, "time"));
        if (seq <= 0 || !time || strlen(time) >= sizeof(ret_place->time)) {
                complain("the feed holds a line that is no event");
                return NULL;
        }
        ret_place->seq = (uint64_t)seq;
        strcpy(ret_place->time, time);
        *ret_end = end + 1;
        return json_incref(event);
}

/* Choosing. */

static bool list_allows(const OptionList *list, const json_t *value)
{
        FOREACH_ARRAY(item, list->items, list->n)
                if (streq_ptr(*item, json_string_value(value)))
                        return true;
        return list->n == 0;
}

static bool chooses(const ConsumeOptions *o, const json_t *event)
{
        return list_allows(&o->kinds, json_object_get(event, "kind")) &&
               list_allows(&o->types, json_object_get(event, "type")) &&
               metadata_fits(json_object_get(event, "task"), &o->metadata);
}

/* The first events of what is left of the page that are to be done, and what they have to say. 0 or an exit
 * status (said). */
static int gather(const Consumer *c, Batch *batch, json_t **first)
{
        const char *page_end = c->page.data + c->page.size;
        size_t most = c->singly > 0 ? 1 : c->options->batch;

        for (const char *line = c->next; line < page_end && batch->n < most; line = batch->end) {
                json_auto_t *event = read_event(c, line, &batch->end, &batch->place);

                if (!event)
                        return EX_PROTOCOL;
                if (!chooses(c->options, event))
                        continue;
                if (buffer_append(&batch->lines, line, (size_t)(batch->end - line)) < 0) {
                        complain("out of memory");
                        return EX_OSERR;
                }
                batch->seq = batch->place.seq;
                if (batch->n++ == 0)
                        *first = json_incref(event);
        }
        batch->kind = json_string_value(json_object_get(*first, "kind"));
        batch->task_id = json_string_value(json_object_get(*first, "task_id"));
        batch->task_type = json_string_value(json_object_get(*first, "type"));
        return 0;
}

/* Doing. */

/* Waits, and the next time longer. */
static void back_off(Consumer *c, uint64_t *span)
{
        action_pause(&c->action, *span);
        *span = MIN(2 * *span, AGAIN_MOST);
}

static void complain_of_file(const Consumer *c, const char *suffix, int r, uint64_t span)
{
        complain("%s%s can't be written: %s; again in %" PRIu64 " s", c->file.path, suffix, strerror(-r),
                        span / USEC_PER_SEC);
}

/* Writes down what is not to be forgotten, however long that takes: nothing else is done before. */
static void save(Consumer *c)
{
        uint64_t span = AGAIN_FIRST;
        int r;

        while ((r = place_save(&c->file, &c->place)) < 0 && !c->action.stopping) {
                complain_of_file(c, "", r, span);
                back_off(c, &span);
        }
        if (r >= 0)
                c->saved = c->place.seq;
        c->saved_at = now_monotonic();
}

/* These are done. */
static void pass(Consumer *c, const Batch *batch)
{
        c->place = batch->place;
        c->next = batch->end;
        if (batch->n > 0 || now_monotonic() - c->saved_at >= SAVE_PASSED_USEC)
                save(c);
}

static void save_failed(Consumer *c, const Batch *batch, uint64_t attempts)
{
        uint64_t span = AGAIN_FIRST;
        int r;

        while ((r = place_save_failed(&c->file, batch->lines.data, batch->lines.size, c->action.reason,
                                attempts)) < 0 &&
                        !c->action.stopping) {
                complain_of_file(c, ".failed", r, span);
                back_off(c, &span);
        }
        if (r < 0)
                return;
        complain("event %" PRIu64 " is given up: %s; see %s.failed", batch->seq, c->action.reason,
                        c->file.path);
        pass(c, batch);
}

/* Nothing more is tried with these. Of several it is not known which one it is about. */
static void give_up(Consumer *c, const Batch *batch, uint64_t attempts)
{
        if (batch->n > 1) {
                complain("%zu events up to %" PRIu64 ": %s; they are tried one by one", batch->n, batch->seq,
                                c->action.reason);
                c->singly = batch->n;
                return;
        }
        save_failed(c, batch, attempts);
}

static void act(Consumer *c, const Batch *batch)
{
        uint64_t span = AGAIN_FIRST, failures = 0;

        for (uint64_t attempt = 1; !c->action.stopping; attempt++) {
                ActionResult result = action_run(&c->action, batch, attempt);

                if (result == ACTION_DONE) {
                        pass(c, batch);
                        return;
                }
                failures += result == ACTION_FAILED;
                if (result == ACTION_NEVER || (c->options->give_up > 0 && failures >= c->options->give_up)) {
                        give_up(c, batch, attempt);
                        return;
                }
                if (c->action.stopping)
                        return;
                complain("event %" PRIu64 ": %s; again in %" PRIu64 " s", batch->seq, c->action.reason,
                                span / USEC_PER_SEC);
                back_off(c, &span);
        }
}

/* The next events of the page. 0 or an exit status (said). */
static int go_on(Consumer *c)
{
        Batch batch = { .lines = BUFFER_INIT(PAGE_MAX) };
        json_auto_t *first = NULL;
        bool alone = c->singly > 0;
        int r;

        r = gather(c, &batch, &first);
        if (r == 0 && batch.n > 0) {
                act(c, &batch);
                c->singly -= alone;
        } else if (r == 0)
                pass(c, &batch);
        buffer_done(&batch.lines);
        return r;
}

/* Where to begin. */

/* The number of the newest event. 0 or an exit status (said). */
static int find_newest(Consumer *c, uint64_t *ret)
{
        ApiUrl url = api_url("/v1/stats");
        json_auto_t *stats = NULL;
        const json_t *newest;
        int r;

        r = ask(c, &url);
        if (r != 0 || c->away > 0)
                return r;
        stats = api_json(&c->page);
        buffer_consume(&c->page, c->page.size);
        newest = json_object_get(stats, "last_event");
        if (!json_is_integer(newest))
                return api_complain_broken();
        *ret = (uint64_t)json_integer_value(newest);
        return 0;
}

/* Which event is taken for done: with `now` the newest, with a number the one before. 0 or an exit status
 * (said). */
static int find_seq(Consumer *c, uint64_t *ret)
{
        const char *from = c->options->from ?: "start";

        *ret = 0;
        if (streq(from, "now"))
                return find_newest(c, ret);
        if (!streq(from, "start") && parse_u64(from, 0, INT64_MAX, ret) >= 0 && *ret > 0)
                --*ret;
        return 0;
}

/* And of when that is. 0 or an exit status (said). */
static int find_place(Consumer *c, Place *ret)
{
        json_auto_t *event = NULL;
        const char *end;
        uint64_t seq = 0;
        int r;

        *ret = (Place){};
        r = find_seq(c, &seq);
        if (r != 0 || c->away > 0 || seq == 0)
                return r;
        r = read_page(c, &(Place){ .seq = seq - 1 }, false, 1, 0);
        if (r != 0 || c->away > 0)
                return r;
        if (!has_line(c)) {
                complain("--from %s: there is no event %" PRIu64 " yet", c->options->from, seq);
                return EX_USAGE;
        }
        event = read_event(c, c->next, &end, ret);
        c->next = end;
        return event ? 0 : EX_PROTOCOL;
}

/* A new name: where it begins is written down before anything is done, because "now" is another time
 * tomorrow. 0 or an exit status (said). */
static int begin(Consumer *c)
{
        Place place;
        int r;

        do {
                if (c->away > 0)
                        action_pause(&c->action, c->away);
                if (c->action.stopping)
                        return 0;
                r = find_place(c, &place);
        } while (r == 0 && c->away > 0);
        if (r != 0)
                return r;
        c->place = place;
        save(c);
        return 0;
}

/* Looks in the page for an event that is newer than this time; *ret is the place before it, or that of the
 * last one. 1: found; 0; -EPROTO (said). */
static int find_newer(Consumer *c, int64_t last, Place *ret)
{
        while (has_line(c)) {
                json_auto_t *event = NULL;
                Place found;
                int64_t time;

                event = read_event(c, c->next, &c->next, &found);
                if (!event || time_parse(found.time, &time) < 0)
                        return -EPROTO;
                if (time > last)
                        return 1;
                *ret = found;
        }
        return 0;
}

/* The feed is another one than it was. What it has that is no newer than the last event that was done is
 * taken for done. 0 or an exit status (said). */
static int accept_rewind(Consumer *c)
{
        int64_t last = TIME_NONE;
        Place place = {};
        int r, found = 0;

        (void)time_parse(c->place.time, &last);
        do {
                r = read_page(c, &place, false, SCAN_EVENTS, 0);
                if (r != 0 || c->away > 0)
                        return r;
                if (!has_line(c))
                        break;
                found = find_newer(c, last, &place);
        } while (found == 0);
        if (found < 0)
                return EX_PROTOCOL;

        buffer_consume(&c->page, c->page.size);
        complain("the consumer %s goes on behind event %" PRIu64 ": the feed was turned back", c->name,
                        place.seq);
        c->place = place;
        save(c);
        return 0;
}

static int on_turned_back(Consumer *c)
{
        if (c->options->accept_rewind)
                return accept_rewind(c);
        complain("the consumer %s stops: the last event that it did is %" PRIu64
                 " of %s. With --accept-rewind it goes on behind the last one that is no newer",
                        c->name, c->place.seq, c->place.time);
        return EX_NO;
}

/* The next page, or what there is to do where there is none. *ret_end: there is nothing more to be done. 0
 * or an exit status (said). */
static int turn_page(Consumer *c, bool *ret_end)
{
        const ConsumeOptions *o = c->options;
        uint64_t began = now_monotonic();
        int r;

        if (c->away > 0)
                action_pause(&c->action, c->away);
        if (c->action.stopping)
                return 0;
        r = read_page(c, &c->place, true, MAX(o->batch, PAGE_EVENTS), o->once ? 0 : WAIT_SECONDS);
        if (r == EX_NO)
                return on_turned_back(c);
        if (r != 0 || has_line(c) || c->away > 0)
                return r;
        *ret_end = o->once;
        if (!o->once && now_monotonic() - began < USEC_PER_SEC)
                action_pause(&c->action, EMPTY_USEC); /* it is about to leave */
        return 0;
}

static int consume(Consumer *c, bool is_new)
{
        bool end = false;
        int r = 0;

        if (is_new)
                r = begin(c);
        else if (c->options->from)
                complain("the consumer %s goes on behind event %" PRIu64
                         ", as %s says: --from is for a new one",
                                c->name, c->place.seq, c->file.path);
        c->saved = c->place.seq;
        while (r == 0 && !end && !c->action.stopping)
                r = has_line(c) ? go_on(c) : turn_page(c, &end);
        if (c->saved != c->place.seq)
                save(c);
        return r;
}

/* Options. */

/* What stands behind --exec is the command with its own options. */
static char **cut_command(int *argc, char **argv)
{
        for (int i = 1; i < *argc; i++)
                if (streq(argv[i], "--exec") && i + 1 < *argc) {
                        argv[i] = NULL;
                        *argc = i;
                        return argv + i + 1;
                }
        return NULL;
}

/* 0 or EX_USAGE (said). */
static int check_options(const Ctl *ctl, const ConsumeOptions *o, const char *name, bool has_command)
{
        uint64_t seq;

        if (!place_name_is_valid(name)) {
                complain("%s: expected a name of at most 64 letters, digits, - and _", name);
                return EX_USAGE;
        }
        if (has_command == !!o->to)
                return options_complain_usage(ctl);
        if (o->batch < 1 || o->batch > BATCH_MOST) {
                complain("--batch %" PRIu64 ": expected a number from 1 to %u", o->batch, BATCH_MOST);
                return EX_USAGE;
        }
        if (o->from && !streq(o->from, "start") && !streq(o->from, "now") &&
                        parse_u64(o->from, 0, INT64_MAX, &seq) < 0) {
                complain("--from %s: expected start, now or the number of an event", o->from);
                return EX_USAGE;
        }
        if (metadata_check(&o->metadata) != 0)
                return EX_USAGE;
        return o->to ? action_check_url(o->to) : 0;
}

int verb_consume(Ctl *ctl, int argc, char **argv)
{
        ConsumeOptions o = { .batch = 1 };
        Consumer c = { .ctl = ctl, .options = &o, .page = BUFFER_INIT(PAGE_MAX), .file = PLACE_FILE_INIT };
        char *whole[] = { NULL, NULL };
        bool is_new;
        unsigned n;
        int r;

        c.action.command = cut_command(&argc, argv);
        r = options_read(ctl, consume_options, ELEMENTSOF(consume_options), &o, argc, argv, 1, 1, &n);
        if (r != 0)
                return r;
        if (o.exec && !c.action.command) { /* --exec=CMD */
                whole[0] = (char *)(uintptr_t)o.exec;
                c.action.command = whole;
        }
        c.name = argv[1];
        c.action.url = o.to;
        c.action.batched = o.batch > 1;
        r = check_options(ctl, &o, c.name, c.action.command != NULL);
        if (r != 0)
                return r;
        if (action_init(&c.action) < 0)
                return EX_OSERR;

        r = place_open(c.name, o.state, &c.file, &c.place, &is_new);
        if (r == 0)
                r = consume(&c, is_new);
        place_close(&c.file);
        buffer_done(&c.page);
        return r;
}
