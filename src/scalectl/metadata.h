#pragma once

/* --metadata KEY=VALUE, for who has the task at hand. */

#include <jansson.h>

#include "scalectl/ctl.h"

/* 0 or EX_USAGE (said). */
int metadata_check(const OptionList *list);

/* Whether a task, or the parameters of one, has all of it. */
bool metadata_fits(const json_t *task, const OptionList *list);
