/*
 * Help. An option means the same with every verb that has it, so what it means is said once, here, and the
 * few that differ come first, with their verb. What completes in a shell is read from the same tables, and
 * names of types, statuses and formats from those of the rooms that know them.
 */

#include "scalectl/help.h"

#include "basic/buffer.h"
#include "export/export.h"
#include "task/type.h"

#define WORDS_MAX 1024U

typedef struct OptionHelp {
        const char *verb; /* NULL: any */
        const char *name, *argument, *help;
        const char *words; /* that fit; NULL: anything */
        bool fixed;        /* nothing but these words */
} OptionHelp;

#define EVENT_KINDS                                                                                    \
        "task.submitted task.completed task.revised task.canceled attachment.failed delivery.invalid " \
        "submission.rejected submission.expired queue.held queue.resumed"

static const OptionHelp option_helps[] = {
        { "deliveries", "--after", "N", "only those behind this number", NULL, false },
        { "quarantine", "--after", "N", "only those behind this number", NULL, false },
        { NULL, "--accept-rewind", NULL,
                        "go on where the feed was turned back, as by a backup that was put back", NULL,
                        false },
        { NULL, "--after", "SEQ", "only what happened behind this event", NULL, false },
        { NULL, "--audio", "DIR", "where the recordings are, by the last part of their URL", "@folders",
                        false },
        { "consume", "--batch", "N", "up to N events at once, a line each", NULL, false },
        { NULL, "--batch", "NAME", "the name of the batch, instead of the file's", NULL, false },
        { NULL, "--classes", "FILE", "the numbers of classes: their names, one a line", "@files", false },
        { NULL, "--data", "KEY=VALUE", "the same as -d", NULL, false },
        { NULL, "-d", "KEY=VALUE", "a parameter; @FILE stands for what is in it; repeatable", NULL, false },
        { NULL, "--deliver", NULL, "deliver a made-up callback to [submit] callback_url, to try the proxy",
                        NULL, false },
        { NULL, "--deliveries", NULL, "every delivery that named it", NULL, false },
        { "submit", "--dry-run", NULL, "check every line, and send nothing", NULL, false },
        { NULL, "--dry-run", NULL, "look each up and say what would be done; do nothing", NULL, false },
        { NULL, "--exec", "CMD", "run it for each event; all that follows is its own", "@commands", false },
        { NULL, "--file", "FILE", "the same as -f", "@files", false },
        { NULL, "-f", "FILE", "the parameters, as one JSON object", "@files", false },
        { NULL, "--format", "F", "what the others are to read", "@formats", false },
        { "consume", "--from", "SEQ", "where a new name begins: start (usual), now, or an event's number",
                        "start now", false },
        { NULL, "--from", "FILE",
                        "many tasks: a JSON object a line, - is standard input; or FILE.csv with a header",
                        "@files", false },
        { NULL, "--give-up", "N",
                        "after N failures write the event down as failed and go on; else it is tried for "
                        "ever",
                        NULL, false },
        { NULL, "--idempotency-key", "KEY", "the same key with the same task is the same submission", NULL,
                        false },
        { NULL, "--images", "DIR", "where the images are, to know their sizes", "@folders", false },
        { NULL, "--key-file", "FILE", "the key: the first line `label key` of this file", "@files", false },
        { NULL, "--kind", "K", "only events of this kind; repeatable, one has to fit", EVENT_KINDS, true },
        { NULL, "--metadata", "K=V", "only those with this metadata; repeatable, all have to fit", NULL,
                        false },
        { NULL, "-n", "N", "so many at most", NULL, false },
        { NULL, "-o", "FILE", "write to it, or to a folder, instead of standard output", "@files", false },
        { NULL, "--once", NULL, "end at the end of the feed", NULL, false },
        { NULL, "--older-than", "AGE", "a number with s, m, h or d", NULL, false },
        { NULL, "--patience", "T", "how long a submitter is waited for that is gone: 60s, 5m, 0", NULL,
                        false },
        { NULL, "--port", "N", "listen on it instead of on one that is free", NULL, false },
        { NULL, "--raw", NULL, "its body as it came, byte for byte", NULL, false },
        { NULL, "--revisions", NULL, "every response that it had", NULL, false },
        { "backfill", "--since", "TIME", "what was created then or later", "today yesterday 1h 7d", false },
        { NULL, "--since", "TIME", "only those of then or later: a time, today, 2h, 7d",
                        "today yesterday 1h 7d", false },
        { NULL, "--sizes", "FILE", "sizes of images: lines of URL-OR-NAME,WIDTH,HEIGHT", "@files", false },
        { NULL, "--spreadsheet", NULL, "make text of what a spreadsheet would take for a formula", NULL,
                        false },
        { "consume", "--state", "FILE", "where it remembers how far it is", "@files", false },
        { NULL, "--state", "S", "only those in this state",
                        "queued sending unknown accepted rejected canceled expired", true },
        { NULL, "--status", "S", "only those with this status", "@statuses", true },
        { NULL, "--strict", NULL, "it is an error if anything is left out", NULL, false },
        { NULL, "--submission", NULL, "the ids are those of submissions", NULL, false },
        { NULL, "--task", "ID", "this one alone", "@tasks", false },
        { NULL, "--through", "URL", "deliver a made-up callback there, to try the proxy", NULL, false },
        { "consume", "--to", "URL", "POST each event there", NULL, false },
        { NULL, "--timeout", "T", "wait so long at most: 90s, 5m, 2h; else for ever", NULL, false },
        { NULL, "--to", "URL", "send it there instead of to the first listener", NULL, false },
        { "consume", "--type", "T", "only events of tasks of this type; repeatable, one has to fit",
                        "@types", false },
        { NULL, "--type", "T", "only those of this type", "@types", false },
        { NULL, "--until", "TIME", "only those of then or before: a time, today, 2h, 7d",
                        "today yesterday 1h 7d", false },
        { NULL, "--verbose", NULL, "name each task that is left out", NULL, false },
        { NULL, "--verdict", "V", "only those with this verdict",
                        "stored duplicate revised invalid attachment_failure discarded", true },
        /* What every verb has. */
        { NULL, "--json", NULL, "one JSON object a line, for scripts", NULL, false },
        { NULL, "--utc", NULL, "times in UTC instead of the reader's zone", NULL, false },
        { NULL, "--help", NULL, "print this and leave", NULL, false },
};

