/*
 * Boxes, and the formats that are made of them. What was stored was checked by the rules of its time,
 * perhaps leniently, so each box is looked at again: an image from which a broken box was dropped would
 * teach that there is nothing.
 *
 * Where the size of its image is known, a box that goes beyond it is cut to it; a task with a box outside of
 * it is left out, because then the size is that of another image.
 */

#include <math.h>

#include "export/format.h"
#include "export/name.h"
#include "export/text.h"

#define COORDINATE_MAX 1e7 /* pixels */

typedef struct Box {
        double left, top, width, height; /* pixels; width and height are more than 0 */
} Box;

static const json_t *list_of(const Row *row)
{
        return json_object_get(row->response, "annotations");
}

static size_t boxes_count(const Row *row)
{
        return json_array_size(list_of(row));
}

static bool read_side(const json_t *box, const char *name, double *ret)
{
        const json_t *value = json_object_get(box, name);
        double v = json_number_value(value);

        if (!json_is_number(value) || v < -COORDINATE_MAX || v > COORDINATE_MAX)
                return false;
        *ret = v;
        return true;
}

static bool read_box(const json_t *value, Box *ret)
{
        const json_t *label = json_object_get(value, "label");

        if (label && !json_is_string(label) && !json_is_null(label))
                return false;
        return json_string_length(label) <= CLASS_NAME_MAX && read_side(value, "left", &ret->left) &&
               read_side(value, "top", &ret->top) && read_side(value, "width", &ret->width) &&
               read_side(value, "height", &ret->height) && ret->width > 0 && ret->height > 0;
}

static Box boxes_get(const Row *row, size_t i)
{
        Box b = {};
        bool whole = read_box(json_array_get(list_of(row), i), &b);

        assert(whole); /* see boxes_survey() */
        return b;
}

/* The label as it was given, else the only thing that was asked for. */
static const json_t *label_of(const Row *row, size_t i)
{
        const json_t *label = json_object_get(json_array_get(list_of(row), i), "label");
        const json_t *objects = json_object_get(row->params, "objects_to_annotate");

        if (json_string_length(label) > 0)
                return label;
        return json_array_size(objects) == 1 ? json_array_get(objects, 0) : NULL;
}

/* What a box shows: its label; without labels, the one thing that the task asked for; else "object". Control
 * characters are spaces in it. Returns buf. */
static const char *boxes_label(const Row *row, size_t i, char buf[static CLASS_NAME_MAX + 1])
{
        const json_t *label = label_of(row, i);
        const char *s = json_string_value(label);
        size_t size = MIN(json_string_length(label), (size_t)CLASS_NAME_MAX), used = 0;

        for (size_t at = 0, n; at < size; at += n) {
                uint32_t c;

                n = text_char(s + at, size - at, &c);
                if (c == 0xfffd && n == 1)
                        break; /* cut in the middle of a character */
                memcpy(buf + used, text_is_control(c) ? " " : s + at, text_is_control(c) ? 1 : n);
                used += text_is_control(c) ? 1 : n;
        }
        buf[used] = 0;
        if (used == 0)
                strcpy(buf, "object");
        return buf;
}

/* EXPORT_FITS or another reason. */
static int check_boxes(const Row *row)
{
        Box box;

        if (!json_is_array(list_of(row)))
                return EXPORT_MALFORMED;
        if (!row->url)
                return EXPORT_NO_ATTACHMENT;
        for (size_t i = 0; i < boxes_count(row); i++)
                if (!read_box(json_array_get(list_of(row), i), &box))
                        return EXPORT_MALFORMED;
        return EXPORT_FITS;
}

static int note_classes(Exporter *exporter, const Row *row)
{
        char label[CLASS_NAME_MAX + 1];

        for (size_t i = 0; i < boxes_count(row); i++) {
                int r = classes_add(&exporter->classes, boxes_label(row, i, label));

                if (r < 0)
                        return r == -E2BIG ? EXPORT_TOO_MANY_CLASSES : r;
        }
        return EXPORT_FITS;
}

