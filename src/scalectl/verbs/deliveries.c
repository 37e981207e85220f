/* Deliveries, and the quarantine. */

#include <jansson.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "scalectl/bulk.h"
#include "scalectl/lists.h"
#include "scalectl/text/format.h"
#include "scalectl/text/json-text.h"
#include "scalectl/text/output.h"

#define PAGE 100U

typedef struct DeliveriesOptions {
        const char *verdict;
        ListFilter filter;
        uint64_t after, n;
        bool dry_run;
} DeliveriesOptions;

#define DELIVERIES_OPTIONS_INIT \
        ((DeliveriesOptions){ .filter = { "received_at", NULL, TIME_NONE, TIME_NONE }, .n = UINT64_MAX })

static const Option deliveries_options[] = {
        { "--verdict", OPTION_TEXT, offsetof(DeliveriesOptions, verdict) },
        { "--type", OPTION_TEXT, offsetof(DeliveriesOptions, filter.type) },
        { "--since", OPTION_TIME, offsetof(DeliveriesOptions, filter.since) },
        { "--until", OPTION_TIME, offsetof(DeliveriesOptions, filter.until) },
        { "--after", OPTION_NUMBER, offsetof(DeliveriesOptions, after) },
        { "-n", OPTION_NUMBER, offsetof(DeliveriesOptions, n) },
};

static int list_deliveries(Ctl *ctl, const DeliveriesOptions *o)
{
        _cleanup_(list_done) List list =
                        list_start(ctl, delivery_columns, delivery_columns_size, list_add_delivery);
        int r = 0;

        list_choose(&list, &o->filter, o->n);
        while (r == 0 && list_left(&list, o->n) > 0) {
                ApiUrl url = api_url("/v1/deliveries");

                api_url_add(&url, "verdict", o->verdict);
                api_url_add_number(&url, "limit", list_limit(&list, o->n, PAGE));
                if (list.next)
                        api_url_add(&url, "after", list.next);
                else
                        api_url_add_number(&url, "after", o->after);
                r = list_page(&list, &url);
        }
        return r != 0 ? r : list_end(&list);
}

int verb_deliveries(Ctl *ctl, int argc, char **argv)
{
        DeliveriesOptions o = DELIVERIES_OPTIONS_INIT;
        unsigned n;
        int r;

        r = options_read(ctl, deliveries_options, ELEMENTSOF(deliveries_options), &o, argc, argv, 0, 0, &n);
        return r != 0 ? r : list_deliveries(ctl, &o);
}

/* A delivery's number out of an argument. 0, or EX_USAGE. */
static int read_number(const char *text, uint64_t *ret)
{
        if (parse_u64(text, 1, INT64_MAX, ret) >= 0)
                return 0;
        complain("expected the number of a delivery, got \"%s\"", text);
        return EX_USAGE;
}

static int on_body(const char *data, size_t size, void *userdata)
{
        return output_write(userdata, data, size);
}

/* The body as it came, for a terminal without what could harm it. */
static int show_body(Ctl *ctl, ApiUrl *url)
{
        Output output;
        int r;

        api_url_segment(url, "body");
        r = output_open("-", &output);
        if (r != 0) {
                api_url_done(url);
                return r;
        }
        r = api_stream(ctl, API_QUERY, url, on_body, &output, NULL);
        if (r == 0)
                r = output_finish(&output);
        output_done(&output);
        return r;
}

typedef struct DeliveryOptions {
        bool raw;
} DeliveryOptions;

static const Option delivery_options[] = {
        { "--raw", OPTION_FLAG, offsetof(DeliveryOptions, raw) },
};

int verb_delivery(Ctl *ctl, int argc, char **argv)
{
        ApiUrl url = {};
        DeliveryOptions o = {};
        uint64_t number;
        unsigned n;
        int r;

        r = options_read(ctl, delivery_options, ELEMENTSOF(delivery_options), &o, argc, argv, 1, 1, &n);
        if (r == 0)
                r = read_number(argv[1], &number);
        if (r != 0)
                return r;

        url = api_url("/v1/delivery");
        api_url_segment(&url, argv[1]);
        return o.raw ? show_body(ctl, &url) : show_object(ctl, &url);
}

