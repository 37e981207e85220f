#pragma once

/* Exports: tasks as the daemon gives them, a line of JSON each, into the formats that other programs read.
 */

#include "basic/buffer.h"
#include "export/image-size.h"

#define EXPORT_LINE_MAX ((size_t)512 * 1024 * 1024) /* a task, however long its transcript */

/* Why a task is not in what came out. */
typedef enum ExportReason {
        EXPORT_FITS, /* it is */
        EXPORT_OTHER_TYPE,
        EXPORT_NO_RESULT,
        EXPORT_ERROR,
        EXPORT_MALFORMED,
        EXPORT_NO_ATTACHMENT,
        EXPORT_NO_SIZE,
        EXPORT_OUTSIDE,
        EXPORT_NO_ALIGNMENT,
        EXPORT_TOO_WIDE,
        EXPORT_TOO_MANY_CLASSES,
        _EXPORT_REASON_MAX,
} ExportReason;

/* A word for programs ("no_result"), and the second half of "2 tasks ..." for people. */
const char *export_reason_to_string(ExportReason v);
const char *export_reason_describe(ExportReason v);

/* Where what comes out goes. */
typedef enum ExportShape {
        EXPORT_STREAM, /* all of it into one file */
        EXPORT_FOLDER, /* a file a task, and an index of them, which is the stream */
        EXPORT_EITHER, /* as ExportOptions.folder says */
} ExportShape;

typedef struct ExportFormat ExportFormat;

/* All formats, up to a NULL; by name, NULL where there is none. */
extern const ExportFormat *const export_formats[];
const ExportFormat *export_format_find(const char *name);

const char *export_format_name(const ExportFormat *f);
ExportShape export_format_shape(const ExportFormat *f);
bool export_format_needs_sizes(const ExportFormat *f);
bool export_format_has_classes(const ExportFormat *f);

/* How often the tasks have to be given: the first time all of them, later those that fitted, in the same
 * order. */
unsigned export_format_passes(const ExportFormat *f);

typedef struct ExportOptions {
        bool folder;              /* EXPORT_EITHER: a file a task */
        bool spreadsheet;         /* CSV: what a spreadsheet would take for a formula is made text */
        bool has_classes;         /* numbers of classes are those of a list, see exporter_load_classes() */
        const char *audio_folder; /* manifest: where recordings are; NULL: they are named by their URL */
} ExportOptions;

/* What the exporter needs of its surroundings. All are called from within its verbs. */
typedef struct ExportCalls {
        /* Takes a piece of the stream. 0 or negative errno. */
        int (*write)(const void *data, size_t size, void *userdata);
        /* Takes a whole file; `name` is relative, has at most one folder, and no part of it begins with a
         * dot. 0, 1: there is one of this name already; negative errno. NULL without a folder. */
        int (*put_file)(const char *name, const void *data, size_t size, void *userdata);
        /* The size of the image with this URL or with this name. 1, 0: not known, negative errno. NULL: no
         * sizes are known. */
        int (*find_size)(const char *url, const char *name, ImageSize *ret, void *userdata);
        void *userdata;
} ExportCalls;

typedef struct ExportCounts {
        uint64_t read, exported;
        uint64_t left_out[_EXPORT_REASON_MAX];
        uint64_t n_left_out; /* all of them */
        uint64_t cut_boxes;  /* boxes that went beyond their image and were cut to it */
        uint64_t renamed;    /* files whose name was taken */
        uint64_t recordings; /* that follow each other in one file of subtitles */
} ExportCounts;

typedef struct Exporter Exporter;

/* `options` and `calls` are copied, what they point to is borrowed. 0, -ENOMEM. */
int exporter_new(const ExportFormat *f, const ExportOptions *options, const ExportCalls *calls,
                Exporter **ret);
Exporter *exporter_free(Exporter *exporter);
DEFINE_CLEANUP(Exporter *, exporter_free)

/* The classes that there are already, a name a line, before the first pass; their numbers stay. 0, -ENOMEM;
 * -EINVAL: the line *ret_line is empty, too long or a repetition; -E2BIG: too many. */
int exporter_load_classes(Exporter *exporter, const char *text, size_t size, size_t *ret_line);

/* After the first pass: the same list with those that are new behind them, in the order of their names. How
 * many are new in *ret_new. 0, -ENOMEM, -ENOBUFS. */
int exporter_save_classes(Exporter *exporter, Buffer *out, size_t *ret_new);

/* One pass: begin, each task, end.
 *   begin  0; -EEXIST (second pass): two classes have the same number and need a list, see
 *          exporter_collision()
 *   take   one line without its end. In the first pass *ret says whether the task fits and is to be given
 *          again in later passes. 0; -EBADMSG: the line is no task
 *   end    0
 * Any of them: -ENOMEM, -ENOBUFS, and whatever the calls answered. */
int exporter_begin(Exporter *exporter, unsigned pass);
int exporter_take(Exporter *exporter, const char *line, size_t size, ExportReason *ret);
int exporter_end(Exporter *exporter);

/* The names of the two classes; borrowed. */
void exporter_collision(const Exporter *exporter, const char **ret_a, const char **ret_b);

/* The id of the task that was taken last; borrowed until the next one. "" where it has none. */
const char *exporter_task_id(const Exporter *exporter);

const ExportCounts *exporter_counts(const Exporter *exporter);
