#pragma once

/* The first key of a file of keys, for sending a callback to ourselves. */

#include "basic/secret.h"

/* 0; -ENOENT and so on as secret_read_file(); -EINVAL: no line `label key` in it. */
int keyfile_first(const char *path, Secret **ret);
