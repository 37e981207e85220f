#pragma once

/* What a daemon has in force: its settings and what its keys are called, as it read them last, for who
 * compares them with the files. Set on the main loop, read from any thread. */

#include <jansson.h>

#include "config/settings.h"

typedef struct InForce InForce;

typedef struct InForceKeys {
        const char *from;          /* the file that somebody edits */
        const char *const *labels; /* of callback auth keys; or "live" or "test" for an API key */
        size_t n;
} InForceKeys;

InForce *in_force_free(InForce *in_force);
DEFINE_CLEANUP(InForce *, in_force_free)
int in_force_new(InForce **ret);

/* Just read. Of the settings those in `sections` (NULL-terminated) that the command line doesn't say: files
 * can't change what it says. 0 or -ENOMEM. */
int in_force_set(InForce *in_force, const Settings *settings, const char *const *sections,
                const SettingsOverrides *overrides, const InForceKeys *keys);

/* A reload was refused, with these mistakes (see basic/mistakes.h); NULL: the last one was not. 0 or
 * -ENOMEM. */
int in_force_refuse(InForce *in_force, const char *mistakes);

/* A copy, from any thread; the caller's. NULL: no memory. */
json_t *in_force_to_json(InForce *in_force);
