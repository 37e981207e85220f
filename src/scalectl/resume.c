/*
 * What an earlier run was told. A text file beside the input, which is there as long as the input is not
 * submitted as a whole:
 *
 *     scalectl submit 1 BATCH
 *     DIGEST:COUNT                  a line of the input that is in the outbox
 *     = SUBMISSION_ID               and with it all lines above
 *
 * A line of the input is known by what it says and by how many equal ones came before it, so that the input
 * may be changed between two runs. It is never the only thing that is relied on: the last submission that is
 * named is asked for first. Its commit came after those of the lines above it: it was sent when they had
 * been answered, and was not created before them (it may be of an earlier run). Where it is not known, the
 * outbox is another one or was turned back, and every line is asked about again. What was written but not
 * named by a submission counts for nothing, and neither does anything from a line on that can't be read.
 *
 * The file is locked by who writes it: of two runs at once one goes without.
 */

#include "scalectl/resume.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/parse.h"

#define LINE_MAX_SIZE 512U
#define WITNESS_SIZE  128U
#define PENDING_MAX   ((size_t)16 * 1024 * 1024)
#define TEXT_MAX      ((size_t)64 * 1024)

/* An answered line that no submission stands for yet. */
typedef struct Pending {
        uint64_t sent; /* how many lines had been sent when it was answered */
        int64_t created_at;
        NdjsonPlace place;
} Pending;

struct Resume {
        char *path;
        char head[LINE_MAX_SIZE];
        int fd, error;
        Digests known; /* by each digest, how many of the equal lines */
        uint64_t n_known;
        uint64_t end; /* of what counts in the file */

        /* The submission that stands for others: of those answered the one that was created last. */
        char witness[WITNESS_SIZE];
        uint64_t witness_sent;
        int64_t witness_created_at;

        uint64_t sent;
        Buffer pending; /* of Pending */
};

static int parse_entry(const char *line, NdjsonPlace *ret)
{
        unsigned byte;
        uint64_t n;

        for (size_t i = 0; i < DIGEST_FRONT_SIZE; i++) {
                if (!strchr("0123456789abcdef", line[2 * i]) ||
                                !strchr("0123456789abcdef", line[2 * i + 1]) ||
                                sscanf(line + 2 * i, "%2x", &byte) != 1)
                        return -EBADMSG;
                ret->digest[i] = (uint8_t)byte;
        }
        if (line[2 * DIGEST_FRONT_SIZE] != ':' ||
                        parse_u64(line + 2 * DIGEST_FRONT_SIZE + 1, 1, UINT32_MAX, &n) < 0)
                return -EBADMSG;
        ret->count = (uint32_t)n;
        return 0;
}

/* Of equal lines those are known that have no gap before them: of another the submitter is asked once more.
 */
static int know(Resume *resume, const NdjsonPlace *place)
{
        uint32_t n;
        int r;

        if (digests_count(&resume->known, place->digest) + 1 != place->count)
                return 0;
        r = digests_add(&resume->known, place->digest, &n);
        resume->n_known += r >= 0;
        return r;
}

/* Lines up to the next one that names a submission, kept in `pending` meanwhile. */
static int take_line(Resume *resume, const char *line, uint64_t end)
{
        NdjsonPlace place;
        int r;

        if (strncmp(line, "= ", 2) != 0) {
                r = parse_entry(line, &place);
                return r < 0 ? r : buffer_append(&resume->pending, &place, sizeof(place));
        }
        if (strlen(line) - 2 >= sizeof(resume->witness) || line[2] == 0)
                return -EBADMSG;
        for (size_t i = 0; i < resume->pending.size; i += sizeof(place)) {
                memcpy(&place, resume->pending.data + i, sizeof(place));
                r = know(resume, &place);
                if (r < 0)
                        return r;
        }
        buffer_consume(&resume->pending, resume->pending.size);
        strcpy(resume->witness, line + 2);
        resume->end = end;
        return 0;
}

/* 1: a whole line; 0: there is none. */
static int next_line(FILE *f, char line[static LINE_MAX_SIZE], uint64_t *end)
{
        size_t n;

        if (!fgets(line, LINE_MAX_SIZE, f))
                return ferror(f) ? -EIO : 0;
        n = strlen(line);
        if (n == 0 || line[n - 1] != '\n')
                return 0;
        line[n - 1] = 0;
        *end += n;
        return 1;
}

static int read_file(Resume *resume, FILE *f)
{
        char line[LINE_MAX_SIZE];
        uint64_t end = 0;
        int r;

        r = next_line(f, line, &end);
        if (r <= 0)
                return r < 0 ? r : ftello(f) > 0 ? -EEXIST : 0; /* an empty one can be ours */
        if (strncmp(line, "scalectl submit 1 ", 18) != 0)
                return -EEXIST;
        if (!streq(line, resume->head)) /* another batch: other lines */
                return 0;
        resume->end = end;
        while ((r = next_line(f, line, &end)) > 0) {
                r = take_line(resume, line, end);
                if (r < 0)
                        break;
        }
        buffer_consume(&resume->pending, resume->pending.size);
        return r == -EBADMSG ? 0 : r;
}

/* Nothing is written down from here on; what was read stays known. */
static void give_up(Resume *resume, int error)
{
        if (error < 0 && resume->error == 0)
                resume->error = error;
        if (error < 0)
                resume->fd = fd_close(resume->fd);
}

