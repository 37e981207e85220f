/* scalectl: the command line of both daemons. Global options, then a verb with its own. */

#include <unistd.h>

#include "basic/log.h"
#include "basic/secret.h"
#include "scalectl/ctl.h"

#define OVERRIDES_MAX 128U

static const char *arg_overrides[OVERRIDES_MAX];

static const Verb verbs[] = {
        { "tasks", "[--status S] [--type T] [--since T] [--until T] [--metadata K=V] [-n N]",
                        "list tasks, newest first", verb_tasks, false },
        { "task", "ID [--revisions | --deliveries]", "show a task, its responses or what named it",
                        verb_task, false },
        { "watch", "[--after SEQ] [--type T]", "follow the event feed", verb_watch, false },
        { "consume",
                        "NAME [--kind K] [--type T] [--metadata K=V] [--from start|now|SEQ] [--batch N] "
                        "[--give-up N] [--once] [--accept-rewind] [--state FILE] "
                        "--exec CMD [ARG...] | --to URL",
                        "do something with each event, at least once and in order", verb_consume, false },
        { "wait", "TASK_ID... | --submission ID... | --metadata K=V [--timeout T]",
                        "wait until tasks are completed", verb_wait, false },
        { "stats", "[--metadata K=V]", "show counts and figures", verb_stats, false },
        { "deliveries", "[--verdict V] [--type T] [--since T] [--until T] [--after N] [-n N]",
                        "list deliveries", verb_deliveries, false },
        { "delivery", "N [--raw]", "show a delivery, or its body as it came", verb_delivery, false },
        { "quarantine",
                        "[list [--type T] [--since T] [--until T] [--after N] [-n N] | "
                        "retry [--dry-run] N...|- | discard [--dry-run] N...|-]",
                        "see to deliveries that were not valid", verb_quarantine, false },
        { "submit",
                        "TYPE -d KEY=VALUE... | TYPE -f FILE | TYPE - [--idempotency-key KEY] | --from FILE "
                        "[--batch NAME] [--patience T] [--dry-run]",
                        "put one task, or a file of them, into the outbox", verb_submit, false },
        { "queue",
                        "[list [--state S] [--type T] [--since T] [--until T] [-n N] | show ID | retry "
                        "[--dry-run] ID...|- | drop [--dry-run] ID...|- | hold [REASON] | resume | flush]",
                        "see to what is in the outbox", verb_queue, false },
        { "cancel", "[--dry-run] ID...|-", "cancel tasks, or submissions that were not sent yet",
                        verb_cancel, false },
        { "reconcile", "", "ask the API about all pending tasks, now", verb_reconcile, false },
        { "backfill", "[--since T] [--until T]", "bring in everything that the account has", verb_backfill,
                        false },
        { "simulate", "TYPE [--to URL] [--key-file FILE]", "send a made-up callback that fits",
                        verb_simulate, false },
        { "export",
                        "[--format jsonl|csv|coco|yolo|voc|srt|vtt|ctm|manifest] [--type T] [--status S] "
                        "[--since T] [--until T] [--after SEQ] [--metadata K=V] [--task ID] "
                        "[--classes FILE] [--sizes FILE] [--images DIR] [--audio DIR] [--spreadsheet] "
                        "[--strict] [--verbose] [-o FILE|DIR]",
                        "write tasks and their results for other programs, as "
                        "--format coco --images photos -o boxes.json",
                        verb_export, false },
        { "view", "[--port N]", "serve a page on loopback to look at all of it in a browser", verb_view,
                        false },
        { "backup", "FILE", "copy the database, consistently, while it is in use", verb_backup, false },
        { "restore", "FILE", "put a backup in the place of the database", verb_restore, false },
        { "prune", "--older-than AGE", "delete old deliveries on which no task stands", verb_prune, false },
        { "doctor", "[--through URL | --deliver] [--key-file FILE]",
                        "look for what is wrong with an installation", verb_doctor, true },
        { "check-config", "", "check the configuration", verb_check_config, true },
        {},
};

static const Verb *find_verb(const char *name)
{
        for (const Verb *verb = verbs; verb->name; verb++)
                if (streq(verb->name, name))
                        return verb;
        return NULL;
}

static void print_verb(const Verb *verb)
{
        printf("  %s%s%s\n        %s\n", verb->name, *verb->arguments ? " " : "", verb->arguments,
                        verb->help);
}

static int print_help(void)
{
        printf("scalectl [OPTION...] VERB [ARGUMENT...]\n\n");
        for (const Verb *verb = verbs; verb->name; verb++)
                print_verb(verb);
        printf("\n"
               "      --json                     one JSON object a line, for scripts\n"
               "      --utc                      times in UTC instead of the reader's zone\n"
               "      --config=FILE              read FILE instead of " SYSCONF_DIR "/scale/scale.conf\n"
               "  -o, --option=SECTION.KEY=VALUE set one setting, as query.socket=/PATH; can be repeated\n"
               "      --version                  print the version and leave\n"
               "  -h, --help                     print this and leave\n"
               "\nSee scalectl(1).\n");
        return fflush(stdout) != 0 ? EX_IOERR : 0;
}