/* Whether any part of every box is in the image. */
static bool are_inside(const Row *row, const ImageSize *image)
{
        for (size_t i = 0; i < boxes_count(row); i++) {
                Box b = boxes_get(row, i);

                if (b.left >= image->width || b.top >= image->height || b.left + b.width <= 0 ||
                                b.top + b.height <= 0)
                        return false;
        }
        return true;
}

/* Whether the response is a list of boxes that can be used, perhaps an empty one, its size is known if the
 * format needs that, and a part of every box is in an image of that size; notes their classes. EXPORT_FITS,
 * another reason, negative errno. */
static int boxes_survey(Exporter *exporter, const Row *row)
{
        ImageSize image;
        int r;

        r = check_boxes(row);
        if (r != EXPORT_FITS)
                return r;
        r = exporter_find_size(exporter, row, &image);
        if (r < 0)
                return r;
        if (r == 0 && exporter->format->needs_sizes)
                return EXPORT_NO_SIZE;
        return r == 0 || are_inside(row, &image) ? note_classes(exporter, row) : EXPORT_OUTSIDE;
}

/* Cuts one direction. */
static bool cut(double *start, double *length, double limit)
{
        double from = MAX(*start, 0.0), to = MIN(*start + *length, limit);
        bool is_cut = from > *start || to < *start + *length;

        if (is_cut) {
                *start = from;
                *length = to - from;
        }
        return is_cut;
}

/* Cuts a box to its image. Whether there was something to cut. */
static bool box_cut(Box *b, const ImageSize *image)
{
        bool x = cut(&b->left, &b->width, image->width), y = cut(&b->top, &b->height, image->height);

        return x || y;
}

/*
 * COCO: one object with images, annotations and categories. The first pass learns the categories, the second
 * writes the images, the third the annotations, so that no array has to be held.
 *
 * An image's id is made of its task's id, a category's of its name (or is its place in the list that the
 * user keeps): both are the same in every export, whatever else is in it. An image's id has 53 bits, as many
 * as every reader of JSON holds exactly; that two of a million tasks share one has a chance of one in
 * 18,000. Annotations are numbered through, nothing refers to them.
 *
 * A task whose response is an empty list of boxes is an image without annotations: somebody looked, and
 * there is nothing. A task without a response is no image at all.
 */

#define ID_BITS 53U

static uint64_t image_id(const Row *row)
{
        uint64_t id = text_hash(row->id, strlen(row->id)) >> (64 - ID_BITS);

        return id > 0 ? id : 1;
}

static int begin_images(Exporter *exporter)
{
        int r = 0;

        if (exporter->options.has_classes)
                classes_number(&exporter->classes);
        else
                r = classes_number_by_name(&exporter->classes);
        put(&exporter->stream, "{\"info\":{\"description\":\"Tasks of scale-callbackd\"},\n\"images\":[");
        exporter->n = 0;
        return r;
}

static void separate(Exporter *exporter)
{
        put(&exporter->stream, exporter->n++ == 0 ? "\n" : ",\n");
}

static void put_text(Exporter *exporter, const char *before, const char *s)
{
        put(&exporter->stream, before);
        put_json_text(&exporter->stream, s, strlen(s));
}

static int write_image(Exporter *exporter, const Row *row)
{
        char name[NAME_SIZE];
        ImageSize size;
        int r;

        r = exporter_find_size(exporter, row, &size);
        if (r < 0)
                return r;
        separate(exporter);
        put_f(&exporter->stream, "{\"id\":%" PRIu64, image_id(row));
        put_text(exporter, ",\"file_name\":", name_of_url(row->url, row->id, name));
        if (r > 0)
                put_f(&exporter->stream, ",\"width\":%" PRIu32 ",\"height\":%" PRIu32, size.width,
                                size.height);
        put_text(exporter, ",\"coco_url\":", row->url);
        put_text(exporter, ",\"task_id\":", row->id);
        put(&exporter->stream, "}");
        return 0;
}

static int end_images(Exporter *exporter)
{
        put(&exporter->stream, exporter->n == 0 ? "],\n" : "\n],\n");
        return 0;
}

static int begin_annotations(Exporter *exporter)
{
        put(&exporter->stream, "\"annotations\":[");
        exporter->n = 0;
        return 0;
}

static uint32_t category_id(const Exporter *exporter, const Class *class)
{
        return class->number + (exporter->options.has_classes ? 1 : 0);
}