/* Opened and locked before it is read, where it is there: then nobody changes it meanwhile. */
static int open_file(Resume *resume)
{
        struct stat st;
        FILE *f;
        int r;

        resume->fd = open(resume->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (resume->fd < 0)
                return errno == ENOENT ? 0 : errno == ELOOP ? -EEXIST : -errno;
        if (flock(resume->fd, LOCK_EX | LOCK_NB) < 0 || fstat(resume->fd, &st) < 0)
                return -errno;
        if (st.st_nlink == 0) { /* another run has just come to its end */
                resume->fd = fd_close(resume->fd);
                return 0;
        }
        if (!S_ISREG(st.st_mode))
                return -EEXIST;
        r = fcntl(resume->fd, F_DUPFD_CLOEXEC, 3);
        f = r < 0 ? NULL : fdopen(r, "r");
        if (!f)
                return -errno;
        r = read_file(resume, f);
        fclose(f);
        return r;
}

int resume_new(const char *input, const char *batch, Resume **ret)
{
        _cleanup_(resume_freep) Resume *resume = NULL;

        resume = calloc(1, sizeof(Resume));
        if (!resume)
                return -ENOMEM;
        resume->fd = -1;
        resume->pending = BUFFER_INIT(PENDING_MAX);
        if (asprintf(&resume->path, "%s" RESUME_SUFFIX, input) < 0) {
                resume->path = NULL;
                return -ENOMEM;
        }
        snprintf(resume->head, sizeof(resume->head), "scalectl submit 1 %s", batch);
        resume->witness_created_at = INT64_MIN;
        give_up(resume, open_file(resume));
        *ret = TAKE_PTR(resume);
        return 0;
}

Resume *resume_free(Resume *resume)
{
        if (!resume)
                return NULL;

        fd_close(resume->fd);
        digests_done(&resume->known);
        buffer_done(&resume->pending);
        free(resume->path);
        free(resume);
        return NULL;
}

int resume_error(const Resume *resume)
{
        return resume->error;
}

uint64_t resume_size(const Resume *resume)
{
        return resume->n_known;
}

const char *resume_witness(const Resume *resume)
{
        return resume->n_known > 0 ? resume->witness : "";
}

void resume_confirm(Resume *resume, int64_t created_at)
{
        resume->witness_created_at = created_at;
}

void resume_forget(Resume *resume)
{
        digests_done(&resume->known);
        resume->n_known = 0;
        resume->end = 0;
}

bool resume_has(const Resume *resume, const NdjsonPlace *place)
{
        return place->count <= digests_count(&resume->known, place->digest);
}

uint64_t resume_send(Resume *resume)
{
        return resume->sent++;
}

void resume_answer(Resume *resume, uint64_t sent, const NdjsonPlace *place, const char *submission_id,
                int64_t created_at)
{
        const Pending p = { .sent = resume->sent, .created_at = created_at, .place = *place };

        if (resume->error < 0 || strlen(submission_id) >= sizeof(resume->witness) ||
                        strchr(submission_id, '\n'))
                return;
        if (created_at >= resume->witness_created_at) {
                strcpy(resume->witness, submission_id);
                resume->witness_sent = sent;
                resume->witness_created_at = created_at;
        }
        if (buffer_append(&resume->pending, &p, sizeof(p)) < 0)
                give_up(resume, -ENOMEM);
}

/* Writing. */

static int append_entry(Buffer *text, const NdjsonPlace *place)
{
        char hex[2 * DIGEST_FRONT_SIZE + 1];

        for (size_t i = 0; i < DIGEST_FRONT_SIZE; i++)
                snprintf(hex + 2 * i, 3, "%02x", place->digest[i]);
        return buffer_append_f(text, "%s:%" PRIu32 "\n", hex, place->count);
}

/* Moves what the witness stands for, and there is room for, to the text. */
static int take_proven(Resume *resume, Buffer *text)
{
        Buffer *pending = &resume->pending;
        size_t kept = 0, i;
        Pending p;
        int r = 0;

        for (i = 0; i < pending->size; i += sizeof(p)) {
                memcpy(&p, pending->data + i, sizeof(p));
                if (r >= 0 && p.sent <= resume->witness_sent && p.created_at <= resume->witness_created_at)
                        r = append_entry(text, &p.place);
                if (r < 0 || p.sent > resume->witness_sent || p.created_at > resume->witness_created_at) {
                        memmove(pending->data + kept, &p, sizeof(p));
                        kept += sizeof(p);
                }
        }
        pending->size = kept;
        return r == -ENOBUFS ? 0 : r;
}

/* As it is where there is one; from here on behind what counts in it. */
static int prepare_file(Resume *resume)
{
        if (resume->fd < 0)
                resume->fd = open(resume->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (resume->fd < 0)
                return errno == EEXIST ? -EWOULDBLOCK : -errno;
        if (flock(resume->fd, LOCK_EX | LOCK_NB) < 0 || ftruncate(resume->fd, (off_t)resume->end) < 0)
                return -errno;
        return 0;
}

static int write_text(Resume *resume, const Buffer *text)
{
        ssize_t n = pwrite(resume->fd, text->data, text->size, (off_t)resume->end);

        if (n < 0)
                return -errno;
        if ((size_t)n < text->size)
                return -ENOSPC;
        resume->end += text->size;
        return 0;
}

void resume_save(Resume *resume)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(TEXT_MAX);
        size_t head;
        int r = 0;

        if (resume->error < 0)
                return;
        if (resume->end == 0)
                r = buffer_append_f(&text, "%s\n", resume->head);
        head = text.size;
        if (r >= 0)
                r = take_proven(resume, &text);
        if (r >= 0 && text.size == head)
                return;
        text.max += WITNESS_SIZE + 8;
        if (r >= 0)
                r = buffer_append_f(&text, "= %s\n", resume->witness);
        if (r >= 0)
                r = prepare_file(resume);
        if (r >= 0)
                r = write_text(resume, &text);
        give_up(resume, r);
}

void resume_finish(Resume *resume)
{
        if (resume->fd >= 0)
                (void)unlink(resume->path);
        resume->fd = fd_close(resume->fd);
}
