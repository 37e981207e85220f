/*
 * What sending alone costs: as many tasks as asked for to the API, over as many connections, with libcurl
 * and nothing behind it: no outbox, no order, no care for what an answer says beyond its status.
 *
 *   bench-curl URL KEY BODY_FILE CONNECTIONS N
 */

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "measure.h"

#define CONNECTIONS_MAX 1024U
#define BODY_MAX        65536U

typedef struct Loop {
        CURLM *multi;
        struct curl_slist *headers;
        const char *url, *key;
        char body[BODY_MAX];
        size_t body_size;
        uint64_t left, n_ok, n_other;
} Loop;

static size_t forget(_unused_ char *data, size_t size, size_t n, _unused_ void *userdata)
{
        return size * n;
}

static CURL *make_easy(Loop *l)
{
        CURL *easy = curl_easy_init();

        if (!easy)
                abort();
        curl_easy_setopt(easy, CURLOPT_URL, l->url);
        curl_easy_setopt(easy, CURLOPT_USERNAME, l->key);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, l->headers);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, l->body);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)l->body_size);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, forget);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        return easy;
}

static bool send_next(Loop *l, CURL *easy)
{
        if (l->left == 0)
                return false;
        l->left--;
        return curl_multi_add_handle(l->multi, easy) == CURLM_OK;
}

static void take_answers(Loop *l)
{
        CURLMsg *message;
        int n;

        while ((message = curl_multi_info_read(l->multi, &n))) {
                CURL *easy = message->easy_handle;
                long status = 0;

                if (message->msg != CURLMSG_DONE)
                        continue;
                curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
                if (message->data.result == CURLE_OK && status == 200)
                        l->n_ok++;
                else
                        l->n_other++;
                curl_multi_remove_handle(l->multi, easy);
                (void)send_next(l, easy);
        }
}

static void run(Loop *l, CURL **easies, uint64_t connections)
{
        int running = 1;

        for (uint64_t i = 0; i < connections; i++) {
                easies[i] = make_easy(l);
                (void)send_next(l, easies[i]);
        }
        while (running > 0) {
                if (curl_multi_perform(l->multi, &running) != CURLM_OK)
                        break;
                take_answers(l);
                (void)curl_multi_perform(l->multi, &running);
                if (running > 0)
                        (void)curl_multi_poll(l->multi, NULL, 0, 1000, NULL);
        }
        take_answers(l);
        for (uint64_t i = 0; i < connections; i++)
                curl_easy_cleanup(easies[i]);
}

static int read_body(Loop *l, const char *path)
{
        FILE *file = fopen(path, "re");

        if (!file)
                return -errno;
        l->body_size = fread(l->body, 1, sizeof(l->body), file);
        (void)fclose(file);
        return 0;
}

static void print_result(const Loop *l, uint64_t usec)
{
        Usage usage;

        usage_read(getpid(), &usage);
        printf("{\"seconds\":%.6f,\"accepted\":%llu,\"others\":%llu,\"rate\":%.3f,\"cpu_usec\":%.3f}\n",
                        (double)usec / 1e6, (unsigned long long)l->n_ok, (unsigned long long)l->n_other,
                        (double)l->n_ok / ((double)usec / 1e6), usage.cpu * 1e6 / (double)MAX(l->n_ok, 1U));
}

int main(int argc, char *argv[])
{
        static CURL *easies[CONNECTIONS_MAX];
        static Loop l;
        uint64_t connections, began;

        if (argc != 6 || parse_u64(argv[4], 1, CONNECTIONS_MAX, &connections) < 0 ||
                        parse_u64(argv[5], 1, UINT32_MAX, &l.left) < 0) {
                (void)fputs("bench-curl URL KEY BODY_FILE CONNECTIONS N\n", stderr);
                return 64;
        }
        if (read_body(&l, argv[3]) < 0) {
                perror(argv[3]);
                return 1;
        }
        l.url = argv[1];
        l.key = argv[2];
        (void)curl_global_init(CURL_GLOBAL_DEFAULT);
        l.multi = curl_multi_init();
        l.headers = curl_slist_append(NULL, "Content-Type: application/json");

        began = now_monotonic();
        run(&l, easies, connections);
        print_result(&l, now_monotonic() - began);

        curl_multi_cleanup(l.multi);
        curl_slist_free_all(l.headers);
        curl_global_cleanup();
        return l.n_other > 0;
}
