#pragma once

/* The way in for what the API says of a task when it is asked: through the door of all bodies. */

#include <jansson.h>

#include "daemon/ingest.h"

/* All borrowed. */
typedef struct Intake {
        CommitPort *port;
        StoreReader *reader;
        bool strict; /* as for callbacks */
} Intake;

/* Takes a task object as the API shows it. `submission`: whose task it is, NULL where not known (then what
 * the task itself says is taken). Exactly one call of done() follows, later and from the port's loop, unless
 * this returns negative: -EAGAIN the queue is full, and as receive(). The task is not needed any longer. */
int intake_take(const Intake *in, const json_t *task, Source source, const char *submission,
                void (*done)(const Receipt *receipt, void *userdata), void *userdata);

/* The same with a task that can't be read: its bytes (copied) go to the quarantine. */
int intake_take_unreadable(const Intake *in, const void *bytes, size_t size, Source source,
                void (*done)(const Receipt *receipt, void *userdata), void *userdata);

/* Says that what the API told of a task went to the quarantine. */
void intake_tell_invalid(const Receipt *receipt);

/* Whether a failure to store, returned or in a receipt, is about that one task: the next one may fare
 * better.
 */
bool intake_failed_alone(int error) _const_;
