/*
 * The client on a loop. A request waits for its turn, is under way, or is finished and to be told about; it
 * holds its place in flight until it was told about, so there are never more than was said.
 *
 * Nobody is told from within a call: results are delivered one by one from the loop, when no function of
 * curl's is on the stack, so done() may start, cancel, and free the pool.
 */

#include "http/pool.h"

#include "http/pool-internal.h"

/* Stages. */

static void take_out(HttpTransfer *t)
{
        TransferList *l = &t->pool->stages[t->stage];

        *t->prev = t->next;
        if (t->next)
                t->next->prev = t->prev;
        else
                l->tail = t->prev;
        t->next = NULL;
        t->prev = NULL;
}

static void put_into(HttpTransfer *t, TransferStage stage)
{
        TransferList *l = &t->pool->stages[stage];

        t->stage = stage;
        t->prev = l->tail;
        *l->tail = t;
        l->tail = &t->next;
}

static HttpTransfer *first_of(const HttpPool *p, TransferStage stage)
{
        return p->stages[stage].head;
}

/* Ends a transfer: with what curl says, or with an error of ours. */
static void finish(HttpTransfer *t, CURLcode code, int error)
{
        HttpPool *p = t->pool;

        assert(t->stage != TRANSFER_FINISHED);

        transfer_set_result(t, code, error);
        if (t->stage == TRANSFER_UNDER_WAY)
                (void)curl_multi_remove_handle(p->multi, t->curl);
        curl_easy_cleanup(t->curl);
        t->curl = NULL;
        header_lines_done(&t->lines);

        take_out(t);
        put_into(t, TRANSFER_FINISHED);
        /* Fails only on a loop that has ended; http_pool_free() delivers then. */
        (void)sd_event_source_set_enabled(p->finished, SD_EVENT_ON);
}

static void finish_all(HttpPool *p, TransferStage stage, int error)
{
        while (first_of(p, stage))
                finish(first_of(p, stage), CURLE_OK, error);
}

/* Begins what waits, as far as there is room. */
static void begin(HttpPool *p)
{
        HttpTransfer *t;

        while (!p->freeing && p->n_in_flight < p->max_in_flight && (t = first_of(p, TRANSFER_WAITING))) {
                if (curl_multi_add_handle(p->multi, t->curl) != CURLM_OK) {
                        finish(t, CURLE_OK, -ENOMEM);
                        continue;
                }
                t->has_slot = true;
                p->n_in_flight++;
                take_out(t);
                put_into(t, TRANSFER_UNDER_WAY);
        }
}

/* Takes the first that is finished out of the pool, which has no more to do with it. */
static HttpTransfer *take_finished(HttpPool *p)
{
        HttpTransfer *t = first_of(p, TRANSFER_FINISHED);

        take_out(t);
        p->n_transfers--;
        if (t->has_slot)
                p->n_in_flight--;
        return t;
}

static void deliver(HttpTransfer *t)
{
        t->done(&t->result, t->userdata);
        transfer_free(t);
}

static int on_finished(_unused_ sd_event_source *source, void *userdata)
{
        HttpPool *p = userdata;
        HttpTransfer *t = take_finished(p);

        if (!first_of(p, TRANSFER_FINISHED))
                (void)sd_event_source_set_enabled(p->finished, SD_EVENT_OFF);
        begin(p);
        deliver(t); /* may free the pool */
        return 0;
}

/* Takes what curl has finished with. */
static void collect(HttpPool *p)
{
        HttpTransfer *next;
        CURLMsg *message;
        int left;

        while ((message = curl_multi_info_read(p->multi, &left))) {
                HttpTransfer *t = NULL;

                if (message->msg != CURLMSG_DONE)
                        continue;
                (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
                finish(t, message->data.result, 0);
        }

        for (HttpTransfer *t = first_of(p, TRANSFER_UNDER_WAY); t; t = next) {
                next = t->next;
                if (t->watch_error < 0)
                        finish(t, CURLE_OK, t->watch_error);
        }
}

void pool_drive(HttpPool *p, curl_socket_t fd, int events)
{
        CURLMcode code;
        int running;

        code = curl_multi_socket_action(p->multi, fd, events, &running);
        collect(p);
        if (code == CURLM_OK) {
                code = pool_rouse(p);
                collect(p);
        }
        /* Then curl is out of memory or at odds with itself, and would not go on with the others. */
        if (code != CURLM_OK)
                finish_all(p, TRANSFER_UNDER_WAY, code == CURLM_OUT_OF_MEMORY ? -ENOMEM : -EIO);
}

/* From outside. */

static void set_max_in_flight(HttpPool *p, unsigned n)
{
        p->max_in_flight = n;
        /* Idle connections count too: beyond so many, curl closes the oldest. */
        (void)curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, (long)MAX(n, 1U));
}

int http_pool_new(sd_event *loop, const HttpPoolOptions *options, HttpPool **ret)
{
        _cleanup_(http_pool_freep) HttpPool *p = NULL;
        int r;

        p = calloc(1, sizeof(HttpPool));
        if (!p)
                return -ENOMEM;

        FOREACH_ARRAY(l, p->stages, ELEMENTSOF(p->stages))
                l->tail = &l->head;
        p->loop = sd_event_ref(loop);
        p->max_waiting = options->max_waiting;
        if (options->ca_file) {
                p->ca_file = strdup(options->ca_file);
                if (!p->ca_file)
                        return -ENOMEM;
        }
        p->multi = curl_ready() < 0 ? NULL : curl_multi_init();
        if (!p->multi)
                return -ENOMEM;
        set_max_in_flight(p, options->max_in_flight);

        r = pool_watch(p);
        if (r >= 0)
                r = sd_event_add_defer(loop, &p->finished, on_finished, p);
        if (r >= 0)
                r = sd_event_source_set_enabled(p->finished, SD_EVENT_OFF);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(p);
        return 0;
}

HttpPool *http_pool_free(HttpPool *p)
{
        if (!p)
                return NULL;
        assert(!p->freeing);

        p->freeing = true;
        finish_all(p, TRANSFER_UNDER_WAY, -ECANCELED);
        finish_all(p, TRANSFER_WAITING, -ECANCELED);
        while (first_of(p, TRANSFER_FINISHED))
                deliver(take_finished(p));

        (void)curl_multi_cleanup(p->multi);
        pool_unwatch(p);
        sd_event_source_disable_unref(p->finished);
        sd_event_unref(p->loop);
        free(p->ca_file);
        free(p);
        return NULL;
}

void http_pool_set_max_in_flight(HttpPool *p, unsigned n)
{
        set_max_in_flight(p, n);
        begin(p);
}

int http_pool_start(HttpPool *p, const HttpPoolRequest *request, HttpTransfer **ret)
{
        HttpTransfer *t;
        int r;

        if (p->freeing)
                return -ESHUTDOWN;
        if (p->n_transfers >= (uint64_t)p->max_in_flight + p->max_waiting)
                return -EAGAIN;
        r = transfer_new(p, request, &t);
        if (r < 0)
                return r;

        p->n_transfers++;
        put_into(t, TRANSFER_WAITING);
        begin(p);
        if (ret)
                *ret = t;
        return 0;
}

void http_transfer_cancel(HttpTransfer *t)
{
        if (t->stage != TRANSFER_FINISHED)
                finish(t, CURLE_OK, -ECANCELED);
}
