#pragma once

/* A task's metadata as the store indexes it. */

#include <jansson.h>

#include "store/types.h"

#define METADATA_TEXT_MAX 256U /* bytes of a key, and of a value: what is longer can't be searched for */

typedef struct Metadata {
        StoreMetadata values[STORE_METADATA_MAX]; /* borrowed from the task and from `numbers` */
        char *numbers[STORE_METADATA_MAX];        /* owned: values that are no texts, put into words */
        size_t n;
} Metadata;

/* What can be searched for of the metadata of a task, NULL: none. `m` is empty before; after a failure too
 * it is to be freed with metadata_done(). 0, -ENOMEM. */
int metadata_collect(const json_t *task, Metadata *m);
void metadata_done(Metadata *m);
