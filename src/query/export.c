/*
 * Exports: every task that fits, newest first, one after the other, however many there are. The list is
 * walked by cursor in batches that adapt to the size of what is in them, so memory stays small and no read
 * is long.
 */

#include "basic/buffer.h"
#include "query/local.h"
#include "query/params.h"
#include "json/encode.h"

#define BATCH_MAX   64U
#define BATCH_SMALL ((size_t)256 * 1024)  /* of text: the next batch may be larger */
#define BATCH_LARGE ((size_t)1024 * 1024) /* of text: the next batch is a single task */

typedef struct ExportQuery {
        const char *format, *type;
        int64_t start_time, end_time;
        TaskStatus status;
        int is_test;
        uint64_t after_seq;
        ParamMetadata metadata;
} ExportQuery;

typedef struct Export {
        TaskFilter filter;
        char type[CALLBACK_TYPE_MAX + 1];
        StoreMetadata metadata[PARAM_METADATA_MAX]; /* owned */
} Export;

const Param export_params[] = {
        { "format", PARAM_TEXT, offsetof(ExportQuery, format), 0, 16 },
        { "type", PARAM_TEXT, offsetof(ExportQuery, type), 0, CALLBACK_TYPE_MAX },
        { "start_time", PARAM_TIME, offsetof(ExportQuery, start_time), 0, 0 },
        { "end_time", PARAM_TIME, offsetof(ExportQuery, end_time), 0, 0 },
        { "status", PARAM_STATUS, offsetof(ExportQuery, status), 0, 0 },
        { "is_test", PARAM_BOOLEAN, offsetof(ExportQuery, is_test), 0, 0 },
        { "after_seq", PARAM_NUMBER, offsetof(ExportQuery, after_seq), 0, INT64_MAX },
        { "metadata", PARAM_METADATA, offsetof(ExportQuery, metadata), 0, 0 },
        {},
};

static int append_line(const TaskDocument *task, void *userdata)
{
        json_auto_t *value = NULL;
        Buffer *out = userdata;
        int r;

        r = task_document_to_json(task, &value);
        if (r < 0)
                return r;
        r = json_encode(value, out);
        return r < 0 ? r : buffer_append_str(out, "\n");
}

static void adapt_batch(Export *export, size_t size)
{
        if (size > BATCH_LARGE)
                export->filter.limit = 1;
        else if (size < BATCH_SMALL)
                export->filter.limit = MIN(export->filter.limit * 2, BATCH_MAX);
}

static int export_fill(void *userdata, StoreReader *reader, Buffer *out)
{
        Export *export = userdata;
        TaskPage page;
        int r;

        r = store_list_tasks(reader, &export->filter, append_line, out, &page);
        if (r == -ENOBUFS && export->filter.limit > 1) {
                export->filter.limit = 1; /* the same place again, one at a time */
                buffer_done(out);
                r = store_list_tasks(reader, &export->filter, append_line, out, &page);
        }
        if (r < 0)
                return r;

        export->filter.has_cursor = true;
        export->filter.cursor = page.next;
        export->filter.until_seq = page.until_seq;
        adapt_batch(export, out->size);
        return page.has_more ? 1 : 0;
}

static void export_free(void *userdata)
{
        Export *export = userdata;

        FOREACH_ARRAY(item, export->metadata, ELEMENTSOF(export->metadata)) {
                free((char *)(uintptr_t)item->key);
                free((char *)(uintptr_t)item->value);
        }
        free(export);
}

/* The filter outlives the request, so it has texts of its own. 0, -ENOMEM. */
static int copy_query(const ExportQuery *query, Export *export)
{
        if (query->type)
                strncpy(export->type, query->type, CALLBACK_TYPE_MAX);
        for (size_t i = 0; i < query->metadata.n; i++) {
                export->metadata[i] = (StoreMetadata){ strdup(query->metadata.items[i].key),
                        strdup(query->metadata.items[i].value) };
                if (!export->metadata[i].key || !export->metadata[i].value)
                        return -ENOMEM;
        }
        export->filter = (TaskFilter){
                .start_time = query->start_time,
                .end_time = query->end_time,
                .status = query->status,
                .type = query->type ? export->type : NULL,
                .is_test = query->is_test,
                .metadata = export->metadata,
                .n_metadata = query->metadata.n,
                .after_seq = query->after_seq,
                .limit = 8,
                .without_total = true,
        };
        return 0;
}

int export_on_get(HttpRequest *request, void *userdata)
{
        static const ReadSource source = { .lane = READ_LONG, .fill = export_fill, .free = export_free };
        LocalBase *base = userdata;
        ExportQuery query = {
                .format = "jsonl",
                .start_time = TIME_NONE,
                .end_time = TIME_NONE,
                .status = _TASK_STATUS_INVALID,
                .is_test = -1,
        };
        Export *export;
        int r;

        r = params_read(request, &query);
        if (r != 0)
                return MIN(r, 0);
        if (!streq(query.format, "jsonl"))
                return params_refuse(request, "format", "jsonl, of which scalectl export makes the others");

        export = calloc(1, sizeof(Export));
        if (!export)
                return -ENOMEM;
        r = copy_query(&query, export);
        if (r < 0) {
                export_free(export);
                return r;
        }
        return readers_stream(base->readers, request, "application/x-ndjson", &source, export, NULL);
}
