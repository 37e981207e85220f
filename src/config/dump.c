/* Settings as text: those in force, and what differs between two. */

#include <stdio.h>

#include "config/table.h"

int settings_dump(const Settings *settings, FILE *f)
{
        const char *section = NULL;

        FOREACH_ARRAY(i, settings_table, settings_table_size) {
                if (!section || !streq(section, i->section))
                        fprintf(f, "%s[%s]\n", section ? "\n" : "", i->section);
                section = i->section;
                fprintf(f, "%s = ", i->key);
                setting_print(i, settings, f);
                fputc('\n', f);
        }
        return ferror(f) ? -EIO : 0;
}

int settings_each(const Settings *settings,
                int (*fn)(const char *section, const char *key, const char *value, void *userdata),
                void *userdata)
{
        FOREACH_ARRAY(i, settings_table, settings_table_size) {
                _cleanup_free_ char *value = setting_format(i, settings);
                int r;

                r = value ? fn(i->section, i->key, value, userdata) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return 0;
}

int settings_get(const Settings *settings, const char *section, const char *key, char **ret_value,
                bool *ret_reloadable)
{
        FOREACH_ARRAY(i, settings_table, settings_table_size)
                if (streq(i->section, section) && streq(i->key, key)) {
                        *ret_value = setting_format(i, settings);
                        *ret_reloadable = i->reloadable;
                        return *ret_value ? 0 : -ENOMEM;
                }
        return -ENOENT;
}

/* 1, 0 or -ENOMEM. */
static int differs(const Setting *setting, const Settings *a, const Settings *b)
{
        _cleanup_free_ char *x = setting_format(setting, a), *y = setting_format(setting, b);

        return !x || !y ? -ENOMEM : !streq(x, y);
}

bool settings_is_default(const Settings *settings, const char *section, const char *key)
{
        FOREACH_ARRAY(i, settings_table, settings_table_size) {
                const char *wanted;
                Settings d = {};
                bool is;

                if (!streq(i->section, section) || !streq(i->key, key))
                        continue;
                is = setting_apply(i, i->default_value, &d, &wanted) < 0 || differs(i, settings, &d) <= 0;
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
