#pragma once

/* Folders that are either there as a whole or not at all. */

#include <stdio.h>

#include "basic/macros.h"

/* A folder that is filled beside its name and takes it at the end. */
typedef struct Folder {
        const char *name; /* as it was given, borrowed; for messages */
        char *target;     /* where it will be */
        char *temporary;  /* until then; NULL: it is there already */
        int fd;           /* of the folder */
        FILE *index;
} Folder;

#define FOLDER_INIT ((Folder){ .fd = -EBADF })

/* There must be nothing of this name yet but an empty folder. `index` is the name of the file that
 * folder_write() writes. 0, or an exit status (said). One can be open at a time. */
int folder_open(const char *name, const char *index, Folder *ret);

/* Appends to the index. 0 or negative errno (said). */
int folder_write(Folder *folder, const void *data, size_t size);

/* A whole file; `name` may be FOLDER/FILE. 0, 1: there is one of this name; negative errno (said). */
int folder_put(Folder *folder, const char *name, const void *data, size_t size);

/* Whether a signal wants the program to end: stop, and folder_done() will see to both. */
bool folder_interrupted(void);

/* Syncs and takes the name. 0, or an exit status (said). */
int folder_finish(Folder *folder);

/* Throws away what was not finished; then, if a signal came meanwhile, the program ends by it. */
void folder_done(Folder *folder);
