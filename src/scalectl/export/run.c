/*
 * Exports. The daemon gives tasks as lines of JSON, which is all that is known of them; what becomes of them
 * is up to the exporter (export/). A format that has to know all tasks before it can write the first one
 * gets them again from a spool on disk, so that memory doesn't grow with their number.
 *
 * What is written is there as a whole or not at all. What was not written is counted, by reason, on standard
 * error: nothing is passed over in silence.
 */

#include "scalectl/export/run.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "scalectl/api.h"

/* What is said at the end of an export, on standard error: for people, or with --json for scripts. */

static void say_json(const ExportRun *x)
{
        const ExportCounts *c = exporter_counts(x->exporter);
        const char *separator = "";

        (void)fprintf(stderr,
                        "{\"read\":%" PRIu64 ",\"exported\":%" PRIu64 ",\"left_out\":%" PRIu64
                        ",\"reasons\":{",
                        c->read, c->exported, c->n_left_out);
        for (ExportReason i = EXPORT_FITS + 1; i < _EXPORT_REASON_MAX; i++)
                if (c->left_out[i] > 0) {
                        (void)fprintf(stderr, "%s\"%s\":%" PRIu64, separator, export_reason_to_string(i),
                                        c->left_out[i]);
                        separator = ",";
                }
        (void)fprintf(stderr,
                        "},\"cut_boxes\":%" PRIu64 ",\"renamed_files\":%" PRIu64 ",\"last_event\":%" PRIu64
                        "}\n",
                        c->cut_boxes, c->renamed, x->last_event);
}

static void say_counts(const ExportRun *x)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(1024);
        const ExportCounts *c = exporter_counts(x->exporter);
        const char *separator = ": ";
        int r = 0;

        for (ExportReason i = EXPORT_FITS + 1; r >= 0 && i < _EXPORT_REASON_MAX; i++)
                if (c->left_out[i] > 0) {
                        r = buffer_append_f(&text, "%s%" PRIu64 " %s", separator, c->left_out[i],
                                        export_reason_describe(i));
                        separator = ", ";
                }
        complain("read %" PRIu64 ", exported %" PRIu64 ", left out %" PRIu64 "%s", c->read, c->exported,
                        c->n_left_out, buffer_text(&text));
        if (c->cut_boxes > 0)
                complain("boxes that went beyond their image and were cut to it: %" PRIu64, c->cut_boxes);
        if (c->renamed > 0)
                complain("files with the task's id behind a name that was taken (see index.csv): %" PRIu64,
                                c->renamed);
        if (!x->to_folder && c->recordings > 1)
                complain("%" PRIu64
                         " recordings follow each other in one file: with -o FOLDER/ each gets one",
                                c->recordings);
        if (!x->o->task)
                complain("for what is new from here on: --after %" PRIu64, x->last_event);
}

/* 0, or the exit status for what was left out under --strict. */
static int check_strict(const ExportRun *x)
{
        return x->o->strict && exporter_counts(x->exporter)->n_left_out > 0 ? EX_DATAERR : 0;
}

static void report(const ExportRun *x, int status)
{
        if (status == 0 || check_strict(x) == status)
                (x->ctl->json ? say_json : say_counts)(x);
        if (status != 0 && check_strict(x) == status && x->status == 0)
                complain("that is an error with --strict%s",
                                streq(x->o->output, "-") ? "" : ": nothing was kept");
}

#define CLASSES_FILE_MAX ((size_t)64 * 1024 * 1024)

/* What the exporter asks for. */

static int failed(ExportRun *x, int r)
{
        if (r < 0)
                x->status = EX_IOERR;
        return r;
}

static int on_write(const void *data, size_t size, void *userdata)
{
        ExportRun *x = userdata;

        return failed(x, x->to_folder ? folder_write(&x->folder, data, size)
                                      : output_write(&x->output, data, size));
}

static int on_file(const char *name, const void *data, size_t size, void *userdata)
{
        ExportRun *x = userdata;

        return failed(x, folder_put(&x->folder, name, data, size));
}

static int on_size(const char *url, const char *name, ImageSize *ret, void *userdata)
{
        ExportRun *x = userdata;

        return failed(x, sizes_find(&x->sizes, url, name, ret));
}

