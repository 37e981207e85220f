#pragma once

/* Which lines of a file the submitter has answered, written down beside the file while it does not know all
 * of them: a later run goes on where this one was. See told.c. */

#include <stdbool.h>

#include "basic/macros.h"
#include "scalectl/ndjson.h"

#define TOLD_SUFFIX ".progress"

typedef struct Told Told;

/* Takes what an earlier run wrote down about the file `input` and this batch, if there is anything. 0 or
 * -ENOMEM; what else is in the way, see told_error(). */
int told_new(const char *input, const char *batch, Told **ret);
Told *told_free(Told *t);
DEFINE_CLEANUP(Told *, told_free)

/* Why nothing is written down: 0 where it is; -EWOULDBLOCK: another run does; -EEXIST: there is something
 * else by that name, which stays as it is; or another negative errno. */
int told_error(const Told *t);

/* How many lines are known to be in the outbox; and a submission that is there only if all of them are, to
 * be asked for before they are relied on ("" where there are none). */
uint64_t told_size(const Told *t);
const char *told_witness(const Told *t);

/* The submitter knows it, and it was created then; or it does not, and so nothing is known. */
void told_confirm(Told *t, int64_t created_at);
void told_forget(Told *t);

bool told_has(const Told *t, const NdjsonPlace *place);

/* A line is sent. How many were before it, for told_answer(). */
uint64_t told_send(Told *t);

/* A line is in the outbox, as a submission of this id that was created then. */
void told_answer(Told *t, uint64_t sent, const NdjsonPlace *place, const char *submission_id,
                int64_t created_at);

/* Writes down what there is, now and then and at the end. */
void told_save(Told *t);

/* All lines are answered: there is nothing to go on with, and the file goes. */
void told_finish(Told *t);
