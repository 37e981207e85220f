/* The command line: one table, from which parsing and help follow. Its keys are for play, so they may be
 * arguments. */

#include "sandbox/options.h"

#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/log.h"
#include "basic/parse.h"

#define TIME_SCALE_MAX UINT64_C(1000000000)

/* Each sets what its option says; NULL, or what would have been right. */

/* Whether one may listen there: on this host alone. */
static bool is_local(const char *address)
{
        size_t n = strcspn(address, ":");

        if (*address == '/' || strncmp(address, "unix:", 5) == 0 || strncmp(address, "[::1]:", 6) == 0)
                return true;
        return strncmp(address, "127.", 4) == 0 && strspn(address, "0123456789.") == n;
}

static const char *set_listen(Options *options, const char *value)
{
        options->listen = value;
        return is_local(value) ? NULL
                               : "an address of this host alone, like 127.0.0.1:8091, [::1]:8091 or unix:/path, because whoever reaches it may do everything";
}

static const char *add_key(Options *options, const char *value)
{
        if (*value == 0 || strchr(value, ':'))
                return "a key that is not empty and has no colon";
        if (options->n_keys == SERVER_KEYS_MAX)
                return "no more than 32 keys";
        options->keys[options->n_keys++] = value;
        return NULL;
}

static const char *set_auth_key(Options *options, const char *value)
{
        options->callbacks.auth_key = value;
        return *value ? NULL : "a key that is not empty";
}

static const char *set_duration(const char *value, uint64_t *ret)
{
        return parse_duration(value, ret) < 0 ? "a duration, as 100ms, 5s, 2m or 1h" : NULL;
}

static const char *set_complete_after(Options *options, const char *value)
{
        return set_duration(value, &options->world.complete_after);
}

static const char *set_delay(Options *options, const char *value)
{
        return set_duration(value, &options->world.delay);
}

static const char *set_lag(Options *options, const char *value)
{
        return set_duration(value, &options->world.lag);
}

static const char *set_clock_step(Options *options, const char *value)
{
        return set_duration(value, &options->world.clock_step);
}

static const char *set_callback_url(Options *options, const char *value)
{
        options->world.callback_url = value;
        return url_scheme_size(value) > 0 ? NULL : "a URL with http:// or https://";
}

static const char *set_call_anywhere(Options *options, _unused_ const char *value)
{
        options->callbacks.anywhere = true;
        return NULL;
}

static const char *set_time_scale(Options *options, const char *value)
{
        return parse_u64(value, 1, TIME_SCALE_MAX, &options->world.time_scale) < 0
                               ? "a number from 1 to 1000000000"
                               : NULL;
}

static const char *set_fault(Options *options, const char *value)
{
        const char *equals = strchr(value, '=');
        _cleanup_free_ char *name = equals ? strndup(value, (size_t)(equals - value)) : NULL;
        Fault fault = fault_from_string(name);
        char *end;
        double p;

        if (!equals || !equals[1] || !strchr("0123456789", equals[1]))
                return "NAME=PROBABILITY, as drop_answer=0.1";
        if (fault < 0)
                return "the name of a fault, see --help";
        p = strtod(equals + 1, &end);
        if (*end || !(p >= 0 && p <= 1))
                return "a probability from 0 to 1";
        options->world.faults[fault] = p;
        return NULL;
}

static const char *set_seed(Options *options, const char *value)
{
        return parse_u64(value, 0, UINT64_MAX, &options->world.seed) < 0 ? "a number" : NULL;
}

static const char *set_log_level(_unused_ Options *options, const char *value)
{
        return log_set_max_level_by_name(value) < 0 ? "error, warning, notice, info or debug" : NULL;
}

static const char *set_version(Options *options, _unused_ const char *value)
{
        options->action = OPTIONS_VERSION;
        return NULL;
}

static const char *set_help(Options *options, _unused_ const char *value)
{
        options->action = OPTIONS_HELP;
        return NULL;
}

