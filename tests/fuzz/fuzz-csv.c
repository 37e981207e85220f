/*
 * Any bytes as a table of tasks. What must hold: it comes to an end, what is refused says why, and what is
 * taken is the line of JSON that the task would be, of a type that there is.
 */

#include "fuzz.h"

#include <jansson.h>
#include <stdio.h>

#include "scalectl/csv.h"
#include "scalectl/ndjson.h"
#include "task/type.h"

static void check(const Buffer *line)
{
        json_auto_t *root = NULL, *params = NULL;
        const char *type, *key, *wanted;

        assert(line->size > 0 && line->size <= NDJSON_LINE_MAX);
        if (ndjson_parse(line->data, line->size, &root, &params, &type, &key, &wanted) < 0)
                return; /* keys and types of odd kinds are for who takes the line apart */
        assert(task_type_find(type));
}

static void read_rows(Csv *csv)
{
        _cleanup_buffer_ Buffer line = BUFFER_INIT(NDJSON_LINE_MAX);
        uint64_t number = 0, before, bytes;
        int r;

        do {
                _cleanup_(problems_done) Problems problems = {};

                before = number;
                r = csv_next(csv, &line, &number, &bytes, &problems);
                assert(number > before || r == 0);
                assert(r == 1 || r == 0 || r == -EBADMSG);
                assert((r == -EBADMSG) == (problems.n_errors > 0));
                if (r == 1)
                        check(&line);
        } while (r != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(problems_done) Problems problems = {};
        _cleanup_(csv_freep) Csv *csv = NULL;
        FILE *f;
        int r;

        if (size == 0)
                return 0;
        f = fmemopen((void *)(uintptr_t)data, size, "r");
        assert(f);
        r = csv_new(f, &problems, &csv);
        assert(r == 0 || (r == -EBADMSG && problems.n_errors > 0));
        if (r == 0)
                read_rows(csv);
        fclose(f);
        return 0;
}
