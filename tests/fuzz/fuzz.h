#pragma once

#include <stddef.h>
#include <stdint.h>

/* libFuzzer's entry: one input, 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
