/*
 * The key is read into guarded memory and goes from there into guarded memory, without the end of its line.
 * Messages name the file and what is wrong with it and never quote it: what stands in the wrong form may
 * still be the key.
 */

#include "submitd/apikey.h"

#include <stdio.h>
#include <sysexits.h>

#include "basic/key-file.h"
#include "basic/log.h"
#include "daemon/message.h"
#include "daemon/program.h"

#define FILE_SIZE_MAX (API_KEY_MAX + 2) /* with the end of its line */

void api_key_done(ApiKey *k)
{
        secret_free(k->secret);
        *k = (ApiKey){};
}

static int fail(char **ret_error, int error, const char *path, const char *why)
{
        if (asprintf(ret_error, "%s: %s", path, why) < 0)
                *ret_error = NULL;
        return error;
}

static int fail_reading(char **ret_error, int error, const char *path)
{
        static const struct {
                int error;
                const char *why;
        } reasons[] = {
                { EPERM, "others can read or write the file of the API key; `chmod o= FILE` mends that" },
                { EFBIG, "the file is too large for an API key; one line is wanted" },
                { EINVAL, "the file of the API key is no regular file" },
        };

        FOREACH_ARRAY(i, reasons, ELEMENTSOF(reasons))
                if (error == -i->error)
                        return fail(ret_error, error, path, i->why);
        return fail(ret_error, error, path, strerror(-error));
}

int api_key_read(const char *path, ApiKey *ret, char **ret_error)
{
        _cleanup_(secret_freep) Secret *file = NULL;
        const char *text, *why;
        size_t size;
        ApiKey k;
        int r;

        *ret_error = NULL;
        r = secret_read_file(path, FILE_SIZE_MAX, &file);
        if (r < 0)
                return fail_reading(ret_error, r, path);

        text = secret_data(file);
        size = secret_size(file);
        if (size > 0 && text[size - 1] == '\n')
                size--;
        if (size > 0 && text[size - 1] == '\r')
                size--;
        why = api_key_problem(text, size);
        if (why)
                return fail(ret_error, -EINVAL, path, why);

        k.is_test = strncmp(text, "test", 4) == 0;
        r = secret_new(text, size, &k.secret);
        if (r < 0)
                return r;

        *ret = k;
        return 0;
}

int api_key_load(const Settings *settings, ApiKey *ret)
{
        _cleanup_free_ char *path = NULL, *error = NULL;
        int r;

        r = program_locate_secret("api-key", settings->api.key_file, &path);
        if (r < 0)
                return log_oom(), EX_OSERR;
        if (!path) {
                log_event(LOG_ERR, MESSAGE_KEYS_MISSING, NULL, 0,
                                "No API key: write it into /etc/credstore/api-key (mode 0600), which is the "
                                "credential api-key, or name such a file in [api] key_file.");
                return EX_CONFIG;
        }
        r = api_key_read(path, ret, &error);
        if (r < 0) {
                log_event(LOG_ERR, MESSAGE_KEYS_MISSING, NULL, 0, "Can't read the API key: %s",
                                error ?: strerror(-r));
                return EX_CONFIG;
        }
        return 0;
}
