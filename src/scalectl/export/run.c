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

static void say_json(const ExportRun *run)
{
        const ExportCounts *c = exporter_counts(run->exporter);
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
                        c->cut_boxes, c->renamed, run->last_event);
}

static void say_counts(const ExportRun *run)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(1024);
        const ExportCounts *c = exporter_counts(run->exporter);
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
        if (!run->to_folder && c->recordings > 1)
                complain("%" PRIu64
                         " recordings follow each other in one file: with -o FOLDER/ each gets one",
                                c->recordings);
        if (!run->o->task)
                complain("for what is new from here on: --after %" PRIu64, run->last_event);
}

/* 0, or the exit status for what was left out under --strict. */
static int check_strict(const ExportRun *run)
{
        return run->o->strict && exporter_counts(run->exporter)->n_left_out > 0 ? EX_DATAERR : 0;
}

static void report(const ExportRun *run, int status)
{
        if (status == 0 || check_strict(run) == status)
                (run->ctl->json ? say_json : say_counts)(run);
        if (status != 0 && check_strict(run) == status && run->status == 0)
                complain("that is an error with --strict%s",
                                streq(run->o->output, "-") ? "" : ": nothing was kept");
}

#define CLASSES_FILE_MAX ((size_t)64 * 1024 * 1024)

/* What the exporter asks for. */

static int failed(ExportRun *run, int r)
{
        if (r < 0)
                run->status = EX_IOERR;
        return r;
}

static int on_write(const void *data, size_t size, void *userdata)
{
        ExportRun *run = userdata;

        return failed(run, run->to_folder ? folder_write(&run->folder, data, size)
                                          : output_write(&run->output, data, size));
}

static int on_file(const char *name, const void *data, size_t size, void *userdata)
{
        ExportRun *run = userdata;

        return failed(run, folder_put(&run->folder, name, data, size));
}

static int on_size(const char *url, const char *name, ImageSize *ret, void *userdata)
{
        ExportRun *run = userdata;

        return failed(run, sizes_find(&run->sizes, url, name, ret));
}

/* What a verb of the exporter answered, said if nobody did. An exit status. */
static int complain_of(ExportRun *run, int r)
{
        static const struct {
                int error, exit;
        } exits[] = {
                { -ENOMEM, EX_OSERR },
                { -EEXIST, EX_DATAERR },
                { -EBADMSG, EX_PROTOCOL },
        };
        const char *a, *b;

        if (r >= 0 || run->status != 0)
                return run->status;
        if (r == -EEXIST && !export_format_has_classes(run->format))
                complain("there are too many tasks whose files want the same name");
        else if (r == -EEXIST) {
                exporter_collision(run->exporter, &a, &b);
                complain("the classes %s and %s would get the same number: give a list with --classes", a,
                                b);
        } else if (r == -EBADMSG)
                (void)api_complain_broken();
        else
                complain("the export failed: %s", strerror(-r));
        FOREACH_ARRAY(e, exits, ELEMENTSOF(exits))
                if (e->error == r)
                        run->status = e->exit;
        if (run->status == 0)
                run->status = EX_IOERR;
        return run->status;
}

/* Lines. */

static int take_line(ExportRun *run, const char *line, size_t size, bool first_pass)
{
        ExportReason reason;
        int r;

        if (folder_interrupted()) {
                run->status = EX_IOERR;
                return -EINTR;
        }
        r = exporter_take(run->exporter, line, size, &reason);
        if (r < 0) {
                (void)complain_of(run, r);
                return r;
        }
        if (!first_pass)
                return 0;
        if (reason != EXPORT_FITS && run->o->verbose)
                complain("%s is left out: a task %s", exporter_task_id(run->exporter),
                                export_reason_describe(reason));
        if (reason != EXPORT_FITS || !run->spool.f)
                return 0;

        r = spool_write(&run->spool, line, size);
        if (r < 0) {
                complain("tasks can't be kept in %s meanwhile: %s (see TMPDIR)", spool_folder(),
                                strerror(-r));
                run->status = EX_IOERR;
        }
        return r;
}

static int take_rest(ExportRun *run, const char *data, size_t size)
{
        int r;

        r = buffer_append(&run->line, data, size);
        if (r < 0)
                (void)complain_of(run, r);
        return r;
}

static int on_data(const char *data, size_t size, void *userdata)
{
        ExportRun *run = userdata;
        int r;

        progress_add(&run->progress, size);
        for (const char *end; (end = memchr(data, '\n', size));
                        size -= (size_t)(end + 1 - data), data = end + 1) {
                size_t n = (size_t)(end - data);

                if (run->line.size == 0)
                        r = take_line(run, data, n, true);
                else {
                        r = take_rest(run, data, n);
                        if (r >= 0)
                                r = take_line(run, run->line.data, run->line.size, true);
                        run->line.size = 0;
                }
                if (r < 0)
                        return r;
        }
        return take_rest(run, data, size);
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
static int read_last_event(ExportRun *run)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(0);
        ApiUrl url = api_url("/v1/stats");
        json_auto_t *stats = NULL;
        const json_t *last;
        int r;

        r = api_call(run->ctl, API_QUERY, "GET", &url, &body);
        if (r != 0)
                return r;
        stats = api_json(&body);
        last = json_object_get(stats, "last_event");
        if (!json_is_integer(last))
                return api_complain_broken();
        run->last_event = (uint64_t)json_integer_value(last);
        return 0;
}

