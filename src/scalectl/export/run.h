#pragma once

/* One export, from the request to the file. */

#include "export/export.h"
#include "scalectl/ctl.h"
#include "scalectl/export/folder.h"
#include "scalectl/export/sizes.h"
#include "scalectl/export/spool.h"
#include "scalectl/text/output.h"

/* What the command line says. */
typedef struct ExportChoice {
        const char *format, *type, *status, *task, *output, *classes, *sizes, *images, *audio;
        int64_t since, until;
        uint64_t after;
        OptionList metadata;
        bool strict, verbose, spreadsheet;
} ExportChoice;

typedef struct ExportRun {
        Ctl *ctl;
        const ExportChoice *o;
        const ExportFormat *format;
        bool to_folder, target_open;
        Exporter *exporter;
        Sizes sizes;
        Spool spool;
        Output output;
        Folder folder;
        Buffer line; /* the front of one, until the rest comes */
        Progress progress;
        uint64_t last_event; /* before the first task was read */
        int status;          /* what went wrong, said; 0: nothing yet */
} ExportRun;

/* All of it, with the report. 0, or an exit status (said). */
int export_run(ExportRun *run);

/* Lets go of everything; what was not finished is thrown away. */
void export_run_done(ExportRun *run);
