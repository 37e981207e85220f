#pragma once

/* The service: what lives from start to exit, put together and taken apart in order. */

#include "config/settings.h"

/* Adds a line for everything else than settings that keeps it from starting; `settings` are what could be
 * read of them. */
void submit_service_check(const Settings *settings, char **mistakes);

/* `config` (NULL: the default place) and `overrides` are borrowed for as long as the service lives:
 * reloading reads them again. `settings` is owned from the call on. Exit statuses are those of sysexits.h.
 * Says what was wrong in the log and returns a status other than 0 where it could not start; else runs until
 * a signal or a failure ends it. */
int submit_service_run(const char *config, const SettingsOverrides *overrides, Settings *settings);
