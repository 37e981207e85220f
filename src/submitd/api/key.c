/*
 * The key is read into guarded memory and goes from there into guarded memory, without the end of its line.
 * Messages name the file and what is wrong with it and never quote it: what stands in the wrong form may
 * still be the key.
 */

#include "submitd/api/key.h"

#include "basic/key-file.h"
#include "basic/mistakes.h"

#define FILE_SIZE_MAX (API_KEY_MAX + 2) /* with the end of its line */

void api_key_done(ApiKey *key)
{
        secret_free(key->secret);
        free(key->from);
        *key = (ApiKey){};
}

int api_key_read(const char *path, const char *name, ApiKey *ret, char **mistakes)
{
        _cleanup_(secret_freep) Secret *file = NULL;
        const char *text, *why;
        size_t size;
        ApiKey key = {};
        int r;

        r = secret_read_file(path, FILE_SIZE_MAX, &file);
        if (r < 0) {
                mistakes_add(mistakes, "%s: %s", name, key_file_problem(r));
                return r;
        }

        text = secret_data(file);
        size = secret_size(file);
        if (size > 0 && text[size - 1] == '\n')
                size--;
        if (size > 0 && text[size - 1] == '\r')
                size--;
        why = api_key_problem(text, size);
        if (why) {
                mistakes_add(mistakes, "%s: %s", name, why);
                return -EINVAL;
        }

        key.is_test = strncmp(text, "test", 4) == 0;
        key.from = strdup(name);
        r = key.from ? secret_new(text, size, &key.secret) : -ENOMEM;
        if (r < 0) {
                api_key_done(&key);
                return r;
        }

        *ret = key;
        return 0;
}

const Credential api_key_credential = {
        .name = "api-key",
        .missing = "No API key: write it into /etc/credstore/api-key (mode 0600), which is the credential api-key, or name such a file in [api] key_file",
};

int api_key_load(const Settings *settings, ApiKey *ret, char **mistakes)
{
        _cleanup_(credential_place_done) CredentialPlace place = {};
        int r;

        r = credential_locate(&api_key_credential, settings->api.key_file, &place, mistakes);
        return r < 0 ? r : api_key_read(place.path, place.name, ret, mistakes);
}

static void look(const char *path, const char *name, char **mistakes)
{
        ApiKey key;

        if (api_key_read(path, name, &key, mistakes) >= 0)
                api_key_done(&key);
}

void api_key_check(const Settings *settings, char **mistakes)
{
        credential_check(&api_key_credential, settings->api.key_file, look, mistakes);
}
