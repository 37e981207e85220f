/*
 * Tasks on their way to the submitter's socket. Its disk makes each of them wait for a sync, and all that
 * come meanwhile share the next one: so a number of them are under way at once.
 */

#include "scalectl/submission.h"

#include <systemd/sd-event.h>

#include "basic/parse.h"
#include "http/pool.h"
#include "scalectl/api.h"

#define IN_FLIGHT    32U
#define TIMEOUT_USEC (60 * USEC_PER_SEC)
#define ANSWER_MAX   ((size_t)16 * 1024 * 1024)

struct Sender {
        const Ctl *ctl;
        sd_event *loop;
        HttpPool *pool;
        SenderDoneFn done;
        void *userdata;
        unsigned under_way;
};

typedef struct Sending {
        Sender *sender;
        uint64_t number;
} Sending;

int sender_new(const Ctl *ctl, SenderDoneFn done, void *userdata, Sender **ret)
{
        _cleanup_(sender_freep) Sender *s = NULL;
        int r;

        s = calloc(1, sizeof(Sender));
        if (!s)
                return -ENOMEM;
        s->ctl = ctl;
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

        http_pool_free(s->pool);
        sd_event_unref(s->loop);
        free(s);
        return NULL;
}

static void on_done(const HttpPoolResult *result, void *userdata)
{
        _cleanup_free_ Sending *x = userdata;
        Sender *s = x->sender;

        s->under_way--;
        s->done(x->number,
                        &(SenderAnswer){
                                        .status = result->error < 0 ? 0 : result->status,
                                        .body = result->body,
                                        .is_replay = result->is_replay,
                                        .error = result->error,
                                        .message = result->message,
                        },
                        s->userdata);
}

static int wait_until(Sender *s, unsigned under_way)
{
        int r;

        while (s->under_way > under_way) {
                r = sd_event_run(s->loop, UINT64_MAX);
                if (r < 0)
                        return r;
        }
        return 0;
}

int sender_send(Sender *s, uint64_t number, const char *type, const char *content_type, const void *body,
                size_t size, const char *key)
{
        ApiUrl url = api_url("/v1/task");
        const HttpHeader header = { "Idempotency-Key", key };
        Sending *x;
        int r;

        api_url_segment(&url, type);
        x = calloc(1, sizeof(Sending));
        r = !x ? -ENOMEM : url.error;
        if (r >= 0)
                r = wait_until(s, IN_FLIGHT - 1);
        if (r >= 0) {
                *x = (Sending){ .sender = s, .number = number };
                r = http_pool_start(s->pool,
                                &(HttpPoolRequest){
                                                .socket = s->ctl->settings.submit.socket,
                                                .method = "POST",
                                                .url = buffer_text(&url.text),
                                                .content_type = content_type,
                                                .headers = &header,
                                                .n_headers = key ? 1 : 0,
                                                .body = body,
                                                .body_size = size,
                                                .timeout = TIMEOUT_USEC,
                                                .max_body = ANSWER_MAX,
                                                .done = on_done,
                                                .userdata = x,
                                },
                                NULL);
        }
        api_url_done(&url);
        if (r < 0) {
                free(x);
                return r;
        }
        s->under_way++;
        return 0;
}

int sender_finish(Sender *s)
{
        return wait_until(s, 0);
}
