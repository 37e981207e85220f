#pragma once

/* The event feed's followers. */

#include "basic/macros.h"

typedef struct FeedReader FeedReader;

typedef struct Feed {
        FeedReader *readers; /* those that wait for events */
} Feed;

/* There is something new: every waiting reader is asked again. */
void feed_notify(Feed *f);

/* No more waiting: every reader comes to its end. */
void feed_close(Feed *f);