/* `image` is NULL where its size is not known. */
static void coco_write_box(Exporter *exporter, const Row *row, size_t i, const ImageSize *image)
{
        char label[CLASS_NAME_MAX + 1];
        Box b = boxes_get(row, i);
        bool is_cut = image && box_cut(&b, image);
        const double sides[] = { b.left, b.top, b.width, b.height };

        exporter->counts.cut_boxes += is_cut;
        separate(exporter);
        put_f(&exporter->stream, "{\"id\":%" PRIu64 ",\"image_id\":%" PRIu64 ",\"category_id\":%" PRIu32,
                        exporter->n, image_id(row),
                        category_id(exporter, classes_find(&exporter->classes, boxes_label(row, i, label))));
        FOREACH_ARRAY(s, sides, ELEMENTSOF(sides)) {
                put(&exporter->stream, s == sides ? ",\"bbox\":[" : ",");
                put_json_number(&exporter->stream, *s);
        }
        put(&exporter->stream, "],\"area\":");
        put_json_number(&exporter->stream, b.width * b.height);
        put(&exporter->stream, ",\"segmentation\":[],\"iscrowd\":0}");
}

static int write_annotations(Exporter *exporter, const Row *row)
{
        ImageSize image;
        int r;

        r = exporter_find_size(exporter, row, &image);
        if (r < 0)
                return r;
        for (size_t i = 0; i < boxes_count(row); i++)
                coco_write_box(exporter, row, i, r > 0 ? &image : NULL);
        return 0;
}

static int end_annotations(Exporter *exporter)
{
        _cleanup_free_ const Class **sorted = NULL;
        int r;

        r = classes_by_number(&exporter->classes, &sorted);
        if (r < 0)
                return r;
        put(&exporter->stream, exporter->n == 0 ? "],\n" : "\n],\n");
        put(&exporter->stream, "\"categories\":[");
        exporter->n = 0;
        for (size_t i = 0; i < exporter->classes.n; i++) {
                separate(exporter);
                put_f(&exporter->stream, "{\"id\":%" PRIu32, category_id(exporter, sorted[i]));
                put_text(exporter, ",\"name\":", sorted[i]->name);
                put(&exporter->stream, "}");
        }
        put(&exporter->stream, exporter->n == 0 ? "]}\n" : "\n]}\n");
        return 0;
}

const ExportFormat export_coco = {
        .name = "coco",
        .has_classes = true,
        .type = "annotation",
        .select = boxes_survey,
        .n_passes = 3,
        .passes = {
                {},
                { begin_images, write_image, end_images },
                { begin_annotations, write_annotations, end_annotations },
        },
};

/*
 * YOLO: a text file an image in labels/, with a line a box: the number of its class, its centre and its
 * size, as parts of the image's. Beside them classes.txt, data.yaml and an index. An image without boxes is
 * an empty file.
 */

static int begin_labels(Exporter *exporter)
{
        classes_number(&exporter->classes);
        return 0;
}

static void yolo_write_box(
                Exporter *exporter, const Row *row, size_t i, const ImageSize *image, Writer *file)
{
        char label[CLASS_NAME_MAX + 1];
        Box b = boxes_get(row, i);

        exporter->counts.cut_boxes += box_cut(&b, image);
        put_f(file, "%" PRIu32 " %.6f %.6f %.6f %.6f\n",
                        classes_find(&exporter->classes, boxes_label(row, i, label))->number,
                        (b.left + b.width / 2) / image->width, (b.top + b.height / 2) / image->height,
                        b.width / image->width, b.height / image->height);
}

static int write_labels(Exporter *exporter, const Row *row)
{
        Writer file = { .text = BUFFER_INIT(EXPORT_LINE_MAX) };
        ImageSize image;
        int r;

        r = exporter_find_size(exporter, row, &image);
        if (r <= 0)
                return r < 0 ? r : -ESTALE; /* a moment ago it was known */
        for (size_t i = 0; i < boxes_count(row); i++)
                yolo_write_box(exporter, row, i, &image, &file);
        return exporter_put_task_file(exporter, row, "labels/", "txt", &file);
}

