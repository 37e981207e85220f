/*
 * What is said of settings that can't be taken: where, what, and what would be right. What is refused may be
 * a key in the wrong place, and what is said of it is kept in a log: only what can't be one is quoted.
 */

#include "config/mistake.h"

#include <stdarg.h>
#include <stdio.h>

#include "basic/mistakes.h"

#include "basic/guess.h"

#define NAME_QUOTED_MAX 24U

int mistake(char **ret_error, int error, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        mistakes_addv(ret_error, format, ap);
        va_end(ap);
        return error;
}

bool mistake_section_exists(const char *section)
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

const char *mistake_quote_name(const char *name)
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

int mistake_unknown(const char *where, const char *section, const char *key, char **ret_error)
{
        char sections[SECTIONS_SIZE];
        const char *near;

        if (!*section)
                return mistake(ret_error, -EINVAL,
                                "%s: %s stands in no section; one as [callback] is wanted above it", where,
                                mistake_quote_name(key));
        if (!mistake_section_exists(section))
                return mistake(ret_error, -EINVAL, "%s: there is no section [%s]; wanted is one of %s",
                                where, mistake_quote_name(section), list_sections(sections));

        near = nearest_key(section, key);
        return mistake(ret_error, -EINVAL, "%s: there is no setting %s in [%s]%s%s%s", where,
                        mistake_quote_name(key), section, near ? "; is " : "", near ?: "",
                        near ? " meant?" : "");
}

static void print_limit(const Setting *setting, uint64_t v, FILE *f)
{
        Settings s = {};

        memcpy((char *)&s + setting->offset, &v, sizeof(v));
        setting_print(setting, &s, f);
}

int mistake_range(const char *where, const Setting *setting, const char *value, char **ret_error)
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
        return mistake(ret_error, -EINVAL, "%s: [%s] %s = %s is out of range: wanted is %s", where,
                        setting->section, setting->key, value, limits);
}

int mistake_value(const char *where, const Setting *setting, const char *value, const char *wanted,
                char **ret_error)
{
        return mistake(ret_error, -EINVAL, "%s: [%s] %s = %s can't be read: wanted is %s", where,
                        setting->section, setting->key, setting_may_be_quoted(setting) ? value : "...",
                        wanted);
}
