#pragma once

/* Which lines of a file the submitter has answered, written down beside the file while it does not know all
 * of them: a later run goes on where this one was. See resume.c. */

#include <stdbool.h>

#include "basic/macros.h"
#include "scalectl/ndjson.h"

#define RESUME_SUFFIX ".progress"

typedef struct Resume Resume;

/* Takes what an earlier run wrote down about the file `input` and this batch, if there is anything. 0 or
 * -ENOMEM; what else is in the way, see resume_error(). */
int resume_new(const char *input, const char *batch, Resume **ret);
Resume *resume_free(Resume *resume);
DEFINE_CLEANUP(Resume *, resume_free)

/* Why nothing is written down: 0 where it is; -EWOULDBLOCK: another run does; -EEXIST: there is something
 * else by that name, which stays as it is; or another negative errno. */
int resume_error(const Resume *resume);

/* How many lines are known to be in the outbox; and a submission that is there only if all of them are, to
 * be asked for before they are relied on ("" where there are none). */
uint64_t resume_size(const Resume *resume);
const char *resume_witness(const Resume *resume);

/* The submitter knows it, and it was created then; or it does not, and so nothing is known. */
void resume_confirm(Resume *resume, int64_t created_at);
void resume_forget(Resume *resume);

bool resume_has(const Resume *resume, const NdjsonPlace *place);

/* A line is sent. How many were before it, for resume_answer(). */
uint64_t resume_send(Resume *resume);

/* A line is in the outbox, as a submission of this id that was created then. */
void resume_answer(Resume *resume, uint64_t sent, const NdjsonPlace *place, const char *submission_id,
                int64_t created_at);

/* Writes down what there is, now and then and at the end. */
void resume_save(Resume *resume);

/* All lines are answered: there is nothing to go on with, and the file goes. */
void resume_finish(Resume *resume);
