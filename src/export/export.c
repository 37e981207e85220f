/*
 * The exporter: gives each task to a format, pass after pass, and counts what became of it.
 *
 * A format is a row of functions. What it has to know of all tasks before it can write the first one (the
 * columns of a table, the numbers of classes) it notes in a first pass; the tasks that fit are then given
 * again. The exporter keeps no task beyond the next one, so its memory grows with the largest task and with
 * the number of columns and classes, which are bounded, and not with how many tasks there are.
 *
 * A task is in what comes out, or it is counted under the reason why not. There is nothing between.
 */

#include "export/format.h"

#include <stdio.h>

#include "export/name.h"
#include "json/parse.h"

#define STREAM_FULL ((size_t)64 * 1024) /* what is written at a time, at least */
#define SAME_NAMES  100U                /* files that may want one name, beyond the task's id */

static const struct {
        const char *name, *describe;
} reasons[_EXPORT_REASON_MAX] = {
        [EXPORT_FITS] = { "fits", "that fit" },
        [EXPORT_OTHER_TYPE] = { "other_type", "of a type that has no such form" },
        [EXPORT_NO_RESULT] = { "no_result", "without a result" },
        [EXPORT_ERROR] = { "error", "whose response is an error" },
        [EXPORT_MALFORMED] = { "malformed", "whose response does not fit their type" },
        [EXPORT_NO_ATTACHMENT] = { "no_attachment", "without the URL of an attachment" },
        [EXPORT_NO_SIZE] = { "no_size", "with an image of unknown size" },
        [EXPORT_OUTSIDE] = { "outside", "with a box outside of its image" },
        [EXPORT_NO_ALIGNMENT] = { "no_alignment", "without the times of its words" },
        [EXPORT_TOO_WIDE] = { "too_wide", "that would need too many or too long columns" },
        [EXPORT_TOO_MANY_CLASSES] = { "too_many_classes", "with a class beyond the most that there can be" },
};

const char *export_reason_to_string(ExportReason v)
{
        return v < _EXPORT_REASON_MAX ? reasons[v].name : NULL;
}

const char *export_reason_describe(ExportReason v)
{
        return v < _EXPORT_REASON_MAX ? reasons[v].describe : NULL;
}

/* JSON lines: as they are. */

static int write_line(Exporter *exporter, const Row *row)
{
        put_bytes(&exporter->stream, row->line, row->size);
        put(&exporter->stream, "\n");
        return 0;
}

const ExportFormat export_jsonl = {
        .name = "jsonl",
        .verbatim = true,
        .n_passes = 1,
        .passes = { { .row = write_line } },
};

const ExportFormat *const export_formats[] = { &export_jsonl, &export_csv, &export_coco, &export_yolo,
        &export_voc, &export_srt, &export_vtt, &export_ctm, &export_manifest, NULL };

const ExportFormat *export_format_find(const char *name)
{
        for (const ExportFormat *const *f = export_formats; *f; f++)
                if (streq((*f)->name, name))
                        return *f;
        return NULL;
}

const char *export_format_name(const ExportFormat *f)
{
        return f->name;
}

ExportShape export_format_shape(const ExportFormat *f)
{
        return f->shape;
}

bool export_format_needs_sizes(const ExportFormat *f)
{
        return f->needs_sizes;
}

bool export_format_has_classes(const ExportFormat *f)
{
        return f->has_classes;
}

unsigned export_format_passes(const ExportFormat *f)
{
        return f->n_passes;
}

/* The exporter. */

int exporter_new(const ExportFormat *f, const ExportOptions *options, const ExportCalls *calls,
                Exporter **ret)
{
        Exporter *exporter = calloc(1, sizeof(Exporter));

        if (!exporter)
                return -ENOMEM;
        *exporter = (Exporter){ .format = f, .options = *options, .calls = *calls, .id = "" };
        writer_done(&exporter->stream);
        if (f->shape != EXPORT_EITHER)
                exporter->options.folder = f->shape == EXPORT_FOLDER;
        assert(!exporter->options.folder || calls->put_file);
        assert(!f->needs_sizes || calls->find_size);
        *ret = exporter;
        return 0;
}

