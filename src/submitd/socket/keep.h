#pragma once

/* What the API tells of a task, into the store. */

#include "submitd/socket/context.h"

/* Takes in the body of a callback that was made of a task (callback_body_from_task(), copied), through the
 * same door as callbacks, marked as a reconciliation. done() (NULL: nobody waits) is called once it is on
 * disk or once it is certain that it won't be, later, from the loop. 0 or negative errno, with done() not
 * called. */
int keep_task(SubmitContext *c, const void *body, size_t size, void (*done)(void *userdata), void *userdata);
