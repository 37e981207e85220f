#pragma once

/* What the measuring programs share: requests as they are sent, ids, usage, samples. */

#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "basic/macros.h"

#define ID_SIZE       24U /* hexadecimal digits: 8 of time, 10 of this run, 6 of a counter */
#define STAMP_SIZE    24U /* 2016-06-23T09:09:34.752Z */
#define MARKS_MAX     8U
#define TEMPLATES_MAX 4096U
#define STATUS_MAX    600U

/* A whole request; where it has marks, each sending writes its own id and time over them. */
typedef struct Template {
        char *data;
        size_t size;
        size_t ids[MARKS_MAX], stamps[MARKS_MAX];
        unsigned n_ids, n_stamps;
} Template;

typedef struct Templates {
        Template *items;
        size_t n;
} Templates;

/* A file of "SIZE\n" and so many bytes, again and again. Prints what is wrong with it; 0 or negative errno.
 */
int templates_load(const char *path, Templates *ret);
void templates_done(Templates *t);

/* The ids of one run. */
typedef struct Ids {
        char run[10];
        char stamp[STAMP_SIZE];
        int64_t stamp_at; /* milliseconds */
        uint64_t next;
} Ids;

void ids_init(Ids *ids, uint64_t run);
/* Writes the next id and its time (microseconds since 1970) into the request; the id is in ret, too. */
void ids_stamp(Ids *ids, Template *t, int64_t now, char ret[static ID_SIZE]);

/* What a process has used, all of its threads, and children that it has waited for. */
typedef struct Usage {
        double cpu;                       /* seconds */
        uint64_t resident, resident_peak; /* KiB */
} Usage;

/* Zeroes when there is no such process. */
void usage_read(pid_t pid, Usage *ret);

/* Latencies in microseconds, all of them. */
typedef struct Samples {
        uint32_t *items;
        size_t n, allocated;
} Samples;

int samples_add(Samples *s, uint64_t usec);
void samples_sort(Samples *s);
double samples_at(const Samples *s, double quantile); /* of sorted ones; 0 when there are none */
void samples_done(Samples *s);
