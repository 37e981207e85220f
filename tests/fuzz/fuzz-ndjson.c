/*
 * Any bytes as a file of tasks: every line is read, taken apart and named. What must hold: lines are
 * bounded, what is refused says why, and a name is a key that the submitter takes.
 */

#include "fuzz.h"

#include <jansson.h>

#include "scalectl/ndjson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(ndjson_names_freep) NdjsonNames *names = NULL;
        _cleanup_(ndjson_done) Ndjson n = NDJSON_INIT(NULL);
        NdjsonName name;
        int r;

        if (size == 0 || ndjson_names_new("batch", &names) < 0)
                return 0;
        n.f = fmemopen((void *)(uintptr_t)data, size, "r");
        assert(n.f);
        while ((r = ndjson_next(&n)) != 0) {
                json_auto_t *line = NULL, *params = NULL;
                const char *type, *own, *wanted = NULL;

                if (r == -EMSGSIZE)
                        continue;
                assert(r == 1 && n.line.size > 0 && n.line.size <= NDJSON_LINE_MAX);
                r = ndjson_parse(n.line.data, n.line.size, &line, &params, &type, &own, &wanted);
                if (r < 0) {
                        assert(wanted && *wanted);
                        continue;
                }
                assert(*type && json_is_object(params) && !json_object_get(params, "type"));
                assert(ndjson_name(names, line, &name) == 0);
                assert(strlen(name.key) > 0 && strlen(name.key) < 255);
        }
        assert(n.bytes == size);
        fclose(n.f);
        return 0;
}
