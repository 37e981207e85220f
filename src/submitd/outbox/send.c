/*
 * One submission from queued to what came of it. In this order, each step only when the one before is on
 * disk:
 *
 *   1. `sending`, with the time and the API's clock as it was last seen: from here on there may be a task,
 *      and a process that dies leaves word of that;
 *   2. the request;
 *   3. what came of it, as the table in answer.c has it.
 *
 * Back to queued only goes what is certain not to have made a task. For each there is one Sending from the
 * moment that it is taken out of the queue until the last step is stored, so none is in two hands.
 *
 * How many may be under way counts all of these steps: while the disk takes nothing, nothing new is sent.
 *
 * What is sent are the parameters as they were accepted, with the submission's id in the metadata and, where
 * the settings say so, in the callback's URL: by these it is found again. Both are put into the text that is
 * stored, which is neither read nor written anew.
 */

#include "submitd/outbox/send.h"

#include <stdio.h>

#include "basic/log.h"
#include "submitd/api/backoff.h"
#include "submitd/outbox/resolve.h"
#include "submitd/outbox/save.h"
#include "json/encode.h"

#define ANSWER_MAX  ((size_t)64 * 1024) /* of a rejection, as it is kept */
#define TROUBLE_MAX 4U /* requests in a row without a word from the API: then, more slowly */
#define BODY_MAX    ((size_t)64 * 1024 * 1024)
#define BURST_PART  10U /* a tenth of a second's requests may come at once */

typedef struct Sending Sending;
struct Sending {
        Outbox *outbox;
        LIST_ENTRY(Sending) entry;
        Save save;
        enum SendingStep {
                SENDING_STARTS, /* its move to `sending` is on the way to the disk */
                SENDING_ASKS,   /* the API has been asked */
                SENDING_ENDS,   /* what came of it is on the way to the disk */
        } step;
        Attempt attempt;
        char *type; /* owned */
        char *body; /* owned */
        size_t body_size;
};

static Sending *sending_free(Sending *sending)
{
        if (!sending)
                return NULL;

        save_done(&sending->save);
        free(sending->type);
        free(sending->body);
        free(sending);
        return NULL;
}

DEFINE_CLEANUP(Sending *, sending_free)

static void sending_forget(Sending *sending)
{
        Outbox *outbox = sending->outbox;

        LIST_REMOVE(sending, entry);
        outbox->n_sendings--;
        outbox->n_starting -= sending->step == SENDING_STARTS;
        sending_free(sending);
}

void sending_free_all(Outbox *outbox)
{
        while (!LIST_EMPTY(&outbox->sendings))
                sending_forget(LIST_FIRST(&outbox->sendings));
}

static void set_step(Sending *sending, enum SendingStep step)
{
        sending->outbox->n_starting += step == SENDING_STARTS;
        sending->outbox->n_starting -= sending->step == SENDING_STARTS;
        sending->step = step;
}

/* Step 3: what came of it. */

static void on_ended(Save *save, int result, void *userdata)
{
        Sending *sending = userdata;
        Outbox *outbox = sending->outbox;

        if (result == 0 && save->job.change.kind == STORE_ACCEPT && save->job.change.moved == STORE_MOVED_ON)
                outbox->stats.duplicates++;
        else if (result == 0 && save->job.change.kind == STORE_ACCEPT) {
                outbox->stats.created++;
                if (save->snapshot->has_response)
                        outbox_tell_task(outbox, save->snapshot);
        }

        if (result == 0 && save->job.change.moved == 0 && save->job.change.kind == STORE_MOVE) {
                outbox->stats.rejected += save->move.to == SUBMISSION_REJECTED;
                outbox->stats.unknown += save->move.to == SUBMISSION_UNKNOWN;
                outbox->stats.retried += save->move.to == SUBMISSION_QUEUED;
                outbox->stats.expired += save->move.to == SUBMISSION_EXPIRED;
                outbox->stats.canceled += save->move.to == SUBMISSION_CANCELED;
                if (save->move.to == SUBMISSION_UNKNOWN)
                        resolver_add(outbox->resolver, &sending->attempt);
        }
        sending_forget(sending);
}

static StoreMove *sending_end(Sending *sending, SubmissionState to)
{
        Save *save = &sending->save;

        save_done(save);
        save_init(save, sending->outbox, STORE_MOVE, sending->attempt.id, on_ended, sending);
        set_step(sending, SENDING_ENDS);
        save->move = (StoreMove){
                .from = SUBMISSION_IN(SUBMISSION_SENDING),
                .to = to,
                .now = outbox_realtime(sending->outbox),
                .next_at = TIME_NONE,
                .sent_at = TIME_NONE,
                .floor_at = TIME_NONE,
                .ended_at = TIME_NONE,
                .grace = TIME_NONE,
                .is_test = sending->attempt.is_test,
                .expires_at = TIME_NONE,
        };
        return &save->move;
}