/* What a verb of the exporter answered, said if nobody did. An exit status. */
static int complain_of(ExportRun *x, int r)
{
        static const struct {
                int error, exit;
        } exits[] = {
                { -ENOMEM, EX_OSERR },
                { -EEXIST, EX_DATAERR },
                { -EBADMSG, EX_PROTOCOL },
        };
        const char *a, *b;

        if (r >= 0 || x->status != 0)
                return x->status;
        if (r == -EEXIST && !export_format_has_classes(x->format))
                complain("there are too many tasks whose files want the same name");
        else if (r == -EEXIST) {
                exporter_collision(x->exporter, &a, &b);
                complain("the classes %s and %s would get the same number: give a list with --classes", a,
                                b);
        } else if (r == -EBADMSG)
                (void)api_complain_broken();
        else
                complain("the export failed: %s", strerror(-r));
        FOREACH_ARRAY(e, exits, ELEMENTSOF(exits))
                if (e->error == r)
                        x->status = e->exit;
        if (x->status == 0)
                x->status = EX_IOERR;
        return x->status;
}

/* Lines. */

static int take_line(ExportRun *x, const char *line, size_t size, bool first_pass)
{
        ExportReason reason;
        int r;

        if (folder_interrupted()) {
                x->status = EX_IOERR;
                return -EINTR;
        }
        r = exporter_take(x->exporter, line, size, &reason);
        if (r < 0) {
                (void)complain_of(x, r);
                return r;
        }
        if (!first_pass)
                return 0;
        if (reason != EXPORT_FITS && x->o->verbose)
                complain("%s is left out: a task %s", exporter_task_id(x->exporter),
                                export_reason_describe(reason));
        if (reason != EXPORT_FITS || !x->spool.f)
                return 0;

        r = spool_write(&x->spool, line, size);
        if (r < 0) {
                complain("tasks can't be kept in %s meanwhile: %s (see TMPDIR)", spool_folder(),
                                strerror(-r));
                x->status = EX_IOERR;
        }
        return r;
}

static int take_rest(ExportRun *x, const char *data, size_t size)
{
        int r;

        r = buffer_append(&x->line, data, size);
        if (r < 0)
                (void)complain_of(x, r);
        return r;
}

static int on_data(const char *data, size_t size, void *userdata)
{
        ExportRun *x = userdata;
        int r;

        progress_add(&x->progress, size);
        for (const char *end; (end = memchr(data, '\n', size));
                        size -= (size_t)(end + 1 - data), data = end + 1) {
                size_t n = (size_t)(end - data);

                if (x->line.size == 0)
                        r = take_line(x, data, n, true);
                else {
                        r = take_rest(x, data, n);
                        if (r >= 0)
                                r = take_line(x, x->line.data, x->line.size, true);
                        x->line.size = 0;
                }
                if (r < 0)
                        return r;
        }
        return take_rest(x, data, size);
}

/* The request. */

static int make_url(const ExportChoice *o, ApiUrl *ret)
{
        ApiUrl url = api_url(o->task ? "/v1/task" : "/v1/export");
        int r;

        if (o->task)
                api_url_segment(&url, o->task);
        else
                api_url_add(&url, "format", "jsonl");
        api_url_add(&url, "type", o->type);
        api_url_add(&url, "status", o->status);
        api_url_add_time(&url, "start_time", o->since);
        api_url_add_time(&url, "end_time", o->until);
        if (o->after > 0)
                api_url_add_number(&url, "after_seq", o->after);
        r = api_url_add_metadata(&url, &o->metadata);
        if (r != 0) {
                api_url_done(&url);
                return r;
        }
        *ret = url;
        return 0;
}

/* The number of the newest event, to go on from the next time. What is stored meanwhile may be in this
 * export and will be in the next one too; nothing is in neither. */
static int read_last_event(ExportRun *x)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(0);
        ApiUrl url = api_url("/v1/stats");
        json_auto_t *stats = NULL;
        const json_t *last;
        int r;

        r = api_call(x->ctl, API_QUERY, "GET", &url, &body);
        if (r != 0)
                return r;
        stats = api_json(&body);
        last = json_object_get(stats, "last_event");
        if (!json_is_integer(last))
                return api_complain_broken();
        x->last_event = (uint64_t)json_integer_value(last);
        return 0;
}

static int fetch(ExportRun *x)
{
        ApiUrl url;
        int r;

        r = read_last_event(x);
        if (r == 0)
                r = make_url(x->o, &url);
        if (r != 0)
                return r;

        x->line = BUFFER_INIT(EXPORT_LINE_MAX);
        x->progress = progress_start("exported");
        r = api_stream(x->ctl, API_QUERY, &url, on_data, x, NULL);
        if (r == 0 && x->line.size > 0) /* one task has no line end */
                (void)take_line(x, x->line.data, x->line.size, true);
        progress_done(&x->progress);
        buffer_done(&x->line);
        return x->status ?: r;
}

/* Classes. */

