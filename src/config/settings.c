/*
 * Settings are loaded from the table's defaults, the file, its drop-ins in the order of their names, and the
 * command line, each of which may set anything again. A mistake anywhere stops it: what is read is either
 * right as a whole or refused with the place and what would be right. inih takes the lines apart; it is
 * handed one line at a time, so that the line of a mistake is known, and a line too long for it is refused,
 * not split. Its settings are global, and set here once before every use.
 */

#include "config/settings.h"

#include <dirent.h>
#include <ini.h>
#include <stdio.h>

#include "config/mistake.h"
#include "config/table.h"

#define DEFAULT_PATH SYSCONF_DIR "/scale/scale.conf"
#define LINES_MAX    10000U
#define LINE_SIZE    4096 /* for 32 networks with room to spare */
#define DROPINS_MAX  256U
#define ROWS_MAX     64U

/* What is being put together. */
typedef struct Loading {
        Settings settings;
        char *origins[ROWS_MAX]; /* where each was set; NULL: nowhere */
        char **ret_error;
} Loading;

/* One source being read. */
typedef struct Reading {
        Loading *loading;
        const char *path;
        FILE *file;
        unsigned line;
        bool seen[ROWS_MAX];
        int error; /* of the first mistake */
} Reading;

void settings_done(Settings *s)
{
        for (size_t i = 0; i < settings_table_size; i++)
                setting_done(&settings_table[i], s);
        *s = (Settings){};
}

static void loading_done(Loading *l)
{
        settings_done(&l->settings);
        FOREACH_ARRAY(o, l->origins, ROWS_MAX)
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
static int apply(Loading *l, const char *where, const char *section, const char *key, const char *value,
                const Setting **ret_setting)
{
        const Setting *setting = find_setting(section, key);
        const char *wanted = NULL;
        char *origin;
        int r;

        *ret_setting = setting;
        if (!setting)
                return mistake_unknown(where, section, key, l->ret_error);

        r = setting_apply(setting, *value ? value : setting->default_value, &l->settings, &wanted);
        if (r == -ERANGE)
                return mistake_range(where, setting, value, l->ret_error);
        if (r == -EINVAL)
                return mistake_value(where, setting, value, wanted, l->ret_error);
        if (r < 0)
                return r;

        origin = strdup(where);
        if (!origin)
                return -ENOMEM;
        free(l->origins[row_of(setting)]);
        l->origins[row_of(setting)] = origin;
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
                x->error = mistake(
                                x->loading->ret_error, -E2BIG, "%s: more than %u lines", x->path, LINES_MAX);
                return NULL;
        }
        if (strlen(buf) < n) {
                x->error = mistake(x->loading->ret_error, -EINVAL, "%s, line %u: a NUL byte; wanted is text",
                                x->path, x->line);
                return NULL;
        }
        if (buf[n - 1] != '\n' && !feof(x->file)) {
                x->error = mistake(x->loading->ret_error, -EINVAL,
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

        x->error = apply(x->loading, where, section, key, value ?: "", &setting);
        if (x->error < 0 || !setting)
                return 1;

        row = row_of(setting);
        if (x->seen[row])
                x->error = mistake(x->loading->ret_error, -EINVAL, "%s: [%s] %s stands in this file already",
                                where, section, key);
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
static int load_file(const char *path, Loading *l)
{
        Reading x = { .loading = l, .path = path };
        int r;

        x.file = fopen(path, "re");
        if (!x.file) {
                r = -errno;
                return mistake(l->ret_error, r, "%s can't be read: %s", path, strerror(-r));
        }

        set_up_inih();
        r = ini_parse_stream(read_line, &x, on_value, &x);
        if (x.error == 0 && ferror(x.file))
                x.error = mistake(l->ret_error, -EIO, "%s can't be read to its end", path);
        fclose(x.file);

        /* Reading ends with our first mistake, so what inih could not take apart stands above it, and may
         * be its cause. */
        if (r > 0) {
                free(*l->ret_error);
                return mistake(l->ret_error, -EINVAL,
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

static int load_drop_ins(const char *path, Loading *l)
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
                return mistake(l->ret_error, r, "%s can't be read: %s", dir, strerror(-r));
        }
        if ((unsigned)n > DROPINS_MAX)
                r = mistake(l->ret_error, -E2BIG, "%s: more than %u files", dir, DROPINS_MAX);

        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *file = NULL;

                if (r >= 0) {
                        if (asprintf(&file, "%s/%s", dir, entries[i]->d_name) < 0) {
                                file = NULL;
                                r = -ENOMEM;
                        } else
                                r = load_file(file, l);
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

static int apply_override(Loading *l, const char *text)
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
        if (asprintf(&where, "-o %s%s%s", mistake_quote_name(copy), dot ? "." : "",
                            dot ? mistake_quote_name(dot) : "") < 0) {
                where = NULL;
                return -ENOMEM;
        }

        if (!dot || !equals)
                return mistake(l->ret_error, -EINVAL, "%s: wanted is -o section.key=value", where);
        if (!value_fits_a_file(equals))
                return mistake(l->ret_error, -EINVAL,
                                "%s: wanted is a value as a file can have it, without control characters, "
                                "spaces around it, and `;` at the beginning of a word",
                                where);
        return apply(l, where, copy, dot, equals, &setting);
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

/* "[query] socket (FILE, line 3)", for two of them; `wrong` is what is wrong between them. */
static int fail_together(const Loading *l, const Setting *a, const Setting *b, const char *wrong)
{
        _cleanup_free_ char *x = setting_format(a, &l->settings), *y = setting_format(b, &l->settings);
        const char *where = l->origins[row_of(a)], *other = l->origins[row_of(b)];

        return mistake(l->ret_error, -EINVAL, "[%s] %s = %s (%s) %s [%s] %s = %s (%s)", a->section, a->key,
                        strna(x), where ?: "the default", wrong, b->section, b->key, strna(y),
                        other ?: "the default");
}

static int check_together(const Loading *l)
{
        const Settings *s = &l->settings;

        if (s->callback.max_body > s->callback.max_bodies)
                return fail_together(l, find_setting("callback", "max_body"),
                                find_setting("callback", "max_bodies"),
                                "is larger than the memory for all bodies together,");
        if (streq(s->query.socket, s->control.socket))
                return fail_together(l, find_setting("query", "socket"), find_setting("control", "socket"),
                                "is the path of another socket too,");
        return 0;
}

static int load_all(const char *path, const SettingsOverrides *overrides, Loading *l)
{
        const char *file = path ?: DEFAULT_PATH;
        int r;

        r = apply_defaults(&l->settings);
        if (r < 0)
                return r;

        r = load_file(file, l);
        if (r == -ENOENT && !path) {
                free(*l->ret_error);
                *l->ret_error = NULL;
        } else if (r < 0)
                return r;

        r = load_drop_ins(file, l);
        if (r < 0)
                return r;

        for (size_t i = 0; overrides && i < overrides->n; i++) {
                r = apply_override(l, overrides->items[i]);
                if (r < 0)
                        return r;
        }
        return check_together(l);
}

int settings_load(const char *path, const SettingsOverrides *overrides, Settings *ret, char **ret_error)
{
        _cleanup_(loading_done) Loading l = { .ret_error = ret_error };
        int r;

        *ret_error = NULL;
        r = load_all(path, overrides, &l);
        if (r < 0)
                return r;
        *ret = l.settings;
        l.settings = (Settings){};
        return 0;
}
