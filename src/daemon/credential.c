/*
 * Systemd passes credentials at a start only. So that a reload brings a newer one, root copies it (see
 * reload.c) into the runtime directory, which is in memory and the daemon's alone, and that copy comes
 * first. Nobody edits copies: messages name the file that they were made from.
 */

#include "daemon/credential.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/key-file.h"
#include "basic/log.h"
#include "basic/mistakes.h"

#define CREDSTORE SYSCONF_DIR "/credstore"

/* As LoadCredential= without a path has them. */
static const char *const stores[] = { CREDSTORE, "/run/credstore", "/usr/lib/credstore" };

void credential_place_done(CredentialPlace *place)
{
        free(place->path);
        free(place->name);
        *place = (CredentialPlace){};
}

/* "FOLDER/NAME", owned by the caller; NULL: out of memory. */
static char *join(const char *folder, const char *name)
{
        char *path;

        return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* What the service manager makes lies below /run; elsewhere it is somebody's own. */
static char *name_of(const Credential *credential, const char *path)
{
        return strncmp(path, "/run/", 5) == 0 ? join(CREDSTORE, credential->name) : strdup(path);
}

int credential_locate(
                const Credential *credential, const char *configured, CredentialPlace *ret, char **mistakes)
{
        const char *folders[] = { getenv("RUNTIME_DIRECTORY"), getenv("CREDENTIALS_DIRECTORY") };
        _cleanup_free_ char *path = NULL;

        FOREACH_ARRAY(folder, folders, ELEMENTSOF(folders)) {
                if (!*folder)
                        continue;
                free(path);
                path = join(*folder, credential->name);
                if (!path)
                        return -ENOMEM;
                if (access(path, F_OK) == 0) {
                        *ret = (CredentialPlace){ .path = TAKE_PTR(path) };
                        ret->name = name_of(credential, ret->path);
                        return ret->name ? 0 : -ENOMEM;
                }
        }
        if (!configured) {
                mistakes_add(mistakes, "%s", credential->missing);
                return -ENOENT;
        }
        *ret = (CredentialPlace){ .path = strdup(configured), .name = strdup(configured) };
        return ret->path && ret->name ? 0 : -ENOMEM;
}

typedef enum Found {
        FOUND_NOWHERE,
        FOUND_HIDDEN, /* nobody but root can tell */
        FOUND,
} Found;

static Found look_in_stores(const Credential *credential, void (*look)(const char *, const char *, char **),
                char **mistakes)
{
        Found found = FOUND_NOWHERE;

        FOREACH_ARRAY(store, stores, ELEMENTSOF(stores)) {
                _cleanup_free_ char *path = join(*store, credential->name);

                if (path && access(path, F_OK) == 0) {
                        look(path, path, mistakes);
                        return FOUND;
                }
                if (path && errno == EACCES)
                        found = FOUND_HIDDEN;
        }
        return found;
}

void credential_check(const Credential *credential, const char *configured,
                void (*look)(const char *path, const char *name, char **mistakes), char **mistakes)
{
        _cleanup_(credential_place_done) CredentialPlace place = {};
        Found found;

        if (getenv("CREDENTIALS_DIRECTORY")) {
                if (credential_locate(credential, configured, &place, mistakes) >= 0)
                        look(place.path, place.name, mistakes);
                return;
        }
        found = look_in_stores(credential, look, mistakes);
        if (configured)
                look(configured, configured, mistakes);
        else if (found == FOUND_HIDDEN)
                log_notice("Whether there is a credential %s is for root to see.", credential->name);
        else if (found == FOUND_NOWHERE)
                mistakes_add(mistakes, "%s", credential->missing);
}

/* Passing on, as root. */

static int copy_bytes(int from, int to)
{
        char piece[4096];
        size_t all = 0;
        ssize_t n;
        int r = 0;

        while (r == 0 && (n = read(from, piece, sizeof(piece))) != 0) {
                if (n < 0)
                        r = errno == EINTR ? 0 : -errno;
                else if ((all += (size_t)n) > KEY_FILE_MAX)
                        r = -EFBIG;
                else if (write(to, piece, (size_t)n) != n)
                        r = -EIO; /* in memory, in one piece */
        }
        explicit_bzero(piece, sizeof(piece));
        return r;
}

/* Whoever has the folder gets the copy. */
static int copy_into(int folder, int from, const char *name)
{
        _cleanup_free_ char *temporary = NULL;
        _cleanup_close_ int to = -EBADF;
        struct stat st;
        int r;

        if (asprintf(&temporary, ".%s.new", name) < 0) {
                temporary = NULL;
                return -ENOMEM;
        }
        if (unlinkat(folder, temporary, 0) < 0 && errno != ENOENT)
                return -errno;
        to = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
        if (to < 0)
                return -errno;
        if (fstat(folder, &st) < 0 || fchown(to, st.st_uid, st.st_gid) < 0)
                return -errno;
        r = copy_bytes(from, to);
        if (r >= 0 && renameat(folder, temporary, folder, name) < 0)
                r = -errno;
        if (r < 0)
                (void)unlinkat(folder, temporary, 0);
        return r;
}

int credential_pass_on(const Credential *credential)
{
        _cleanup_close_ int folder = -EBADF, from = -EBADF;
        const char *runtime = getenv("RUNTIME_DIRECTORY");
        _cleanup_free_ char *path = NULL;
        int r;

        FOREACH_ARRAY(store, stores, ELEMENTSOF(stores)) {
                free(path);
                path = join(*store, credential->name);
                if (!path)
                        return log_oom();
                from = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
                if (from >= 0 || errno != ENOENT)
                        break;
        }
        if (from < 0)
                return errno == ENOENT ? 0 : log_error_errno(errno, "%s can't be read", path);
        folder = open(runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0)
                return log_error_errno(errno, "%s can't be opened", runtime);
        r = copy_into(folder, from, credential->name);
        return r < 0 ? log_error_errno(r, "%s can't be passed on to the daemon", path) : 0;
}
