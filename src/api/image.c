#include "api/image.h"

#include "conf/limits.h"

#include <stdbool.h>

static const char *const kinds[] = {"png", "jpeg", "webp", "gif"};

static bool is_base64(str s, size_t *bytes)
{
    size_t pad = 0;

    if (s.len == 0 || s.len % 4) return false;
    while (pad < 2 && s.at[s.len - 1 - pad] == '=') pad++;
    for (size_t i = 0; i < s.len - pad; i++) {
        char c = s.at[i];
        bool ok = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                  c == '+' || c == '/';
        if (!ok) return false;
    }
    *bytes = s.len / 4 * 3 - pad;
    return true;
}

static bool is_https(str s)
{
    str rest = str_tail(s, 8);

    if (!str_starts_nocase(s, STR("https://")) || rest.len == 0 || s.len > 8192) return false;
    if (rest.at[0] == '/' || rest.at[0] == '?' || rest.at[0] == '#' || rest.at[0] == ':')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.at[i] <= ' ' || s.at[i] == 0x7F) return false;
    return true;
}

const char *image_fault(str text)
{
    static const char usage[] =
        "An image should be data:image/png;base64,... (png, jpeg, webp or gif) "
        "or an https address";
    size_t bytes;

    if (!str_starts_nocase(text, STR("data:"))) return is_https(text) ? NULL : usage;
    str rest = str_tail(text, 5);
    if (!str_starts_nocase(rest, STR("image/"))) return usage;
    rest = str_tail(rest, 6);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        str kind = str_of(kinds[i]);
        if (!str_starts_nocase(rest, kind)) continue;
        str data = str_tail(rest, kind.len);
        if (!str_starts_nocase(data, STR(";base64,"))) return usage;
        data = str_tail(data, 8);
        if (data.len / 4 * 3 > IMAGE_BYTES_MAX + 3)
            return "An image should have at most 5 MiB decoded";
        if (!is_base64(data, &bytes))
            return "An image's data should be base64, padded, without blanks";
        return bytes > IMAGE_BYTES_MAX ? "An image should have at most 5 MiB decoded" : NULL;
    }
    return usage;
}
