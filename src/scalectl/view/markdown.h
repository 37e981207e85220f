#pragma once

/* Markdown as a tree of what it means, without a markup that anything could be smuggled through. */

#include <jansson.h>
#include <stddef.h>

#define MARKDOWN_MAX       ((size_t)32 * 1024) /* bytes; longer texts are shown as they are */
#define MARKDOWN_DEPTH_MAX 24U /* what is nested deeper lies at this depth, beside each other */

/* An array of blocks. A text is a string; all else is an array that begins with what it is and, for some,
 * what belongs to it, and goes on with what is in it:
 *   ["p", ...] ["quote", ...] ["ul", ...] ["ol", START, ...] ["li", ...] ["h", LEVEL, ...]
 *   ["em", ...] ["strong", ...] ["a", URL, ...] ["img", URL, ...] ["code", TEXT] ["pre", TEXT] ["hr"] ["br"]
 * HTML is text. URLs are as they were written: whoever follows them looks at them. 0, -E2BIG, -ENOMEM. */
int markdown_parse(const char *text, size_t size, json_t **ret);
