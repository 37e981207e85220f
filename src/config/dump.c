/* Settings as text: those in force, the file of defaults, and what differs between two. */

#include <stdio.h>

#include "config/table.h"

#define TEXT_WIDTH 100U

static void print_section(const Setting *setting, const char **last, FILE *f)
{
        if (*last && streq(*last, setting->section))
                return;
        fprintf(f, "%s[%s]\n", *last ? "\n" : "", setting->section);
        *last = setting->section;
}

static int stream_status(FILE *f)
{
        return ferror(f) ? -EIO : 0;
}

int settings_dump(const Settings *s, FILE *f)
{
        const char *section = NULL;

        FOREACH_ARRAY(i, settings_table, settings_table_size) {
                print_section(i, &section, f);
                fprintf(f, "%s = ", i->key);
                setting_print(i, s, f);
                fputc('\n', f);
        }
        return stream_status(f);
}

int settings_each(const Settings *s,
                int (*fn)(const char *section, const char *key, const char *value, void *userdata),
                void *userdata)
{
        FOREACH_ARRAY(i, settings_table, settings_table_size) {
                _cleanup_free_ char *value = setting_format(i, s);
                int r;

                r = value ? fn(i->section, i->key, value, userdata) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return 0;
}

int settings_get(const Settings *s, const char *section, const char *key, char **ret_value,
                bool *ret_reloadable)
{
        FOREACH_ARRAY(i, settings_table, settings_table_size)
                if (streq(i->section, section) && streq(i->key, key)) {
                        *ret_value = setting_format(i, s);
                        *ret_reloadable = i->reloadable;
                        return *ret_value ? 0 : -ENOMEM;
                }
        return -ENOENT;
}

/* A sentence as comment lines. */
static void print_comment(const char *text, FILE *f)
{
        size_t column = 0;

        while (*text) {
                size_t n = strcspn(text, " ");

                if (column > 0 && column + 1 + n > TEXT_WIDTH) {
                        fputc('\n', f);
                        column = 0;
                }
                fprintf(f, "%s%.*s", column == 0 ? "# " : " ", (int)n, text);
                column += n + (column == 0 ? 2 : 1);
                text += n + strspn(text + n, " ");
        }
        fputc('\n', f);
}

int settings_dump_defaults(FILE *f)
{
        const char *section = NULL;

        print_comment("Settings of scale-callbackd, scale-submitd and scalectl. What stands here behind # "
                      "are the defaults. Files in "
                      "scale.conf.d/ are read after this one, in the order of their names, and -o "
                      "section.key=value on the command line wins over both. See scale.conf(5).",
                        f);
        fputc('\n', f);
        FOREACH_ARRAY(i, settings_table, settings_table_size) {
                if (section && streq(section, i->section))
                        fputc('\n', f);
                print_section(i, &section, f);
                print_comment(i->text, f);
                fprintf(f, "#%s =%s%s\n", i->key, *i->default_value ? " " : "", i->default_value);
        }
        return stream_status(f);
}

/* 1, 0 or -ENOMEM. */
static int differs(const Setting *setting, const Settings *a, const Settings *b)
{
        _cleanup_free_ char *x = setting_format(setting, a), *y = setting_format(setting, b);

        return !x || !y ? -ENOMEM : !streq(x, y);
}

bool settings_is_default(const Settings *s, const char *section, const char *key)
{
        FOREACH_ARRAY(i, settings_table, settings_table_size) {
                const char *wanted;
                Settings d = {};
                bool is;

                if (!streq(i->section, section) || !streq(i->key, key))
                        continue;
                is = setting_apply(i, i->default_value, &d, &wanted) < 0 || differs(i, s, &d) <= 0;
                setting_done(i, &d);
                return is;
        }
        return true;
}

static bool is_among(const char *const *names, const char *name)
{
        for (; *names; names++)
                if (streq(*names, name))
                        return true;
        return false;
}

int settings_needs_restart(
                const Settings *in_force, const Settings *new, const char *const *sections, char **ret)
{
        _cleanup_free_ char *names = NULL;
        int r;

        FOREACH_ARRAY(i, settings_table, settings_table_size) {
                char *longer;

                if (i->reloadable || !is_among(sections, i->section))
                        continue;
                r = differs(i, in_force, new);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                if (asprintf(&longer, "%s%s[%s] %s", names ?: "", names ? ", " : "", i->section, i->key) < 0)
                        return -ENOMEM;
                free(names);
                names = longer;
        }
        *ret = TAKE_PTR(names);
        return 0;
}

int settings_keep_until_restart(const Settings *in_force, Settings *new)
{
        FOREACH_ARRAY(i, settings_table, settings_table_size) {
                _cleanup_free_ char *text = NULL;
                const char *wanted;
                int r;

                if (i->reloadable)
                        continue;
                text = setting_format(i, in_force);
                if (!text)
                        return -ENOMEM;
                r = setting_apply(i, text, new, &wanted);
                assert(r != -EINVAL && r != -ERANGE);
                if (r < 0)
                        return r;
        }
        return 0;
}
