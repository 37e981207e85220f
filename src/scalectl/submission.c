/*
 * Tasks on their way to the submitter's socket. Its disk makes each of them wait for a sync, and all that
 * come meanwhile share the next one: so a number of them are under way at once.
 */

#include "scalectl/submission.h"

#include <inttypes.h>
#include <systemd/sd-event.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "http/pool.h"
#include "scalectl/api.h"

#define IN_FLIGHT    32U
#define TIMEOUT_USEC (60 * USEC_PER_SEC)
#define ANSWER_MAX   ((size_t)16 * 1024 * 1024)

#define PAUSE_FIRST (50 * USEC_PER_MSEC)
#define PAUSE_MOST  USEC_PER_SEC

/* One request, until it is answered. */
typedef struct Sending {
        Sender *sender;
        SenderItem item;
        ApiUrl url;
        Buffer body;
        const char *content_type; /* static */
        char *key;                /* owned; NULL: none */
        struct Sending *next;     /* of those to be sent again */
} Sending;

struct Sender {
        const Ctl *ctl;
        sd_event *loop;
        HttpPool *pool;
        SenderDoneFn done;
        void *userdata;
        unsigned under_way;

        uint64_t patience;
        uint64_t answered_at; /* monotonic; 0: never */
        Sending *again;       /* owned */
        uint64_t again_at, pause;
        bool said; /* that it is waited for */
};

static Sending *sending_free(Sending *x)
{
        if (!x)
                return NULL;

        api_url_done(&x->url);
        buffer_done(&x->body);
        free(x->key);
        free(x);
        return NULL;
}

DEFINE_CLEANUP(Sending *, sending_free)

int sender_new(const Ctl *ctl, uint64_t patience, SenderDoneFn done, void *userdata, Sender **ret)
{
        _cleanup_(sender_freep) Sender *s = NULL;
        int r;

        s = calloc(1, sizeof(Sender));
        if (!s)
                return -ENOMEM;
        s->ctl = ctl;
        s->patience = patience;
        s->done = done;
        s->userdata = userdata;
        r = sd_event_new(&s->loop);
        if (r >= 0)
                r = http_pool_new(s->loop,
                                &(HttpPoolOptions){ .max_in_flight = IN_FLIGHT, .max_waiting = 1 },
                                &s->pool);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(s);
        return 0;
}

Sender *sender_free(Sender *s)
{
        if (!s)
                return NULL;

        s->patience = 0; /* what is under way is answered now */
        http_pool_free(s->pool);
        while (s->again) {
                Sending *x = s->again;

                s->again = x->next;
                sending_free(x);
        }
        sd_event_unref(s->loop);
        free(s);
        return NULL;
}

/* Whether the submitter may answer it later: it is not there, or went, or has no room. */
static bool is_passing(const HttpPoolResult *result)
{
        static const int lasting[] = { -EACCES, -EPERM, -EINVAL, -E2BIG, -ENOMEM, -ECANCELED };

        FOREACH_ARRAY(e, lasting, ELEMENTSOF(lasting))
                if (result->error == *e)
                        return false;
        return result->error < 0 || result->status == 503;
}

static bool send_again(Sender *s, Sending *x, const HttpPoolResult *result)
{
        uint64_t now = now_monotonic();

        if (!is_passing(result) || s->answered_at == 0 || now - s->answered_at >= s->patience)
                return false;
        if (!s->said)
                complain("the submitter does not take any more (%s): waiting for it, %" PRIu64 " s at most",
                                result->message ?: "it answered 503", s->patience / USEC_PER_SEC);
        s->said = true;
        if (!s->again) {
                s->pause = MIN(s->pause ? 2 * s->pause : PAUSE_FIRST, PAUSE_MOST);
                s->again_at = now + s->pause;
        }
        x->next = s->again;
        s->again = x;
        return true;
}

static void on_done(const HttpPoolResult *result, void *userdata)
{
        _cleanup_(sending_freep) Sending *x = userdata;
        Sender *s = x->sender;

        if (send_again(s, x, result)) {
                x = NULL;
                return;
        }
        if (result->error == 0 && result->status != 503) {
                s->answered_at = now_monotonic();
                s->pause = 0;
        }
        s->under_way--;
        s->done(&x->item,
                        &(SenderAnswer){
                                        .status = result->error < 0 ? 0 : result->status,
                                        .body = result->body,
                                        .is_replay = result->is_replay,
                                        .error = result->error,
                                        .message = result->message,
                        },
                        s->userdata);
}

static int start(Sender *s, Sending *x)
{
        const HttpHeader header = { "Idempotency-Key", x->key };

        return http_pool_start(s->pool,
                        &(HttpPoolRequest){
                                        .socket = s->ctl->settings.submit.socket,
                                        .method = "POST",
                                        .url = buffer_text(&x->url.text),
                                        .content_type = x->content_type,
                                        .headers = &header,
                                        .n_headers = x->key ? 1 : 0,
                                        .body = x->body.data ?: "",
                                        .body_size = x->body.size,
                                        .timeout = TIMEOUT_USEC,
                                        .max_body = ANSWER_MAX,
                                        .done = on_done,
                                        .userdata = x,
                        },
                        NULL);
}

static int start_again(Sender *s)
{
        while (s->again) {
                Sending *x = s->again;
                int r;

                s->again = x->next;
                r = start(s, x);
                if (r < 0) {
                        x->next = s->again;
                        s->again = x;
                        return r;
                }
        }
        return 0;
}

static int wait_until(Sender *s, unsigned under_way)
{
        int r;

        while (s->under_way > under_way) {
                uint64_t now = now_monotonic();

                r = s->again && now >= s->again_at ? start_again(s) : 0;
                if (r >= 0)
                        r = sd_event_run(s->loop, s->again ? s->again_at - now : UINT64_MAX);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int sending_new(Sender *s, const SenderItem *item, const char *type, const char *content_type,
                const void *body, size_t size, const char *key, Sending **ret)
{
        _cleanup_(sending_freep) Sending *x = NULL;
        int r;

        x = calloc(1, sizeof(Sending));
        if (!x)
                return -ENOMEM;
        x->sender = s;
        x->item = *item;
        x->content_type = content_type;
        x->url = api_url("/v1/task");
        x->body = BUFFER_INIT(size);
        api_url_segment(&x->url, type);
        if (x->url.error < 0)
                return x->url.error;
        r = buffer_append(&x->body, body, size);
        if (r < 0)
                return r;
        if (key) {
                x->key = strdup(key);
                if (!x->key)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(x);
        return 0;
}

int sender_send(Sender *s, const SenderItem *item, const char *type, const char *content_type,
                const void *body, size_t size, const char *key)
{
        _cleanup_(sending_freep) Sending *x = NULL;
        int r;

        r = sending_new(s, item, type, content_type, body, size, key, &x);
        if (r >= 0)
                r = wait_until(s, IN_FLIGHT - 1);
        if (r >= 0)
                r = start(s, x);
        if (r < 0)
                return r;
        x = NULL; /* on_done() has it */
        s->under_way++;
        return 0;
}

int sender_finish(Sender *s)
{
        return wait_until(s, 0);
}