Exporter *exporter_free(Exporter *exporter)
{
        if (!exporter)
                return NULL;
        json_decref(exporter->task);
        writer_done(&exporter->stream);
        classes_done(&exporter->classes);
        columns_free(exporter->columns);
        free(exporter);
        return NULL;
}

const ExportCounts *exporter_counts(const Exporter *exporter)
{
        return &exporter->counts;
}

const char *exporter_task_id(const Exporter *exporter)
{
        return exporter->id;
}

/* Hands on what there is of the stream, once it is worth a call or all of it must go. */
static int flush(Exporter *exporter, bool all)
{
        int r = exporter->stream.error;

        if (r == 0 && exporter->stream.text.size > 0 && (all || exporter->stream.text.size >= STREAM_FULL)) {
                r = exporter->calls.write(exporter->stream.text.data, exporter->stream.text.size,
                                exporter->calls.userdata);
                exporter->stream.text.size = 0;
                if (exporter->stream.text.allocated > 4 * STREAM_FULL)
                        writer_done(&exporter->stream); /* a large task was there */
        }
        return r;
}

static int run(Exporter *exporter, int (*step)(Exporter *exporter), bool last)
{
        int r = step ? step(exporter) : 0;

        return r < 0 ? r : flush(exporter, last);
}

static int write_index_header(Exporter *exporter)
{
        put(&exporter->stream, "file,task_id,attachment\r\n");
        return 0;
}

int exporter_begin(Exporter *exporter, unsigned pass)
{
        assert(pass < exporter->format->n_passes);
        exporter->pass = pass;
        if (exporter->options.folder && pass + 1 == exporter->format->n_passes)
                (void)write_index_header(exporter);
        return run(exporter, exporter->format->passes[pass].begin, false);
}

int exporter_end(Exporter *exporter)
{
        return run(exporter, exporter->format->passes[exporter->pass].end, true);
}

/* Rows. */

/* A text that C can work with; NULL for what is none. */
static const char *text_of(const json_t *value)
{
        const char *s = json_string_value(value);

        return s && *s && strlen(s) == json_string_length(value) ? s : NULL;
}

static const json_t *object_of(const json_t *task, const char *name)
{
        const json_t *value = json_object_get(task, name);

        return json_is_object(value) ? value : NULL;
}

/* 0, -EBADMSG, -ENOMEM. */
static int read_row(Exporter *exporter, const char *line, size_t size, Row *ret)
{
        int r;

        *ret = (Row){ .line = line, .size = size, .id = "", .type = "" };
        json_decref(TAKE_PTR(exporter->task));
        exporter->id = "";
        if (exporter->format->verbatim)
                return 0;

        r = json_parse(line, size, 0, &exporter->task, NULL);
        if (r < 0)
                return r;
        if (!json_is_object(exporter->task))
                return -EBADMSG;

        ret->task = exporter->task;
        ret->id = exporter->id = text_of(json_object_get(exporter->task, "task_id")) ?: "";
        ret->type = text_of(json_object_get(exporter->task, "type")) ?: "";
        ret->params = object_of(exporter->task, "params");
        ret->response = object_of(exporter->task, "response");
        ret->url = text_of(json_object_get(ret->params, "attachment"));
        return 0;
}

static int select_row(Exporter *exporter, const Row *row)
{
        const ExportFormat *f = exporter->format;
        const json_t *error;

        if (f->type && !streq(row->type, f->type))
                return EXPORT_OTHER_TYPE;
        if (f->type && !row->response)
                return EXPORT_NO_RESULT;
        error = json_object_get(row->response, "error");
        if (f->type && error && !json_is_null(error))
                return EXPORT_ERROR;
        return f->select ? f->select(exporter, row) : EXPORT_FITS;
}

/* Counts in the first pass. The reason, or negative errno. */
static int judge(Exporter *exporter, const Row *row)
{
        int r = select_row(exporter, row);

        if (r < 0)
                return r;
        exporter->counts.read++;
        if (r == EXPORT_FITS)
                exporter->counts.exported++;
        else {
                exporter->counts.left_out[r]++;
                exporter->counts.n_left_out++;
        }
        return r;
}

