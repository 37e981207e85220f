/*
 * What a sender is told: the result and the number of the delivery, or every problem with its path. The text
 * of an error repeats the first problem, so that a log of one line says something.
 */

#include "daemon/receipt.h"

#include <inttypes.h>
#include <stdio.h>

#define RETRY_AFTER "10" /* seconds: long enough for a disk to be given room, short beside 24 hours */

int receipt_reply_unavailable(HttpRequest *request, int error)
{
        static const struct {
                int error;
                const char *text;
        } reasons[] = {
                { ENOSPC, "There is no room on the disk: nothing was kept, please send it again." },
                { EAGAIN, "Too much is waiting for the disk: please send it again." },
                { EINPROGRESS, "Whether it was kept is not known: please send it again." },
                { ENOMEM, "There is not enough memory: nothing was kept, please send it again." },
        };
        const char *text = "It can't be stored now: nothing was kept, please send it again.";
        int r;

        for (size_t i = 0; i < ELEMENTSOF(reasons); i++)
                if (error == -reasons[i].error)
                        text = reasons[i].text;

        r = http_reply_header(request, "Retry-After", RETRY_AFTER);
        if (r < 0)
                return r;
        return http_reply_error(request, 503, NULL, "%s", text);
}

static int reply_invalid(HttpRequest *request, const Receipt *receipt)
{
        const Problem *first = NULL;
        char kept[64] = "The callback is still not valid"; /* a retry leaves nothing behind */

        FOREACH_ARRAY(problem, receipt->problems->items, receipt->problems->n)
                if (problem->severity == SEVERITY_ERROR) {
                        first = problem;
                        break;
                }

        if (receipt->outcome.delivery > 0)
                snprintf(kept, sizeof(kept), "Kept as delivery %" PRIu64 ", but not valid",
                                receipt->outcome.delivery);

        return http_reply_error(request, receipt->status, problems_to_json(receipt->problems), "%s: %s%s%s",
                        kept, first ? first->path : "", first && *first->path ? ": " : "",
                        first ? first->message : "see problems");
}

/* The ordinary answer, as bytes: nearly every callback gets it. 0; 1: this isn't one. */
static int reply_ordinary(HttpRequest *request, const Receipt *receipt)
{
        char text[CALLBACK_ID_MAX + 128];
        int n;

        if (!receipt->task_id || receipt->task_id[strcspn(receipt->task_id, "\"\\")] != 0)
                return 1; /* null, or to be escaped; control characters aren't in ids */
        n = snprintf(text, sizeof(text), "{\"result\":\"%s\",\"task_id\":\"%s\",\"delivery\":%" PRIu64 "}",
                        verdict_to_string(receipt->outcome.verdict), receipt->task_id,
                        receipt->outcome.delivery);
        assert(n > 0 && (size_t)n < sizeof(text));
        return http_reply(request, receipt->status, "application/json", text, (size_t)n);
}

/* {"result", "task_id", "delivery"}, and the problems of an invalid one that is answered 200. */
static int reply_result(HttpRequest *request, const Receipt *receipt)
{
        json_t *reply;
        int r;

        r = receipt->outcome.verdict == VERDICT_INVALID ? 1 : reply_ordinary(request, receipt);
        if (r <= 0)
                return r;

        reply = json_pack("{s:s, s:s?, s:I}", "result", verdict_to_string(receipt->outcome.verdict),
                        "task_id", receipt->task_id, "delivery", (json_int_t)receipt->outcome.delivery);
        if (reply && receipt->outcome.verdict == VERDICT_INVALID &&
                        json_object_set_new(reply, "problems", problems_to_json(receipt->problems)) < 0) {
                json_decref(reply);
                reply = NULL;
        }
        return http_reply_json(request, receipt->status, reply);
}

int receipt_reply(HttpRequest *request, const Receipt *receipt)
{
        if (receipt->status == 503)
                return receipt_reply_unavailable(request, receipt->error);
        if (receipt->status == 200)
                return reply_result(request, receipt);
        return reply_invalid(request, receipt);
}
