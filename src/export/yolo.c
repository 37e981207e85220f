/*
 * YOLO: a text file an image in labels/, with a line a box: the number of its class, its centre and its
 * size, as parts of the image's. Beside them classes.txt, data.yaml and an index. An image without boxes is
 * an empty file.
 */

#include "export/boxes.h"

static int begin_labels(Exporter *x)
{
        classes_number(&x->classes);
        return 0;
}

static void write_box(Exporter *x, const Row *row, size_t i, const ImageSize *image, Writer *file)
{
        char label[CLASS_NAME_MAX + 1];
        Box b = boxes_get(row, i);

        x->counts.cut_boxes += box_cut(&b, image);
        put_f(file, "%" PRIu32 " %.6f %.6f %.6f %.6f\n",
                        classes_find(&x->classes, boxes_label(row, i, label))->number,
                        (b.left + b.width / 2) / image->width, (b.top + b.height / 2) / image->height,
                        b.width / image->width, b.height / image->height);
}

static int write_labels(Exporter *x, const Row *row)
{
        Writer file = { .text = BUFFER_INIT(EXPORT_LINE_MAX) };
        ImageSize image;
        int r;

        r = exporter_find_size(x, row, &image);
        if (r <= 0)
                return r < 0 ? r : -ESTALE; /* a moment ago it was known */
        for (size_t i = 0; i < boxes_count(row); i++)
                write_box(x, row, i, &image, &file);
        return exporter_put_task_file(x, row, "labels/", "txt", &file);
}

static int write_classes(Exporter *x)
{
        Writer file = { .text = BUFFER_INIT(EXPORT_LINE_MAX) };
        size_t n_new;
        int r;

        r = exporter_save_classes(x, &file.text, &n_new);
        return r < 0 ? r : exporter_put_file(x, "classes.txt", &file);
}

static int end_labels(Exporter *x)
{
        Writer file = { .text = BUFFER_INIT(EXPORT_LINE_MAX) };
        _cleanup_free_ const Class **sorted = NULL;
        int r;

        r = write_classes(x);
        if (r == 0)
                r = classes_by_number(&x->classes, &sorted);
        if (r < 0)
                return r;

        put(&file, "# Put the images into images/, beside labels/.\npath: .\ntrain: images\nval: images\n");
        put_f(&file, "nc: %zu\nnames:%s\n", x->classes.n, x->classes.n == 0 ? " {}" : "");
        for (size_t i = 0; i < x->classes.n; i++) {
                put_f(&file, "  %" PRIu32 ": ", sorted[i]->number);
                put_json_text(&file, sorted[i]->name, strlen(sorted[i]->name)); /* it is YAML too */
                put(&file, "\n");
        }
        return exporter_put_file(x, "data.yaml", &file);
}

const ExportFormat export_yolo = {
        .name = "yolo",
        .shape = EXPORT_FOLDER,
        .needs_sizes = true,
        .has_classes = true,
        .type = "annotation",
        .select = boxes_survey,
        .n_passes = 2,
        .passes = { {}, { begin_labels, write_labels, end_labels } },
};
