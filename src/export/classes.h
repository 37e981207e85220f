#pragma once

/* Classes: the names of what boxes show, and their numbers. */

#include "basic/buffer.h"

#define CLASSES_MAX    16384U
#define CLASS_NAME_MAX 1024U /* bytes */

typedef struct Class {
        char *name; /* owned; no control characters */
        uint32_t number;
        bool listed; /* it was in a list, and has its place there as its number */
} Class;

typedef struct Classes {
        Class *items; /* by name */
        size_t n, allocated, n_listed;
        size_t collision[2]; /* see classes_number_by_name() */
} Classes;

void classes_done(Classes *classes);

/* A class, without a number yet, if it is not there already. 0, -E2BIG, -EMSGSIZE: the name is too long,
 * -ENOMEM. */
int classes_add(Classes *classes, const char *name);

/* One that is there. */
const Class *classes_find(const Classes *classes, const char *name);

/* The next class of a list. 0, -EINVAL: empty, too long or there already; -E2BIG, -ENOMEM. */
int classes_add_listed(Classes *classes, const char *name, size_t size);

/* Numbers for all: listed ones keep theirs, the others follow in the order of their names. */
void classes_number(Classes *classes);

/* Numbers that depend on the name alone: 1 to 2^31-1. 0, -EEXIST: two have the same, see `collision`;
 * -ENOMEM. */
int classes_number_by_name(Classes *classes);

/* All in the order of their numbers; the array is the caller's (free()), what it points to is not. */
int classes_by_number(const Classes *classes, const Class ***ret);
