/*
 * Callbacks on their way: a few at a time, each with the header that says who calls. Only this host is
 * called unless the command line allows others, so that an example with somebody's address in it sends
 * nothing there; the attempt is listed all the same and says why it failed.
 *
 * One that is to be cut says how long it is, sends half of that, and leaves.
 */

#include "sandbox/callbacks.h"

#include <stdio.h>
#include <strings.h>
#include <sysexits.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "http/pool.h"

#define IN_FLIGHT_MAX 32U
#define TIMEOUT_USEC  (30 * USEC_PER_SEC)
#define CUT_USEC      (500 * USEC_PER_MSEC) /* how long a cut one stays before it leaves */
#define ANSWER_MAX    ((size_t)1024 * 1024)

struct Callbacks {
        sd_event *loop;
        World *world;
        CallbacksOptions options;
        HttpPool *pool;
        sd_event_source *timer;
        unsigned in_flight;
        bool freeing;
};

typedef struct Call {
        Callbacks *callbacks;
        uint64_t number;
} Call;

/* Whether the URL's host is this one: localhost, 127.0.0.0/8, [::1]. */
static bool is_local_url(const char *url)
{
        static const char *const local[] = { "localhost", "[::1]" };
        const char *host = strstr(url, "://"), *at;
        size_t n;

        if (!host)
                return false;
        host += 3;
        n = strcspn(host, "/?#\\");
        at = memrchr(host, '@', n);
        if (at) {
                n -= (size_t)(at + 1 - host);
                host = at + 1;
        }
        n = *host == '[' ? MIN(strcspn(host, "]") + 1, n) : MIN(strcspn(host, ":"), n);

        FOREACH_ARRAY(l, local, ELEMENTSOF(local))
                if (strlen(*l) == n && strncasecmp(host, *l, n) == 0)
                        return true;
        return n > 4 && strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == n;
}

/* What can't go on ends the program. */
static void give_up(Callbacks *callbacks, int error)
{
        log_error_errno(error, "Can't go on");
        (void)sd_event_exit(callbacks->loop, EX_OSERR);
}

static void tell(Callbacks *callbacks, uint64_t number, unsigned status, const char *error)
{
        int r;

        log_debug("Callback: %u%s%s", status, error ? ", " : "", error ?: "");
        r = world_callback_done(callbacks->world, number, status, error, now_realtime());
        if (r < 0)
                give_up(callbacks, r);
}

static void on_done(const HttpPoolResult *result, void *userdata)
{
        Call *call = userdata;
        Callbacks *callbacks = call->callbacks;
        uint64_t number = call->number;

        free(call);
        callbacks->in_flight--;
        if (callbacks->freeing)
                return;
        tell(callbacks, number, result->error < 0 ? 0 : result->status, result->message);
        callbacks_run(callbacks);
}

static int start(Callbacks *callbacks, const WorldCallback *w)
{
        char length[24];
        HttpHeader headers[2];
        HttpPoolRequest q = {
                .method = "POST",
                .url = w->url,
                .content_type = "application/json",
                .headers = headers,
                .body = w->body,
                .body_size = w->cut ? w->body_size / 2 : w->body_size,
                .timeout = w->cut ? CUT_USEC : TIMEOUT_USEC,
                .max_body = ANSWER_MAX,
                .done = on_done,
        };
        Call *call = malloc(sizeof(Call));
        int r;

        if (!call)
                return -ENOMEM;
        *call = (Call){ callbacks, w->number };
        q.userdata = call;
        snprintf(length, sizeof(length), "%zu", w->body_size);
        if (callbacks->options.auth_key)
                headers[q.n_headers++] = (HttpHeader){ "scale-callback-auth", callbacks->options.auth_key };
        if (w->cut)
                headers[q.n_headers++] = (HttpHeader){ "Content-Length", length };

        r = http_pool_start(callbacks->pool, &q, NULL);
        if (r < 0) {
                free(call);
                return r;
        }
        callbacks->in_flight++;
        return 0;
}

static void send_one(Callbacks *callbacks, const WorldCallback *w)
{
        int r;

        if (!callbacks->options.anywhere && !is_local_url(w->url)) {
                tell(callbacks, w->number, 0, "not sent: the host is not this one, see --call-anywhere");
                return;
        }
        r = start(callbacks, w);
        if (r < 0)
                tell(callbacks, w->number, 0,
                                r == -EINVAL || r == -E2BIG ? "not sent: no URL that can be called"
                                                            : strerror(-r));
}

static int arm(Callbacks *callbacks)
{
        int64_t next = world_next(callbacks->world), now = now_realtime();
        int r;

        if (next == TIME_NONE)
                return sd_event_source_set_enabled(callbacks->timer, SD_EVENT_OFF);
        r = sd_event_source_set_time_relative(callbacks->timer, next > now ? (uint64_t)(next - now) : 0);
        return r < 0 ? r : sd_event_source_set_enabled(callbacks->timer, SD_EVENT_ONESHOT);
}

void callbacks_run(Callbacks *callbacks)
{
        WorldCallback w;
        int r = 0;

        while (callbacks->in_flight < IN_FLIGHT_MAX) {
                r = world_take_callback(callbacks->world, now_realtime(), &w);
                if (r <= 0)
                        break;
                send_one(callbacks, &w);
        }
        /* With no room, time goes on nevertheless. */
        if (r >= 0)
                r = world_run(callbacks->world, now_realtime());
        if (r >= 0)
                r = arm(callbacks);
        if (r < 0)
                give_up(callbacks, r);
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        callbacks_run(userdata);
        return 0;
}

int callbacks_new(sd_event *loop, World *world, const CallbacksOptions *options, Callbacks **ret)
{
        const HttpPoolOptions pool = { .max_in_flight = IN_FLIGHT_MAX, .max_waiting = IN_FLIGHT_MAX };
        _cleanup_(callbacks_freep) Callbacks *callbacks = calloc(1, sizeof(Callbacks));
        int r;

        if (!callbacks)
                return -ENOMEM;
        callbacks->loop = sd_event_ref(loop);
        callbacks->world = world;
        callbacks->options = *options;
        r = http_pool_new(loop, &pool, &callbacks->pool);
        if (r >= 0)
                r = sd_event_add_time(loop, &callbacks->timer, CLOCK_MONOTONIC, UINT64_MAX, 1000, on_timer,
                                callbacks);
        if (r >= 0)
                r = sd_event_source_set_enabled(callbacks->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(callbacks);
        return 0;
}

Callbacks *callbacks_free(Callbacks *callbacks)
{
        if (!callbacks)
                return NULL;

        callbacks->freeing = true;
        http_pool_free(callbacks->pool);
        sd_event_source_disable_unref(callbacks->timer);
        sd_event_unref(callbacks->loop);
        free(callbacks);
        return NULL;
}
