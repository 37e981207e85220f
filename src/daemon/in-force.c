/*
 * {"since": ..., "settings": {"callback": {"strict": "no"}}, "keys": {"from": ..., "labels": [...]},
 * "refused": null}. Of keys there is nothing but what they are called: a hash would let somebody who guesses
 * a key know that it is right.
 */

#include "daemon/in-force.h"

#include <jansson.h>
#include <pthread.h>

#include "basic/mistakes.h"
#include "basic/parse.h"
#include "basic/time-util.h"

struct InForce {
        pthread_mutex_t lock;
        json_t *what; /* owned; nobody else refers to anything in it */
};

int in_force_new(InForce **ret)
{
        InForce *in_force;

        in_force = calloc(1, sizeof(InForce));
        if (!in_force)
                return -ENOMEM;
        in_force->what = json_object();
        if (!in_force->what) {
                free(in_force);
                return -ENOMEM;
        }
        (void)pthread_mutex_init(&in_force->lock, NULL);
        *ret = in_force;
        return 0;
}

InForce *in_force_free(InForce *in_force)
{
        if (!in_force)
                return NULL;

        json_decref(in_force->what);
        (void)pthread_mutex_destroy(&in_force->lock);
        free(in_force);
        return NULL;
}

static int put(InForce *in_force, const char *name, json_t *value)
{
        int r;

        (void)pthread_mutex_lock(&in_force->lock);
        r = json_object_set_new(in_force->what, name, value);
        (void)pthread_mutex_unlock(&in_force->lock);
        return r < 0 ? -ENOMEM : 0;
}

typedef struct Choice {
        const char *const *sections;
        const SettingsOverrides *overrides;
        json_t *o;
} Choice;

static bool is_on_command_line(const SettingsOverrides *overrides, const char *section, const char *key)
{
        size_t n = strlen(section), m = strlen(key);

        for (size_t i = 0; overrides && i < overrides->n; i++) {
                const char *item = overrides->items[i];

                if (strncmp(item, section, n) == 0 && item[n] == '.' && strncmp(item + n + 1, key, m) == 0 &&
                                item[n + 1 + m] == '=')
                        return true;
        }
        return false;
}

static int add_setting(const char *section, const char *key, const char *value, void *userdata)
{
        const Choice *choice = userdata;
        json_t *members;

        for (const char *const *s = choice->sections; *s; s++) {
                if (!streq(*s, section) || is_on_command_line(choice->overrides, section, key))
                        continue;
                members = json_object_get(choice->o, section);
                if (!members) {
                        members = json_object();
                        if (json_object_set_new(choice->o, section, members) < 0)
                                return -ENOMEM;
                }
                /* A path may be no text. */
                return json_object_set_new(members, key, json_string(value) ?: json_null()) < 0 ? -ENOMEM
                                                                                                : 0;
        }
        return 0;
}

static json_t *keys_to_json(const InForceKeys *keys)
{
        json_auto_t *labels = json_array(), *o = json_object();
        int r = 0;

        for (size_t i = 0; i < keys->n; i++)
                r |= json_array_append_new(labels, json_string(keys->labels[i]));
        r |= json_object_set_new(o, "from", json_string(keys->from) ?: json_null());
        r |= json_object_set(o, "labels", labels);
        return r < 0 ? NULL : json_incref(o);
}

int in_force_set(InForce *in_force, const Settings *settings, const char *const *sections,
                const SettingsOverrides *overrides, const InForceKeys *keys)
{
        json_auto_t *object = json_object();
        Choice choice = { sections, overrides, object };
        char since[TIME_STAMP_SIZE];
        int r;

        r = object ? settings_each(settings, add_setting, &choice) : -ENOMEM;
        if (r < 0)
                return r;
        r = put(in_force, "settings", json_incref(object));
        if (r < 0)
                return r;
        r = put(in_force, "keys", keys_to_json(keys));
        if (r < 0)
                return r;
        return put(in_force, "since", json_string(time_format(now_realtime(), since)));
}

int in_force_refuse(InForce *in_force, const char *mistakes)
{
        json_auto_t *lines = mistakes ? json_array() : json_null();
        const char *line;
        size_t n;
        int r = 0;

        while ((line = mistakes_next(&mistakes, &n)))
                r |= json_array_append_new(lines, json_stringn(line, n) ?: json_string("?"));
        return r < 0 ? -ENOMEM : put(in_force, "refused", json_incref(lines));
}

json_t *in_force_to_json(InForce *in_force)
{
        json_t *copy;

        (void)pthread_mutex_lock(&in_force->lock);
        copy = json_deep_copy(in_force->what);
        (void)pthread_mutex_unlock(&in_force->lock);
        return copy;
}
