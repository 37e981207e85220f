/*
 * Settings are loaded from the table's defaults, the file, its drop-ins in the order of their names, and the
 * command line, each of which may set anything again. What is read is either right as a whole or refused,
 * with the place of every mistake and what would be right. inih takes the lines apart; it is handed one line
 * at a time, so that the line of a mistake is known, also of one that it can't take apart, and a line too
 * long for it is refused, not split. Its settings are global, and set here once before every use.
 */

#include "config/settings.h"

#include <ctype.h>
#include <dirent.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>

#include "basic/guess.h"
#include "basic/mistakes.h"
#include "config/table.h"

#define DEFAULT_PATH    SYSCONF_DIR "/scale/scale.conf"
#define LINES_MAX       10000U
#define LINE_SIZE       4096 /* for 32 networks with room to spare */
#define DROPINS_MAX     256U
#define ROWS_MAX        64U
#define NAME_QUOTED_MAX 24U

/* What is being put together. */
typedef struct Loading {
        Settings settings;
        char *origins[ROWS_MAX]; /* where each was set; NULL: nowhere */
        bool wrong[ROWS_MAX];    /* what was set there was refused */
        int error;               /* of the first mistake */
        char **ret_error;
} Loading;

/* One source being read. */
typedef struct Reading {
        Loading *loading;
        const char *path;
        FILE *file;
        unsigned line;
        bool seen[ROWS_MAX];
        bool open;       /* the line is to be a setting, and inih has not said which */
        bool lost;       /* a section began that can't be read: what stands in it is passed over */
        bool is_unknown; /* there is no such section, which was said */
        int error;       /* that ends it: out of memory */
} Reading;

/*
 * Mistakes, in words: where, what, and what would be right. What is refused may be a key in the wrong place,
 * and what is said of it is kept in a log: only what can't be one is quoted.
 */

/* Notes a mistake; what comes behind it is looked at too. Always 0. */
_printf_(3, 4) static int mistake(Loading *loading, int error, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        mistakes_addv(loading->ret_error, format, ap);
        va_end(ap);
        if (loading->error == 0)
                loading->error = error;
        return 0;
}

static bool section_exists(const char *section)
{
        FOREACH_ARRAY(s, settings_table, settings_table_size)
                if (streq(s->section, section))
                        return true;
        return false;
}

static const char *nearest_key(const char *section, const char *key)
{
        Guess guess = GUESS(key);

        FOREACH_ARRAY(s, settings_table, settings_table_size)
                if (streq(s->section, section))
                        guess_try(&guess, s->key);
        return guess.meant;
}

static const char *quote_name(const char *name)
{
        static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-";

        return strlen(name) <= NAME_QUOTED_MAX && !name[strspn(name, letters)] ? name : "...";
}

/* "[callback], [query]": the rows of a section stand together. Returns buf. */
#define SECTIONS_SIZE 256U
static const char *list_sections(char buf[static SECTIONS_SIZE])
{
        const char *last = "";
        size_t n = 0;

        FOREACH_ARRAY(s, settings_table, settings_table_size) {
                if (streq(s->section, last) || n >= SECTIONS_SIZE)
                        continue;
                n += (size_t)snprintf(buf + n, SECTIONS_SIZE - n, "%s[%s]", n > 0 ? ", " : "", s->section);
                last = s->section;
        }
        return buf;
}

static int refuse_unknown(Loading *loading, const char *where, const char *section, const char *key)
{
        char sections[SECTIONS_SIZE];
        const char *near;

        if (!*section)
                return mistake(loading, -EINVAL,
                                "%s: %s stands in no section: expected one like [callback] above it", where,
                                quote_name(key));
        if (!section_exists(section))
                return mistake(loading, -EINVAL, "%s: there is no section [%s]: expected one of %s", where,
                                quote_name(section), list_sections(sections));

        near = nearest_key(section, key);
        return mistake(loading, -EINVAL, "%s: there is no setting %s in [%s]%s%s%s", where, quote_name(key),
                        section, near ? "; is " : "", near ?: "", near ? " meant?" : "");
}

static void print_bound(const Setting *setting, uint64_t v, FILE *f)
{
        Settings s = {};

        memcpy((char *)&s + setting->offset, &v, sizeof(v));
        setting_print(setting, &s, f);
}

