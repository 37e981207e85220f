/* Options of verbs, read from tables, anywhere among the arguments; "--" ends them. */

#include "basic/buffer.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "scalectl/ctl.h"
#include "scalectl/help.h"
#include "scalectl/text/when.h"

int options_complain_usage(const Ctl *ctl)
{
        const Verb *verb = ctl->verb;

        complain("usage: scalectl %s%s%s; `scalectl %s --help` says more", verb->name,
                        *verb->arguments ? " " : "", verb->arguments, verb->name);
        return EX_USAGE;
}

static const Option *find_option(const Option *options, size_t n, const char *name, size_t size)
{
        FOREACH_ARRAY(o, options, n)
                if (strlen(o->name) == size && memcmp(o->name, name, size) == 0)
                        return o;
        return NULL;
}

static int set_text(const Verb *verb, const Option *option, const char *value, const char **ret)
{
        _cleanup_free_ char *wanted = help_check_word(verb, option, value);

        if (wanted) {
                complain("%s %s: there are %s", option->name, value, wanted);
                return EX_USAGE;
        }
        *ret = value;
        return 0;
}

static int set_value(const Ctl *ctl, const Option *option, const char *value, void *values)
{
        void *target = (char *)values + option->offset;
        OptionList *list = target;

        switch (option->kind) {
        case OPTION_TEXT:
                return set_text(ctl->verb, option, value, target);
        case OPTION_NUMBER:
                if (parse_u64(value, 0, INT64_MAX, target) >= 0)
                        return 0;
                complain("%s: expected a whole number, got \"%s\"", option->name, value);
                return EX_USAGE;
        case OPTION_TIME:
                if (when_parse(value, now_realtime(), ctl->utc, target) >= 0)
                        return 0;
                complain("%s: expected %s, got \"%s\"", option->name, WHEN_FORMS, value);
                return EX_USAGE;
        case OPTION_SPAN:
                if (parse_duration(value, target) >= 0)
                        return 0;
                complain("%s: expected 0, or a number with ms, s, m, h or d behind it, got \"%s\"",
                                option->name, value);
                return EX_USAGE;
        case OPTION_LIST:
                if (list->n < OPTION_LIST_MAX)
                        return set_text(ctl->verb, option, value, &list->items[list->n++]);
                complain("%s: at most %u of these can be given", option->name, OPTION_LIST_MAX);
                return EX_USAGE;
        case OPTION_FLAG:
        default:
                assert(false);
        }
}

/* The value that stands in the same argument: behind an equals sign, or behind a single letter. */
static const char *value_within(const char *arg)
{
        const char *equals = strchr(arg, '=');

        if (arg[1] == '-')
                return equals ? equals + 1 : NULL;
        return arg[1] && arg[2] ? arg + 2 : NULL;
}

/* Names the options that there are. */
static int refuse_option(const Verb *verb, const Option *options, size_t n, const char *name, size_t size)
{
        _cleanup_buffer_ Buffer there = BUFFER_INIT(1024);

        FOREACH_ARRAY(o, options, n)
                if (buffer_append_f(&there, "%s, ", o->name) < 0)
                        break;
        complain("%s: there is no option %.*s; there are %s--json, --utc and --help", verb->name, (int)size,
                        name, buffer_text(&there));
        return EX_USAGE;
}

/* One option at argv[*i], with its value behind it or within it. */
static int read_one(
                const Ctl *ctl, const Option *options, size_t n, void *values, int argc, char **argv, int *i)
{
        const char *arg = argv[*i], *value = value_within(arg);
        size_t size = value ? (size_t)(value - arg) - (arg[1] == '-') : strlen(arg);
        const Option *option = find_option(options, n, arg, size);

        if (!option)
                return refuse_option(ctl->verb, options, n, arg, size);
        if (option->kind == OPTION_FLAG && !value) {
                *(bool *)((char *)values + option->offset) = true;
                return 0;
        }
        if (option->kind == OPTION_FLAG || (!value && *i + 1 >= argc)) {
                complain("%s %s value", option->name, option->kind == OPTION_FLAG ? "takes no" : "needs a");
                return EX_USAGE;
        }
        return set_value(ctl, option, value ?: argv[++*i], values);
}

/* --json and --utc may also stand behind the verb. They are looked for first, because --utc says how times
 * are read. */
static bool take_everywhere(Ctl *ctl, const char *arg)
{
        if (streq(arg, "--json"))
                ctl->json = true;
        else if (streq(arg, "--utc"))
                ctl->utc = true;
        else
                return false;
        return true;
}

static int give_help(const Ctl *ctl, const Option *options, size_t n)
{
        if (ctl->help == HELP_WORDS)
                help_print_words(ctl->verb, options, n);
        else
                help_print(ctl->verb, options, n);
        return OPTIONS_HELPED;
}

int options_read(Ctl *ctl, const Option *options, size_t n, void *values, int argc, char **argv,
                unsigned least, unsigned most, unsigned *ret_n)
{
        unsigned n_arguments = 0;
        bool ended = false;
        int r;

        if (ctl->help != HELP_NONE)
                return give_help(ctl, options, n);
        for (int i = 1; i < argc && !streq(argv[i], "--"); i++)
                (void)take_everywhere(ctl, argv[i]);

        for (int i = 1; i < argc; i++) {
                if (!ended && take_everywhere(ctl, argv[i]))
                        continue;
                if (!ended && streq(argv[i], "--")) {
                        ended = true;
                        continue;
                }
                if (ended || argv[i][0] != '-' || argv[i][1] == 0) {
                        argv[++n_arguments] = argv[i];
                        continue;
                }
                r = read_one(ctl, options, n, values, argc, argv, &i);
                if (r != 0)
                        return r;
        }
        if (n_arguments < least || n_arguments > most)
                return options_complain_usage(ctl);
        *ret_n = n_arguments;
        return 0;
}