/* It is certain that there is no task. */
static void end_without_task(Sending *sending, SubmissionState to, unsigned status, uint64_t delay)
{
        StoreMove *move = sending_end(sending, to);

        move->status = status;
        move->next_at = outbox_next_try(move->now, delay, sending->attempt.expires_at);
        if (!sending->attempt.is_test) {
                sending->save.move.live_by = -1;
                sending->save.move.live_day = sending->attempt.live_day;
        }
}

/* There may be one. */
static void end_unknown(Sending *sending, const ApiAnswer *answer)
{
        StoreMove *move = sending_end(sending, SUBMISSION_UNKNOWN);

        move->status = sending->attempt.status = answer->status;
        move->next_at = move->now + sending->attempt.grace;
        move->sent_at = sending->attempt.sent_at;
        move->floor_at = sending->attempt.floor_at;
        move->ended_at = sending->attempt.ended_at;
        move->grace = sending->attempt.grace;
}

/* What rejected it, as far as it is text, cut where a character begins. */
static char *copy_answer(const ApiAnswer *answer)
{
        size_t n = MIN(answer->body_size, ANSWER_MAX);
        char *text;

        if (n == 0)
                return NULL;
        if (answer->is_json && n < answer->body_size)
                while (n > 0 && ((unsigned char)answer->body[n] & 0xc0) == 0x80)
                        n--;
        text = malloc(n + 1);
        if (!text)
                return NULL;
        memcpy(text, answer->body, n);
        text[n] = 0;
        for (size_t i = 0; i < n; i++)
                if (text[i] == 0 || (!answer->is_json && (unsigned char)text[i] >= 0x7f))
                        text[i] = '?';
        return text;
}

static void end_done(Sending *sending, const ApiAnswer *answer)
{
        json_auto_t *task = NULL;
        TaskSnapshot *snapshot = NULL;
        TaskClaim claim;

        claim = outcome_claim_task(answer, sending->attempt.id, &task);
        if (claim == TASK_OURS)
                outbox_note_task(sending->outbox, task);
        if (claim == TASK_OURS &&
                        task_snapshot_new(task, outbox_realtime(sending->outbox), &snapshot) >= 0) {
                sending_end(sending, SUBMISSION_ACCEPTED);
                sending->save.job.change.kind = STORE_ACCEPT;
                sending->save.snapshot = snapshot;
                return;
        }
        end_unknown(sending, answer);
        if (claim == TASK_FOREIGN) {
                /* Should it be the API's way not to hand metadata back, every other try would pay once
                 * more. */
                sending->save.hold = true;
                snprintf(sending->save.error, sizeof(sending->save.error),
                                "the API answered 200 with a task that doesn't carry the submission's id; is [api] url right?");
        }
}

/* Once more, unless this was a try when its time was over. That it was is said by a clock that may jump, so
 * that nothing is given up for that alone. */
static void try_later(Sending *sending, const ApiAnswer *answer, uint64_t delay)
{
        bool tried = sending->step == SENDING_ASKS && answer->error != -ECANCELED;
        bool over = tried && sending->attempt.sent_at >= sending->attempt.expires_at;

        end_without_task(sending, over ? SUBMISSION_EXPIRED : SUBMISSION_QUEUED, answer->status, delay);
}

static void on_not_sent(Sending *sending, const ApiAnswer *answer)
{
        try_later(sending, answer, backoff_delay(sending->attempt.n, &sending->outbox->chance));
}

static void on_busy(Sending *sending, const ApiAnswer *answer)
{
        uint64_t delay = backoff_delay(sending->attempt.n, &sending->outbox->chance);

        if (answer->retry_after != UINT64_MAX)
                delay = MAX(delay, MIN(answer->retry_after, RETRY_AFTER_MAX));
        try_later(sending, answer, delay);
}

/* Who redirects may have made the task before: a POST, then a 303 to what came of it. */
static void on_account(Sending *sending, const ApiAnswer *answer)
{
        if (outcome_is_redirect(answer))
                end_unknown(sending, answer);
        else
                end_without_task(sending, SUBMISSION_QUEUED, answer->status, 0);
        sending->save.hold = true;
}

static void on_rejected(Sending *sending, const ApiAnswer *answer)
{
        end_without_task(sending, SUBMISSION_REJECTED, answer->status, 0);
        sending->save.answer = copy_answer(answer);
}

