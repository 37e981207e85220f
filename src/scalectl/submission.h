#pragma once

/* Sending tasks to the submitter: many at a time, each with what became of it. */

#include "basic/buffer.h"
#include "scalectl/ctl.h"
#include "scalectl/ndjson.h"

typedef struct Sender Sender;

/* What became of one; it is there during the call. */
typedef struct SenderAnswer {
        unsigned status;     /* 0: there is no answer, and `message` says why */
        const Buffer *body;  /* never NULL */
        bool is_replay;      /* the same came before, with the same key */
        int error;           /* negative errno; 0 with an answer */
        const char *message; /* for people, with an error */
} SenderAnswer;

/* Which one it is, for who sent it. */
typedef struct SenderItem {
        uint64_t number, sent; /* of the line; see resume_send() */
        NdjsonPlace place;
} SenderItem;

typedef void (*SenderDoneFn)(const SenderItem *item, const SenderAnswer *answer, void *userdata);

/* With `patience` (microseconds) a submitter that was there and is gone, or can't take anything, is waited
 * for as long as that after its last answer, and what it did not answer is sent again: everything has to
 * have a key then. */
int sender_new(const Ctl *ctl, uint64_t patience, SenderDoneFn done, void *userdata, Sender **ret);
Sender *sender_free(Sender *sender);
DEFINE_CLEANUP(Sender *, sender_free)

/* Sends a body of parameters for a task of this type; waits while too many are under way. `key` is the
 * Idempotency-Key, or NULL. 0 or negative errno. */
int sender_send(Sender *sender, const SenderItem *item, const char *type, const char *content_type,
                const void *body, size_t size, const char *key);

/* Waits for all that is under way. 0 or negative errno. */
int sender_finish(Sender *sender);
