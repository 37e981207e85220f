/*
 * The feed, followed. The daemon may be restarted under it: it comes back with the number of the last event
 * it has shown, so that none is missed and none is shown twice, and with that event's time, so that it is
 * told when a backup was put back meanwhile and the number stands for another one. What it reads are whole
 * lines, however they are cut on the way.
 */

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <unistd.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "scalectl/api.h"
#include "scalectl/text/format.h"
#include "scalectl/text/json-text.h"

#define LINE_MAX_SIZE  ((size_t)64 * 1024) /* of an event without its task */
#define PAUSE_MIN_USEC (200 * USEC_PER_MSEC)
#define PAUSE_MAX_USEC (10 * USEC_PER_SEC)
#define KIND_WIDTH     18

typedef struct Watch {
        Ctl *ctl;
        const char *type;
        uint64_t after;
        char *time; /* owned: of that event, as the feed has it; NULL: not known */
        Buffer line;
        bool broken; /* there is no going on; said */
} Watch;

static const Option watch_options[] = {
        { "--after", OPTION_NUMBER, offsetof(Watch, after) },
        { "--type", OPTION_TEXT, offsetof(Watch, type) },
};

/* Every event is written out before the next is read, so there is nothing left to do: and a transfer that
 * waits for the next one would not hear of it otherwise. */
static void on_signal(_unused_ int signal)
{
        _exit(0);
}

/* A member for people, "-" where there is none. */
static void print_member(const char *before, const json_t *v, int width)
{
        _cleanup_free_ char *text = format_value(v);

        printf("%s%-*s", before, width, text && *text ? text : "-");
}

static void print_event(const Watch *watch, const json_t *event, const char *text, size_t size)
{
        char time[FORMAT_TIME_SIZE];

        if (watch->ctl->json) {
                json_text_print_line(text, size, watch->ctl->term.width > 0, stdout);
                return;
        }
        printf("%" JSON_INTEGER_FORMAT "  %s", json_integer_value(json_object_get(event, "seq")),
                        format_json_time(json_object_get(event, "time"), watch->ctl->utc, time));
        print_member("  ", json_object_get(event, "kind"), KIND_WIDTH);
        print_member("  ", json_object_get(event, "task_id"), 0);
        print_member("  ", json_object_get(event, "type"), 0);
        if (json_is_integer(json_object_get(event, "delivery")))
                print_member("  delivery ", json_object_get(event, "delivery"), 0);
        if (!json_is_string(json_object_get(event, "task_id")) &&
                        json_is_string(json_object_get(event, "submission")))
                print_member("  submission ", json_object_get(event, "submission"), 0);
        putchar('\n');
}

/* It is the last one that was seen. */
static int take_place(Watch *watch, const json_t *event)
{
        const char *time = json_string_value(json_object_get(event, "time"));

        watch->after = (uint64_t)json_integer_value(json_object_get(event, "seq"));
        free(watch->time);
        watch->time = time ? strdup(time) : NULL;
        return time && !watch->time ? -ENOMEM : 0;
}

static int take_line(Watch *watch, const char *text, size_t size)
{
        json_auto_t *event = api_json_text(text, size);
        const char *type = json_string_value(json_object_get(event, "type"));
        json_int_t seq = json_integer_value(json_object_get(event, "seq"));
        int r;

        if (!event || seq <= 0) {
                complain("the feed holds a line that is not an event");
                watch->broken = true;
                return -EBADMSG;
        }
        r = take_place(watch, event);
        if (r < 0)
                return r;
        if (!watch->type || (type && streq(type, watch->type)))
                print_event(watch, event, text, size);
        if (fflush(stdout) != 0) {
                watch->broken = true; /* whoever read it has gone */
                return -EPIPE;
        }
        return 0;
}

static int on_data(const char *data, size_t size, void *userdata)
{
        Watch *watch = userdata;
        int r;

        while (size > 0) {
                const char *end = memchr(data, '\n', size);
                size_t n = end ? (size_t)(end - data) : size;

                r = buffer_append(&watch->line, data, n);
                if (r < 0) {
                        complain("the feed holds a line that is too long");
                        watch->broken = true;
                        return r;
                }
                if (!end)
                        return 0;
                r = watch->line.size > 0 ? take_line(watch, watch->line.data, watch->line.size) : 0;
                buffer_consume(&watch->line, watch->line.size);
                if (r < 0)
                        return r;
                data += n + 1;
                size -= n + 1;
        }
        return 0;
}