static void (*const endings[_OUTCOME_MAX])(Sending *sending, const ApiAnswer *answer) = {
        [OUTCOME_DONE] = end_done,
        [OUTCOME_NOT_SENT] = on_not_sent,
        [OUTCOME_BUSY] = on_busy,
        [OUTCOME_ACCOUNT] = on_account,
        [OUTCOME_REJECTED] = on_rejected,
        [OUTCOME_UNKNOWN] = end_unknown,
};

/* An API that answers nobody is asked more slowly: that spares the ones that wait behind. */
static void note_trouble(Outbox *outbox, Outcome outcome)
{
        if (outcome != OUTCOME_NOT_SENT && outcome != OUTCOME_UNKNOWN) {
                outbox->trouble = 0;
                outbox->create_at = 0;
        } else if (++outbox->trouble > TROUBLE_MAX)
                outbox->create_at = outbox_monotonic(outbox) +
                                    MIN(USEC_PER_SEC << MIN(outbox->trouble - TROUBLE_MAX - 1, 10U),
                                                    backoff_step(1));
}

static void sending_conclude(Sending *sending, Outcome outcome, const ApiAnswer *answer)
{
        sending->attempt.ended_at = (int64_t)outbox_monotonic(sending->outbox);
        endings[outcome](sending, answer);
        if (sending->save.error[0] == 0 && sending->save.job.change.kind == STORE_MOVE)
                outcome_describe(answer, sending->save.error);
        save_submit(&sending->save);
}

static void on_sending_answer(const ApiAnswer *answer, void *userdata)
{
        Sending *sending = userdata;
        Outcome outcome = outbox_note_answer(sending->outbox, answer);

        note_trouble(sending->outbox, outcome);
        sending_conclude(sending, outcome, answer);
}

/* Step 2: the request. */

static void sending_ask(Sending *sending)
{
        char path[CALLBACK_TYPE_MAX + sizeof("/task/")];
        const ApiRequest request = {
                .method = "POST",
                .path = path,
                .body = sending->body,
                .body_size = sending->body_size,
        };
        ApiAnswer failure = { .date = TIME_NONE, .retry_after = UINT64_MAX };
        Outbox *outbox = sending->outbox;

        snprintf(path, sizeof(path), "/task/%s", sending->type);
        if (outbox->stopping || outbox->fatal)
                failure.error = -ECANCELED;
        else if (outbox_is_test(outbox) != sending->attempt.is_test)
                failure.error = -EKEYREJECTED; /* another key was read meanwhile */
        else if (outbox_grace(outbox) > sending->attempt.grace)
                failure = (ApiAnswer){
                        /* it might be on its way for longer than was written down */
                        .error = -ESTALE,
                        .message = "other settings were read meanwhile",
                        .date = TIME_NONE,
                        .retry_after = UINT64_MAX,
                };
        else
                failure.error = outbox_ask(outbox, &request, on_sending_answer, sending);

        if (failure.error < 0)
                sending_conclude(sending, OUTCOME_NOT_SENT, &failure);
        else
                set_step(sending, SENDING_ASKS);
}

/* Step 1: out of the queue. */

/* Where a member of an object ends, in JSON as it is stored; NULL: it doesn't. */
static const char *skip_member(const char *p, const char *end)
{
        bool in_text = false;
        unsigned depth = 0;

        for (; p < end; p++)
                if (in_text && *p == '\\')
                        p++;
                else if (*p == '"')
                        in_text = !in_text;
                else if (!in_text && (*p == '[' || *p == '{'))
                        depth++;
                else if (!in_text && (*p == ']' || *p == '}' || *p == ',') && depth == 0)
                        return p;
                else if (!in_text && (*p == ']' || *p == '}'))
                        depth--;
        return NULL;
}

/* The metadata with the submission's id: `members` are those that it has. */
static int append_metadata(Buffer *text, const char *members, size_t size, const char *id)
{
        int r;

        r = buffer_append_str(text, "\"metadata\":{");
        if (r >= 0)
                r = buffer_append(text, members, size);
        if (r >= 0)
                r = buffer_append_str(text, size > 0 ? ",\"" TASK_SUBMISSION_KEY "\":\""
                                                     : "\"" TASK_SUBMISSION_KEY "\":\"");
        if (r >= 0)
                r = buffer_append_str(text, id);
        return r < 0 ? r : buffer_append_str(text, "\"}");
}

static int append_callback_url(Buffer *text, const char *url, const char *id)
{
        json_auto_t *value = json_sprintf("%s/%s", url, id);
        int r;

        if (!value)
                return -ENOMEM;
        r = buffer_append_str(text, ",\"callback_url\":");
        return r < 0 ? r : json_encode(value, text);
}