typedef struct OptionRow {
        const char *name, *value; /* NULL: takes none */
        const char *(*set)(Options *o, const char *value);
        const char *help;
} OptionRow;

static const OptionRow rows[] = {
        { "listen", "ADDRESS", set_listen, "listen there, on this host alone (127.0.0.1:8091)" },
        { "api-key", "KEY", add_key, "a key of the account, test_... or live_..., can be repeated" },
        { "callback-auth-key", "KEY", set_auth_key, "what callbacks bring as scale-callback-auth" },
        { "callback-url", "URL", set_callback_url, "of tasks that bring none" },
        { "call-anywhere", NULL, set_call_anywhere, "send callbacks to other hosts, too" },
        { "complete-after", "TIME", set_complete_after, "complete live tasks by themselves" },
        { "time-scale", "N", set_time_scale, "retry callbacks N times faster" },
        { "fault", "NAME=P", set_fault, "misbehave with that probability, can be repeated" },
        { "delay", "TIME", set_delay,
                        "how late the faults delay, slow and callback_delay are at most (5s)" },
        { "lag", "TIME", set_lag, "how late the fault lag is at most (5s)" },
        { "clock-step", "TIME", set_clock_step, "how far the fault clock_behind goes at most (2h)" },
        { "seed", "N", set_seed, "what chance follows from" },
        { "log-level", "LEVEL", set_log_level, "error, warning, notice, info (the default) or debug" },
        { "version", NULL, set_version, "print the version and leave" },
        { "help", NULL, set_help, "print this and leave" },
};

int options_print_help(void)
{
        printf("scale-sandbox [OPTION...]\n"
               "\n"
               "Stands in for the Scale API on this host, for trying and testing.\n"
               "\n");
        FOREACH_ARRAY(row, rows, ELEMENTSOF(rows)) {
                char option[64];

                snprintf(option, sizeof(option), "%s--%s%s%s", streq(row->name, "help") ? "-h, " : "    ",
                                row->name, row->value ? "=" : "", row->value ?: "");
                printf("  %-30s %s\n", option, row->help);
        }
        printf("\nFaults:");
        for (Fault f = 0; f < _FAULT_MAX; f++)
                printf("%s%s", f % 4 == 0 ? "\n  " : " ", fault_to_string(f));
        printf("\n\nSee scale-sandbox(1).\n");
        return fflush(stdout) != 0 ? EX_IOERR : 0;
}

static void make_table(struct option table[static ELEMENTSOF(rows) + 1])
{
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                table[i] = (struct option){ rows[i].name, rows[i].value ? required_argument : no_argument,
                        NULL, 0x100 + (int)i };
        table[ELEMENTSOF(rows)] = (struct option){};
}

/* Two runs are not to make the same ids. */
static uint64_t make_seed(void)
{
        return (uint64_t)now_realtime() * 65536 + (uint64_t)getpid() % 65536;
}

int options_parse(int argc, char **argv, Options *ret)
{
        struct option table[ELEMENTSOF(rows) + 1];
        int c;

        *ret = (Options){
                .listen = "127.0.0.1:8091",
                .world = {
                        .seed = make_seed(),
                        .complete_after = UINT64_MAX,
                        .delay = 5 * USEC_PER_SEC,
                        .lag = 5 * USEC_PER_SEC,
                        .clock_step = 2 * USEC_PER_HOUR,
                        .time_scale = 1,
                },
        };
        make_table(table);
        while ((c = getopt_long(argc, argv, "h", table, NULL)) >= 0) {
                const OptionRow *row;
                const char *wanted;

                if (c == '?')
                        return EX_USAGE;
                row = &rows[c == 'h' ? ELEMENTSOF(rows) - 1 : (size_t)(c - 0x100)];
                wanted = row->set(ret, optarg);
                if (wanted) {
                        log_error("--%s=%s: expected %s.", row->name, optarg, wanted);
                        return EX_USAGE;
                }
        }
        if (optind < argc) {
                log_error("Expected no arguments, got \"%s\": see --help.", argv[optind]);
                return EX_USAGE;
        }
        return 0;
}
