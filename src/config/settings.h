#pragma once

/* The settings: every one of them, from one table. */

#include <netinet/in.h>
#include <stdio.h>

#include "basic/macros.h"

#define SETTINGS_LISTEN_MAX   8U
#define SETTINGS_NETWORKS_MAX 32U

/* A network, or every Unix socket. */
typedef struct Network {
        int family;          /* AF_INET, AF_INET6, AF_UNIX */
        uint8_t address[16]; /* the first 4 bytes for AF_INET */
        unsigned prefix;     /* bits */
} Network;

typedef struct Settings {
        struct {
                char *listen[SETTINGS_LISTEN_MAX]; /* owned; NULL-terminated unless full */
                char *path;
                char *auth_keys_file; /* NULL: not set */
                uint64_t max_body, max_bodies;
                uint64_t max_connections;
                uint64_t header_timeout, body_timeout, idle_timeout; /* microseconds */
                Network trusted_proxies[SETTINGS_NETWORKS_MAX];
                size_t n_trusted_proxies;
                uint64_t invalid_status; /* 422 or 200 */
                bool strict;
        } callback;
        struct {
                char *socket;
        } query, control;
        struct {
                char *path;
                uint64_t keep_deliveries; /* microseconds; UINT64_MAX: forever */
                uint64_t min_free;
        } store;
        struct {
                char *socket;
                char *callback_url;    /* NULL: not set */
                uint64_t live_per_day; /* UINT64_MAX: unlimited */
        } submit;
        struct {
                char *url;
                char *key_file; /* NULL: not set */
                uint64_t max_in_flight;
                uint64_t rate;            /* a second; UINT64_MAX: unlimited */
                uint64_t timeout, settle; /* microseconds */
        } api;
        struct {
                uint64_t interval; /* microseconds; 0: never */
        } reconcile;
} Settings;

/* Frees what is in it. */
void settings_done(Settings *settings);

/* A list of "section.key=value" from the command line, in order. */
typedef struct SettingsOverrides {
        const char **items; /* owned array of borrowed texts */
        size_t n;
} SettingsOverrides;

/* Defaults, then `path` (NULL: /etc/scale/scale.conf, which may be absent), then PATH.d/ *.conf in order of
 * their names, then the overrides. On failure *ret_error (owned by the caller) has a line for each mistake:
 * file, line, what was wrong and what would be right; -EINVAL for a mistake in the settings, else the error
 * of reading, of the first. *ret is untouched then. */
int settings_load(const char *path, const SettingsOverrides *overrides, Settings *ret, char **ret_error);

/* The same for who looks for everything that is wrong: on -EINVAL *ret has all that could be read, and what
 * is wrong is as if it were not set. */
int settings_look(const char *path, const SettingsOverrides *overrides, Settings *ret, char **ret_error);

/* The settings as a configuration file. They hold no secrets. */
int settings_dump(const Settings *settings, FILE *f);

/* Calls fn for every setting, with its value as a file would have it, until it returns a negative errno,
 * which is handed on. */
int settings_each(const Settings *settings,
                int (*fn)(const char *section, const char *key, const char *value, void *userdata),
                void *userdata);

/* The value as a file would have it (owned by the caller), and whether a reload changes it. 0, -ENOENT:
 * there is no such setting, -ENOMEM. */
int settings_get(const Settings *settings, const char *section, const char *key, char **ret_value,
                bool *ret_reloadable);

/* Whether a setting has the value that it has when nobody says; true when out of memory. */
bool settings_is_default(const Settings *settings, const char *section, const char *key);

/* Names of settings in `sections` (those of the daemon that asks, NULL-terminated) that differ between the
 * two and only take effect at the next start, separated by ", " (owned by the caller); NULL when there are
 * none. -ENOMEM or 0. */
int settings_needs_restart(
                const Settings *in_force, const Settings *new, const char *const *sections, char **ret);

/* Puts what only takes effect at the next start, in any section, back to what is in force. -ENOMEM (some may
 * be put back then) or 0. */
int settings_keep_until_restart(const Settings *in_force, Settings *new);
