#pragma once

/* The table of settings, and what each kind of value can do. */

#include <stdio.h>

#include "config/settings.h"

/* Units, for ranges. */
#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (MIB * KIB)

typedef enum SettingKind {
        SETTING_FILE,     /* char *: an absolute path; empty: not set */
        SETTING_SOCKET,   /* char *: the path of a Unix socket */
        SETTING_URL,      /* char *: http:// or https://, where paths can follow; empty: not set */
        SETTING_URL_PATH, /* char *: the path of a URL */
        SETTING_LISTEN,   /* char *[SETTINGS_LISTEN_MAX] */
        SETTING_NETWORKS, /* Network[SETTINGS_NETWORKS_MAX], and their number behind them */
        SETTING_SIZE,     /* uint64_t, bytes */
        SETTING_DURATION, /* uint64_t, microseconds */
        SETTING_AGE,      /* the same, or "forever" */
        SETTING_NUMBER,   /* uint64_t */
        SETTING_LIMIT,    /* the same, or "unlimited" (UINT64_MAX) */
        SETTING_STATUS,   /* uint64_t: 422 or 200 */
        SETTING_BOOLEAN,  /* bool */
        _SETTING_KIND_MAX,
} SettingKind;

typedef struct Setting {
        const char *section, *key;
        SettingKind kind;
        size_t offset; /* in Settings */
        const char *default_value;
        uint64_t min, max; /* of numbers, in the unit that is kept */
        bool reloadable;
} Setting;

extern const Setting settings_table[];
extern const size_t settings_table_size;

/* Sets the value. 0; -ENOMEM; -EINVAL, and what would be right in *ret_wanted (a static text). */
int setting_apply(const Setting *setting, const char *value, Settings *settings, const char **ret_wanted);

/* Writes the value as setting_apply() takes it. */
void setting_print(const Setting *setting, const Settings *settings, FILE *f);

/* The same as a text, owned by the caller; NULL when out of memory. */
char *setting_format(const Setting *setting, const Settings *settings);

/* Frees what the value owns. */
void setting_done(const Setting *setting, Settings *settings);

/* Whether a value that was refused may be said. */
bool setting_may_be_quoted(const Setting *setting);
