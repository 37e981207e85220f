/*
 * Settings are loaded from the table's defaults, the file, its drop-ins in the order of their names, and the
 * command line, each of which may set anything again. A mistake anywhere stops it: what is read is either
 * right as a whole or refused with the place and what would be right. inih takes the lines apart; it is
 * handed one line at a time, so that the line of a mistake is known, and a line too long for it is refused,
 * not split. Its settings are global, and set here once before every use.
 *
 * What is refused may be a key in the wrong place, and what is said of it is kept in a log: only what can't
 * be one is quoted.
 */

#include "config/settings.h"

#include <dirent.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "config/table.h"

#define DEFAULT_PATH SYSCONF_DIR "/scale/scale.conf"
#define LINES_MAX    10000U
#define LINE_SIZE    4096 /* for 32 networks with room to spare */
#define DROPINS_MAX  256U
#define ROWS_MAX     64U

#define NAME_QUOTED_MAX 24U

/* One source being read. */
typedef struct Reading {
        Settings *settings;
        const char *path;
        FILE *file;
        unsigned line;
        bool seen[ROWS_MAX];
        int error; /* of the first mistake */
        char **ret_error;
} Reading;

static int fail(char **ret_error, int error, const char *format, ...) _printf_(3, 4);

static int fail(char **ret_error, int error, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        if (vasprintf(ret_error, format, ap) < 0)
                *ret_error = NULL;
        va_end(ap);
        return error;
}

void settings_done(Settings *s)
{
        for (size_t i = 0; i < settings_table_size; i++)
                setting_done(&settings_table[i], s);
        *s = (Settings){};
}

static const Setting *find_setting(const char *section, const char *key)
{
        FOREACH_ARRAY(s, settings_table, settings_table_size)
                if (streq(s->section, section) && streq(s->key, key))
                        return s;
        return NULL;
}

static bool section_exists(const char *section)
{
        FOREACH_ARRAY(s, settings_table, settings_table_size)
                if (streq(s->section, section))
                        return true;
        return false;
}

/* How many letters have to change for one to become the other: for guesses at what was meant. */
static size_t distance(const char *a, const char *b)
{
        size_t row[64], n = strlen(b);

        if (strlen(a) >= ELEMENTSOF(row) || n >= ELEMENTSOF(row))
                return SIZE_MAX;

        for (size_t j = 0; j <= n; j++)
                row[j] = j;
        for (size_t i = 1; a[i - 1]; i++) {
                size_t diagonal = row[0];

                row[0] = i;
                for (size_t j = 1; j <= n; j++) {
                        size_t change = diagonal + (a[i - 1] != b[j - 1]);

                        diagonal = row[j];
                        row[j] = MIN(MIN(row[j] + 1, row[j - 1] + 1), change);
                }
        }
        return row[n];
}

static const char *nearest_key(const char *section, const char *key)
{
        const char *best = NULL;
        size_t least = 4; /* further away it is no slip of the pen */

        FOREACH_ARRAY(s, settings_table, settings_table_size) {
                size_t d = streq(s->section, section) ? distance(s->key, key) : SIZE_MAX;

                if (d < least) {
                        least = d;
                        best = s->key;
                }
        }
        return best;
}

/* A name for a message: as it is when it looks like one of a section or a setting, which keys don't. */
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

static int fail_unknown(const char *where, const char *section, const char *key, char **ret_error)
{
        char sections[SECTIONS_SIZE];
        const char *near;

        if (!*section)
                return fail(ret_error, -EINVAL,
                                "%s: %s stands in no section; one as [callback] is wanted above it", where,
                                quote_name(key));
        if (!section_exists(section))
                return fail(ret_error, -EINVAL, "%s: there is no section [%s]; wanted is one of %s", where,
                                quote_name(section), list_sections(sections));

        near = nearest_key(section, key);
        return fail(ret_error, -EINVAL, "%s: there is no setting %s in [%s]%s%s%s", where, quote_name(key),
                        section, near ? "; is " : "", near ?: "", near ? " meant?" : "");
}

static void print_limit(const Setting *setting, uint64_t v, FILE *f)
{
        Settings s = {};

        memcpy((char *)&s + setting->offset, &v, sizeof(v));
        setting_print(setting, &s, f);
}

static int fail_range(const char *where, const Setting *setting, const char *value, char **ret_error)
{
        char limits[128] = "";
        FILE *f;

        f = fmemopen(limits, sizeof(limits), "w");
        if (!f)
                return -errno;
        fputs("at least ", f);
        print_limit(setting, setting->min, f);
        if (setting->max < UINT64_MAX) {
                fputs(" and at most ", f);
                print_limit(setting, setting->max, f);
        }
        fclose(f);
        return fail(ret_error, -EINVAL, "%s: [%s] %s = %s is out of range: wanted is %s", where,
                        setting->section, setting->key, value, limits);
}

