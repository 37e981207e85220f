/*
 * The record of a directory, and what may be left of it when the power goes.
 *
 * What was synced is there, whole. What came after lies in the machine's memory and in the drive's, which
 * write it when and in what order they like: so every sector of every change may be there, or not, or in
 * part, or be noise, whatever came before or after it. What a write doesn't cover, it doesn't touch: that is
 * what SQLite takes for granted unless it is told otherwise. Names are like changes of the directory: each
 * is as it was after some of its own changes, whatever the other names are.
 */

#include "disk-record.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "basic/fd.h"
#include "basic/parse.h"

#define SECTOR    512U
#define NAMES_MAX 8U
#define IMAGE_MAX ((size_t)64 * 1024 * 1024)

/* Memory, and locks: neither outlives a cut. */
#define IGNORED(n) (strstr(n, "-shm") || strstr(n, "-turn"))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char directory[PATH_MAX]; /* empty: nothing is recorded */
static DiskName names[NAMES_MAX];
static size_t n_names;
static DiskInode *inodes;
static uint64_t last_seq, n_pending;

static void *grow(void *p, size_t size)
{
        p = realloc(p, size);
        assert_non_null(p);
        return p;
}

/* Content. */

typedef struct Image {
        unsigned char *data; /* owned */
        size_t size, room;
} Image;

static void image_resize(Image *m, size_t size)
{
        assert_true(size <= IMAGE_MAX);
        if (size > m->room) {
                m->room = size + size / 2;
                m->data = grow(m->data, m->room);
        }
        if (size > m->size)
                memset(m->data + m->size, 0, size - m->size);
        m->size = size;
}

static void image_write(Image *m, const void *data, size_t size, size_t at)
{
        if (at + size > m->size)
                image_resize(m, at + size);
        if (size > 0)
                memcpy(m->data + at, data, size);
}

/* Recording. */

static DiskName *find_name(const char *name)
{
        DiskName *n;

        FOREACH_ARRAY(i, names, n_names)
                if (streq(i->name, name))
                        return i;
        assert_true(n_names < NAMES_MAX && strlen(name) < sizeof(n->name));
        n = &names[n_names++];
        *n = (DiskName){ 0 };
        strcpy(n->name, name);
        return n;
}

static DiskInode *current(const DiskName *n)
{
        return n->n_changes > 0 ? n->changes[n->n_changes - 1].inode : n->synced;
}

static DiskInode *add_inode(void)
{
        DiskInode *i = calloc(1, sizeof(DiskInode));

        assert_non_null(i);
        i->next = inodes;
        inodes = i;
        return i;
}

static void change_name(DiskName *n, DiskInode *i)
{
        assert_true(n->n_changes < ELEMENTSOF(n->changes));
        n->changes[n->n_changes].seq = ++last_seq;
        n->changes[n->n_changes++].inode = i;
        n_pending++;
}

const char *record_name(const char *path)
{
        const char *slash = strrchr(path, '/'), *name = NULL;

        pthread_mutex_lock(&lock);
        if (slash && *directory && strlen(directory) == (size_t)(slash - path) &&
                        strncmp(path, directory, (size_t)(slash - path)) == 0)
                name = slash + 1;
        pthread_mutex_unlock(&lock);
        return name;
}

DiskInode *record_open(const char *name)
{
        DiskName *n;
        DiskInode *i;

        pthread_mutex_lock(&lock);
        n = find_name(name);
        i = current(n);
        if (!i) {
                i = add_inode();
                change_name(n, i);
        }
        pthread_mutex_unlock(&lock);
        return i;
}

void record_delete(const char *name)
{
        pthread_mutex_lock(&lock);
        change_name(find_name(name), NULL);
        pthread_mutex_unlock(&lock);
}

static void add_change(DiskInode *i, DiskChange c)
{
        pthread_mutex_lock(&lock);
        c.seq = ++last_seq;
        i->changes = grow(i->changes, (i->n_changes + 1) * sizeof(DiskChange));
        i->changes[i->n_changes++] = c;
        n_pending++;
        pthread_mutex_unlock(&lock);
}

