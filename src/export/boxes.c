/* Boxes. What was stored was checked by the rules of its time, perhaps leniently, so each box is looked at
 * again: an image from which a broken box was dropped would teach that there is nothing.
 *
 * Where the size of its image is known, a box that goes beyond it is cut to it; a task with a box outside of
 * it is left out, because then the size is that of another image. */

#include "export/boxes.h"

#include "export/text.h"

#define COORDINATE_MAX 1e7 /* pixels */

static const json_t *list_of(const Row *row)
{
        return json_object_get(row->response, "annotations");
}

size_t boxes_count(const Row *row)
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

Box boxes_get(const Row *row, size_t i)
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

const char *boxes_label(const Row *row, size_t i, char buf[static CLASS_NAME_MAX + 1])
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

static int note_classes(Exporter *x, const Row *row)
{
        char label[CLASS_NAME_MAX + 1];

        for (size_t i = 0; i < boxes_count(row); i++) {
                int r = classes_add(&x->classes, boxes_label(row, i, label));

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

int boxes_survey(Exporter *x, const Row *row)
{
        ImageSize image;
        int r;

        r = check_boxes(row);
        if (r != EXPORT_FITS)
                return r;
        r = exporter_find_size(x, row, &image);
        if (r < 0)
                return r;
        if (r == 0 && x->format->needs_sizes)
                return EXPORT_NO_SIZE;
        return r == 0 || are_inside(row, &image) ? note_classes(x, row) : EXPORT_OUTSIDE;
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

bool box_cut(Box *b, const ImageSize *image)
{
        bool x = cut(&b->left, &b->width, image->width), y = cut(&b->top, &b->height, image->height);

        return x || y;
}
