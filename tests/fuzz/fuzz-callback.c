/*
 * Any bytes as a callback: parsed, checked with each set of flags, and shown as a task. What must hold: an
 * outcome goes with its problems, the problems can be written out, equal values have equal digests, and what
 * was accepted can be read back and says the same.
 */

#include "fuzz.h"

#include "basic/buffer.h"
#include "basic/time-util.h"
#include "task/callback.h"
#include "task/document.h"
#include "json/encode.h"
#include "json/parse.h"

#define TEXT_MAX ((size_t)64 * 1024 * 1024)

static void check_problems(const Callback *c, int outcome)
{
        json_t *list = problems_to_json(&c->problems);

        assert(list);
        assert((outcome == 0) == (c->problems.n_errors == 0));
        assert(c->problems.n <= PROBLEMS_MAX);
        json_decref(list);
}

/* Written out and read again it is the same value. */
static void check_encoding(const json_t *value)
{
        uint8_t before[CALLBACK_DIGEST_SIZE], after[CALLBACK_DIGEST_SIZE];
        _cleanup_buffer_ Buffer text = BUFFER_INIT(TEXT_MAX);
        json_t *again;

        assert(json_encode(value, &text) == 0);
        assert(json_parse(text.data, text.size, JSON_DECODE_ANY, &again, NULL) == 0);
        assert(json_digest(value, before) == 0 && json_digest(again, after) == 0);
        assert(memcmp(before, after, sizeof(before)) == 0);
        json_decref(again);
}

/* What was accepted is accepted again when somebody writes it anew, and is the same. */
static void check_again(const Callback *c, unsigned flags, const uint8_t *data, size_t size)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(TEXT_MAX);
        Callback *again;

        assert(json_encode(c->root, &text) == 0);
        assert(callback_parse(text.data, text.size, &again) == 0);
        assert(callback_check(again, NULL, flags) == 0);
        assert(again->kind == c->kind && again->status == c->status && again->unchecked == c->unchecked);
        assert(again->created_at == c->created_at && again->completed_at == c->completed_at);
        assert(streq_ptr(again->task_id, c->task_id) && streq_ptr(again->type, c->type));
        assert(memcmp(again->digest, c->digest, sizeof(c->digest)) == 0);
        /* Half a character was one that could be shown, and is one now. */
        assert(again->problems.n == c->problems.n ||
                        (again->problems.n + 1 == c->problems.n && memmem(data, size, "\\u", 2)));
        callback_free(again);
}

static void check_document(const Callback *c, const uint8_t *data, size_t size)
{
        const TaskDocument d = {
                .task_id = c->task_id ?: "x",
                .type = c->type ?: "",
                .status = c->status,
                .created_at = c->created_at,
                .completed_at = c->completed_at,
                .document = c->task ? data : NULL,
                .document_size = size,
                .response = c->response ? data : NULL,
                .response_size = size,
        };
        json_t *task;

        assert(task_document_to_json(&d, &task) == 0);
        json_decref(task);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        for (unsigned flags = 0; flags <= (CALLBACK_STRICT | CALLBACK_ALLOW_SNAPSHOT); flags++) {
                _cleanup_(callback_freep) Callback *c = NULL;
                int r;

                r = callback_parse(data, size, &c);
                if (r == CALLBACK_NOT_JSON) {
                        check_problems(c, r);
                        return 0;
                }
                assert(r == 0);
                r = callback_check(c, NULL, flags);
                check_problems(c, r);
                assert(c->kind != CALLBACK_SNAPSHOT || flags & CALLBACK_ALLOW_SNAPSHOT);
                check_encoding(c->root);
                if (r == 0) {
                        check_document(c, data, size);
                        check_again(c, flags, data, size);
                }
        }
        return 0;
}
