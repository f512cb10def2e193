/* What the requests of OpenAI's two APIs have in common. */
#include "backend/openai_in.h"
#include "backend/shape.h"

bool openai_speaks_of_json(const struct shape *s, size_t from)
{
    for (size_t i = from; i < s->count; i++)
        for (size_t k = 0; k < s->messages[i].count; k++)
            for (str t = s->messages[i].parts[k].text; t.len >= 4; t = str_tail(t, 1))
                if (str_starts_nocase(t, STR("json"))) return true;
    return false;
}

static bool is_word(str choice)
{
    return str_eq(choice, STR("auto")) || str_eq(choice, STR("none")) ||
           str_eq(choice, STR("required"));
}

void openai_put_choice(struct json_out *o, str choice, bool words_only, const char *type,
                       bool nested)
{
    if (choice.len == 0) return;
    if (words_only && !str_eq(choice, STR("none"))) choice = STR("auto");
    json_key(o, "tool_choice");
    if (is_word(choice)) {
        json_text(o, choice);
        return;
    }
    json_object(o);
    json_key(o, "type"), json_text(o, str_of(type));
    if (nested) json_key(o, type), json_object(o);
    json_key(o, "name"), json_text(o, choice);
    if (nested) json_end_object(o);
    json_end_object(o);
}
