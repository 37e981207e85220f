#pragma once

/* Memory for JSON values. */

#include <jansson.h>

#include "basic/macros.h"

typedef struct JsonBlock JsonBlock;

/* For a value that is made, looked at and let go as a whole. All zero is an empty one. It must not move
 * while it is entered. */
typedef struct JsonArena {
        JsonBlock *blocks; /* the newest first */
        char *next;        /* free memory of the newest block */
        size_t left;
        size_t hint;
} JsonArena;

/* From here to json_arena_leave() what this thread makes of JSON comes out of the arena. Between the two a
 * value is made, and nothing is let go that is older. `hint`: bytes of the text that it is made from. */
void json_arena_enter(JsonArena *arena, size_t hint);
void json_arena_leave(void);

/* Lets go of everything that was made in it, and of the reference `root` to it (NULL: there is none). Nobody
 * may hold a reference any more, or have changed a value that was made in it. */
void json_arena_done(JsonArena *arena, json_t *root);

/* A number that jansson can't hold, or not with the digits that were written: a real of jansson's, the
 * nearest one, with the text that it stands for (copied; a JSON number). NULL without memory. */
json_t *json_number_new(double nearest, const char *text, size_t size);

/* That text, for as long as the number lives; NULL for every other value. */
const char *json_number_text(const json_t *value) _pure_;

/* For one json_loadb() that must not take a lack of memory for a mistake in the text. */
typedef struct JsonReserve {
        char *data;
        size_t size, used;
        bool failed;
} JsonReserve;

/* `size`: bytes of the text. 0, -ENOMEM. */
int json_reserve_enter(JsonReserve *r, size_t size);

/* True: what jansson said holds. False: there was no memory, and *value, if any, has been let go. */
bool json_reserve_leave(JsonReserve *r, json_t **value);
