/*
 * Fills a database with tasks, as the receiver would have, through the store itself: tens of thousands a
 * second, so that millions are a matter of minutes. Ids and times lie in the past, evenly, the newest now.
 *
 *   bench-fill DATABASE REQUESTS N SECONDS_BETWEEN
 */

#include <inttypes.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "measure.h"
#include "store/sqlite/writer.h"
#include "store/store.h"

#define GROUP 2000U

static const char *const types[] = { "categorization", "comparison", "datacollection", "annotation",
        "transcription", "audiotranscription" };

/* What the body is, without parsing each: it was made by us (bodies.py, in this order). */
static int add(Store *store, Template *t, const char *type, const char *id, int64_t at)
{
        const char *body = memmem(t->data, t->size, "\r\n\r\n", 4);
        StoreOutcome outcome;
        StoreDelivery d = {
                .source = SOURCE_CALLBACK,
                .received_at = at,
                .key_label = "live",
                .remote = "127.0.0.1",
                .status = 200,
                .proposed = VERDICT_STORED,
                .task_id = id,
                .type = type,
                .task_status = TASK_COMPLETED,
                .has_document = true,
                .created_at = at / 1000 * 1000,
                .completed_at = at / 1000 * 1000,
                .due_at = TIME_NONE,
        };

        if (!body)
                return -EBADMSG;
        d.body = body + 4;
        d.body_size = t->size - (size_t)(body + 4 - t->data);
        memcpy(d.digest, id, MIN(sizeof(d.digest), (size_t)ID_SIZE)); /* as different as the ids are */
        return store_record_delivery(store, &d, &outcome);
}

static int fill(Store *store, Templates *templates, uint64_t n, double between)
{
        int64_t first = now_realtime() - (int64_t)((double)n * between * 1e6);
        Ids ids;
        int r;

        ids_init(&ids, (uint64_t)now_realtime());
        for (uint64_t i = 0; i < n; i++) {
                Template *t = &templates->items[i % templates->n];
                int64_t at = first + (int64_t)((double)i * between * 1e6);
                char id[ID_SIZE + 1] = "";

                r = i % GROUP == 0 ? store_begin(store) : 0;
                if (r < 0)
                        return r;
                ids_stamp(&ids, t, at, id);
                r = add(store, t, types[i % ELEMENTSOF(types)], id, at);
                if (r < 0)
                        return r;
                if (i % GROUP == GROUP - 1 || i == n - 1)
                        r = store_commit(store);
                if (r >= 0 && i % ((uint64_t)GROUP * 8) == (uint64_t)GROUP * 8 - 1)
                        r = checkpoint_finish(sqlite_of(store), 1000);
                if (r < 0)
                        return r;
        }
        return 0;
}

int main(int argc, char *argv[])
{
        _cleanup_(store_closep) Store *store = NULL;
        _cleanup_free_ char *error = NULL;
        Templates templates;
        uint64_t n;
        int r;

        if (argc != 5 || parse_u64(argv[3], 1, UINT32_MAX, &n) < 0) {
                (void)fputs("bench-fill DATABASE REQUESTS N SECONDS_BETWEEN\n", stderr);
                return 64;
        }
        if (templates_load(argv[2], &templates) < 0)
                return 1;
        r = templates.n == ELEMENTSOF(types) ? store_open(argv[1], STORE_RECEIVER, &store, &error) : -EINVAL;
        if (r >= 0)
                r = fill(store, &templates, n, strtod(argv[4], NULL));
        if (r < 0)
                (void)fprintf(stderr, "bench-fill: %s\n", store ? store_error(store) : error ?: strerror(-r));
        templates_done(&templates);
        return r < 0;
}