/* The members of the parameters, which json_encode() wrote, without a callback_url that is not used. */
static int append_members(Buffer *text, const Submission *submission, bool keeps_url)
{
        static const char metadata[] = "\"metadata\":", url[] = "\"callback_url\":";
        const char *p = submission->params, *end = p + submission->params_size, *next;
        bool has_metadata = false;
        int r = 0;

        if (submission->params_size < 2 || *p != '{' || end[-1] != '}')
                return -EUCLEAN;
        for (p++; r >= 0 && p < end - 1; p = next + 1) {
                size_t size;

                next = skip_member(p, end);
                if (!next || *p != '"')
                        return -EUCLEAN;
                size = (size_t)(next - p);
                if (!keeps_url && size > strlen(url) && memcmp(p, url, strlen(url)) == 0)
                        continue;
                if (text->size > 1)
                        r = buffer_append_str(text, ",");
                if (r >= 0 && size > strlen(metadata) && memcmp(p, metadata, strlen(metadata)) == 0) {
                        p += strlen(metadata);
                        if (*p != '{' || next[-1] != '}')
                                return -EUCLEAN;
                        r = append_metadata(text, p + 1, (size_t)(next - p) - 2, submission->id);
                        has_metadata = true;
                } else if (r >= 0)
                        r = buffer_append(text, p, size);
        }
        if (r < 0 || has_metadata)
                return r;
        if (text->size > 1)
                r = buffer_append_str(text, ",");
        return r < 0 ? r : append_metadata(text, NULL, 0, submission->id);
}

/* What is sent. 0, -ENOMEM, -EUCLEAN. */
static int build_body(const Outbox *outbox, const Submission *submission, Sending *sending)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(BODY_MAX);
        int r;

        r = buffer_append_str(&text, "{");
        if (r >= 0)
                r = append_members(&text, submission, !outbox->callback_url);
        if (r >= 0 && outbox->callback_url)
                r = append_callback_url(&text, outbox->callback_url, submission->id);
        if (r >= 0)
                r = buffer_append_str(&text, "}");
        if (r < 0)
                return r;
        sending->body = buffer_take(&text, &sending->body_size);
        return 0;
}

static Sending *remember(Outbox *outbox, const Submission *submission)
{
        _cleanup_(sending_freep) Sending *sending = calloc(1, sizeof(Sending));

        if (!sending)
                return NULL;
        sending->outbox = outbox;
        sending->type = strdup(submission->type);
        if (!sending->type)
                return NULL;
        snprintf(sending->attempt.id, sizeof(sending->attempt.id), "%s", submission->id);
        sending->attempt.n = submission->attempts + 1;
        sending->attempt.expires_at = submission->expires_at;
        sending->attempt.floor_at = outbox_floor(outbox);
        sending->attempt.grace = outbox_grace(outbox);
        sending->attempt.is_test = outbox_is_test(outbox);

        LIST_INSERT_HEAD(&outbox->sendings, sending, entry);
        outbox->n_sendings++;
        outbox->n_starting++;
        return TAKE_PTR(sending);
}

static void on_started(Save *save, int result, void *userdata)
{
        Sending *sending = userdata;

        if (result == -EINPROGRESS) {
                end_without_task(sending, SUBMISSION_QUEUED, 0, 0); /* it may be stored: nothing has left */
                save_submit(&sending->save);
        } else if (result < 0 || save->job.change.moved != 0)
                sending_forget(sending); /* the row is as it was, or somebody else's */
        else
                sending_ask(sending);
}

/* Straight from queued to an end. */
static void end_queued(Sending *sending, SubmissionState to, unsigned status, const char *why)
{
        StoreMove *move = sending_end(sending, to);

        move->from = SUBMISSION_IN(SUBMISSION_QUEUED);
        move->status = status;
        snprintf(sending->save.error, sizeof(sending->save.error), "%s", why);
        save_submit(&sending->save);
}

static void sending_start(Sending *sending, int64_t day)
{
        StoreMove *move = sending_end(sending, SUBMISSION_SENDING);
        Save *save = &sending->save;

        set_step(sending, SENDING_STARTS);
        save->finished = on_started;
        save->once = true;
        sending->attempt.sent_at = move->now;
        sending->attempt.live_day = day;
        move->from = SUBMISSION_IN(SUBMISSION_QUEUED);
        move->sent_at = sending->attempt.sent_at;
        move->floor_at = sending->attempt.floor_at;
        move->grace = sending->attempt.grace;
        move->attempt = true;
        if (!sending->attempt.is_test) {
                save->move.live_by = 1;
                save->move.live_day = day;
        }
        save_submit(save);
}