static int write_classes(Exporter *exporter)
{
        Writer file = { .text = BUFFER_INIT(EXPORT_LINE_MAX) };
        size_t n_new;
        int r;

        r = exporter_save_classes(exporter, &file.text, &n_new);
        return r < 0 ? r : exporter_put_file(exporter, "classes.txt", &file);
}

static int end_labels(Exporter *exporter)
{
        Writer file = { .text = BUFFER_INIT(EXPORT_LINE_MAX) };
        _cleanup_free_ const Class **sorted = NULL;
        int r;

        r = write_classes(exporter);
        if (r == 0)
                r = classes_by_number(&exporter->classes, &sorted);
        if (r < 0)
                return r;

        put(&file, "# Put the images into images/, beside labels/.\npath: .\ntrain: images\nval: images\n");
        put_f(&file, "nc: %zu\nnames:%s\n", exporter->classes.n, exporter->classes.n == 0 ? " {}" : "");
        for (size_t i = 0; i < exporter->classes.n; i++) {
                put_f(&file, "  %" PRIu32 ": ", sorted[i]->number);
                put_json_text(&file, sorted[i]->name, strlen(sorted[i]->name)); /* it is YAML too */
                put(&file, "\n");
        }
        return exporter_put_file(exporter, "data.yaml", &file);
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

/*
 * Pascal VOC: an XML file an image in Annotations/, and an index. Its boxes are whole pixels that count from
 * 1, both ends included: a box is made no smaller by that, and no larger than its image.
 */

static void put_element(Writer *writer, const char *name, const char *text)
{
        put_f(writer, "<%s>", name);
        put_xml(writer, text, strlen(text));
        put_f(writer, "</%s>", name);
}

static void voc_write_box(
                Exporter *exporter, const Row *row, size_t i, const ImageSize *image, Writer *writer)
{
        char label[CLASS_NAME_MAX + 1];
        Box b = boxes_get(row, i);
        bool is_cut = box_cut(&b, image);
        double xmin = floor(b.left) + 1, ymin = floor(b.top) + 1;

        exporter->counts.cut_boxes += is_cut;
        put(writer, "\t<object>\n\t\t");
        put_element(writer, "name", boxes_label(row, i, label));
        put_f(writer,
                        "\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>%d</truncated>\n"
                        "\t\t<difficult>0</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>%.0f</xmin>\n"
                        "\t\t\t<ymin>%.0f</ymin>\n\t\t\t<xmax>%.0f</xmax>\n\t\t\t<ymax>%.0f</ymax>\n"
                        "\t\t</bndbox>\n\t</object>\n",
                        is_cut, xmin, ymin, MAX(ceil(b.left + b.width), xmin),
                        MAX(ceil(b.top + b.height), ymin));
}

static int voc_write(Exporter *exporter, const Row *row)
{
        Writer file = { .text = BUFFER_INIT(EXPORT_LINE_MAX) };
        char name[NAME_SIZE];
        ImageSize image;
        int r;

        r = exporter_find_size(exporter, row, &image);
        if (r <= 0)
                return r < 0 ? r : -ESTALE;
        put(&file, "<annotation>\n\t<folder>images</folder>\n\t");
        put_element(&file, "filename", name_of_url(row->url, row->id, name));
        put(&file, "\n\t");
        put_element(&file, "path", row->url);
        put(&file, "\n\t<source>\n\t\t<database>scale-callbackd</database>\n\t\t");
        put_element(&file, "annotation", row->id);
        put_f(&file,
                        "\n\t</source>\n\t<size>\n\t\t<width>%" PRIu32 "</width>\n\t\t<height>%" PRIu32
                        "</height>\n\t\t<depth>3</depth>\n\t</size>\n\t<segmented>0</segmented>\n",
                        image.width, image.height);
        for (size_t i = 0; i < boxes_count(row); i++)
                voc_write_box(exporter, row, i, &image, &file);
        put(&file, "</annotation>\n");
        return exporter_put_task_file(exporter, row, "Annotations/", "xml", &file);
}

const ExportFormat export_voc = {
        .name = "voc",
        .shape = EXPORT_FOLDER,
        .needs_sizes = true,
        .type = "annotation",
        .select = boxes_survey,
        .n_passes = 1,
        .passes = { { .row = voc_write } },
};
