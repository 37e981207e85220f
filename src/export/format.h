#pragma once

/* A format, and what formats share with the exporter that runs them. Nobody outside of export/ includes
 * this. */

#include <inttypes.h>
#include <jansson.h>

#include "export/classes.h"
#include "export/export.h"
#include "export/writer.h"

#define EXPORT_PASSES_MAX 3U

/* A task, taken apart. Lives until the next one. */
typedef struct Row {
        const char *line; /* as it came */
        size_t size;
        const json_t *task;     /* an object; NULL where the format doesn't look into it */
        const char *id, *type;  /* "" where there is none */
        const json_t *params;   /* an object, perhaps NULL */
        const json_t *response; /* an object; NULL: none */
        const char *url;        /* of the attachment; NULL: none */
} Row;

/* Any may be NULL. */
typedef struct Pass {
        int (*begin)(Exporter *exporter);
        int (*row)(Exporter *exporter, const Row *row);
        int (*end)(Exporter *exporter);
} Pass;

/* One a file of its kind. */
struct ExportFormat {
        const char *name;
        ExportShape shape;
        bool verbatim; /* lines are handed on as they came, nothing looks into them */
        bool needs_sizes, has_classes;
        const char *type; /* the tasks that it has a form for; NULL: any */
        /* In the first pass, of a task of its type that has a result: EXPORT_FITS, another reason, negative
         * errno. NULL: any fits. It may also note what later passes need to know of all tasks. */
        int (*select)(Exporter *exporter, const Row *row);
        unsigned n_passes;
        Pass passes[EXPORT_PASSES_MAX];
};

extern const ExportFormat export_jsonl, export_csv, export_coco, export_yolo, export_voc, export_srt,
                export_vtt, export_ctm, export_manifest;

typedef struct Columns Columns;

struct Exporter {
        const ExportFormat *format;
        ExportOptions options;
        ExportCalls calls;
        ExportCounts counts;
        unsigned pass;
        json_t *task; /* the last one */
        const char *id;
        Writer stream; /* what goes out behind what did already */
        Classes classes;
        Columns *columns; /* of CSV */
        uint64_t n;       /* a format's own count: of annotations, of images */
        double time;      /* where the next recording begins */
};

/* Gives a file of its own to a task: FOLDER/STEM.EXTENSION with the stem of its attachment's name, and the
 * task's id behind it where that is taken; and a line in the index. What is in `file` is let go. */
int exporter_put_task_file(
                Exporter *exporter, const Row *row, const char *folder, const char *extension, Writer *file);

/* A file of which there is one. */
int exporter_put_file(Exporter *exporter, const char *name, Writer *file);

/* 1, 0: not known; negative errno. */
int exporter_find_size(Exporter *exporter, const Row *row, ImageSize *ret);

void columns_free(Columns *columns);
