/* What is said at the end of an export, on standard error: for people, or with --json for scripts. */

#include <inttypes.h>
#include <stdio.h>

#include "scalectl/export/run.h"

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

void export_report(const ExportRun *x, int status)
{
        if (status == 0 || export_check_strict(x) == status)
                (x->ctl->json ? say_json : say_counts)(x);
        if (status != 0 && export_check_strict(x) == status && x->status == 0)
                complain("that is an error with --strict%s",
                                streq(x->o->output, "-") ? "" : ": nothing was kept");
}