/* Sets one value; `where` is for messages. An empty one stands for the default. */
static int apply(Settings *s, const char *where, const char *section, const char *key, const char *value,
                const Setting **ret_setting, char **ret_error)
{
        const Setting *setting = find_setting(section, key);
        const char *wanted = NULL;
        int r;

        *ret_setting = setting;
        if (!setting)
                return fail_unknown(where, section, key, ret_error);

        r = setting_apply(setting, *value ? value : setting->default_value, s, &wanted);
        if (r == -ERANGE)
                return fail_range(where, setting, value, ret_error);
        if (r == -EINVAL)
                return fail(ret_error, r, "%s: [%s] %s = %s can't be read: wanted is %s", where, section,
                                key, setting_may_be_quoted(setting) ? value : "...", wanted);
        return r;
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

/* inih's reader: one line at a time, as fgets(). */
static char *read_line(char *buf, int size, void *userdata)
{
        Reading *x = userdata;
        size_t n;

        n = x->error < 0 ? 0 : take_bytes(buf, (size_t)size, x->file);
        if (n == 0)
                return NULL;

        x->line++;
        if (x->line > LINES_MAX) {
                x->error = fail(x->ret_error, -E2BIG, "%s: more than %u lines", x->path, LINES_MAX);
                return NULL;
        }
        if (strlen(buf) < n) {
                x->error = fail(x->ret_error, -EINVAL, "%s, line %u: a NUL byte; wanted is text", x->path,
                                x->line);
                return NULL;
        }
        if (buf[n - 1] != '\n' && !feof(x->file)) {
                x->error = fail(x->ret_error, -EINVAL,
                                "%s, line %u: longer than the %d bytes that a line may have", x->path,
                                x->line, size - 2);
                return NULL;
        }
        return buf;
}

static int on_value(void *userdata, const char *section, const char *key, const char *value)
{
        _cleanup_free_ char *where = NULL;
        const Setting *setting;
        Reading *x = userdata;
        size_t row;

        if (x->error < 0)
                return 1;
        if (asprintf(&where, "%s, line %u", x->path, x->line) < 0) {
                where = NULL;
                x->error = -ENOMEM;
                return 1;
        }

        x->error = apply(x->settings, where, section, key, value ?: "", &setting, x->ret_error);
        if (x->error < 0 || !setting)
                return 1;

        row = (size_t)(setting - settings_table);
        assert(row < ROWS_MAX);
        if (x->seen[row])
                x->error = fail(x->ret_error, -EINVAL, "%s: [%s] %s stands in this file already", where,
                                section, key);
        x->seen[row] = true;
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

/* 0; -ENOENT: there is no such file; other negative errno, with what was wrong. */
static int load_file(const char *path, Settings *s, char **ret_error)
{
        Reading x = { .settings = s, .path = path, .ret_error = ret_error };
        int r;

        x.file = fopen(path, "re");
        if (!x.file) {
                r = -errno;
                return fail(ret_error, r, "%s can't be read: %s", path, strerror(-r));
        }

        set_up_inih();
        r = ini_parse_stream(read_line, &x, on_value, &x);
        if (x.error == 0 && ferror(x.file))
                x.error = fail(ret_error, -EIO, "%s can't be read to its end", path);
        fclose(x.file);

        /* Reading ends with our first mistake, so what inih could not take apart stands above it, and may
         * be its cause. */
        if (r > 0) {
                free(*ret_error);
                return fail(ret_error, -EINVAL,
                                "%s, line %d: neither a [section] nor a setting: wanted is key = value",
                                path, r);
        }
        if (x.error < 0)
                return x.error;
        return r < 0 ? -ENOMEM : 0;
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

static int load_drop_ins(const char *path, Settings *s, char **ret_error)
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
                return fail(ret_error, r, "%s can't be read: %s", dir, strerror(-r));
        }
        if ((unsigned)n > DROPINS_MAX)
                r = fail(ret_error, -E2BIG, "%s: more than %u files", dir, DROPINS_MAX);

        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *file = NULL;

                if (r >= 0) {
                        if (asprintf(&file, "%s/%s", dir, entries[i]->d_name) < 0) {
                                file = NULL;
                                r = -ENOMEM;
                        } else
                                r = load_file(file, s, ret_error);
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

static int apply_override(Settings *s, const char *text, char **ret_error)
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
                return fail(ret_error, -EINVAL, "%s: wanted is -o section.key=value", where);
        if (!value_fits_a_file(equals))
                return fail(ret_error, -EINVAL,
                                "%s: wanted is a value as a file can have it, without control characters, "
                                "spaces around it, and `;` at the beginning of a word",
                                where);
        return apply(s, where, copy, dot, equals, &setting, ret_error);
}

static int apply_defaults(Settings *s)
{
        const char *wanted;
        int r;

        FOREACH_ARRAY(i, settings_table, settings_table_size) {
                r = setting_apply(i, i->default_value, s, &wanted);
                assert(r != -EINVAL && r != -ERANGE);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What no setting can say by itself. */
static int check_together(const Settings *s, char **ret_error)
{
        if (s->callback.max_body > s->callback.max_bodies)
                return fail(ret_error, -EINVAL,
                                "[callback] max_body is larger than max_bodies, the memory for all bodies "
                                "together");
        if (streq(s->query.socket, s->control.socket))
                return fail(ret_error, -EINVAL, "[query] socket and [control] socket are the same path");
        return 0;
}

static int load_all(const char *path, const SettingsOverrides *overrides, Settings *s, char **ret_error)
{
        const char *file = path ?: DEFAULT_PATH;
        int r;

        r = apply_defaults(s);
        if (r < 0)
                return r;

        r = load_file(file, s, ret_error);
        if (r == -ENOENT && !path) {
                free(*ret_error);
                *ret_error = NULL;
        } else if (r < 0)
                return r;

        r = load_drop_ins(file, s, ret_error);
        if (r < 0)
                return r;

        for (size_t i = 0; overrides && i < overrides->n; i++) {
                r = apply_override(s, overrides->items[i], ret_error);
                if (r < 0)
                        return r;
        }
        return check_together(s, ret_error);
}

int settings_load(const char *path, const SettingsOverrides *overrides, Settings *ret, char **ret_error)
{
        Settings s = {};
        int r;

        *ret_error = NULL;
        r = load_all(path, overrides, &s, ret_error);
        if (r < 0) {
                settings_done(&s);
                return r;
        }
        *ret = s;
        return 0;
}
