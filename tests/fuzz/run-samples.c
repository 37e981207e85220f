/* Runs a fuzz target over the files of a folder, and over each cut short at some places. */

#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>

#include "basic/macros.h"

#define SAMPLE_MAX  (256U * 1024)
#define SAMPLES_MIN 8U

static int run_file(const char *folder, const char *name)
{
        static uint8_t data[SAMPLE_MAX];
        char path[1024];
        size_t size;
        FILE *f;

        snprintf(path, sizeof(path), "%.700s/%.300s", folder, name);
        f = fopen(path, "re");
        if (!f) {
                perror(path);
                return -1;
        }
        size = fread(data, 1, sizeof(data), f);
        fclose(f);

        LLVMFuzzerTestOneInput(data, size);
        for (size_t n = 0; n < size; n += 1 + size / 50)
                LLVMFuzzerTestOneInput(data, n);
        return 0;
}

int main(int argc, char **argv)
{
        struct dirent *e;
        unsigned n = 0;
        DIR *d;

        d = argc == 2 ? opendir(argv[1]) : NULL;
        if (!d) {
                fprintf(stderr, "expected a folder with samples\n");
                return 2;
        }
        while ((e = readdir(d))) {
                if (e->d_name[0] == '.')
                        continue;
                if (run_file(argv[1], e->d_name) < 0)
                        return 1;
                n++;
        }
        closedir(d);
        if (n < SAMPLES_MIN) {
                fprintf(stderr, "%u samples, expected at least %u\n", n, SAMPLES_MIN);
                return 1;
        }
        return 0;
}
