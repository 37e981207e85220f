#pragma once

/* A driver that keeps everything in memory: for tests of the rules, and of what stands on a store. */

#include "store/driver.h"

extern const StoreDriver memory_driver;

/* Databases live by their location until this is called, whoever opens and closes them. */
void memory_driver_forget(void);

/* How many groups are refused from here on, with this error: what a driver may say. */
void memory_driver_fail(unsigned n, int error);
