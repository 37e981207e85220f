/* Deliveries, and the quarantine. */

#include <inttypes.h>
#include <unistd.h>

#include "basic/parse.h"
#include "scalectl/json-text.h"
#include "scalectl/lists.h"

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
        int r = 0;

        while (r == 0 && list.n < o->n && list.more) {
                ApiUrl url = api_url("/v1/deliveries");

                api_url_add(&url, "verdict", o->verdict);
                api_url_add_number(&url, "limit", MIN(o->n - list.n, PAGE));
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
        DeliveriesOptions o = { .n = TABLE_ROWS_MAX };
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

static int to_stdout(const char *data, size_t size, _unused_ void *userdata)
{
        if (fwrite(data, 1, size, stdout) == size)
                return 0;
        complain("the output can't be written: %s", strerror(errno));
        return -EIO;
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
        int r, error;

        r = options_read(ctl, verb_find("delivery"), delivery_options, ELEMENTSOF(delivery_options), &o,
                        argc, argv, 1, 1, &n);
        if (r == 0)
                r = read_number(argv[1], &number);
        if (r != 0)
                return r;

        url = api_url("/v1/delivery");
        api_url_segment(&url, argv[1]);
        if (!o.raw)
                return show_object(ctl, &url);
        api_url_segment(&url, "body");
        return api_stream(ctl, API_QUERY, &url, to_stdout, NULL, false, &error);
}

/* One call on the control socket for one delivery, its answer on one line. */
static int act(Ctl *ctl, const char *number, const char *action)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(0);
        ApiUrl url = api_url("/v1/delivery");
        json_auto_t *answer = NULL;
        const char *result;
        int r;

        api_url_segment(&url, number);
        api_url_segment(&url, action);
        r = api_call(ctl, API_CONTROL, "POST", &url, &body);
        if (r != 0)
                return r;
        if (ctl->json) {
                json_text_print_line(buffer_text(&body), body.size, stdout);
                return 0;
        }
        answer = json_loadb(buffer_text(&body), body.size, 0, NULL);
        result = json_string_value(json_object_get(answer, "result"));
        if (result)
                printf("%s: %s, as delivery %" JSON_INTEGER_FORMAT "\n", number, result,
                                json_integer_value(json_object_get(answer, "delivery")));
        else
                printf("%s: %s\n", number, strna(json_string_value(json_object_get(answer, "verdict"))));
        return 0;
}

int verb_quarantine(Ctl *ctl, int argc, char **argv)
{
        const DeliveriesOptions all = { .verdict = "invalid", .n = TABLE_ROWS_MAX };
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
        for (unsigned i = 2; i <= n; i++) {
                r = act(ctl, argv[i], argv[1]);
                worst = MAX(worst, r);
        }
        return worst;
}
