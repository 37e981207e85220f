#pragma once

/* The load: what is asked for, what it works with, what it counted. */

#include "measure.h"

#define CONNECTIONS_MAX 4096U
#define HEAD_MAX        8192U

typedef struct Client {
        int fd;
        enum { IDLE, WAITING, CLOSED } state;
        char id[ID_SIZE];
        uint64_t sent_at, answers;
        /* The answer so far. */
        char head[HEAD_MAX + 1];
        size_t head_size, body_left;
        unsigned status;
        bool in_body, close;
        /* What the socket didn't take. */
        char *rest;
        size_t rest_size, rest_done;
} Client;

typedef struct Load {
        /* What is asked for. */
        const char *to, *requests, *acknowledged_path, *watched;
        uint64_t connections, rate, limit, expected, run;
        double seconds, warmup;
        pid_t pid;
        bool kill;
        /* What it works with. */
        Templates templates;
        Ids ids;
        Client *clients;
        int epoll;
        size_t next_idle;
        FILE *acknowledged; /* in memory until the end: writing would disturb the disk that is measured */
        char *ids_text;
        size_t ids_size;
        uint64_t began, from, until, now;
        bool stopping, measuring;
        /* What it counted. */
        Samples samples;
        uint64_t sent, on_the_way, n_acknowledged, reconnects, last_answer, pause, watched_peak, next_watch;
        uint64_t statuses[STATUS_MAX];
        Usage before, after, own_before, own_after;
} Load;

/* Sends until the time or the limit is over, and takes the answers that are still due. Failures end the
 * program: half a measurement is none. */
void load_run(Load *l);

void load_die(const char *what) __attribute__((noreturn));
