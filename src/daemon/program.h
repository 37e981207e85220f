#pragma once

/* The frame of a daemon: its command line, its settings, its signals. */

#include <systemd/sd-event.h>

#include "config/settings.h"

typedef struct Program {
        const char *name;  /* "scale-callbackd" */
        const char *about; /* a sentence for --help */
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

/* Reads the settings anew. Owned by the caller; NULL when there was a mistake, which is in the log behind
 * `otherwise` ("Not reloaded, ...: "; NULL: nothing). */
Settings *program_load_settings(
                const char *config, const SettingsOverrides *overrides, const char *otherwise);
Settings *settings_free(Settings *s);
DEFINE_CLEANUP(Settings *, settings_free)

/* Before any thread starts: all of them leave the daemon's signals (SIGTERM, SIGINT, SIGHUP, SIGUSR1) to the
 * loop. 0 or negative errno. */
int program_block_signals(void);

/* Raises the soft limit of descriptors to what `n` connections need, as far as it goes; says so where it
 * doesn't, with the name of the setting that asks for them. */
void program_raise_descriptor_limit(const char *setting, uint64_t n);

/* The status that a database which can't be opened ends with. */
int program_status_of_store(int error);

/* Where a secret comes from: a file of that name in the runtime directory (credentials are passed once, at
 * the start; a reload puts newer ones there, see systemd/), else the credential that the service manager
 * passed, else `configured`, else NULL. Owned by the caller; -ENOMEM. */
int program_locate_secret(const char *credential, const char *configured, char **ret);
