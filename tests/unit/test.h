#pragma once

/* What unit tests share: cmocka wants these headers in this order. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/macros.h"
