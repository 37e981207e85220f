#pragma once

/* The boxes of an annotation. */

#include "export/format.h"

typedef struct Box {
        double left, top, width, height; /* pixels; width and height are more than 0 */
} Box;

/* Whether the response of a row is a list of boxes that can be used, perhaps an empty one, its size is known
 * if the format needs that, and a part of every box is in an image of that size; notes their classes.
 * EXPORT_FITS, another reason, negative errno. */
int boxes_survey(Exporter *x, const Row *row);

size_t boxes_count(const Row *row);
Box boxes_get(const Row *row, size_t i);

/* What a box shows: its label; without labels, the one thing that the task asked for; else "object". Control
 * characters are spaces in it. Returns buf. */
const char *boxes_label(const Row *row, size_t i, char buf[static CLASS_NAME_MAX + 1]);

/* Cuts a box to its image. Whether there was something to cut. */
bool box_cut(Box *b, const ImageSize *image);
