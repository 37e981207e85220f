#pragma once

/* JSON values as text. */

#include <jansson.h>

#include "basic/buffer.h"

/* Appends the value as compact JSON. Numbers come out as short as they can be while meaning the same: 0.3 is
 * 0.3. 0, -ENOMEM, -ENOBUFS. */
int json_encode(const json_t *value, Buffer *out) _warn_unused_;
