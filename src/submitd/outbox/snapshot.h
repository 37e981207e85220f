#pragma once

/* A task's account: a task object of the API, as the store takes it for the task of a submission. */

#include "daemon/metadata.h"
#include "store/outbox.h"

typedef struct Account {
        json_t *task;       /* owned */
        Buffer body;        /* as a callback's */
        Callback *callback; /* owned */
        Metadata metadata;
        StoreDelivery delivery; /* for store_accept_submission(); borrows from what is above */
        bool news;              /* it has a response: there is more to tell than accepting it keeps */
} Account;

/* From a task with an id (see outcome_task_id()). 0, -ENOMEM; -ENOBUFS: larger than anything that is kept.
 */
int account_new(const json_t *task, int64_t now, Account **ret);
Account *account_free(Account *a);
DEFINE_CLEANUP(Account *, account_free)
