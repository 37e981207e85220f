#pragma once

/* The secret that a daemon has: where it comes from, and what people call that place. */

#include "basic/macros.h"

typedef struct Credential {
        const char *name;    /* of systemd's credential */
        const char *missing; /* what to say where there is none */
} Credential;

/* A file. */
typedef struct CredentialPlace {
        char *path; /* owned */
        char *name; /* owned: the file that somebody edited, where `path` is a copy of it */
} CredentialPlace;

void credential_place_done(CredentialPlace *place);

/* Where it is: a file of that name in the runtime directory (credentials are passed once, at the start; a
 * reload puts newer ones there), else the credential that the service manager passed, else `configured`
 * (NULL: not set). 0; -ENOENT: nowhere, and *mistakes got a line; -ENOMEM. */
int credential_locate(
                const Credential *credential, const char *configured, CredentialPlace *ret, char **mistakes);

/* Has `look` add to *mistakes what is wrong with each file that may be in use. Run by hand that is also
 * where systemd looks for credentials; what can't be seen there is said in the log, and is no mistake. */
void credential_check(const Credential *credential, const char *configured,
                void (*look)(const char *path, const char *name, char **mistakes), char **mistakes);

/* Copies a newer one from where systemd looks for credentials into the runtime directory, for its owner
 * alone. 0, also where there is none, or negative errno, said in the log. */
int credential_pass_on(const Credential *credential);
