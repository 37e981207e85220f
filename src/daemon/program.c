/*
 * What both daemons do before and around their work: the command line is the same, and so is what is done
 * with settings, signals and limits. Whatever is wrong is said once, with the status that sysexits.h has for
 * it.
 */

#include "daemon/program.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "basic/log.h"
#include "basic/mistakes.h"
#include "basic/secret.h"
#include "daemon/journal.h"
#include "daemon/message.h"
#include "daemon/reload.h"

#define OVERRIDES_MAX     128U
#define DESCRIPTORS_APART 512U /* local sockets, the database, the loops */

typedef enum Action {
        ACTION_RUN,
        ACTION_CHECK,
        ACTION_DUMP,
        ACTION_METRICS,
        ACTION_VERSION,
        ACTION_HELP,
        ACTION_RELOAD,
} Action;

/* What the command line says. */
typedef struct Arguments {
        const char *config;
        const char *items[OVERRIDES_MAX];
        SettingsOverrides overrides;
        Action action;
} Arguments;

static int print_help(const Program *program)
{
        return printf("%s [OPTION...]\n"
                      "\n"
                      "%s\n"
                      "\n"
                      "      --config=FILE              read FILE instead of " SYSCONF_DIR
                      "/scale/scale.conf\n"
                      "  -o, --option=SECTION.KEY=VALUE set one setting; wins over files, can be repeated\n"
                      "      --check-config             name all that keeps it from starting, and leave\n"
                      "      --dump-config              print the settings in force and leave\n"
                      "      --list-metrics             print the name, type and meaning of every metric and leave\n"
                      "      --reload                   for the unit: have the daemon read settings and keys\n"
                      "                                 again, and fail when it refuses\n"
                      "      --log-level=LEVEL          error, warning, notice, info (the default) or debug\n"
                      "      --version                  print the version and leave\n"
                      "  -h, --help                     print this and leave\n"
                      "\n"
                      "See %s(8) and scale.conf(5).\n",
                               program->name, program->about, program->name) < 0
                               ? EX_IOERR
                               : 0;
}

static int set_log_level(const char *name)
{
        if (log_set_max_level_by_name(name) >= 0)
                return 0;
        log_error("--log-level: expected error, warning, notice, info or debug, got \"%s\".", name);
        return EX_USAGE;
}

static int add_override(Arguments *arguments, const char *text)
{
        if (arguments->overrides.n == OVERRIDES_MAX) {
                log_error("There can be %u options -o at most.", OVERRIDES_MAX);
                return EX_USAGE;
        }
        arguments->items[arguments->overrides.n++] = text;
        return 0;
}

/* 0, or the status to leave with. */
static int parse_arguments(int argc, char **argv, Arguments *ret)
{
        enum { OPT_CONFIG = 0x100, OPT_LEVEL, OPT_ACTION };
        static const struct option options[] = {
                { "config", required_argument, NULL, OPT_CONFIG },
                { "option", required_argument, NULL, 'o' },
                { "log-level", required_argument, NULL, OPT_LEVEL },
                { "check-config", no_argument, NULL, OPT_ACTION + ACTION_CHECK },
                { "dump-config", no_argument, NULL, OPT_ACTION + ACTION_DUMP },
                { "list-metrics", no_argument, NULL, OPT_ACTION + ACTION_METRICS },
                { "reload", no_argument, NULL, OPT_ACTION + ACTION_RELOAD },
                { "version", no_argument, NULL, OPT_ACTION + ACTION_VERSION },
                { "help", no_argument, NULL, OPT_ACTION + ACTION_HELP },
                {},
        };
        int c, r = 0;

        while (r == 0 && (c = getopt_long(argc, argv, "o:h", options, NULL)) >= 0)
                if (c == OPT_CONFIG)
                        ret->config = optarg;
                else if (c == 'o')
                        r = add_override(ret, optarg);
                else if (c == OPT_LEVEL)
                        r = set_log_level(optarg);
                else if (c == 'h' || c >= OPT_ACTION)
                        ret->action = c == 'h' ? ACTION_HELP : (Action)(c - OPT_ACTION);
                else
                        return EX_USAGE;

        if (r == 0 && optind < argc) {
                log_error("Expected no arguments, got \"%s\": see --help.", argv[optind]);
                return EX_USAGE;
        }
        return r;
}

static void print_metric(const char *name, const char *type, const char *text, _unused_ void *userdata)
{
        printf("%s\t%s\t%s\n", name, type, text);
}

Settings *settings_free(Settings *settings)
{
        if (!settings)
                return NULL;

        settings_done(settings);
        free(settings);
        return NULL;
}

/* 0; negative errno, and *mistakes got lines. *ret is NULL where nothing can be said of the settings. */
static int look_at_settings(
                const char *config, const SettingsOverrides *overrides, Settings **ret, char **mistakes)
{
        _cleanup_free_ char *error = NULL;
        _cleanup_free_ Settings *settings = NULL;
        int r;

        *ret = NULL;
        settings = calloc(1, sizeof(Settings));
        r = settings ? settings_look(config, overrides, settings, &error) : -ENOMEM;
        if (r < 0)
                mistakes_add(mistakes, "%s", error ?: strerror(-r));
        if (r == 0 || r == -EINVAL)
                *ret = TAKE_PTR(settings);
        return r;
}