void record_write(DiskInode *i, const void *data, size_t size, size_t at)
{
        DiskChange c = { .at = at, .size = size, .data = grow(NULL, size + 1) };

        memcpy(c.data, data, size);
        add_change(i, c);
}

void record_truncate(DiskInode *i, size_t size)
{
        add_change(i, (DiskChange){ .at = size, .truncates = true });
}

void record_sync(DiskInode *i)
{
        Image m = { .data = i->synced, .size = i->synced_size, .room = i->synced_size };

        pthread_mutex_lock(&lock);
        FOREACH_ARRAY(c, i->changes, i->n_changes) {
                if (c->truncates)
                        image_resize(&m, c->at);
                else
                        image_write(&m, c->data, c->size, c->at);
                free(c->data);
        }
        i->synced = m.data;
        i->synced_size = m.size;
        n_pending -= i->n_changes;
        i->n_changes = 0;
        pthread_mutex_unlock(&lock);
}

void record_sync_directory(void)
{
        pthread_mutex_lock(&lock);
        FOREACH_ARRAY(n, names, n_names) {
                n->synced = current(n);
                n_pending -= n->n_changes;
                n->n_changes = 0;
        }
        pthread_mutex_unlock(&lock);
}

uint64_t disk_pending(void)
{
        uint64_t n;

        pthread_mutex_lock(&lock);
        n = n_pending;
        pthread_mutex_unlock(&lock);
        return n;
}

static void adopt(int dir, const char *name)
{
        _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
        DiskInode *i = add_inode();
        struct stat st;

        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        i->synced_size = (size_t)st.st_size;
        i->synced = grow(NULL, i->synced_size + 1);
        assert_int_equal(read(fd, i->synced, i->synced_size), st.st_size);
        find_name(name)->synced = i;
}

void disk_record(const char *path)
{
        struct dirent *entry;
        DIR *d;

        assert_true(*directory == '\0');
        assert_non_null(realpath(path, directory));
        d = opendir(directory);
        assert_non_null(d);
        while ((entry = readdir(d)))
                if (entry->d_name[0] != '.' && !IGNORED(entry->d_name))
                        adopt(dirfd(d), entry->d_name);
        closedir(d);
}

void disk_forget(void)
{
        for (DiskInode *i = inodes, *next; i; i = next) {
                next = i->next;
                FOREACH_ARRAY(c, i->changes, i->n_changes)
                        free(c->data);
                free(i->changes);
                free(i->synced);
                free(i);
        }
        inodes = NULL;
        n_names = 0;
        last_seq = n_pending = 0;
        *directory = '\0';
}

/* Cuts. */

static const char *const disk_cut_table[_DISK_CUT_MAX] = {
        [CUT_NONE] = "nothing kept",
        [CUT_ALL] = "everything kept",
        [CUT_LAST] = "only the last change kept",
        [CUT_PREFIX] = "what came before kept",
        [CUT_SUFFIX] = "what came after kept",
        [CUT_RANDOM] = "any sector kept or not",
};

const char *disk_cut_to_string(DiskCut cut)
{
        return disk_cut_table[cut];
}

typedef struct Fates {
        DiskCut cut;
        uint64_t *chance;
        uint64_t moment;
        unsigned keep, spoil; /* of 100 sectors */
} Fates;

typedef enum Fate { FATE_KEPT, FATE_DROPPED, FATE_TORN, FATE_NOISE } Fate;

static Fate choose_any(const Fates *f)
{
        unsigned n = disk_pick(f->chance, 100);

        if (n < f->spoil)
                return disk_pick(f->chance, 2) ? FATE_TORN : FATE_NOISE;
        return disk_pick(f->chance, 100) < f->keep ? FATE_KEPT : FATE_DROPPED;
}

