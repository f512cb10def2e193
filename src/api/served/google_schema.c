/* Google's Schema, a subset of OpenAPI 3.0 with type names in capitals, as JSON Schema.  What is
 * JSON Schema already passes unchanged. */
#include "api/served/google.h"
#include "base/json_schema.h"

enum { SCHEMA_BYTES_MAX = 64 << 20 };

/* Says nothing in JSON Schema. */
static bool is_own(str key)
{
    return str_eq(key, STR("propertyOrdering")) || str_eq(key, STR("property_ordering")) ||
           str_eq(key, STR("nullable")) || str_eq(key, STR("example"));
}

/* Counts are int64, which Google's JSON may write as text. */
static bool is_count(str key)
{
    static const char *const names[] = {"minItems",  "maxItems",      "minLength",
                                        "maxLength", "minProperties", "maxProperties"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_eq(key, str_of(names[i]))) return true;
    return false;
}

static bool all_digits(str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] < '0' || s.at[i] > '9') return false;
    return s.len > 0 && s.len < 19;
}

/* The few keywords that snake_case would change. */
static const char *plain_key(str key, const char *as_it_is)
{
    static const char *const rows[][2] = {
        {"any_of", "anyOf"},
        {"min_items", "minItems"},
        {"max_items", "maxItems"},
        {"min_length", "minLength"},
        {"max_length", "maxLength"},
        {"min_properties", "minProperties"},
        {"max_properties", "maxProperties"},
        {"additional_properties", "additionalProperties"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (str_eq(key, str_of(rows[i][0]))) return rows[i][1];
    return as_it_is;
}

static void put_name(struct json_out *o, str type)
{
    char low[16];

    if (type.len >= sizeof low) {
        json_text(o, type);
        return;
    }
    for (size_t i = 0; i < type.len; i++)
        low[i] = (char)(type.at[i] >= 'A' && type.at[i] <= 'Z' ? type.at[i] + 32 : type.at[i]);
    json_text(o, str_span(low, type.len));
}

static void put_type(struct json_out *o, yyjson_val *type, bool nullable)
{
    str name = json_str(type);

    if (name.len == 0 && !nullable) {
        json_key(o, "type"), json_val(o, type);
        return;
    }
    if (str_eq_nocase(name, STR("TYPE_UNSPECIFIED"))) return;
    json_key(o, "type");
    if (nullable) json_array(o);
    if (name.len) put_name(o, name);
    if (nullable && !str_eq_nocase(name, STR("null"))) json_text(o, STR("null"));
    if (nullable) json_end_array(o);
}

/* JSON Schema's nullable choice: what "nullable" beside "anyOf" or "enum" stands for. */
static void put_choice(struct json_out *o, str key, yyjson_val *list);

static void put_schema(struct json_out *o, yyjson_val *v, bool names)
{
    yyjson_arr_iter items;
    yyjson_obj_iter fields;
    yyjson_val *one;

    if (yyjson_is_arr(v)) {
        json_array(o);
        yyjson_arr_iter_init(v, &items);
        while ((one = yyjson_arr_iter_next(&items))) put_schema(o, one, false);
        json_end_array(o);
        return;
    }
    if (!yyjson_is_obj(v)) {
        json_val(o, v);
        return;
    }
    bool nullable = !names && json_get_bool(v, "nullable", false);
    json_object(o);
    yyjson_obj_iter_init(v, &fields);
    while ((one = yyjson_obj_iter_next(&fields))) {
        yyjson_val *value = yyjson_obj_iter_get_val(one);
        str key = json_str(one);
        if (names) {
            json_key(o, yyjson_get_str(one)), put_schema(o, value, false);
            continue;
        }
        const char *plain = plain_key(key, yyjson_get_str(one));
        key = str_of(plain);
        if (is_own(key) || yyjson_is_null(value)) continue;
        if (str_eq(key, STR("type")) && !yyjson_is_arr(value)) {
            put_type(o, value, nullable);
            continue;
        }
        if (str_eq(key, STR("format")) && str_eq_nocase(json_str(value), STR("enum"))) continue;
        json_key(o, plain);
        if (nullable && (str_eq(key, STR("anyOf")) || str_eq(key, STR("enum"))))
            put_choice(o, key, value);
        else if (is_count(key) && yyjson_is_str(value) && all_digits(json_str(value)))
            json_raw(o, json_str(value));
        else if (json_schema_holds_data(key))
            json_val(o, value);
        else
            put_schema(o, value, json_schema_holds_names(key));
    }
    json_end_object(o);
}

static void put_choice(struct json_out *o, str key, yyjson_val *list)
{
    yyjson_arr_iter items;
    yyjson_val *one;
    bool schemas = str_eq(key, STR("anyOf"));

    json_array(o);
    yyjson_arr_iter_init(json_array_of(list), &items);
    while ((one = yyjson_arr_iter_next(&items))) {
        if (schemas)
            put_schema(o, one, false);
        else
            json_val(o, one);
    }
    if (schemas)
        json_raw(o, STR("{\"type\":\"null\"}"));
    else
        json_null(o);
    json_end_array(o);
}

str google_schema(yyjson_val *schema, struct arena *a)
{
    struct buf text;

    buf_init(&text, SCHEMA_BYTES_MAX);
    struct json_out o = json_begin(&text);
    put_schema(&o, schema, false);
    str kept = text.bad ? STR_NONE : arena_str(a, buf_str(&text));
    buf_fini(&text);
    return kept;
}
