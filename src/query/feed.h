#pragma once

/* The event feed's followers. */

#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "basic/macros.h"

typedef struct Subscriber Subscriber;

typedef struct Feed {
        LIST_HEAD(, Subscriber) subscribers;
        unsigned n_waiting;    /* of them, those that may have to wait for events */
        unsigned n_following;  /* of them, those that follow, without an end */
        sd_event_source *look; /* at what other processes committed, while there are readers */
} Feed;

/* There is something new: every waiting reader is asked again. */
void feed_notify(Feed *feed);

/* No more waiting: every reader comes to its end. */
void feed_close(Feed *feed);

/* No reader may be left. */
void feed_done(Feed *feed);
