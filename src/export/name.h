#pragma once

/* Names of files, made of what others wrote. */

#include "basic/macros.h"

#define NAME_SIZE   200U /* with its NUL */
#define NAME_ID_MAX 48U  /* bytes of a name that is made of an id, so that it fits behind another one */

/* The last part of a URL's path, decoded, as a name that is safe in any folder: UTF-8, no separators, no
 * control characters, no dot in front, not empty (`otherwise` is taken then, made safe too). Cut to fit, its
 * extension kept. Returns buf. */
const char *name_of_url(const char *url, const char *otherwise, char buf[static NAME_SIZE]);

/* Any text made safe likewise, cut to NAME_ID_MAX. */
const char *name_of_text(const char *text, char buf[static NAME_SIZE]);

/* The length of a name without its extension. */
size_t name_stem(const char *name) _pure_;