static const Option everywhere[] = {
        { "--json", OPTION_FLAG, 0 },
        { "--utc", OPTION_FLAG, 0 },
        { "--help", OPTION_FLAG, 0 },
};

typedef struct VerbHelp {
        const char *verb;
        const char *first, *more; /* words for the first argument, and for those behind it; NULL: anything */
        const char *about;        /* what `help` of the verb doesn't say; NULL: nothing */
        const char *example;
} VerbHelp;

#define LINE_WIDTH  79U
#define TITLE_WIDTH 22

#define MANY                                                                                     \
        "\"-\" among the ids stands for those on standard input: one a line, or the lines that " \
        "--json prints."

static const VerbHelp verb_helps[] = {
        { "tasks", NULL, NULL, "20 of them, unless -n says otherwise. All that is given has to fit.",
                        "scalectl tasks --type annotation --status completed --since 7d -n 100" },
        { "task", "@tasks", NULL, NULL, "scalectl task 576ba74eec471ff9b01557cc --revisions" },
        { "watch", NULL, NULL,
                        "From now on, or from behind an event; goes on after a restart of the daemon, and "
                        "misses nothing.",
                        "scalectl --json watch --after 0 --type comparison" },
        { "consume", NULL, NULL,
                        "The command gets the event with its task as JSON on standard input, and SCALE_SEQ, "
                        "SCALE_KIND, SCALE_TASK_ID, SCALE_TASK_TYPE and SCALE_ATTEMPT. Its exit status 0 is "
                        "done, 75 later, 65 never; after any other it is tried again.",
                        "scalectl consume orders --kind task.completed --exec ./store-result" },
        { "wait", "@pending", "@pending",
                        "For those that are named, or all with this metadata, in the outbox too. The exit "
                        "status is 0 when all are completed, 1 when one ended otherwise, 75 when the time "
                        "is over.",
                        "scalectl submit --from tasks.ndjson && scalectl wait --metadata batch=7" },
        { "stats", NULL, NULL, NULL, "scalectl stats --metadata batch=7" },
        { "deliveries", NULL, NULL, "Oldest first, all of them unless -n says otherwise.",
                        "scalectl deliveries --verdict revised --since 2d" },
        { "delivery", "@quarantine", NULL, NULL, "scalectl delivery 17 --raw" },
        { "quarantine", "list retry discard", "@quarantine",
                        "`retry` validates again, now that the rules or the task have changed; `discard` "
                        "takes out. " MANY,
                        "scalectl --json quarantine list --since 1d | scalectl quarantine retry --dry-run "
                        "-" },
        { "submit", "@types", NULL,
                        "Parameters as curl sends them with -d, or a JSON object from a file or, with -, "
                        "from standard input. --from is safe to run again: each line is submitted once, "
                        "and a run that was interrupted is gone on with.",
                        "scalectl submit categorization -d instruction='Big or small?' \\\n"
                        "      -d attachment_type=text -d attachment=car \\\n"
                        "      -d categories=big -d categories=small" },
        { "queue", "list show retry drop hold resume flush", "@submissions",
                        "`list` shows what is not accepted yet, or all of a state. " MANY,
                        "scalectl --json queue list --state rejected | scalectl queue drop -" },
        { "cancel", "@pending", "@pending", MANY,
                        "scalectl --json tasks --status pending --metadata batch=7 -n 1000 | scalectl "
                        "cancel -" },
        { "reconcile", NULL, NULL, "Goes on in the daemon when this is ended before it.",
                        "scalectl reconcile" },
        { "backfill", NULL, NULL, "Goes on in the daemon when this is ended before it.",
                        "scalectl backfill --since 2016-06-01" },
        { "simulate", "@callbacks", NULL,
                        "Marked as a test, to the first address of [callback] listen or, to try a proxy "
                        "as well, to a URL.",
                        "scalectl simulate categorization --to https://hooks.example.com/callback" },
        { "export", NULL, NULL,
                        "All tasks, or those that all of --type, --status, --since, --until, --after and "
                        "--metadata choose.",
                        "scalectl export --format coco --images photos -o boxes.json" },
        { "view", NULL, NULL,
                        "The address that it prints opens the page once, and the page can change nothing.",
                        "ssh -L 8099:127.0.0.1:8099 host scalectl view --port 8099" },
        { "backup", "@files", NULL, "- is standard output.", "scalectl backup /var/backups/scale.db" },
        { "restore", "@files", NULL,
                        "Stop both daemons before. What was there is kept beside it. - is standard input.",
                        "scalectl restore /var/backups/scale.db" },
        { "prune", NULL, NULL, NULL, "scalectl prune --older-than 90d" },
        { "doctor", NULL, NULL,
                        "Each finding says what would help; the exit status is 1 if there is a failure.",
                        "scalectl doctor --deliver" },
        { "check-config", NULL, NULL, NULL, "scalectl -o callback.strict=yes check-config" },
};

