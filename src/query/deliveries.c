/* The log of deliveries: what came, from where, what was decided, and the bytes themselves. */

#include "query/local.h"
#include "query/page.h"
#include "query/params.h"
#include "json/encode.h"

#define DELIVERY_TEXT_MAX ((size_t)64 * 1024 * 1024) /* a row with 64 problems is far below */

typedef struct DeliveryQuery {
        Verdict verdict;
        bool newest;
        uint64_t after, limit;
} DeliveryQuery;

const Param deliveries_params[] = {
        { "verdict", PARAM_VERDICT, offsetof(DeliveryQuery, verdict), 0, 0 },
        { "order", PARAM_ORDER, offsetof(DeliveryQuery, newest), 0, 0 },
        { "after", PARAM_NUMBER, offsetof(DeliveryQuery, after), 0, INT64_MAX },
        { "limit", PARAM_NUMBER, offsetof(DeliveryQuery, limit), 1, 100 },
        {},
};

/* 0 means that there is none. */
static int set_number(json_t *object, const char *name, uint64_t value)
{
        return value > 0 ? json_object_set_new(object, name, json_integer((json_int_t)value)) : 0;
}

static json_t *delivery_to_json(const StoredDelivery *delivery)
{
        json_auto_t *object = json_object();
        int r = 0;

        r |= json_object_set_new(object, "delivery", json_integer((json_int_t)delivery->n));
        r |= member_set_time(object, "received_at", delivery->received_at);
        r |= member_set_text(object, "source", source_to_string(delivery->source));
        r |= member_set_text(object, "verdict", verdict_to_string(delivery->verdict));
        r |= set_number(object, "status_code", delivery->status);
        r |= member_set_text(object, "key", delivery->key_label);
        r |= member_set_text(object, "remote", delivery->remote);
        r |= member_set_text(object, "ref", delivery->ref);
        r |= member_set_text(object, "task_id", delivery->task_id);
        r |= member_set_text(object, "type", delivery->type);
        r |= set_number(object, "revision", delivery->revision);
        r |= json_object_set_new(object, "duration", json_real((double)delivery->duration / 1e6));
        r |= json_object_set_new(object, "size", json_integer((json_int_t)delivery->body_size));
        r |= set_number(object, "repeats", delivery->repeats);
        r |= member_set_time(object, "last_repeat_at", delivery->last_repeat_at);
        r |= set_number(object, "superseded_by", delivery->superseded_by);
        if (delivery->unchecked)
                r |= json_object_set_new(object, "unchecked", json_true());
        if (delivery->problems)
                r |= json_object_set_new(object, "problems", json_loads(delivery->problems, 0, NULL));

        return r < 0 ? NULL : json_incref(object);
}

static int append_delivery(const StoredDelivery *delivery, Buffer *out)
{
        json_auto_t *value = delivery_to_json(delivery);

        return value ? json_encode(value, out) : -ENOMEM;
}

static int take_delivery(const StoredDelivery *delivery, void *userdata)
{
        return append_delivery(delivery, userdata);
}

static int list_delivery(const StoredDelivery *delivery, void *userdata)
{
        Page *page = userdata;
        int r = page_add(page, delivery->n, NULL);

        return r <= 0 ? r : append_delivery(delivery, page_text(page));
}

static int reply_deliveries(HttpRequest *request, StoreReader *reader, const char *task_id)
{
        DeliveryQuery query = { .verdict = _VERDICT_ERRNO, .limit = 100 };
        _cleanup_(page_freep) Page *page = NULL;
        int r;

        r = params_read(request, &query);
        if (r != 0)
                return MIN(r, 0);

        r = page_new(query.limit, &page);
        if (r < 0)
                return r;
        r = (query.newest ? store_list_deliveries_back : store_list_deliveries)(reader, query.verdict,
                        task_id, query.after, (unsigned)query.limit + 1, list_delivery, page);
        return r < 0 ? local_reply_failure(reader, request, r) : page_reply(request, TAKE_PTR(page));
}

static int reply_all(HttpRequest *request, StoreReader *reader, _unused_ void *userdata)
{
        return reply_deliveries(request, reader, NULL);
}

static int seen(_unused_ const StoredDelivery *delivery, void *userdata)
{
        *(bool *)userdata = true;
        return 0;
}

static int known(_unused_ const TaskDocument *task, void *userdata)
{
        *(bool *)userdata = true;
        return 0;
}

/* A task that only ever sent what was refused is not known as a task, but its deliveries are; one that was
 * submitted is known, and nothing may have come of it yet. */
static int reply_of_task(HttpRequest *request, StoreReader *reader, _unused_ void *userdata)
{
        const char *id = http_request_path_arg(request, 0);
        bool any = false;
        int r;

        r = store_list_deliveries(reader, _VERDICT_ERRNO, id, 0, 1, seen, &any);
        if (r >= 0 && !any)
                r = store_get_task(reader, id, known, &any);
        if (r < 0)
                return local_reply_failure(reader, request, r);
        if (!any)
                return local_reply_not_found(request, "Task not found");
        return reply_deliveries(request, reader, id);
}

static int reply_delivery(HttpRequest *request, StoreReader *reader, _unused_ void *userdata)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(DELIVERY_TEXT_MAX);
        uint64_t n = local_path_number(request, 0);
        int r;

        r = n > 0 ? store_get_delivery(reader, n, false, take_delivery, &text) : 0;
        if (r < 0)
                return local_reply_failure(reader, request, r);
        if (r == 0)
                return local_reply_not_found(request, "Delivery not found");
        return local_reply_text(request, &text);
}

/* The body as it came. What isn't known to be JSON isn't called so. */
static int reply_body(const StoredDelivery *delivery, void *userdata)
{
        bool is_json = delivery->verdict != VERDICT_INVALID && delivery->verdict != VERDICT_DISCARDED;

        return http_reply(userdata, 200, is_json ? "application/json" : "application/octet-stream",
                        delivery->body, delivery->body_size);
}

static int reply_bytes(HttpRequest *request, StoreReader *reader, _unused_ void *userdata)
{
        uint64_t n = local_path_number(request, 0);
        int r;

        r = n > 0 ? store_get_delivery(reader, n, true, reply_body, request) : 0;
        if (r < 0)
                return local_reply_failure(reader, request, r);
        return r == 0 ? local_reply_not_found(request, "Delivery not found") : 0;
}

static int answer_delivery(LocalBase *base, HttpRequest *request, ReadHandler handler)
{
        return readers_answer(base->readers, request, READ_QUICK, handler, NULL);
}

int deliveries_on_list(HttpRequest *request, void *userdata)
{
        return answer_delivery(userdata, request, reply_all);
}

int deliveries_on_task(HttpRequest *request, void *userdata)
{
        return answer_delivery(userdata, request, reply_of_task);
}

int deliveries_on_get(HttpRequest *request, void *userdata)
{
        return answer_delivery(userdata, request, reply_delivery);
}

int deliveries_on_body(HttpRequest *request, void *userdata)
{
        return answer_delivery(userdata, request, reply_bytes);
}
