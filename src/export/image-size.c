/*
 * Sizes of images. Of PNG and JPEG no more is read than where they say how large they are: the first chunk
 * of a PNG, and of a JPEG the segments up to the frame's header. Every step is bounded by the bytes that
 * there are. The turn that a camera notes in EXIF is not looked at: boxes are about the pixels as they are
 * stored by most programs that read them for training.
 */

#include "export/image-size.h"

#include "basic/parse.h"

static uint32_t be16(const uint8_t *p)
{
        return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
        return be16(p) << 16 | be16(p + 2);
}

static int set_size(uint32_t width, uint32_t height, ImageSize *ret)
{
        if (width == 0 || height == 0 || width > IMAGE_SIDE_MAX || height > IMAGE_SIDE_MAX)
                return -EBADMSG;
        *ret = (ImageSize){ width, height };
        return 0;
}

static const uint8_t png_signature[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
static const uint8_t jpeg_signature[] = { 0xff, 0xd8 };

static int read_png(const uint8_t *p, size_t size, ImageSize *ret)
{
        static const uint8_t header[] = { 0, 0, 0, 13, 'I', 'H', 'D', 'R' };

        if (size < sizeof(png_signature) + sizeof(header) + 8)
                return -ENODATA;
        p += sizeof(png_signature);
        if (memcmp(p, header, sizeof(header)) != 0)
                return -EBADMSG;
        return set_size(be32(p + 8), be32(p + 12), ret);
}

/* A marker without a segment behind it. */
static bool stands_alone(uint8_t marker)
{
        return marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7);
}

static bool is_frame(uint8_t marker)
{
        return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

static int read_jpeg(const uint8_t *p, size_t size, ImageSize *ret)
{
        size_t at = sizeof(jpeg_signature);

        while (at + 1 < size) {
                uint8_t marker = p[at + 1];

                if (p[at] != 0xff)
                        return -EBADMSG;
                if (marker == 0xff || stands_alone(marker)) {
                        at += marker == 0xff ? 1 : 2;
                        continue;
                }
                if (marker == 0 || marker == 0xd8 || marker == 0xd9 || marker == 0xda)
                        return -EBADMSG; /* the picture itself, before it was said how large it is */
                if (at + 4 > size)
                        break;
                if (be16(p + at + 2) < (is_frame(marker) ? 8U : 2U))
                        return -EBADMSG;
                if (is_frame(marker))
                        return at + 9 > size ? -ENODATA : set_size(be16(p + at + 7), be16(p + at + 5), ret);
                at += 2 + be16(p + at + 2);
        }
        return -ENODATA;
}

int image_size_read(const void *data, size_t size, ImageSize *ret)
{
        static const struct {
                const uint8_t *signature;
                size_t size;
                int (*read)(const uint8_t *p, size_t size, ImageSize *ret);
        } kinds[] = {
                { png_signature, sizeof(png_signature), read_png },
                { jpeg_signature, sizeof(jpeg_signature), read_jpeg },
        };

        FOREACH_ARRAY(k, kinds, ELEMENTSOF(kinds)) {
                if (size > 0 && memcmp(data, k->signature, MIN(size, k->size)) == 0)
                        return size < k->size ? -ENODATA : k->read(data, size, ret);
        }
        return size == 0 ? -ENODATA : -EBADMSG;
}

/* The end of a field in quotes, which is undone in place; NULL: they are not closed. */
static char *unquote(char *field)
{
        char *to = field;

        for (char *from = field + 1; *from; from++) {
                if (*from == '"' && *++from != '"') {
                        *to = 0;
                        return from;
                }
                *to++ = *from;
        }
        return NULL;
}

static int parse_side(const char *text, uint32_t *ret)
{
        uint64_t v;
        int r;

        r = parse_u64(text, 1, IMAGE_SIDE_MAX, &v);
        if (r < 0)
                return -EINVAL;
        *ret = (uint32_t)v;
        return 0;
}

int image_size_parse_line(char *line, const char **ret_key, ImageSize *ret)
{
        char *end, *width, *height, *rest = NULL;
        ImageSize size;

        line[strcspn(line, "\r\n")] = 0;
        end = *line == '"' ? unquote(line) : strchr(line, ',');
        if (!end || *end != ',')
                return -EINVAL;
        *end = 0;
        width = strtok_r(end + 1, ",", &rest);
        height = strtok_r(NULL, ",", &rest);
        if (*line == 0 || !width || !height || parse_side(width, &size.width) < 0 ||
                        parse_side(height, &size.height) < 0)
                return -EINVAL;

        *ret_key = line;
        *ret = size;
        return 0;
}
