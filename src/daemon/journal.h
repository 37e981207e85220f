#pragma once

/* The journal: log lines with fields of their own, where standard error is the journal's stream. */

/* Once at start, before there are threads. */
void journal_init(const char *identifier);
