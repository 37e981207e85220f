/* scale-callbackd: the command line, then the service. */

#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

#include "basic/log.h"
#include "basic/secret.h"
#include "callbackd/metrics.h"
#include "callbackd/service.h"

#define OVERRIDES_MAX 128U

static const char *arg_config = NULL;
static const char *arg_overrides[OVERRIDES_MAX];
static SettingsOverrides overrides = { .items = arg_overrides };

typedef enum Action {
        ACTION_RUN,
        ACTION_CHECK,
        ACTION_DUMP,
        ACTION_METRICS,
        ACTION_VERSION,
        ACTION_HELP,
} Action;

static const char help[] =
                "scale-callbackd [OPTION...]\n"
                "\n"
                "Receives callbacks of the Scale API, keeps them, and answers local queries.\n"
                "\n"
                "      --config=FILE              read FILE instead of " SYSCONF_DIR "/scale/scale.conf\n"
                "  -o, --option=SECTION.KEY=VALUE set one setting; wins over files, can be repeated\n"
                "      --check-config             check the configuration and leave\n"
                "      --dump-config              print the settings in force and leave\n"
                "      --list-metrics             print the name, type and meaning of every metric and "
                "leave\n"
                "      --log-level=LEVEL          error, warning, notice, info (the default) or debug\n"
                "      --version                  print the version and leave\n"
                "  -h, --help                     print this and leave\n"
                "\n"
                "See scale-callbackd(8) and scale.conf(5).\n";

static int set_log_level(const char *name)
{
        static const struct {
                const char *name;
                int level;
        } levels[] = {
                { "error", LOG_ERR },
                { "warning", LOG_WARNING },
                { "notice", LOG_NOTICE },
                { "info", LOG_INFO },
                { "debug", LOG_DEBUG },
        };

        FOREACH_ARRAY(l, levels, ELEMENTSOF(levels))
                if (streq(l->name, name)) {
                        log_set_max_level(l->level);
                        return 0;
                }

        log_error("--log-level=%s: one of error, warning, notice, info, debug is wanted.", name);
        return EX_USAGE;
}

static int add_override(const char *text)
{
        if (overrides.n == OVERRIDES_MAX) {
                log_error("There can be %u options -o at most.", OVERRIDES_MAX);
                return EX_USAGE;
        }
        overrides.items[overrides.n++] = text;
        return 0;
}

/* 0, or the status to leave with. */
static int parse_arguments(int argc, char **argv, Action *ret)
{
        enum {
                OPT_CONFIG = 0x100,
                OPT_CHECK,
                OPT_DUMP,
                OPT_METRICS,
                OPT_LEVEL,
                OPT_VERSION,
        };
        static const struct option options[] = {
                { "config", required_argument, NULL, OPT_CONFIG },
                { "option", required_argument, NULL, 'o' },
                { "check-config", no_argument, NULL, OPT_CHECK },
                { "dump-config", no_argument, NULL, OPT_DUMP },
                { "list-metrics", no_argument, NULL, OPT_METRICS },
                { "log-level", required_argument, NULL, OPT_LEVEL },
                { "version", no_argument, NULL, OPT_VERSION },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        Action action = ACTION_RUN;
        int c, r = 0;

        while (r == 0 && (c = getopt_long(argc, argv, "o:h", options, NULL)) >= 0)
                switch (c) {
                case OPT_CONFIG:
                        arg_config = optarg;
                        break;
                case 'o':
                        r = add_override(optarg);
                        break;
                case OPT_CHECK:
                        action = ACTION_CHECK;
                        break;
                case OPT_DUMP:
                        action = ACTION_DUMP;
                        break;
                case OPT_METRICS:
                        action = ACTION_METRICS;
                        break;
                case OPT_LEVEL:
                        r = set_log_level(optarg);
                        break;
                case OPT_VERSION:
                        action = ACTION_VERSION;
                        break;
                case 'h':
                        action = ACTION_HELP;
                        break;
                default:
                        return EX_USAGE;
                }

        if (r == 0 && optind < argc) {
                log_error("%s: no arguments are wanted, see --help.", argv[optind]);
                return EX_USAGE;
        }
        *ret = action;
        return r;
}

static void print_metric(const char *name, const char *type, const char *text, _unused_ void *userdata)
{
        printf("%s\t%s\t%s\n", name, type, text);
}

/* The settings, owned by the caller; NULL when there was a mistake, which is in the log. */
static Settings *load_settings(void)
{
        _cleanup_free_ char *error = NULL;
        _cleanup_free_ Settings *s = NULL;
        int r;

        s = calloc(1, sizeof(Settings));
        if (!s) {
                log_oom();
                return NULL;
        }
        r = settings_load(arg_config, &overrides, s, &error);
        if (r < 0) {
                log_error("%s", error ?: strerror(-r));
                return NULL;
        }
        return TAKE_PTR(s);
}

static int with_settings(Action action)
{
        Settings *s;
        int r;

        s = load_settings();
        if (!s)
                return EX_CONFIG;
        if (action == ACTION_RUN)
                return service_run(arg_config, &overrides, s);

        r = action == ACTION_DUMP ? settings_dump(s, stdout) : 0;
        settings_done(s);
        free(s);
        if (r < 0 || fflush(stdout) != 0) {
                log_error("The settings can't be printed.");
                return EX_IOERR;
        }
        return 0;
}

int main(int argc, char **argv)
{
        Action action;
        int r;

        r = parse_arguments(argc, argv, &action);
        if (r != 0)
                return r;

        switch (action) {
        case ACTION_HELP:
                return fputs(help, stdout) < 0 ? EX_IOERR : 0;
        case ACTION_VERSION:
                return puts("scale-callbackd " PROJECT_VERSION) < 0 ? EX_IOERR : 0;
        case ACTION_METRICS:
                metrics_describe(print_metric, NULL);
                return fflush(stdout) != 0 ? EX_IOERR : 0;
        case ACTION_RUN:
        case ACTION_CHECK:
        case ACTION_DUMP:
        default:
                break;
        }

        r = secrets_init();
        if (r < 0) {
                log_error_errno(r, "Secrets can't be protected");
                return EX_OSERR;
        }
        r = with_settings(action);
        secrets_exit();
        return r;
}