static int fetch(ExportRun *run)
{
        ApiUrl url;
        int r;

        r = read_last_event(run);
        if (r == 0)
                r = make_url(run->o, &url);
        if (r != 0)
                return r;

        run->line = BUFFER_INIT(EXPORT_LINE_MAX);
        run->progress = progress_start("exported");
        r = api_stream(run->ctl, API_QUERY, &url, on_data, run, NULL);
        if (r == 0 && run->line.size > 0) /* one task has no line end */
                (void)take_line(run, run->line.data, run->line.size, true);
        progress_done(&run->progress);
        buffer_done(&run->line);
        return run->status ?: r;
}

/* Classes. */

static int load_classes(ExportRun *run)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(CLASSES_FILE_MAX);
        const char *name = run->o->classes;
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

        r = exporter_load_classes(run->exporter, buffer_text(&text), text.size, &line);
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
static int save_classes(ExportRun *run)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(CLASSES_FILE_MAX);
        size_t n_new = 0;
        Output o;
        int r;

        if (!run->o->classes)
                return 0;
        r = exporter_save_classes(run->exporter, &text, &n_new);
        if (r < 0)
                return complain_of(run, r);
        if (n_new == 0)
                return 0;
        r = output_open(run->o->classes, &o);
        if (r != 0)
                return r;
        r = output_write(&o, buffer_text(&text), text.size) < 0 ? EX_IOERR : output_finish(&o);
        output_done(&o);
        return r;
}

/* Where it goes. */

static int open_target(ExportRun *run)
{
        int r;

        r = run->to_folder ? folder_open(run->o->output, "index.csv", &run->folder)
                           : output_open(run->o->output, &run->output);
        run->target_open = r == 0;
        return r;
}

static int finish_target(ExportRun *run)
{
        if (folder_interrupted())
                return EX_IOERR;
        return run->to_folder ? folder_finish(&run->folder) : output_finish(&run->output);
}

static void close_target(ExportRun *run)
{
        if (run->target_open && run->to_folder)
                folder_done(&run->folder);
        else if (run->target_open)
                output_done(&run->output);
}

/* The passes. */

static int begin_pass(ExportRun *run, unsigned pass)
{
        return complain_of(run, exporter_begin(run->exporter, pass));
}

static int end_pass(ExportRun *run)
{
        return complain_of(run, exporter_end(run->exporter));
}

static int first_pass(ExportRun *run)
{
        int r;

        r = begin_pass(run, 0);
        if (r == 0)
                r = fetch(run);
        if (r == 0)
                r = check_strict(run);
        return r == 0 ? end_pass(run) : r;
}

static int later_pass(ExportRun *run, unsigned pass)
{
        const char *line;
        size_t size;
        int r;

        r = spool_rewind(&run->spool);
        if (r >= 0 && begin_pass(run, pass) != 0)
                return run->status;
        while (r >= 0 && (r = spool_read(&run->spool, &line, &size)) > 0)
                if (take_line(run, line, size, false) < 0)
                        return run->status;
        return r < 0 ? complain_of(run, r) : end_pass(run);
}

static int open_spool(ExportRun *run)
{
        int r;

        r = spool_open(&run->spool);
        if (r >= 0)
                return 0;
        complain("tasks can't be kept in %s meanwhile: %s (see TMPDIR)", spool_folder(), strerror(-r));
        return EX_CANTCREAT;
}

static int run_passes(ExportRun *run)
{
        unsigned n = export_format_passes(run->format);
        int r;

        r = n > 1 ? open_spool(run) : open_target(run);
        if (r == 0)
                r = first_pass(run);
        if (r == 0 && n > 1) {
                r = save_classes(run);
                if (r == 0)
                        r = open_target(run);
        }
        for (unsigned i = 1; r == 0 && i < n; i++)
                r = later_pass(run, i);
        return r == 0 ? finish_target(run) : r;
}

int export_run(ExportRun *run)
{
        const ExportOptions options = {
                .folder = run->to_folder,
                .spreadsheet = run->o->spreadsheet,
                .has_classes = run->o->classes,
                .audio_folder = run->o->audio,
        };
        const ExportCalls calls = { on_write, on_file, run->o->sizes || run->o->images ? on_size : NULL,
                run };
        int r;

        if (exporter_new(run->format, &options, &calls, &run->exporter) < 0) {
                complain("out of memory");
                return EX_OSERR;
        }
        r = sizes_open(run->o->sizes, run->o->images, &run->sizes);
        if (r == 0)
                r = load_classes(run);
        if (r == 0) {
                r = run_passes(run);
                report(run, r);
        }
        return r;
}

void export_run_done(ExportRun *run)
{
        exporter_free(run->exporter);
        sizes_done(&run->sizes);
        spool_done(&run->spool);
        close_target(run);
}