/* The number of the newest event: where a watch without --after begins. Asked in any case, because here who
 * named a wrong socket, or may not use it, is told so; later on the daemon is waited for. */
static int find_newest(Ctl *ctl, uint64_t *ret)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(0);
        ApiUrl url = api_url("/v1/stats");
        json_auto_t *stats = NULL;
        const json_t *newest;
        int r;

        r = api_call(ctl, API_QUERY, "GET", &url, &body);
        if (r != 0)
                return r;
        stats = api_json(&body);
        newest = json_object_get(stats, "last_event");
        if (!json_is_integer(newest))
                return api_complain_broken();

        *ret = (uint64_t)json_integer_value(newest);
        return 0;
}

/* The time of the event to begin behind. */
static int find_place(Watch *watch)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(0);
        ApiUrl url = api_url("/v1/events");
        json_auto_t *event = NULL;
        int r;

        api_url_add_number(&url, "after", watch->after - 1);
        api_url_add_number(&url, "limit", 1);
        r = api_call(watch->ctl, API_QUERY, "GET", &url, &body);
        if (r != 0)
                return r;
        event = api_json(&body);
        if (json_integer_value(json_object_get(event, "seq")) != (json_int_t)watch->after)
                return api_complain_broken();
        return take_place(watch, event) < 0 ? EX_OSERR : 0;
}

static int begin(Watch *watch)
{
        uint64_t newest = 0;
        int r;

        r = find_newest(watch->ctl, &newest);
        if (r != 0)
                return r;

        if (watch->after == UINT64_MAX)
                watch->after = newest;
        if (watch->after > 0 && watch->after <= newest)
                return find_place(watch);
        if (watch->after > newest)
                complain("the newest event is %" PRIu64 ": nothing comes before %" PRIu64, newest,
                                watch->after + 1);
        return 0;
}

/* One connection, to its end. 0: it may be made again; *ret_lost: the daemon was not there. */
static int follow_once(Watch *watch, bool *ret_lost)
{
        ApiUrl url = api_url("/v1/events");
        int r;

        api_url_add_number(&url, "after", watch->after);
        if (watch->time)
                api_url_add(&url, "time", watch->time);
        api_url_add(&url, "follow", "1");
        r = api_stream(watch->ctl, API_QUERY, &url, on_data, watch, ret_lost);
        buffer_consume(&watch->line, watch->line.size); /* half a line comes again as a whole one */
        if (watch->broken)
                return EX_IOERR;
        return *ret_lost ? 0 : r;
}

static int follow(Watch *watch)
{
        uint64_t pause = PAUSE_MIN_USEC;
        bool told = false;

        for (;;) {
                uint64_t before = watch->after;
                bool lost;
                int r;

                r = follow_once(watch, &lost);
                if (r != 0)
                        return r;

                if (watch->after > before) {
                        pause = PAUSE_MIN_USEC;
                        told = false;
                }
                if (lost && !told)
                        complain("scale-callbackd has gone; going on after event %" PRIu64
                                 " once it is back",
                                        watch->after);
                told = told || lost;
                usleep((useconds_t)pause);
                pause = MIN(pause * 2, PAUSE_MAX_USEC);
        }
}

int verb_watch(Ctl *ctl, int argc, char **argv)
{
        const struct sigaction action = { .sa_handler = on_signal };
        Watch w = { .ctl = ctl, .after = UINT64_MAX, .line = BUFFER_INIT(LINE_MAX_SIZE) };
        unsigned n;
        int r;

        r = options_read(ctl, watch_options, ELEMENTSOF(watch_options), &w, argc, argv, 0, 0, &n);
        if (r != 0)
                return r;

        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        signal(SIGPIPE, SIG_IGN);
        r = begin(&w);
        if (r == 0)
                r = follow(&w);
        buffer_done(&w.line);
        free(w.time);
        return r;
}
