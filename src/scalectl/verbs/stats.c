/* Counts and figures, and pruning. */

#include <inttypes.h>

#include "basic/parse.h"
#include "scalectl/lists.h"
#include "scalectl/text/format.h"
#include "scalectl/text/json-text.h"

/* Members of the answer, a line each, nested ones with their names before them. */
static void print_figures(const json_t *o, const char *prefix, bool utc)
{
        json_t *value;
        const char *name;

        json_object_foreach((json_t *)(uintptr_t)o, name, value) {
                _cleanup_free_ char *path = NULL, *clean = format_clean(name);
                _cleanup_free_ char *text = format_member(name, value, utc);

                if (!clean || asprintf(&path, "%s%s%s", prefix, *prefix ? " " : "", clean) < 0) {
                        path = NULL;
                        return;
                }
                if (json_is_object(value))
                        print_figures(value, path, utc);
                else
                        printf("%-40s %s\n", path, strna(text));
        }
}

typedef struct StatsOptions {
        OptionList metadata;
} StatsOptions;

static const Option stats_options[] = {
        { "--metadata", OPTION_LIST, offsetof(StatsOptions, metadata) },
};

int verb_stats(Ctl *ctl, int argc, char **argv)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(0);
        StatsOptions o = {};
        json_auto_t *answer = NULL;
        ApiUrl url;
        unsigned n;
        int r;

        r = options_read(ctl, stats_options, ELEMENTSOF(stats_options), &o, argc, argv, 0, 0, &n);
        if (r != 0)
                return r;
        url = api_url("/v1/stats");
        r = api_url_add_metadata(&url, &o.metadata);
        if (r != 0) {
                api_url_done(&url);
                return r;
        }
        if (ctl->json)
                return show_object(ctl, &url);

        r = api_call(ctl, API_QUERY, "GET", &url, &body);
        if (r != 0)
                return r;
        answer = api_json(&body);
        if (!answer)
                return api_complain_broken();
        print_figures(answer, "", ctl->utc);
        return 0;
}

typedef struct PruneOptions {
        const char *older_than;
} PruneOptions;

static const Option prune_options[] = {
        { "--older-than", OPTION_TEXT, offsetof(PruneOptions, older_than) },
};

/* Nothing can be shown to be older than what was counted. */
static void tell_of_age(uint64_t age, json_int_t counted)
{
        if (age <= (uint64_t)counted)
                return;
        complain("nothing is known to be that old: an age is what the service has counted while it ran, "
                 "which is %" JSON_INTEGER_FORMAT
                 " hours so far, whatever the clock says of a delivery (`scalectl "
                 "quarantine discard` takes what it is told)",
                        counted / 3600);
}

int verb_prune(Ctl *ctl, int argc, char **argv)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(0);
        json_auto_t *answer = NULL;
        json_int_t deleted;
        PruneOptions o = {};
        uint64_t age;
        ApiUrl url;
        unsigned n;
        int r;

        r = options_read(ctl, prune_options, ELEMENTSOF(prune_options), &o, argc, argv, 0, 0, &n);
        if (r != 0)
                return r;
        if (!o.older_than || parse_duration(o.older_than, &age) < 0) {
                complain("--older-than: expected an age like 12h or 90d");
                return EX_USAGE;
        }
        url = api_url("/v1/prune");
        api_url_add_number(&url, "older_than", age / USEC_PER_SEC);
        r = api_call(ctl, API_CONTROL, "POST", &url, &body);
        if (r != 0)
                return r;
        answer = api_json(&body);
        if (!json_is_integer(json_object_get(answer, "deleted")))
                return api_complain_broken();
        deleted = json_integer_value(json_object_get(answer, "deleted"));
        if (ctl->json)
                json_text_print_line(buffer_text(&body), body.size, ctl->term.width > 0, stdout);
        else
                printf("%" JSON_INTEGER_FORMAT " deliveries deleted%s\n", deleted,
                                deleted > 0 ? "; their room in the database is for new ones, the file "
                                              "stays as large as it is"
                                            : "");
        tell_of_age(age / USEC_PER_SEC, json_integer_value(json_object_get(answer, "counted")));
        return 0;
}