static const VerbHelp *find_verb(const Verb *verb)
{
        FOREACH_ARRAY(h, verb_helps, ELEMENTSOF(verb_helps))
                if (streq(h->verb, verb->name))
                        return h;
        return NULL;
}

static const OptionHelp *find_option(const Verb *verb, const char *name)
{
        FOREACH_ARRAY(h, option_helps, ELEMENTSOF(option_helps))
                if (streq(h->name, name) && (!h->verb || streq(h->verb, verb->name)))
                        return h;
        return NULL;
}

/* Words that other rooms know, one by one up to a NULL. */

static const char *get_type(size_t i)
{
        return task_types[i] ? task_types[i]->name : NULL;
}

static const char *get_callback(size_t i)
{
        if (i > 0 && !task_types[i - 1])
                return NULL;
        return task_types[i] ? task_types[i]->name : "attachment_failure";
}

static const char *get_status(size_t i)
{
        return i < _TASK_STATUS_MAX ? task_status_to_string((TaskStatus)i) : NULL;
}

static const char *get_format(size_t i)
{
        return export_formats[i] ? export_format_name(export_formats[i]) : NULL;
}

typedef struct WordTable {
        const char *name;
        const char *(*get)(size_t i);
} WordTable;

static const WordTable word_tables[] = {
        { "@types", get_type },
        { "@callbacks", get_callback },
        { "@statuses", get_status },
        { "@formats", get_format },
};

static const WordTable *find_table(const char *words)
{
        FOREACH_ARRAY(t, word_tables, ELEMENTSOF(word_tables))
                if (streq(t->name, words))
                        return t;
        return NULL;
}

/* The words, with `separator` between them. What has no room, which is for the tests to find, is left out.
 */
static void append_words(Buffer *b, const char *words, const char *separator)
{
        const WordTable *table = find_table(words);
        const char *word;

        for (size_t i = 0; table && (word = table->get(i)); i++)
                if (buffer_append_f(b, "%s%s", i > 0 ? separator : "", word) < 0)
                        return;
        for (const char *w = table ? "" : words; *w; w += strspn(w, " ")) {
                size_t n = strcspn(w, " ");

                if (buffer_append_f(b, "%s%.*s", w > words ? separator : "", (int)n, w) < 0)
                        return;
                w += n;
        }
}

