#pragma once

/* What is said about verbs and their options: to people, and to the shell that completes words. */

#include "scalectl/ctl.h"

/* Usage, what it does, a line for each option, and an example. */
void help_print(const Verb *verb, const Option *options, size_t n);

/* The same as lines for the completion of words: name, argument, words that fit (separated by spaces, or
 * "@tasks" and the like for what the shell has to look up), and what it is, with tabs between them. "1" and
 * "+" stand for the first argument and for those behind it. */
void help_print_words(const Verb *verb, const Option *options, size_t n);

/* NULL, or what would be right: for options whose values are words of a fixed set. Owned by the caller;
 * "" when out of memory. */
char *help_check_word(const Verb *verb, const Option *option, const char *value);