static int refuse_range(Loading *loading, const char *where, const Setting *setting, const char *value)
{
        char limits[128] = "";
        FILE *f;

        f = fmemopen(limits, sizeof(limits), "w");
        if (!f)
                return -errno;
        fputs("at least ", f);
        print_bound(setting, setting->min, f);
        if (setting->max < UINT64_MAX) {
                fputs(" and at most ", f);
                print_bound(setting, setting->max, f);
        }
        fclose(f);
        return mistake(loading, -EINVAL, "%s: [%s] %s = %s is out of range: expected %s", where,
                        setting->section, setting->key, value, limits);
}

static int refuse_value(Loading *loading, const char *where, const Setting *setting, const char *value,
                const char *wanted)
{
        return mistake(loading, -EINVAL, "%s: [%s] %s = %s can't be read: expected %s", where,
                        setting->section, setting->key, setting_may_be_quoted(setting) ? value : "...",
                        wanted);
}

/* Values. */

void settings_done(Settings *settings)
{
        for (size_t i = 0; i < settings_table_size; i++)
                setting_done(&settings_table[i], settings);
        *settings = (Settings){};
}

static void loading_done(Loading *loading)
{
        settings_done(&loading->settings);
        FOREACH_ARRAY(o, loading->origins, ROWS_MAX)
                free(*o);
}

static size_t row_of(const Setting *setting)
{
        size_t row = (size_t)(setting - settings_table);

        assert(row < ROWS_MAX);
        return row;
}

static const Setting *find_setting(const char *section, const char *key)
{
        FOREACH_ARRAY(s, settings_table, settings_table_size)
                if (streq(s->section, section) && streq(s->key, key))
                        return s;
        return NULL;
}

/* Sets one value; `where` is for messages. An empty one stands for the default. */
static int apply(Loading *loading, const char *where, const char *section, const char *key,
                const char *value, const Setting **ret_setting)
{
        const Setting *setting = find_setting(section, key);
        const char *wanted = NULL;
        char *origin;
        int r;

        *ret_setting = setting;
        if (!setting)
                return refuse_unknown(loading, where, section, key);

        r = setting_apply(setting, *value ? value : setting->default_value, &loading->settings, &wanted);
        loading->wrong[row_of(setting)] = r < 0;
        if (r == -ERANGE)
                return refuse_range(loading, where, setting, value);
        if (r == -EINVAL)
                return refuse_value(loading, where, setting, value, wanted);
        if (r < 0)
                return r;

        origin = strdup(where);
        if (!origin)
                return -ENOMEM;
        free(loading->origins[row_of(setting)]);
        loading->origins[row_of(setting)] = origin;
        return 0;
}

/* Files. */

/* Up to the end of a line, which is kept, or as much as there is room for; a NUL is a byte like others. */
static size_t take_bytes(char *buf, size_t size, FILE *f)
{
        size_t n = 0;
        int c = 0;

        while (c != '\n' && n + 1 < size && (c = getc_unlocked(f)) != EOF)
                buf[n++] = (char)c;
        buf[n] = 0;
        return n;
}

/* What inih made of the line before: it is silent about what it can't take apart. */
static void look_back(Reading *reading)
{
        if (reading->open)
                (void)mistake(reading->loading, -EINVAL,
                                "%s, line %u: neither a [section] nor a setting: expected key = value",
                                reading->path, reading->line);
        reading->open = false;
}

/* "[section]", up to a comment. */
static bool is_section(const char *text)
{
        const char *p = text + 1;

        while (*p && *p != ']' && !(*p == ';' && isspace((unsigned char)p[-1])))
                p++;
        return *p == ']';
}

static void look_ahead(Reading *reading, const char *text)
{
        if (reading->line == 1 && strncmp(text, "\xEF\xBB\xBF", 3) == 0)
                text += 3;
        while (isspace((unsigned char)*text))
                text++;
        if (*text == '[') {
                reading->lost = !is_section(text);
                reading->is_unknown = false;
        }
        reading->open = *text && *text != ';' && *text != '#' && (*text != '[' || reading->lost);
}

/* Whether inih can have the line. */
static bool is_line(Reading *reading, const char *buf, size_t n, int size)
{
        if (strlen(buf) < n)
                (void)mistake(reading->loading, -EINVAL, "%s, line %u: expected text, got a NUL byte",
                                reading->path, reading->line);
        else if (buf[n - 1] != '\n' && !feof(reading->file))
                (void)mistake(reading->loading, -EINVAL,
                                "%s, line %u: longer than the %d bytes that a line may have", reading->path,
                                reading->line, size - 2);
        else
                return true;
        return false;
}