Settings *program_load_settings(const char *config, const SettingsOverrides *overrides, char **mistakes)
{
        _cleanup_(settings_freep) Settings *settings = NULL;

        return look_at_settings(config, overrides, &settings, mistakes) < 0 ? NULL : TAKE_PTR(settings);
}

void program_log_mistakes(const char *id, const char *before, const char *mistakes)
{
        const char *line;
        size_t n;

        while ((line = mistakes_next(&mistakes, &n)))
                log_event(LOG_ERR, id, NULL, 0, "%s%.*s", before, (int)n, line);
}

static int dump(const Settings *settings)
{
        if (settings_dump(settings, stdout) < 0 || fflush(stdout) != 0) {
                log_error("The settings can't be printed.");
                return EX_IOERR;
        }
        return 0;
}

static int with_settings(const Program *program, const Arguments *arguments)
{
        _cleanup_(settings_freep) Settings *settings = NULL;
        _cleanup_free_ char *mistakes = NULL;
        int r;

        r = look_at_settings(arguments->config, &arguments->overrides, &settings, &mistakes);
        if (settings && arguments->action != ACTION_DUMP && (r < 0 || arguments->action == ACTION_CHECK))
                program->check(settings, &mistakes);
        if (mistakes) {
                program_log_mistakes(NULL, "", mistakes);
                return EX_CONFIG;
        }
        if (r < 0)
                return log_oom(), EX_OSERR;

        switch (arguments->action) {
        case ACTION_RUN:
                return program->run(arguments->config, &arguments->overrides, TAKE_PTR(settings));
        case ACTION_DUMP:
                return dump(settings);
        case ACTION_CHECK:
        case ACTION_METRICS:
        case ACTION_VERSION:
        case ACTION_HELP:
        case ACTION_RELOAD:
        default:
                return 0;
        }
}

/* What only somebody can mend: the units start nothing again that ends so (RestartPreventExitStatus=). */
static bool is_refusal(int status)
{
        return status == EX_USAGE || status == EX_NOPERM || status == EX_CONFIG;
}

/* The way back, where somebody looks who finds it down; what is wrong was said. */
static void say_refused(const Program *program)
{
        if (sd_notifyf(false,
                            "STATUS=Refused to start, the log says why; when that is mended: `systemctl start %s`",
                            program->name) > 0)
                log_event(LOG_ERR, MESSAGE_REFUSED, NULL, 0,
                                "Refused to start, and stays down with its sockets closed until somebody mends what was named and then runs `systemctl start %s`.",
                                program->name);
}

static int run_program(const Program *program, int argc, char **argv, Arguments *arguments)
{
        int r;

        r = parse_arguments(argc, argv, arguments);
        if (r != 0)
                return r;

        switch (arguments->action) {
        case ACTION_HELP:
                return print_help(program);
        case ACTION_VERSION:
                return printf("%s " PROJECT_VERSION "\n", program->name) < 0 ? EX_IOERR : 0;
        case ACTION_METRICS:
                program->describe_metrics(print_metric, NULL);
                return fflush(stdout) != 0 ? EX_IOERR : 0;
        case ACTION_RUN:
        case ACTION_CHECK:
        case ACTION_DUMP:
        case ACTION_RELOAD:
        default:
                break;
        }

        journal_init(program->name);
        r = secrets_init();
        if (r < 0) {
                log_error_errno(r, "Secrets can't be protected");
                return EX_OSERR;
        }
        r = arguments->action == ACTION_RELOAD ? reload_ask(program->credential)
                                               : with_settings(program, arguments);
        secrets_exit();
        return r;
}

int program_main(const Program *program, int argc, char **argv)
{
        Arguments arguments = { .overrides.items = arguments.items };
        int r;

        r = run_program(program, argc, argv, &arguments);
        if (arguments.action == ACTION_RUN && is_refusal(r))
                say_refused(program);
        return r;
}

int program_block_signals(void)
{
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
                        signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
                return -errno;
        return 0;
}

void program_raise_descriptor_limit(const char *setting, uint64_t n)
{
        uint64_t wanted = n + DESCRIPTORS_APART;
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
                return;
        if (limit.rlim_max < wanted)
                log_warning("%s = %" PRIu64 " needs %" PRIu64 " descriptors, the limit is %" PRIu64
                            ": connections beyond it wait.",
                                setting, n, wanted, (uint64_t)limit.rlim_max);
        limit.rlim_cur = MIN(limit.rlim_max, (rlim_t)wanted);
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                log_warning_errno(errno, "The limit of descriptors can't be raised");
}

int program_status_of_store(int error)
{
        static const struct {
                int error, status;
        } statuses[] = {
                { ESTALE, EX_CONFIG },
                { EPROTONOSUPPORT, EX_CONFIG },
                { EBADMSG, EX_CONFIG },
                { ENOTDIR, EX_CONFIG },
                { EISDIR, EX_CONFIG },
                { ELOOP, EX_CONFIG },
                { ENAMETOOLONG, EX_CONFIG },
                { EACCES, EX_NOPERM },
                { EROFS, EX_NOPERM },
                { EBUSY, EX_TEMPFAIL },
                { EUSERS, EX_TEMPFAIL },
                { ENOSPC, EX_TEMPFAIL },
        };

        FOREACH_ARRAY(row, statuses, ELEMENTSOF(statuses))
                if (error == -row->error)
                        return row->status;
        return EX_IOERR;
}
