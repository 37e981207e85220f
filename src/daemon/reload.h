#pragma once

/* A reload that somebody waits for: the unit's ExecReload= asks, and fails when the daemon refuses. */

#include "daemon/credential.h"

/* As root, with MAINPID and RUNTIME_DIRECTORY as the service manager sets them: passes on a newer
 * credential, has the daemon read everything again, and waits for what becomes of that. A status of
 * sysexits.h; what was wrong is in the log, the daemon's or this one's. */
int reload_ask(const Credential *credential);

/* In the daemon. Whether somebody waits for the reload that is about to begin; and then what became of it.
 */
bool reload_is_asked_for(void);
void reload_answer(bool done);