/* inih's reader: one line at a time, as fgets(). */
static char *read_line(char *buf, int size, void *userdata)
{
        Reading *reading = userdata;
        size_t n;

        look_back(reading);
        for (;;) {
                n = reading->error < 0 ? 0 : take_bytes(buf, (size_t)size, reading->file);
                if (n == 0)
                        return NULL;
                if (++reading->line > LINES_MAX) {
                        (void)mistake(reading->loading, -E2BIG, "%s: more than %u lines", reading->path,
                                        LINES_MAX);
                        return NULL;
                }
                if (is_line(reading, buf, n, size))
                        break;
                while (n > 0 && buf[n - 1] != '\n')
                        n = take_bytes(buf, (size_t)size, reading->file);
        }
        look_ahead(reading, buf);
        return buf;
}

/* What is said of one unknown section goes for all that stands in it. */
static bool is_passed_over(Reading *reading, const char *section)
{
        bool was_unknown = reading->is_unknown;

        reading->is_unknown = !section_exists(section);
        return reading->lost || (reading->is_unknown && was_unknown);
}

static int take_value(Reading *reading, const char *section, const char *key, const char *value)
{
        _cleanup_free_ char *where = NULL;
        Loading *loading = reading->loading;
        const Setting *setting;
        size_t row;
        int r;

        if (asprintf(&where, "%s, line %u", reading->path, reading->line) < 0) {
                where = NULL;
                return -ENOMEM;
        }
        r = apply(loading, where, section, key, value, &setting);
        if (r < 0 || !setting)
                return r;

        row = row_of(setting);
        if (reading->seen[row])
                r = mistake(loading, -EINVAL, "%s: [%s] %s stands in this file already", where, section,
                                key);
        reading->seen[row] = true;
        return r;
}

static int on_value(void *userdata, const char *section, const char *key, const char *value)
{
        Reading *reading = userdata;

        reading->open = false;
        if (reading->error == 0 && !is_passed_over(reading, section))
                reading->error = take_value(reading, section, key, value ?: "");
        return 1;
}

static void set_up_inih(void)
{
        /* A line that begins with spaces is a line like others, not more of the value above it. */
        ini_allow_multiline = false;
        /* Its usual 200 bytes on the stack are too short for a list of networks. */
        ini_use_stack = false;
        ini_initial_alloc = ini_max_line = LINE_SIZE;
}

/* 0, also where there are mistakes, or -ENOMEM. */
static int load_file(const char *path, bool may_be_absent, Loading *loading)
{
        Reading x = { .loading = loading, .path = path };
        int r;

        x.file = fopen(path, "re");
        if (!x.file) {
                if (errno == ENOENT && may_be_absent)
                        return 0;
                r = -errno;
                return mistake(loading, r, "%s can't be read: %s", path, strerror(-r));
        }

        set_up_inih();
        r = ini_parse_stream(read_line, &x, on_value, &x);
        if (x.error == 0 && ferror(x.file))
                (void)mistake(loading, -EIO, "%s can't be read to its end", path);
        fclose(x.file);
        if (r > 0 && loading->error == 0)
                (void)mistake(loading, -EINVAL, "%s, line %d: can't be read", path, r);
        return r < 0 ? -ENOMEM : x.error;
}

static int is_drop_in(const struct dirent *e)
{
        size_t n = strlen(e->d_name);

        return e->d_name[0] != '.' && n > 5 && streq(e->d_name + n - 5, ".conf");
}

/* By bytes: in no locale does another file win. */
static int compare_names(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_drop_ins(const char *path, Loading *loading)
{
        _cleanup_free_ char *dir = NULL;
        struct dirent **entries = NULL;
        int n, r = 0;

        if (asprintf(&dir, "%s.d", path) < 0) {
                dir = NULL;
                return -ENOMEM;
        }
        n = scandir(dir, &entries, is_drop_in, compare_names);
        if (n < 0) {
                if (errno == ENOENT)
                        return 0;
                r = -errno;
                return mistake(loading, r, "%s can't be read: %s", dir, strerror(-r));
        }
        if ((unsigned)n > DROPINS_MAX)
                (void)mistake(loading, -E2BIG, "%s: more than %u files", dir, DROPINS_MAX);

        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *file = NULL;

                if (r >= 0 && (unsigned)n <= DROPINS_MAX) {
                        if (asprintf(&file, "%s/%s", dir, entries[i]->d_name) < 0) {
                                file = NULL;
                                r = -ENOMEM;
                        } else
                                r = load_file(file, false, loading);
                }
                free(entries[i]);
        }
        free(entries);
        return r;
}

/* The command line. */

/* What is given here can be written into a file (--dump-config does) and means the same there: no other
 * line, no comment at its end, no space around it. */
