#pragma once

/* Memory for one JSON value that is read, looked at and let go as a whole. */

#include <jansson.h>

#include "basic/macros.h"

typedef struct JsonBlock JsonBlock;

/* All zero is an empty one. It must not move while it is entered. */
typedef struct JsonArena {
        JsonBlock *blocks; /* the newest first */
        char *next;        /* free memory of the newest block */
        size_t left;
        size_t hint;
} JsonArena;

/* Once, before there are other threads and before any JSON value: without, values are made of malloc()'s
 * memory, as without arenas. */
void json_arena_setup(void);

/* From here to json_arena_leave() what this thread makes of JSON comes out of the arena. Between the two a
 * value is made, and nothing is let go that is older. `hint`: bytes of the text that it is made from. */
void json_arena_enter(JsonArena *a, size_t hint);
void json_arena_leave(void);

/* Lets go of everything that was made in it, and of the reference `root` to it (NULL: there is none). Nobody
 * may hold a reference any more. */
void json_arena_done(JsonArena *a, json_t *root);
