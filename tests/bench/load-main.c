/* bench-load: its command line, and its result as one line of JSON. */

#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/parse.h"
#include "load.h"

static Load load = {
        .connections = 64, .seconds = 5, .warmup = 1, .expected = 200, .limit = UINT64_MAX, .epoll = -EBADF
};

static void save_acknowledged(Load *l)
{
        FILE *file;

        if (!l->acknowledged)
                return;
        file = fopen(l->acknowledged_path, "we");
        if (!file || fclose(TAKE_PTR(l->acknowledged)) != 0 ||
                        fwrite(l->ids_text, 1, l->ids_size, file) != l->ids_size || fclose(file) != 0)
                load_die(l->acknowledged_path);
        free(TAKE_PTR(l->ids_text));
}

/* The result. */

static void print_result(Load *l)
{
        double seconds = (double)(l->until - l->from) / (double)USEC_PER_SEC;
        uint64_t starved = 0, least = UINT64_MAX, n = l->samples.n;
        json_t *statuses = json_object(), *result;

        for (unsigned i = 0; i < STATUS_MAX; i++) {
                char name[16];

                snprintf(name, sizeof(name), "%u", i);
                if (l->statuses[i] > 0)
                        json_object_set_new(statuses, name, json_integer((json_int_t)l->statuses[i]));
        }
        FOREACH_ARRAY(c, l->clients, l->connections) {
                starved += c->answers == 0;
                least = MIN(least, c->answers);
        }
        samples_sort(&l->samples);
        result = json_pack("{s:f s:I s:f s:f s:f s:f s:f s:f s:f s:f s:f s:I s:I s:I s:I s:I s:I s:I s:o}",
                        "seconds", seconds, "requests", (json_int_t)n, "rate", (double)n / seconds, "p50",
                        samples_at(&l->samples, 0.5) / 1e3, "p99", samples_at(&l->samples, 0.99) / 1e3,
                        "p999", samples_at(&l->samples, 0.999) / 1e3, "max",
                        samples_at(&l->samples, 1) / 1e3, "pause", (double)l->pause / 1e3, "cpu_usec",
                        n > 0 ? (l->after.cpu - l->before.cpu) / (double)n * 1e6 : 0.0, "cpu_load_usec",
                        n > 0 ? (l->own_after.cpu - l->own_before.cpu) / (double)n * 1e6 : 0.0, "cpu",
                        (l->after.cpu - l->before.cpu) / seconds, "resident_kib",
                        (json_int_t)l->after.resident_peak, "watched_bytes", (json_int_t)l->watched_peak,
                        "sent", (json_int_t)l->sent, "acknowledged", (json_int_t)l->n_acknowledged,
                        "reconnects", (json_int_t)l->reconnects, "starved", (json_int_t)starved, "least",
                        (json_int_t)least, "statuses", statuses);
        if (!result || json_dumpf(result, stdout, JSON_COMPACT) < 0 || puts("") == EOF)
                load_die("the result");
        json_decref(result);
}

/* The command line. */

static const struct option options[] = {
        { "to", required_argument, NULL, 't' },
        { "requests", required_argument, NULL, 'r' },
        { "connections", required_argument, NULL, 'c' },
        { "seconds", required_argument, NULL, 's' },
        { "warmup", required_argument, NULL, 'w' },
        { "rate", required_argument, NULL, 'R' },
        { "limit", required_argument, NULL, 'l' },
        { "expect", required_argument, NULL, 'e' },
        { "acknowledged", required_argument, NULL, 'a' },
        { "watch", required_argument, NULL, 'W' },
        { "pid", required_argument, NULL, 'p' },
        { "run", required_argument, NULL, 'i' },
        { "kill", no_argument, NULL, 'k' },
        { NULL, 0, NULL, 0 },
};

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
        uint64_t n;
        int r = parse_u64(text, min, max, &n);

        if (r < 0) {
                errno = -r;
                load_die(text);
        }
        return n;
}

static void set_option(Load *l, int option)
{
        switch (option) {
        case 't':
                l->to = optarg;
                break;
        case 'r':
                l->requests = optarg;
                break;
        case 'c':
                l->connections = number(optarg, 1, CONNECTIONS_MAX);
                break;
        case 's':
                l->seconds = strtod(optarg, NULL);
                break;
        case 'w':
                l->warmup = strtod(optarg, NULL);
                break;
        case 'R':
                l->rate = number(optarg, 0, 10000000);
                break;
        case 'l':
                l->limit = number(optarg, 1, UINT64_MAX);
                break;
        case 'e':
                l->expected = number(optarg, 100, 599);
                break;
        case 'a':
                l->acknowledged_path = optarg;
                break;
        case 'W':
                l->watched = optarg;
                break;
        case 'p':
                l->pid = (pid_t)number(optarg, 2, INT32_MAX);
                break;
        case 'i':
                l->run = number(optarg, 0, UINT64_MAX);
                break;
        case 'k':
                l->kill = true;
                break;
        default:
                exit(64);
        }
}

int main(int argc, char *argv[])
{
        Load *l = &load;
        int option;

        while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
                set_option(l, option);
        if (!l->to || !l->requests || (l->kill && l->pid == 0)) {
                (void)fputs("bench-load --to ADDRESS --requests FILE [options]: see tests/bench/README.md\n",
                                stderr);
                return 64;
        }
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody would take the result */
        if (templates_load(l->requests, &l->templates) < 0)
                return 1;
        ids_init(&l->ids, l->run);
        l->clients = calloc(l->connections, sizeof(Client));
        l->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (!l->clients || l->epoll < 0)
                load_die("starting");
        if (l->acknowledged_path) {
                l->acknowledged = open_memstream(&l->ids_text, &l->ids_size);
                if (!l->acknowledged)
                        load_die(l->acknowledged_path);
        }

        load_run(l);
        save_acknowledged(l);
        print_result(l);

        FOREACH_ARRAY(c, l->clients, l->connections) {
                free(c->rest);
                c->fd = fd_close(c->fd);
        }
        free(l->clients);
        samples_done(&l->samples);
        templates_done(&l->templates);
        l->epoll = fd_close(l->epoll);
        return 0;
}
