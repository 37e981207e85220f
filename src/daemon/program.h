#pragma once

/* What surrounds a daemon: its command line, its settings, its signals. */

#include <systemd/sd-event.h>

#include "config/settings.h"
#include "daemon/credential.h"

typedef struct Program {
        const char *name;  /* "scale-callbackd" */
        const char *about; /* a sentence for --help */
        const Credential *credential;
        /* Adds a line for everything else than settings that keeps it from starting (see basic/mistakes.h).
         * `settings` are what could be read of them: see settings_look(). */
        void (*check)(const Settings *settings, char **mistakes);
        /* Runs the service: see program_main(). `settings` is owned from the call on. */
        int (*run)(const char *config, const SettingsOverrides *overrides, Settings *settings);
        /* Calls fn for every metric. */
        void (*describe_metrics)(
                        void (*fn)(const char *name, const char *type, const char *help, void *userdata),
                        void *userdata);
} Program;

/* All of main(): reads the command line and the settings, and runs what is asked for. An exit status of
 * sysexits.h; what was wrong is in the log. */
int program_main(const Program *program, int argc, char **argv);

/* Reads the settings anew. Owned by the caller; NULL when there was a mistake: *mistakes got a line for
 * each. */
Settings *program_load_settings(const char *config, const SettingsOverrides *overrides, char **mistakes);
Settings *settings_free(Settings *settings);
DEFINE_CLEANUP(Settings *, settings_free)

/* Before any thread starts: all of them leave the daemon's signals (SIGTERM, SIGINT, SIGHUP) to the
 * loop. 0 or negative errno. */
int program_block_signals(void);

/* Raises the soft limit of descriptors to what `n` connections need, as far as it goes; says so where it
 * doesn't, with the name of the setting that asks for them. */
void program_raise_descriptor_limit(const char *setting, uint64_t n);

/* The status that a database which can't be opened ends with. */
int program_status_of_store(int error);

/* Says each of the mistakes behind `before`, as what `id` stands for (NULL: nothing). */
void program_log_mistakes(const char *id, const char *before, const char *mistakes);