/* What is due. */

typedef struct Room {
        Outbox *outbox;
        unsigned n;    /* how many more may be under way */
        uint64_t live; /* how many more may be sent with a live key today */
        int64_t day;   /* that is today */
        uint64_t now;  /* monotonic */
        int64_t realtime;
} Room;

/* The rate: a bucket of tokens, as the time at which the next one is there. */
static bool take_token(Outbox *outbox, uint64_t now)
{
        uint64_t rate = outbox->options.rate, each, burst;

        if (rate == UINT64_MAX)
                return true;
        each = MAX(USEC_PER_SEC / MAX(rate, 1U), 1U);
        burst = (MAX(rate / BURST_PART, 1U) - 1) * each;
        if (outbox->next_token > now + burst) {
                outbox_wake_at(outbox, outbox->next_token - burst);
                return false;
        }
        outbox->next_token = MAX(outbox->next_token, now) + each;
        return true;
}

static bool is_taken(const Outbox *outbox, const char *id)
{
        const Sending *sending;

        LIST_FOREACH(sending, &outbox->sendings, entry)
                if (streq(sending->attempt.id, id))
                        return true;
        return false;
}

static int take_due(const Submission *submission, void *userdata)
{
        Room *room = userdata;
        Outbox *outbox = room->outbox;
        Sending *sending;
        int r;

        if (room->n == 0 || is_taken(outbox, submission->id))
                return 0;
        sending = remember(outbox, submission);
        if (!sending)
                return -ENOMEM;
        room->n--;

        if (submission->cancel_wanted)
                end_queued(sending, SUBMISSION_CANCELED, submission->status,
                                "canceled before there was a task");
        else if ((!sending->attempt.is_test && room->live == 0) || !take_token(outbox, room->now)) {
                sending_forget(sending);
                room->n = 0;
        } else if ((r = build_body(outbox, submission, sending)) == -EUCLEAN)
                end_queued(sending, SUBMISSION_REJECTED, 0,
                                "its parameters, as they are stored, can't be read");
        else if (r < 0) {
                sending_forget(sending);
                return r;
        } else {
                room->live -= !sending->attempt.is_test && room->live != UINT64_MAX;
                sending_start(sending, room->day);
        }
        return 0;
}

/* How many tasks may still be sent with a live key. Every date has its count, however often the clock shows
 * it: one that goes back and forth between two gives two days' worth once, and nothing more; and a date that
 * it showed too early does not stop those that come before. */
static uint64_t count_live(const Outbox *outbox, const StoreQueue *queue)
{
        const Sending *sending;
        uint64_t cap = outbox->options.live_per_day, n = queue->live_sent;

        if (cap == UINT64_MAX)
                return cap;
        LIST_FOREACH(sending, &outbox->sendings, entry)
                n += sending->step == SENDING_STARTS && !sending->attempt.is_test;
        return cap - MIN(n, cap);
}

/* What is due already is in hand: its end wakes. */
static void wake_for_queue(Outbox *outbox, const Room *room)
{
        int64_t next;

        if (store_get_next_due(outbox->options.reader, SUBMISSION_QUEUED, &next) >= 0 && next != TIME_NONE &&
                        next > room->realtime)
                outbox_wake_at(outbox, room->now + MIN((uint64_t)(next - room->realtime), LOOK_USEC));
}

int sending_run(Outbox *outbox, const StoreQueue *queue)
{
        const Sending *sending;
        Room room = {
                .outbox = outbox,
                .now = outbox_monotonic(outbox),
                .realtime = outbox_realtime(outbox),
        };
        unsigned n_starting = 0, busy;
        int r;

        LIST_FOREACH(sending, &outbox->sendings, entry)
                n_starting += sending->step != SENDING_ASKS;
        busy = outbox->in_flight + n_starting;
        if (busy >= outbox->options.max_in_flight || !resolver_has_room(outbox->resolver))
                return 0;
        room.n = outbox->options.max_in_flight - busy;
        room.live = count_live(outbox, queue);
        room.day = room.realtime / (int64_t)USEC_PER_DAY;
        r = store_list_due(outbox->options.reader, SUBMISSION_QUEUED, room.realtime, room.n + n_starting,
                        take_due, &room);
        if (r < 0)
                return r;
        if (room.n > 0)
                wake_for_queue(outbox, &room);
        else if (room.live == 0)
                outbox_wake_at(outbox, room.now + LOOK_USEC);
        return 0;
}
