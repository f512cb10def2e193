#include "engine/vocab/refuse.h"

enum { NAME_BYTES_MAX = 64 };

enum err refuse_kind(struct err_note *why, const char *what, str name)
{
    char shown[NAME_BYTES_MAX + 1];
    size_t len = name.len < NAME_BYTES_MAX ? name.len : NAME_BYTES_MAX;

    for (size_t i = 0; i < len; i++) {
        char c = name.at[i];
        shown[i] = c >= 32 && c < 127 && c != '"' ? c : '?';
    }
    shown[len] = '\0';
    return err_set(why, ERR_MODEL_UNUSABLE, "%s \"%s\" is not supported", what, shown);
}
