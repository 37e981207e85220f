#pragma once

/* The texts of a JSON array, to look many up in. */

#include <jansson.h>

#include "basic/macros.h"

/* All zero is an empty one. */
typedef struct TextSet {
        const json_t *array; /* borrowed */
        struct TextSlot *slots;
        size_t n_slots; /* a power of two; 0: nothing is kept */
        uint8_t key[16];
} TextSet;

/* For the texts of `array` (NULL, or no array: there are none), which must outlive the set unchanged; none
 * of them is in it yet. 0, -ENOMEM. */
int text_set_init(TextSet *set, const json_t *array) _warn_unused_;
void text_set_done(TextSet *set);

/* Takes in the element at `index`. True: it is a text that was not in the set. */
bool text_set_add(TextSet *set, size_t index);

/* The same with all that the array has. */
int text_set_init_full(TextSet *set, const json_t *array) _warn_unused_;

/* Whether `text` is one of those taken in. Values of other kinds never are. */
bool text_set_has(const TextSet *set, const json_t *text) _pure_;

/* Whether the array has this text, for who asks once. */
bool text_is_in(const json_t *array, const json_t *text) _pure_;
