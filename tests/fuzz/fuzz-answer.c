/*
 * Any bytes as what the API answers. The first byte is the status, the second says what is known beside the
 * body. What must hold: an answer means one thing, words about it are bounded and printable as a line, and a
 * task is only taken for a submission's when it says so itself.
 */

#include "fuzz.h"

#include "submitd/api/answer.h"
#include "submitd/outbox/snapshot.h"

#define SUBMISSION "01a210b8bff98d72cea3a69053d1d108"

static void try_task(const json_t *task)
{
        _cleanup_(task_snapshot_freep) TaskSnapshot *snapshot = NULL;

        if (!outcome_task_id(task))
                return;
        if (task_snapshot_new(task, INT64_C(1466672974752000), &snapshot) < 0)
                return;
        assert(streq(snapshot->delivery.task_id, outcome_task_id(task)));
        assert(snapshot->delivery.body_size == snapshot->body.size);
}

/* A page of the API's list: what is taken for a task's account is one, whatever stands beside it. */
static void try_page(const ApiAnswer *answer)
{
        json_auto_t *page = NULL;
        const char *bytes;
        const json_t *task;
        size_t i, n;

        if (answer_find_docs(answer, &bytes, &n))
                assert(bytes >= answer->body && bytes + n < answer->body + answer->body_size);
        if (answer_find_task(answer, &bytes, &n))
                assert(n >= 2 && bytes + n <= answer->body + answer->body_size);
        (void)answer_read(answer, &page);

        json_array_foreach(json_object_get(page, "docs"), i, task) {
                const char *submission = outcome_task_submission(task);

                assert(!submission || strlen(submission) < answer->body_size);
                try_task(task);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const unsigned statuses[] = { 200, 201, 204, 301, 400, 401, 402, 403, 404, 408, 409, 425, 429,
                500, 502, 503, 504, 99, 999 };
        json_auto_t *task = NULL;
        char text[OUTCOME_TEXT_SIZE];
        _cleanup_free_ char *body = NULL;
        ApiAnswer answer;
        TaskClaim claim;

        if (size < 2)
                return 0;
        body = strndup((const char *)data + 2, size - 2);
        assert(body);
        answer = (ApiAnswer){
                .error = data[1] & 1 ? -ECONNRESET : 0,
                .sent = data[1] & 2,
                .status = statuses[data[0] % ELEMENTSOF(statuses)],
                .body = body,
                .body_size = strlen(body),
                .is_json = data[1] & 4,
                .date = TIME_NONE,
                .retry_after = UINT64_MAX,
                .message = data[1] & 1 ? "the connection was reset" : NULL,
        };

        assert(outcome_of_answer(&answer) < _OUTCOME_MAX);
        assert((unsigned)answer_classify(&answer) < _ANSWER_KIND_MAX);
        outcome_describe(&answer, text);
        assert(strlen(text) > 0 && strlen(text) < sizeof(text));

        claim = outcome_claim_task(&answer, SUBMISSION, &task);
        assert((claim == TASK_OURS) == (task != NULL));
        if (task) {
                assert(streq_ptr(outcome_task_submission(task), SUBMISSION));
                try_task(task);
        }
        try_page(&answer);
        return 0;
}