/* What stands before the verb. */
typedef struct Global {
        bool help, version;
} Global;

/* 1 and the value of `name` when argv[*i] is that option; -1 when its value is missing. */
static int take_value(const char *name, char **argv, int *i, const char **ret)
{
        size_t n = strlen(name);

        if (strncmp(argv[*i], name, n) != 0)
                return 0;
        if (argv[*i][n] == '=' && n > 2)
                *ret = argv[*i] + n + 1;
        else if (argv[*i][n] != 0)
                return 0;
        else if (!argv[*i + 1]) {
                complain("%s needs a value", name);
                return -1;
        } else
                *ret = argv[++*i];
        return 1;
}

static int take_override(Ctl *ctl, const char *value)
{
        if (ctl->overrides.n == OVERRIDES_MAX) {
                complain("there can be %u options -o at most", OVERRIDES_MAX);
                return EX_USAGE;
        }
        ctl->overrides.items[ctl->overrides.n++] = value;
        return 0;
}

/* One global option. 0, or EX_USAGE. */
static int take_global(Ctl *ctl, Global *g, char **argv, int *i)
{
        const struct {
                const char *name;
                bool *flag;
        } flags[] = {
                { "--json", &ctl->json },
                { "--utc", &ctl->utc },
                { "--version", &g->version },
                { "--help", &g->help },
                { "-h", &g->help },
        };
        const char *value = NULL;
        int r;

        FOREACH_ARRAY(f, flags, ELEMENTSOF(flags))
                if (streq(argv[*i], f->name)) {
                        *f->flag = true;
                        return 0;
                }
        r = take_value("--config", argv, i, &ctl->config);
        if (r == 0) {
                r = take_value("-o", argv, i, &value);
                if (r == 0)
                        r = take_value("--option", argv, i, &value);
                if (r > 0)
                        return take_override(ctl, value);
        }
        if (r == 0)
                complain("there is no option %s, see --help", argv[*i]);
        return r > 0 ? 0 : EX_USAGE;
}

static bool wants_help(int argc, char **argv)
{
        /* What stands behind these is another program's. */
        for (int i = 1; i < argc && !streq(argv[i], "--") && !streq(argv[i], "--exec"); i++)
                if (streq(argv[i], "--help") || streq(argv[i], "-h"))
                        return true;
        return false;
}

/* `words [VERB]`, for the completion of words in shells; no verb of its own, nobody types it. */
static const Verb *find_words(Ctl *ctl, int *argc, char ***argv)
{
        if (!streq((*argv)[0], "words") || *argc > 2)
                return NULL;
        if (*argc == 1)
                for (const Verb *verb = verbs; verb->name; verb++)
                        printf("%s\t%s\n", verb->name, verb->help);
        ctl->help = HELP_WORDS;
        *argc -= 1;
        *argv += 1;
        return *argc > 0 ? find_verb((*argv)[0]) : NULL;
}

static int run_verb(Ctl *ctl, int argc, char **argv)
{
        const Verb *verb = find_verb(argv[0]) ?: find_words(ctl, &argc, &argv);
        _cleanup_free_ char *error = NULL;
        int r;

        if (!verb && ctl->help == HELP_WORDS)
                return argc == 0 ? 0 : EX_USAGE;
        if (!verb) {
                complain("there is no verb %s, `scalectl --help` lists them", argv[0]);
                return EX_USAGE;
        }
        ctl->verb = verb;
        if (wants_help(argc, argv))
                ctl->help = HELP_PEOPLE;
        if (!verb->without_settings && ctl->help == HELP_NONE) {
                r = settings_load(ctl->config, &ctl->overrides, &ctl->settings, &error);
                if (r < 0) {
                        complain("%s", error ?: strerror(-r));
                        return EX_CONFIG;
                }
        }
        r = verb->run(ctl, argc, argv);
        if (r == OPTIONS_HELPED)
                r = 0;
        settings_done(&ctl->settings);
        if (fflush(stdout) != 0 && r == 0) {
                complain("the output can't be written: %s", strerror(errno));
                return EX_IOERR;
        }
        return r;
}

int main(int argc, char **argv)
{
        Ctl ctl = { .overrides = { .items = arg_overrides } };
        Global g = {};
        int i, r;

        term_set_locale();
        for (i = 1; i < argc && argv[i][0] == '-'; i++) {
                r = take_global(&ctl, &g, argv, &i);
                if (r != 0)
                        return r;
        }
        if (g.help)
                return print_help();
        if (g.version)
                return puts("scalectl " PROJECT_VERSION) < 0 ? EX_IOERR : 0;
        if (i >= argc) {
                complain("expected a verb, see --help");
                return EX_USAGE;
        }
        if (secrets_init() < 0) {
                complain("secrets can't be protected");
                return EX_OSERR;
        }
        ctl.term = term_of(STDOUT_FILENO);
        r = run_verb(&ctl, argc - i, argv + i);
        secrets_exit();
        return r;
}