int exporter_take(Exporter *exporter, const char *line, size_t size, ExportReason *ret)
{
        const Pass *pass = &exporter->format->passes[exporter->pass];
        int r, reason = EXPORT_FITS;
        Row row;

        r = read_row(exporter, line, size, &row);
        if (r < 0)
                return r;
        if (exporter->pass == 0)
                reason = judge(exporter, &row);
        if (reason < 0)
                return reason;
        if (reason == EXPORT_FITS && pass->row)
                r = pass->row(exporter, &row);
        if (r >= 0)
                r = flush(exporter, false);
        if (r >= 0)
                *ret = (ExportReason)reason;
        return MIN(r, 0);
}

/* Files. */

int exporter_put_file(Exporter *exporter, const char *name, Writer *file)
{
        int r = file->error;

        if (r == 0)
                r = exporter->calls.put_file(
                                name, buffer_text(&file->text), file->text.size, exporter->calls.userdata);
        if (r != 1)
                writer_done(file);
        return r;
}

static void write_index(Exporter *exporter, const Row *row, const char *name)
{
        put_csv(&exporter->stream, name, strlen(name), false);
        put(&exporter->stream, ",");
        put_csv(&exporter->stream, row->id, strlen(row->id), exporter->options.spreadsheet);
        put(&exporter->stream, ",");
        put_csv(&exporter->stream, row->url, strlen(row->url), exporter->options.spreadsheet);
        put(&exporter->stream, "\r\n");
}

int exporter_put_task_file(
                Exporter *exporter, const Row *row, const char *folder, const char *extension, Writer *file)
{
        char name[NAME_SIZE], id[NAME_SIZE], path[2 * NAME_SIZE + 64];
        int stem, r = 1;

        stem = (int)name_stem(name_of_url(row->url, row->id, name));
        (void)name_of_text(row->id, id);
        for (unsigned i = 0; r == 1 && i < SAME_NAMES; i++) {
                if (i == 0)
                        snprintf(path, sizeof(path), "%s%.*s.%s", folder, stem, name, extension);
                else if (i == 1)
                        snprintf(path, sizeof(path), "%s%.*s-%s.%s", folder, stem, name, id, extension);
                else
                        snprintf(path, sizeof(path), "%s%.*s-%s-%u.%s", folder, stem, name, id, i,
                                        extension);
                r = exporter_put_file(exporter, path, file);
                exporter->counts.renamed += i == 0 && r == 1;
        }
        writer_done(file);
        if (r == 0)
                write_index(exporter, row, path);
        return r == 1 ? -EEXIST : r;
}

int exporter_find_size(Exporter *exporter, const Row *row, ImageSize *ret)
{
        char name[NAME_SIZE];

        if (!exporter->calls.find_size)
                return 0;
        return exporter->calls.find_size(
                        row->url, name_of_url(row->url, row->id, name), ret, exporter->calls.userdata);
}

/* Classes. */

int exporter_load_classes(Exporter *exporter, const char *text, size_t size, size_t *ret_line)
{
        const char *end = text + size;

        for (size_t line = 1; text < end; line++) {
                const char *stop = memchr(text, '\n', (size_t)(end - text)) ?: end;
                size_t n = (size_t)(stop - text);
                int r;

                if (n > 0 && text[n - 1] == '\r')
                        n--;
                r = classes_add_listed(&exporter->classes, text, n);
                if (r < 0) {
                        *ret_line = line;
                        return r;
                }
                text = stop + (stop < end);
        }
        return 0;
}

int exporter_save_classes(Exporter *exporter, Buffer *out, size_t *ret_new)
{
        _cleanup_free_ const Class **sorted = NULL;
        int r;

        classes_number(&exporter->classes);
        r = classes_by_number(&exporter->classes, &sorted);
        for (size_t i = 0; r >= 0 && i < exporter->classes.n; i++) {
                r = buffer_append_str(out, sorted[i]->name);
                if (r >= 0)
                        r = buffer_append_str(out, "\n");
        }
        if (r >= 0)
                *ret_new = exporter->classes.n - exporter->classes.n_listed;
        return r;
}

void exporter_collision(const Exporter *exporter, const char **ret_a, const char **ret_b)
{
        *ret_a = exporter->classes.items[exporter->classes.collision[0]].name;
        *ret_b = exporter->classes.items[exporter->classes.collision[1]].name;
}
