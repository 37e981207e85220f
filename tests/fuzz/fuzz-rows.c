/*
 * Any bytes as a callback that is stored, and what is stored through every format. What must hold: what
 * passed at the door can be shown, is one line of JSON that says the same, and no exporter calls it broken;
 * what a reader of the task sends on as a callback passes again, and is a duplicate.
 */

#include "fuzz.h"

#include <stdio.h>

#include "basic/time-util.h"
#include "export/export.h"
#include "task/callback.h"
#include "task/document.h"
#include "json/encode.h"
#include "json/parse.h"

#define TEXT_MAX ((size_t)64 * 1024 * 1024)

static int on_write(_unused_ const void *data, _unused_ size_t size, _unused_ void *userdata)
{
        return 0;
}

static int on_file(
                const char *name, _unused_ const void *data, _unused_ size_t size, _unused_ void *userdata)
{
        assert(*name && *name != '.' && *name != '/' && !strstr(name, "/."));
        return 0;
}

static int on_size(
                _unused_ const char *url, _unused_ const char *name, ImageSize *ret, _unused_ void *userdata)
{
        *ret = (ImageSize){ 640, 480 };
        return 1;
}

static void export_line(const ExportFormat *f, const ExportOptions *options, const Buffer *line)
{
        const ExportCalls calls = { on_write, on_file, on_size, NULL };
        ExportReason reason = EXPORT_FITS;
        Exporter *x;

        assert(exporter_new(f, options, &calls, &x) == 0);
        for (unsigned pass = 0; pass < export_format_passes(f); pass++) {
                assert(exporter_begin(x, pass) == 0);
                if (reason == EXPORT_FITS)
                        assert(exporter_take(x, line->data, line->size, &reason) == 0);
                assert(exporter_end(x) == 0);
        }
        assert(exporter_counts(x)->read == 1);
        assert(exporter_counts(x)->exported == (reason == EXPORT_FITS));
        exporter_free(x);
}

static void check_exports(const Buffer *line)
{
        static const ExportOptions options[] = { {}, { true, true, false, "/data" } };

        for (const ExportFormat *const *f = export_formats; *f; f++)
                FOREACH_ARRAY(o, options, ELEMENTSOF(options))
                        export_line(*f, o, line);
}

/* A task that was read here and is taken for the body of a callback somewhere else. */
static void check_again(const Callback *c, const json_t *task)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(TEXT_MAX);
        Callback *again;

        assert(callback_body_from_task(task, &body) == 0);
        assert(callback_parse(body.data, body.size, &again) == 0);
        assert(callback_check(again, NULL, 0) == 0);
        assert(memcmp(c->digest, again->digest, sizeof(c->digest)) == 0);
        assert(streq_ptr(c->task_id, again->task_id) && streq_ptr(c->type, again->type));
        assert(c->is_test == again->is_test && c->unchecked == again->unchecked);
        callback_free(again);
}

static void try_row(const Callback *c, const uint8_t *data, size_t size)
{
        const TaskDocument d = {
                .task_id = c->task_id,
                .type = c->type ?: "",
                .status = c->status,
                .created_at = c->created_at,
                .completed_at = c->completed_at,
                .is_test = c->is_test,
                .document = c->task ? data : NULL,
                .document_size = size,
                .response = c->response ? data : NULL,
                .response_size = size,
        };
        _cleanup_buffer_ Buffer line = BUFFER_INIT(TEXT_MAX);
        json_t *task, *read;

        assert(task_document_to_json(&d, &task) == 0);
        assert(json_encode(task, &line) == 0 && !memchr(line.data, '\n', line.size));
        assert(json_parse(line.data, line.size, JSON_REJECT_DUPLICATES, &read, NULL) == 0);
        check_exports(&line);
        if (c->kind == CALLBACK_RESPONSE && c->task)
                check_again(c, read);
        json_decref(read);
        json_decref(task);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        Callback *c;

        if (callback_parse(data, size, &c) == 0 && callback_check(c, NULL, 0) == 0 && c->task_id)
                try_row(c, data, size);
        callback_free(c);
        return 0;
}
