/*
 * Pascal VOC: an XML file an image in Annotations/, and an index. Its boxes are whole pixels that count from
 * 1, both ends included: a box is made no smaller by that, and no larger than its image.
 */

#include <math.h>

#include "export/boxes.h"
#include "export/name.h"

static void put_element(Writer *w, const char *name, const char *text)
{
        put_f(w, "<%s>", name);
        put_xml(w, text, strlen(text));
        put_f(w, "</%s>", name);
}

static void write_box(Exporter *x, const Row *row, size_t i, const ImageSize *image, Writer *w)
{
        char label[CLASS_NAME_MAX + 1];
        Box b = boxes_get(row, i);
        bool is_cut = box_cut(&b, image);
        double xmin = floor(b.left) + 1, ymin = floor(b.top) + 1;

        x->counts.cut_boxes += is_cut;
        put(w, "\t<object>\n\t\t");
        put_element(w, "name", boxes_label(row, i, label));
        put_f(w,
                        "\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>%d</truncated>\n"
                        "\t\t<difficult>0</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>%.0f</xmin>\n"
                        "\t\t\t<ymin>%.0f</ymin>\n\t\t\t<xmax>%.0f</xmax>\n\t\t\t<ymax>%.0f</ymax>\n"
                        "\t\t</bndbox>\n\t</object>\n",
                        is_cut, xmin, ymin, MAX(ceil(b.left + b.width), xmin),
                        MAX(ceil(b.top + b.height), ymin));
}

static int write_file(Exporter *x, const Row *row)
{
        Writer file = { .text = BUFFER_INIT(EXPORT_LINE_MAX) };
        char name[NAME_SIZE];
        ImageSize image;
        int r;

        r = exporter_find_size(x, row, &image);
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
                write_box(x, row, i, &image, &file);
        put(&file, "</annotation>\n");
        return exporter_put_task_file(x, row, "Annotations/", "xml", &file);
}

const ExportFormat export_voc = {
        .name = "voc",
        .shape = EXPORT_FOLDER,
        .needs_sizes = true,
        .type = "annotation",
        .select = boxes_survey,
        .n_passes = 1,
        .passes = { { .row = write_file } },
};
