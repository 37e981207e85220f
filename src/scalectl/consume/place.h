#pragma once

/* How far a consumer is: what it remembers from one run to the next, and what it gave up. */

#include "basic/buffer.h"
#include "basic/time-util.h"

/* The last event that is done. */
typedef struct Place {
        uint64_t seq;               /* 0: none, the feed's beginning */
        char time[TIME_STAMP_SIZE]; /* of that event, as the feed has it; "": none */
} Place;

/* The files of one consumer: PATH, PATH.lock, PATH.failed. */
typedef struct PlaceFile {
        char *path;
        int lock; /* commands inherit it: see place_open() */
} PlaceFile;

#define PLACE_FILE_INIT ((PlaceFile){ .lock = -EBADF })

/* Whether it can be the name of a consumer, of a file, and of a unit's instance. */
bool place_name_is_valid(const char *name);

/* Takes the lock and reads how far the consumer is; *ret_new: it was never there. `file` is where that is
 * kept; NULL: in the state directory, under `name`. The lock is held until the commands that were run are
 * gone too, so that none of an earlier run does its work behind the back of a later one. 0, or an exit
 * status (said). */
int place_open(const char *name, const char *file, PlaceFile *ret, Place *ret_place, bool *ret_new);
void place_close(PlaceFile *f);

/* Both are on the disk when they return. 0 or negative errno. */
int place_save(const PlaceFile *f, const Place *place);
int place_save_failed(
                const PlaceFile *f, const char *event, size_t size, const char *reason, uint64_t attempts);