/* For people. */

/* Lines are broken at spaces, and those behind the first indented; `column` is where the first begins. */
static void print_wrapped(const char *text, size_t column, size_t indent)
{
        for (const char *w = text; *w; w += strspn(w, " ")) {
                size_t n = strcspn(w, " ");

                if (w > text && column + 1 + n > LINE_WIDTH) {
                        printf("\n%*s", (int)indent, "");
                        column = indent;
                } else if (w > text) {
                        putchar(' ');
                        column++;
                }
                printf("%.*s", (int)n, w);
                column += n;
                w += n;
        }
        putchar('\n');
}

static void print_option(const Verb *verb, const char *name)
{
        _cleanup_buffer_ Buffer words = BUFFER_INIT(WORDS_MAX);
        const OptionHelp *help = find_option(verb, name);
        char title[64];

        if (help && help->words &&
                        (help->fixed || find_table(help->words))) /* others say little to people */
                append_words(&words, help->words, ", ");
        snprintf(title, sizeof(title), "%s%s%s%s", name, help && help->argument ? " " : "",
                        help && help->argument ? help->argument : "", streq(name, "--help") ? ", -h" : "");
        printf("  %-*s ", TITLE_WIDTH, title);
        print_wrapped(help ? help->help : "see scalectl(1)", TITLE_WIDTH + 3, TITLE_WIDTH + 3);
        if (words.size > 0) {
                printf("%*s", TITLE_WIDTH + 5, "");
                print_wrapped(buffer_text(&words), TITLE_WIDTH + 5, TITLE_WIDTH + 5);
        }
}

void help_print(const Verb *verb, const Option *options, size_t n)
{
        const VerbHelp *help = find_verb(verb);
        char first = verb->help[0], usage[1024];

        if (first >= 'a' && first <= 'z')
                first = (char)(first - 'a' + 'A');
        snprintf(usage, sizeof(usage), "usage: scalectl %s %s", verb->name, verb->arguments);
        print_wrapped(usage, 0, 16);
        printf("\n%c%s.\n", first, verb->help + 1);
        if (help && help->about)
                print_wrapped(help->about, 0, 0);
        printf("\n");
        FOREACH_ARRAY(o, options, n)
                print_option(verb, o->name);
        FOREACH_ARRAY(o, everywhere, ELEMENTSOF(everywhere))
                print_option(verb, o->name);
        if (help)
                printf("\nexample:\n  %s\n", help->example);
        printf("\nSee scalectl(1).\n");
}

/* For shells. */

static void print_words(const char *name, const char *argument, const char *words, const char *help)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(WORDS_MAX);

        if (words)
                append_words(&b, words, " ");
        printf("%s\t%s\t%s\t%s\n", name, argument, buffer_text(&b), help);
}

static void print_option_words(const Verb *verb, const Option *option)
{
        const OptionHelp *help = find_option(verb, option->name);
        const char *argument = help && help->argument ? help->argument : "VALUE";

        print_words(option->name, option->kind == OPTION_FLAG ? "" : argument, help ? help->words : NULL,
                        help ? help->help : "");
}

void help_print_words(const Verb *verb, const Option *options, size_t n)
{
        const VerbHelp *help = find_verb(verb);

        FOREACH_ARRAY(o, options, n)
                print_option_words(verb, o);
        FOREACH_ARRAY(o, everywhere, ELEMENTSOF(everywhere))
                print_option_words(verb, o);
        if (help && help->first)
                print_words("1", "", help->first, "");
        if (help && help->more)
                print_words("+", "", help->more, "");
}

/* Values. */

char *help_check_word(const Verb *verb, const Option *option, const char *value)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(WORDS_MAX);
        const OptionHelp *help = find_option(verb, option->name);
        size_t n = strlen(value);

        if (!help || !help->fixed)
                return NULL;
        append_words(&b, help->words, " ");
        for (const char *w = buffer_text(&b); *w; w += strspn(w, " ")) {
                size_t size = strcspn(w, " ");

                if (size == n && memcmp(w, value, n) == 0)
                        return NULL;
                w += size;
        }
        buffer_done(&b);
        b = BUFFER_INIT(WORDS_MAX);
        append_words(&b, help->words, ", ");
        return strdup(buffer_text(&b)) ?: strdup("");
}