static bool value_fits_a_file(const char *value)
{
        static const char spaces[] = " \t";
        size_t n = strlen(value);

        for (size_t i = 0; i < n; i++)
                if (((unsigned char)value[i] < ' ' && value[i] != '\t') || value[i] == 0x7f ||
                                (value[i] == ';' && i > 0 && strchr(spaces, value[i - 1])))
                        return false;
        return n == 0 || (!strchr(spaces, value[0]) && !strchr(spaces, value[n - 1]) && value[0] != ';');
}

static int apply_override(Loading *loading, const char *text)
{
        _cleanup_free_ char *copy = NULL, *where = NULL;
        const Setting *setting;
        char *dot, *equals;

        copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        equals = strchr(copy, '=');
        if (equals)
                *equals++ = 0;
        dot = strchr(copy, '.');
        if (dot)
                *dot++ = 0;
        if (asprintf(&where, "-o %s%s%s", quote_name(copy), dot ? "." : "", dot ? quote_name(dot) : "") <
                        0) {
                where = NULL;
                return -ENOMEM;
        }

        if (!dot || !equals)
                return mistake(loading, -EINVAL, "%s: expected -o section.key=value", where);
        if (!value_fits_a_file(equals))
                return mistake(loading, -EINVAL,
                                "%s: expected a value as a file can have it, without control characters, "
                                "spaces around it, and `;` at the beginning of a word",
                                where);
        return apply(loading, where, copy, dot, equals, &setting);
}

static int apply_defaults(Settings *settings)
{
        const char *wanted;
        int r;

        FOREACH_ARRAY(i, settings_table, settings_table_size) {
                r = setting_apply(i, i->default_value, settings, &wanted);
                assert(r != -EINVAL && r != -ERANGE);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What no setting can say by itself. */

/* "[query] socket (FILE, line 3)", for two of them; `wrong` is what is wrong between them. */
static int fail_together(Loading *loading, const Setting *a, const Setting *b, const char *wrong)
{
        _cleanup_free_ char *x = setting_format(a, &loading->settings),
                            *y = setting_format(b, &loading->settings);
        const char *where = loading->origins[row_of(a)], *other = loading->origins[row_of(b)];

        return mistake(loading, -EINVAL, "[%s] %s = %s (%s) %s [%s] %s = %s (%s)", a->section, a->key,
                        strna(x), where ?: "the default", wrong, b->section, b->key, strna(y),
                        other ?: "the default");
}

static void check_together(Loading *loading)
{
        const Settings *settings = &loading->settings;
        const struct {
                const Setting *a, *b;
                bool is_wrong;
                const char *wrong;
        } rules[] = {
                { find_setting("callback", "max_body"), find_setting("callback", "max_bodies"),
                                settings->callback.max_body > settings->callback.max_bodies,
                                "is larger than the memory for all bodies together," },
                { find_setting("query", "socket"), find_setting("control", "socket"),
                                streq(settings->query.socket, settings->control.socket),
                                "is the path of another socket too," },
        };

        FOREACH_ARRAY(i, rules, ELEMENTSOF(rules))
                if (i->is_wrong && !loading->wrong[row_of(i->a)] && !loading->wrong[row_of(i->b)])
                        (void)fail_together(loading, i->a, i->b, i->wrong);
}

static int load_all(const char *path, const SettingsOverrides *overrides, Loading *loading)
{
        const char *file = path ?: DEFAULT_PATH;
        int r;

        r = apply_defaults(&loading->settings);
        if (r >= 0)
                r = load_file(file, !path, loading);
        if (r >= 0)
                r = load_drop_ins(file, loading);
        for (size_t i = 0; r >= 0 && overrides && i < overrides->n; i++)
                r = apply_override(loading, overrides->items[i]);
        if (r < 0)
                return r;
        check_together(loading);
        return loading->error;
}

int settings_look(const char *path, const SettingsOverrides *overrides, Settings *ret, char **ret_error)
{
        _cleanup_(loading_done) Loading l = { .ret_error = ret_error };
        int r;

        *ret_error = NULL;
        r = load_all(path, overrides, &l);
        if (r == -ENOMEM) {
                free(*ret_error);
                *ret_error = NULL;
        }
        if (r < 0 && r != -EINVAL)
                return r;
        *ret = l.settings;
        l.settings = (Settings){};
        return r;
}

int settings_load(const char *path, const SettingsOverrides *overrides, Settings *ret, char **ret_error)
{
        Settings s = {};
        int r;

        r = settings_look(path, overrides, &s, ret_error);
        if (r < 0) {
                settings_done(&s);
                return r;
        }
        *ret = s;
        return 0;
}