/* {"result", "delivery"} of one that was tried again, {"verdict"} of one that was discarded. */
static int show_outcome(const Ctl *ctl, const char *number, const Buffer *body)
{
        json_auto_t *answer = api_json(body);
        _cleanup_free_ char *result = format_value(json_object_get(answer, "result"));
        _cleanup_free_ char *verdict = format_value(json_object_get(answer, "verdict"));

        if (!result || !verdict)
                return EX_OSERR;
        if (!*result && !*verdict)
                return api_complain_broken();

        if (ctl->json)
                json_text_print_line(buffer_text(body), body->size, ctl->term.width > 0, stdout);
        else if (*result)
                printf("%s: %s, as delivery %" JSON_INTEGER_FORMAT "\n", number, result,
                                json_integer_value(json_object_get(answer, "delivery")));
        else
                printf("%s: %s\n", number, verdict);
        return 0;
}

/* One call on the control socket for one delivery, its answer on one line. */
static int act(const Ctl *ctl, const BulkVerb *verb, const char *number)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(0);
        ApiUrl url = api_url("/v1/delivery");
        int r;

        api_url_segment(&url, number);
        api_url_segment(&url, verb->name);
        r = api_call(ctl, API_CONTROL, "POST", &url, &body);
        if (r == EX_NO)
                complain("delivery %s: nothing was changed", number);
        return r != 0 ? r : show_outcome(ctl, number, &body);
}

static int look(const Ctl *ctl, const char *number, char **ret_verdict)
{
        ApiUrl url = api_url("/v1/delivery");

        api_url_segment(&url, number);
        return bulk_get(ctl, API_QUERY, &url, "verdict", ret_verdict);
}

static bool is_number(const char *text)
{
        uint64_t number;

        return parse_u64(text, 1, INT64_MAX, &number) >= 0;
}

static const char *const members[] = { "delivery", NULL };

static const BulkRule rules[] = {
        { "invalid", BULK_DONE, NULL },
        { NULL, BULK_REFUSED, "it is not in the quarantine" },
};

static const BulkVerb quarantine_verbs[] = {
        { "retry", "retried", members, "the number of a delivery", is_number, act, look, rules },
        { "discard", "discarded", members, "the number of a delivery", is_number, act, look, rules },
};

static const Option quarantine_options[] = {
        { "--type", OPTION_TEXT, offsetof(DeliveriesOptions, filter.type) },
        { "--since", OPTION_TIME, offsetof(DeliveriesOptions, filter.since) },
        { "--until", OPTION_TIME, offsetof(DeliveriesOptions, filter.until) },
        { "--after", OPTION_NUMBER, offsetof(DeliveriesOptions, after) },
        { "-n", OPTION_NUMBER, offsetof(DeliveriesOptions, n) },
        { "--dry-run", OPTION_FLAG, offsetof(DeliveriesOptions, dry_run) },
};

static bool is_chosen(const DeliveriesOptions *o)
{
        return list_filter_chooses(&o->filter) || o->after > 0 || o->n != UINT64_MAX;
}

int verb_quarantine(Ctl *ctl, int argc, char **argv)
{
        DeliveriesOptions o = DELIVERIES_OPTIONS_INIT;
        unsigned n;
        int r;

        o.verdict = "invalid";
        r = options_read(ctl, quarantine_options, ELEMENTSOF(quarantine_options), &o, argc, argv, 0, 10000,
                        &n);
        if (r != 0)
                return r;
        if (!o.dry_run && (n == 0 || (n == 1 && streq(argv[1], "list"))))
                return list_deliveries(ctl, &o);
        FOREACH_ARRAY(v, quarantine_verbs, ELEMENTSOF(quarantine_verbs))
                if (n >= 2 && streq(argv[1], v->name) && !is_chosen(&o))
                        return bulk_run(ctl, v, o.dry_run, argv + 2, n - 1);
        return options_complain_usage(ctl);
}