static int load_classes(ExportRun *x)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(CLASSES_FILE_MAX);
        const char *name = x->o->classes;
        char piece[4096];
        size_t n, line;
        FILE *f;
        int r = 0;

        if (!name)
                return 0;
        f = fopen(name, "re");
        if (!f && errno == ENOENT)
                return 0;
        while (f && r >= 0 && (n = fread(piece, 1, sizeof(piece), f)) > 0)
                r = buffer_append(&text, piece, n);
        if (!f || ferror(f) || r < 0) {
                complain("%s can't be read: %s", name, strerror(r < 0 ? -r : errno));
                r = EX_NOINPUT;
        }
        if (f)
                (void)fclose(f);
        if (r != 0)
                return r;

        r = exporter_load_classes(x->exporter, buffer_text(&text), text.size, &line);
        if (r >= 0)
                return 0;
        if (r == -EINVAL)
                complain("%s, line %zu: expected the name of a class, each once", name, line);
        else
                complain("%s can't be used: %s", name, strerror(-r));
        return EX_DATAERR;
}

/* The list is written before anything that uses its numbers: should the rest fail, then there are only names
 * in it that are used a little later. */
static int save_classes(ExportRun *x)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(CLASSES_FILE_MAX);
        size_t n_new = 0;
        Output o;
        int r;

        if (!x->o->classes)
                return 0;
        r = exporter_save_classes(x->exporter, &text, &n_new);
        if (r < 0)
                return complain_of(x, r);
        if (n_new == 0)
                return 0;
        r = output_open(x->o->classes, &o);
        if (r != 0)
                return r;
        r = output_write(&o, buffer_text(&text), text.size) < 0 ? EX_IOERR : output_finish(&o);
        output_done(&o);
        return r;
}

/* Where it goes. */

static int open_target(ExportRun *x)
{
        int r;

        r = x->to_folder ? folder_open(x->o->output, "index.csv", &x->folder)
                         : output_open(x->o->output, &x->output);
        x->target_open = r == 0;
        return r;
}

static int finish_target(ExportRun *x)
{
        if (folder_interrupted())
                return EX_IOERR;
        return x->to_folder ? folder_finish(&x->folder) : output_finish(&x->output);
}

static void close_target(ExportRun *x)
{
        if (x->target_open && x->to_folder)
                folder_done(&x->folder);
        else if (x->target_open)
                output_done(&x->output);
}

/* The passes. */

static int begin_pass(ExportRun *x, unsigned pass)
{
        return complain_of(x, exporter_begin(x->exporter, pass));
}

static int end_pass(ExportRun *x)
{
        return complain_of(x, exporter_end(x->exporter));
}

static int first_pass(ExportRun *x)
{
        int r;

        r = begin_pass(x, 0);
        if (r == 0)
                r = fetch(x);
        if (r == 0)
                r = check_strict(x);
        return r == 0 ? end_pass(x) : r;
}

static int later_pass(ExportRun *x, unsigned pass)
{
        const char *line;
        size_t size;
        int r;

        r = spool_rewind(&x->spool);
        if (r >= 0 && begin_pass(x, pass) != 0)
                return x->status;
        while (r >= 0 && (r = spool_read(&x->spool, &line, &size)) > 0)
                if (take_line(x, line, size, false) < 0)
                        return x->status;
        return r < 0 ? complain_of(x, r) : end_pass(x);
}

static int open_spool(ExportRun *x)
{
        int r;

        r = spool_open(&x->spool);
        if (r >= 0)
                return 0;
        complain("tasks can't be kept in %s meanwhile: %s (see TMPDIR)", spool_folder(), strerror(-r));
        return EX_CANTCREAT;
}

static int run_passes(ExportRun *x)
{
        unsigned n = export_format_passes(x->format);
        int r;

        r = n > 1 ? open_spool(x) : open_target(x);
        if (r == 0)
                r = first_pass(x);
        if (r == 0 && n > 1) {
                r = save_classes(x);
                if (r == 0)
                        r = open_target(x);
        }
        for (unsigned i = 1; r == 0 && i < n; i++)
                r = later_pass(x, i);
        return r == 0 ? finish_target(x) : r;
}

int export_run(ExportRun *x)
{
        const ExportOptions options = {
                .folder = x->to_folder,
                .spreadsheet = x->o->spreadsheet,
                .has_classes = x->o->classes,
                .audio_folder = x->o->audio,
        };
        const ExportCalls calls = { on_write, on_file, x->o->sizes || x->o->images ? on_size : NULL, x };
        int r;

        if (exporter_new(x->format, &options, &calls, &x->exporter) < 0) {
                complain("out of memory");
                return EX_OSERR;
        }
        r = sizes_open(x->o->sizes, x->o->images, &x->sizes);
        if (r == 0)
                r = load_classes(x);
        if (r == 0) {
                r = run_passes(x);
                report(x, r);
        }
        return r;
}

void export_run_done(ExportRun *x)
{
        exporter_free(x->exporter);
        sizes_done(&x->sizes);
        spool_done(&x->spool);
        close_target(x);
}
