/* Deliveries, and the quarantine. */

#include <jansson.h>

#include "basic/parse.h"
#include "scalectl/format.h"
#include "scalectl/json-text.h"
#include "scalectl/lists.h"
#include "scalectl/output.h"

#define PAGE 100U

typedef struct DeliveriesOptions {
        const char *verdict;
        uint64_t after, n;
} DeliveriesOptions;

static const Option deliveries_options[] = {
        { "--verdict", OPTION_TEXT, offsetof(DeliveriesOptions, verdict) },
        { "--after", OPTION_NUMBER, offsetof(DeliveriesOptions, after) },
        { "-n", OPTION_NUMBER, offsetof(DeliveriesOptions, n) },
};

static int list_deliveries(Ctl *ctl, const DeliveriesOptions *o)
{
        _cleanup_(list_done) List list =
                        list_start(ctl, delivery_columns, delivery_columns_size, list_add_delivery);
        uint64_t left;
        int r = 0;

        while (r == 0 && (left = list_left(&list, o->n)) > 0) {
                ApiUrl url = api_url("/v1/deliveries");

                api_url_add(&url, "verdict", o->verdict);
                api_url_add_number(&url, "limit", MIN(left, PAGE));
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
        DeliveriesOptions o = { .n = UINT64_MAX };
        unsigned n;
        int r;

        r = options_read(ctl, verb_find("deliveries"), deliveries_options, ELEMENTSOF(deliveries_options),
                        &o, argc, argv, 0, 0, &n);
        return r != 0 ? r : list_deliveries(ctl, &o);
}

/* A delivery's number out of an argument. 0, or EX_USAGE. */
static int read_number(const char *text, uint64_t *ret)
{
        if (parse_u64(text, 1, INT64_MAX, ret) >= 0)
                return 0;
        complain("%s: the number of a delivery is wanted", text);
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

        r = options_read(ctl, verb_find("delivery"), delivery_options, ELEMENTSOF(delivery_options), &o,
                        argc, argv, 1, 1, &n);
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
        json_auto_t *answer = json_loadb(buffer_text(body), body->size, JSON_ALLOW_NUL, NULL);
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
static int act(const Ctl *ctl, const char *number, const char *action)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(0);
        ApiUrl url = api_url("/v1/delivery");
        int r;

        api_url_segment(&url, number);
        api_url_segment(&url, action);
        r = api_call(ctl, API_CONTROL, "POST", &url, &body);
        if (r == EX_NO)
                complain("delivery %s: nothing was changed", number);
        return r != 0 ? r : show_outcome(ctl, number, &body);
}

int verb_quarantine(Ctl *ctl, int argc, char **argv)
{
        const DeliveriesOptions all = { .verdict = "invalid", .n = UINT64_MAX };
        const Verb *verb = verb_find("quarantine");
        uint64_t number;
        int r, worst = 0;
        unsigned n;

        r = options_read(ctl, verb, NULL, 0, NULL, argc, argv, 0, 10000, &n);
        if (r != 0)
                return r;
        if (n == 0 || (n == 1 && streq(argv[1], "list")))
                return list_deliveries(ctl, &all);
        if (n == 1 || (!streq(argv[1], "retry") && !streq(argv[1], "discard"))) {
                complain("usage: scalectl quarantine %s", verb->arguments);
                return EX_USAGE;
        }
        for (unsigned i = 2; i <= n; i++) {
                r = read_number(argv[i], &number);
                if (r != 0)
                        return r;
        }
        /* A no to one is no reason to leave out the next, anything else is. */
        for (unsigned i = 2; i <= n && (worst == 0 || worst == EX_NO); i++) {
                r = act(ctl, argv[i], argv[1]);
                worst = MAX(worst, r);
        }
        return worst;
}
