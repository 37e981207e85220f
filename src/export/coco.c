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

#include "export/boxes.h"
#include "export/name.h"
#include "export/text.h"

#define ID_BITS 53U

static uint64_t image_id(const Row *row)
{
        uint64_t id = text_hash(row->id, strlen(row->id)) >> (64 - ID_BITS);

        return id > 0 ? id : 1;
}

static int begin_images(Exporter *x)
{
        int r = 0;

        if (x->options.has_classes)
                classes_number(&x->classes);
        else
                r = classes_number_by_name(&x->classes);
        put(&x->stream, "{\"info\":{\"description\":\"Tasks of scale-callbackd\"},\n\"images\":[");
        x->n = 0;
        return r;
}

static void separate(Exporter *x)
{
        put(&x->stream, x->n++ == 0 ? "\n" : ",\n");
}

static void put_text(Exporter *x, const char *before, const char *s)
{
        put(&x->stream, before);
        put_json_text(&x->stream, s, strlen(s));
}

static int write_image(Exporter *x, const Row *row)
{
        char name[NAME_SIZE];
        ImageSize size;
        int r;

        r = exporter_find_size(x, row, &size);
        if (r < 0)
                return r;
        separate(x);
        put_f(&x->stream, "{\"id\":%" PRIu64, image_id(row));
        put_text(x, ",\"file_name\":", name_of_url(row->url, row->id, name));
        if (r > 0)
                put_f(&x->stream, ",\"width\":%" PRIu32 ",\"height\":%" PRIu32, size.width, size.height);
        put_text(x, ",\"coco_url\":", row->url);
        put_text(x, ",\"task_id\":", row->id);
        put(&x->stream, "}");
        return 0;
}

static int end_images(Exporter *x)
{
        put(&x->stream, x->n == 0 ? "],\n" : "\n],\n");
        return 0;
}

static int begin_annotations(Exporter *x)
{
        put(&x->stream, "\"annotations\":[");
        x->n = 0;
        return 0;
}

static uint32_t category_id(const Exporter *x, const Class *class)
{
        return class->number + (x->options.has_classes ? 1 : 0);
}

/* `image` is NULL where its size is not known. */
static void write_box(Exporter *x, const Row *row, size_t i, const ImageSize *image)
{
        char label[CLASS_NAME_MAX + 1];
        Box b = boxes_get(row, i);
        bool is_cut = image && box_cut(&b, image);
        const double sides[] = { b.left, b.top, b.width, b.height };

        x->counts.cut_boxes += is_cut;
        separate(x);
        put_f(&x->stream, "{\"id\":%" PRIu64 ",\"image_id\":%" PRIu64 ",\"category_id\":%" PRIu32, x->n,
                        image_id(row),
                        category_id(x, classes_find(&x->classes, boxes_label(row, i, label))));
        FOREACH_ARRAY(s, sides, ELEMENTSOF(sides)) {
                put(&x->stream, s == sides ? ",\"bbox\":[" : ",");
                put_json_number(&x->stream, *s);
        }
        put(&x->stream, "],\"area\":");
        put_json_number(&x->stream, b.width * b.height);
        put(&x->stream, ",\"segmentation\":[],\"iscrowd\":0}");
}

static int write_annotations(Exporter *x, const Row *row)
{
        ImageSize image;
        int r;

        r = exporter_find_size(x, row, &image);
        if (r < 0)
                return r;
        for (size_t i = 0; i < boxes_count(row); i++)
                write_box(x, row, i, r > 0 ? &image : NULL);
        return 0;
}

static int end_annotations(Exporter *x)
{
        _cleanup_free_ const Class **sorted = NULL;
        int r;

        r = classes_by_number(&x->classes, &sorted);
        if (r < 0)
                return r;
        put(&x->stream, x->n == 0 ? "],\n" : "\n],\n");
        put(&x->stream, "\"categories\":[");
        x->n = 0;
        for (size_t i = 0; i < x->classes.n; i++) {
                separate(x);
                put_f(&x->stream, "{\"id\":%" PRIu32, category_id(x, sorted[i]));
                put_text(x, ",\"name\":", sorted[i]->name);
                put(&x->stream, "}");
        }
        put(&x->stream, x->n == 0 ? "]}\n" : "\n]}\n");
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
