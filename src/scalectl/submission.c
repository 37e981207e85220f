/*
 * Tasks on their way to the submitter's socket. Its disk makes each of them wait for a sync, and all that
 * come meanwhile share the next one: so a number of them are under way at once.
 */

#include "scalectl/submission.h"

#include <inttypes.h>
#include <sys/queue.h>
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
        const char *content_type;   /* static */
        char *key;                  /* owned; NULL: none */
        SLIST_ENTRY(Sending) entry; /* of those to be sent again */
} Sending;

struct Sender {
        const Ctl *ctl;
        sd_event *loop;
        HttpPool *pool;
        SenderDoneFn done;
        void *userdata;
        unsigned under_way;

        uint64_t patience;
        uint64_t answered_at;        /* monotonic; 0: never */
        SLIST_HEAD(, Sending) again; /* owned */
        uint64_t again_at, pause;
        bool said; /* that it is waited for */
};

static Sending *sending_free(Sending *sending)
{
        if (!sending)
                return NULL;

        api_url_done(&sending->url);
        buffer_done(&sending->body);
        free(sending->key);
        free(sending);
        return NULL;
}

DEFINE_CLEANUP(Sending *, sending_free)

int sender_new(const Ctl *ctl, uint64_t patience, SenderDoneFn done, void *userdata, Sender **ret)
{
        _cleanup_(sender_freep) Sender *sender = NULL;
        int r;

        sender = calloc(1, sizeof(Sender));
        if (!sender)
                return -ENOMEM;
        sender->ctl = ctl;
        sender->patience = patience;
        sender->done = done;
        sender->userdata = userdata;
        r = sd_event_new(&sender->loop);
        if (r >= 0)
                r = http_pool_new(sender->loop,
                                &(HttpPoolOptions){ .max_in_flight = IN_FLIGHT, .max_waiting = 1 },
                                &sender->pool);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(sender);
        return 0;
}

Sender *sender_free(Sender *sender)
{
        Sending *sending;

        if (!sender)
                return NULL;

        sender->patience = 0; /* what is under way is answered now */
        http_pool_free(sender->pool);
        while ((sending = SLIST_FIRST(&sender->again))) {
                SLIST_REMOVE_HEAD(&sender->again, entry);
                sending_free(sending);
        }
        sd_event_unref(sender->loop);
        free(sender);
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

static bool send_again(Sender *sender, Sending *sending, const HttpPoolResult *result)
{
        uint64_t now = now_monotonic();

        if (!is_passing(result) || sender->answered_at == 0 || now - sender->answered_at >= sender->patience)
                return false;
        if (!sender->said)
                complain("the submitter does not take any more (%s): waiting for it, %" PRIu64 " s at most",
                                result->message ?: "it answered 503", sender->patience / USEC_PER_SEC);
        sender->said = true;
        if (SLIST_EMPTY(&sender->again)) {
                sender->pause = MIN(sender->pause ? 2 * sender->pause : PAUSE_FIRST, PAUSE_MOST);
                sender->again_at = now + sender->pause;
        }
        SLIST_INSERT_HEAD(&sender->again, sending, entry);
        return true;
}

static void on_done(const HttpPoolResult *result, void *userdata)
{
        _cleanup_(sending_freep) Sending *sending = userdata;
        Sender *sender = sending->sender;

        if (send_again(sender, sending, result)) {
                sending = NULL;
                return;
        }
        if (result->error == 0 && result->status != 503) {
                sender->answered_at = now_monotonic();
                sender->pause = 0;
        }
        sender->under_way--;
        sender->done(&sending->item,
                        &(SenderAnswer){
                                        .status = result->error < 0 ? 0 : result->status,
                                        .body = result->body,
                                        .is_replay = result->is_replay,
                                        .error = result->error,
                                        .message = result->message,
                        },
                        sender->userdata);
}

static int start(Sender *sender, Sending *sending)
{
        const HttpHeader header = { "Idempotency-Key", sending->key };

        return http_pool_start(sender->pool,
                        &(HttpPoolRequest){
                                        .socket = sender->ctl->settings.submit.socket,
                                        .method = "POST",
                                        .url = buffer_text(&sending->url.text),
                                        .content_type = sending->content_type,
                                        .headers = &header,
                                        .n_headers = sending->key ? 1 : 0,
                                        .body = sending->body.data ?: "",
                                        .body_size = sending->body.size,
                                        .timeout = TIMEOUT_USEC,
                                        .max_body = ANSWER_MAX,
                                        .done = on_done,
                                        .userdata = sending,
                        },
                        NULL);
}

static int start_again(Sender *sender)
{
        Sending *sending;
        int r;

        while ((sending = SLIST_FIRST(&sender->again))) {
                SLIST_REMOVE_HEAD(&sender->again, entry);
                r = start(sender, sending);
                if (r < 0) {
                        SLIST_INSERT_HEAD(&sender->again, sending, entry);
                        return r;
                }
        }
        return 0;
}

static int wait_until(Sender *sender, unsigned under_way)
{
        int r;

        while (sender->under_way > under_way) {
                uint64_t now = now_monotonic();

                r = !SLIST_EMPTY(&sender->again) && now >= sender->again_at ? start_again(sender) : 0;
                if (r >= 0)
                        r = sd_event_run(sender->loop,
                                        SLIST_EMPTY(&sender->again) ? UINT64_MAX : sender->again_at - now);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int sending_new(Sender *sender, const SenderItem *item, const char *type, const char *content_type,
                const void *body, size_t size, const char *key, Sending **ret)
{
        _cleanup_(sending_freep) Sending *sending = NULL;
        int r;

        sending = calloc(1, sizeof(Sending));
        if (!sending)
                return -ENOMEM;
        sending->sender = sender;
        sending->item = *item;
        sending->content_type = content_type;
        sending->url = api_url("/v1/task");
        sending->body = BUFFER_INIT(size);
        api_url_segment(&sending->url, type);
        if (sending->url.error < 0)
                return sending->url.error;
        r = buffer_append(&sending->body, body, size);
        if (r < 0)
                return r;
        if (key) {
                sending->key = strdup(key);
                if (!sending->key)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(sending);
        return 0;
}

int sender_send(Sender *sender, const SenderItem *item, const char *type, const char *content_type,
                const void *body, size_t size, const char *key)
{
        _cleanup_(sending_freep) Sending *sending = NULL;
        int r;

        r = sending_new(sender, item, type, content_type, body, size, key, &sending);
        if (r >= 0)
                r = wait_until(sender, IN_FLIGHT - 1);
        if (r >= 0)
                r = start(sender, sending);
        if (r < 0)
                return r;
        sending = NULL; /* on_done() has it */
        sender->under_way++;
        return 0;
}

int sender_finish(Sender *sender)
{
        return wait_until(sender, 0);
}