static Fate choose(const Fates *f, uint64_t seq)
{
        switch (f->cut) {
        case CUT_ALL:
                return FATE_KEPT;
        case CUT_LAST:
                return seq == last_seq ? FATE_KEPT : FATE_DROPPED;
        case CUT_PREFIX:
                return seq < f->moment ? FATE_KEPT : seq > f->moment ? FATE_DROPPED : choose_any(f);
        case CUT_SUFFIX:
                return seq > f->moment ? FATE_KEPT : seq < f->moment ? FATE_DROPPED : choose_any(f);
        case CUT_RANDOM:
                return choose_any(f);
        case CUT_NONE:
        case _DISK_CUT_MAX:
                break;
        }
        return FATE_DROPPED;
}

static void lay_piece(const Fates *f, Image *m, const DiskChange *c, size_t from, size_t size)
{
        unsigned char noise[SECTOR];

        switch (choose(f, c->seq)) {
        case FATE_KEPT:
                image_write(m, c->data + from, size, c->at + from);
                break;
        case FATE_TORN:
                image_write(m, c->data + from, disk_pick(f->chance, size + 1), c->at + from);
                break;
        case FATE_NOISE:
                FOREACH_ARRAY(p, noise, size)
                        *p = (unsigned char)disk_chance(f->chance);
                image_write(m, noise, size, c->at + from);
                break;
        case FATE_DROPPED:
                break;
        }
}

static void lay_change(const Fates *f, Image *m, const DiskChange *c)
{
        size_t size;

        if (c->truncates) {
                if (choose(f, c->seq) == FATE_KEPT)
                        image_resize(m, c->at);
                return;
        }
        for (size_t from = 0; from < c->size; from += size) {
                size = MIN(SECTOR - (c->at + from) % SECTOR, c->size - from);
                lay_piece(f, m, c, from, size);
        }
}

static DiskInode *choose_file(const Fates *f, const DiskName *n)
{
        DiskInode *i = n->synced;
        size_t kept = f->cut == CUT_RANDOM ? disk_pick(f->chance, n->n_changes + 1) : 0;

        for (size_t k = 0; k < n->n_changes; k++)
                if (f->cut == CUT_RANDOM ? k < kept : choose(f, n->changes[k].seq) == FATE_KEPT)
                        i = n->changes[k].inode;
        return i;
}

static void lay_file(const Fates *f, const DiskName *n, int dir)
{
        DiskInode *i = choose_file(f, n);
        Image m = { 0 };
        int fd;

        if (!i)
                return;
        image_write(&m, i->synced, i->synced_size, 0);
        FOREACH_ARRAY(c, i->changes, i->n_changes)
                lay_change(f, &m, c);

        fd = openat(dir, n->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, m.data ? (const void *)m.data : "", m.size), m.size);
        fd_close(fd);
        free(m.data);
}

void disk_cut(DiskCut cut, uint64_t *chance, const char *path)
{
        static const unsigned shares[] = { 5, 50, 95 };
        Fates f = { .cut = cut, .chance = chance };
        int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(dir >= 0);
        pthread_mutex_lock(&lock);
        f.keep = shares[disk_pick(chance, ELEMENTSOF(shares))];
        f.spoil = disk_pick(chance, 3) * 10;
        f.moment = last_seq - MIN(last_seq, disk_pick(chance, n_pending + 1));
        FOREACH_ARRAY(n, names, n_names)
                lay_file(&f, n, dir);
        pthread_mutex_unlock(&lock);
        fd_close(dir);
}

void disk_empty(const char *path)
{
        DIR *d = opendir(path);
        struct dirent *entry;

        assert_non_null(d);
        while ((entry = readdir(d)))
                if (entry->d_name[0] != '.')
                        assert_int_equal(unlinkat(dirfd(d), entry->d_name, 0), 0);
        closedir(d);
}

uint64_t disk_option(const char *name, uint64_t otherwise)
{
        const char *text = getenv(name);
        uint64_t n;

        return text && parse_u64(text, 0, UINT64_MAX, &n) == 0 ? n : otherwise;
}
