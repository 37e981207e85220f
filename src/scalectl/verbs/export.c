/* The verb `export`: its options, and which of them go together. */

#include <sys/stat.h>

#include "basic/time-util.h"
#include "scalectl/export/run.h"

static const Option export_options[] = {
        { "--format", OPTION_TEXT, offsetof(ExportChoice, format) },
        { "--type", OPTION_TEXT, offsetof(ExportChoice, type) },
        { "--status", OPTION_TEXT, offsetof(ExportChoice, status) },
        { "--since", OPTION_TIME, offsetof(ExportChoice, since) },
        { "--until", OPTION_TIME, offsetof(ExportChoice, until) },
        { "--after", OPTION_NUMBER, offsetof(ExportChoice, after) },
        { "--metadata", OPTION_LIST, offsetof(ExportChoice, metadata) },
        { "--task", OPTION_TEXT, offsetof(ExportChoice, task) },
        { "--classes", OPTION_TEXT, offsetof(ExportChoice, classes) },
        { "--sizes", OPTION_TEXT, offsetof(ExportChoice, sizes) },
        { "--images", OPTION_TEXT, offsetof(ExportChoice, images) },
        { "--audio", OPTION_TEXT, offsetof(ExportChoice, audio) },
        { "--spreadsheet", OPTION_FLAG, offsetof(ExportChoice, spreadsheet) },
        { "--strict", OPTION_FLAG, offsetof(ExportChoice, strict) },
        { "--verbose", OPTION_FLAG, offsetof(ExportChoice, verbose) },
        { "-o", OPTION_TEXT, offsetof(ExportChoice, output) },
};

/* The options. */

static int list_formats(const char *name)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(1024);

        for (const ExportFormat *const *f = export_formats; *f; f++)
                if (buffer_append_f(&text, " %s", export_format_name(*f)) < 0)
                        break;
        complain("--format %s: there are%s", name, buffer_text(&text));
        return EX_USAGE;
}

/* For a format that can be either: a folder is meant by a slash at the end, or by being one. */
static bool is_folder(const ExportFormat *f, const char *output)
{
        struct stat st;

        if (export_format_shape(f) != EXPORT_EITHER)
                return export_format_shape(f) == EXPORT_FOLDER;
        return output[0] &&
               (output[strlen(output) - 1] == '/' || (stat(output, &st) >= 0 && S_ISDIR(st.st_mode)));
}

static int check_options(const ExportChoice *o, const ExportFormat *f)
{
        const char *name = export_format_name(f);
        bool sizes = o->sizes || o->images;

        if (export_format_shape(f) == EXPORT_FOLDER && streq(o->output, "-"))
                complain("--format %s makes many files: name a folder with -o", name);
        else if (export_format_needs_sizes(f) && !sizes)
                complain("--format %s needs the sizes of images: give --sizes or --images", name);
        else if (sizes && !export_format_needs_sizes(f) && !streq(name, "coco"))
                complain("--format %s has no use for --sizes and --images", name);
        else if (o->classes && !export_format_has_classes(f))
                complain("--format %s has no use for --classes", name);
        else if (o->audio && !streq(name, "manifest"))
                complain("--audio is for --format manifest");
        else if (o->spreadsheet && !streq(name, "csv"))
                complain("--spreadsheet is for --format csv");
        else if (o->task && (o->type || o->status || o->after || o->metadata.n > 0 ||
                                            o->since != TIME_NONE || o->until != TIME_NONE))
                complain("--task names one, nothing else can choose it");
        else
                return 0;
        return EX_USAGE;
}

int verb_export(Ctl *ctl, int argc, char **argv)
{
        ExportChoice o = { .format = "jsonl", .output = "-", .since = TIME_NONE, .until = TIME_NONE };
        ExportRun x = { .ctl = ctl, .o = &o, .sizes = SIZES_INIT, .folder = FOLDER_INIT };
        unsigned n;
        int r;

        r = options_read(ctl, export_options, ELEMENTSOF(export_options), &o, argc, argv, 0, 0, &n);
        if (r != 0)
                return r;
        x.format = export_format_find(o.format);
        if (!x.format)
                return list_formats(o.format);
        r = check_options(&o, x.format);
        if (r != 0)
                return r;

        x.to_folder = is_folder(x.format, o.output);
        r = export_run(&x);
        export_run_done(&x);
        return r;
}
