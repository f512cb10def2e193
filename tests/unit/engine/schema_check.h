/* Does a JSON value satisfy a schema?  The plain reading of the keywords that grammars know,
 * written apart from them so that the two can be held against each other. */
#ifndef SEMA_TESTS_SCHEMA_CHECK_H
#define SEMA_TESTS_SCHEMA_CHECK_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <math.h>
#include <pcre2.h>

#include "base/json.h"
#include "base/utf8.h"

static bool schema_holds(yyjson_val *root, yyjson_val *schema, yyjson_val *v);

static inline bool schema_type_is(yyjson_val *type, yyjson_val *v)
{
    str t = json_str(type);
    if (str_eq(t, STR("null"))) return yyjson_is_null(v);
    if (str_eq(t, STR("boolean"))) return yyjson_is_bool(v);
    if (str_eq(t, STR("number"))) return yyjson_is_num(v);
    if (str_eq(t, STR("integer")))
        return yyjson_is_num(v) && yyjson_get_num(v) == floor(yyjson_get_num(v));
    if (str_eq(t, STR("string"))) return yyjson_is_str(v);
    if (str_eq(t, STR("array"))) return yyjson_is_arr(v);
    return yyjson_is_obj(v);
}

static inline bool schema_pattern_matches(str pattern, str text)
{
    int code;
    PCRE2_SIZE at;
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR)pattern.at, pattern.len, PCRE2_UTF, &code, &at, NULL);
    assert_non_null(re);
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(re, NULL);
    int n = pcre2_match(re, (PCRE2_SPTR)text.at, text.len, 0, 0, data, NULL);
    pcre2_match_data_free(data);
    pcre2_code_free(re);
    return n > 0;
}

static inline bool schema_string_holds(yyjson_val *schema, str s)
{
    size_t count = utf8_count(s);
    yyjson_val *min = json_get(schema, "minLength"), *max = json_get(schema, "maxLength");
    str pattern = json_get_str(schema, "pattern"), format = json_get_str(schema, "format");

    if (min && (double)count < yyjson_get_num(min)) return false;
    if (max && (double)count > yyjson_get_num(max)) return false;
    if (pattern.at && !schema_pattern_matches(pattern, s)) return false;
    if (str_eq(format, STR("uuid")))
        return schema_pattern_matches(STR("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"), s);
    if (str_eq(format, STR("date")))
        return schema_pattern_matches(STR("^\\d{4}-(0\\d|1[0-2])-[0-3]\\d$"), s);
    if (str_eq(format, STR("date-time")))
        return schema_pattern_matches(STR("^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d"), s);
    return true;
}

static inline bool schema_array_holds(yyjson_val *root, yyjson_val *schema, yyjson_val *v)
{
    yyjson_val *min = json_get(schema, "minItems"), *max = json_get(schema, "maxItems");
    yyjson_val *prefix = json_get(schema, "prefixItems"), *items = json_get(schema, "items"), *one;
    size_t i, n;

    if (min && (double)yyjson_arr_size(v) < yyjson_get_num(min)) return false;
    if (max && (double)yyjson_arr_size(v) > yyjson_get_num(max)) return false;
    yyjson_arr_foreach(json_array_of(v), i, n, one)
    {
        yyjson_val *s = i < yyjson_arr_size(prefix) ? yyjson_arr_get(prefix, i) : items;
        if (s && !schema_holds(root, s, one)) return false;
    }
    return true;
}

static inline bool schema_object_holds(yyjson_val *root, yyjson_val *schema, yyjson_val *v)
{
    yyjson_val *properties = json_get(schema, "properties"),
               *more = json_get(schema, "additionalProperties");
    yyjson_val *key, *one;
    size_t i, n;

    yyjson_arr_foreach(json_array_of(json_get(schema, "required")), i, n, one)
    {
        if (!yyjson_obj_getn(v, yyjson_get_str(one), yyjson_get_len(one))) return false;
    }
    yyjson_obj_foreach(json_object_of(v), i, n, key, one)
    {
        yyjson_val *s = yyjson_obj_getn(properties, yyjson_get_str(key), yyjson_get_len(key));
        if (s == NULL) s = more;
        if (s && !schema_holds(root, s, one)) return false;
    }
    return true;
}

static inline bool schema_equal(yyjson_val *a, yyjson_val *b)
{
    if (yyjson_is_num(a) && yyjson_is_num(b)) return yyjson_get_num(a) == yyjson_get_num(b);
    return yyjson_equals(a, b);
}

static inline bool schema_any_holds(yyjson_val *root, yyjson_val *list, yyjson_val *v)
{
    size_t i, n;
    yyjson_val *one;

    if (list == NULL) return true;
    yyjson_arr_foreach(json_array_of(list), i, n, one)
    {
        if (schema_holds(root, one, v)) return true;
    }
    return false;
}

static bool schema_holds(yyjson_val *root, yyjson_val *schema, yyjson_val *v)
{
    size_t i, n;
    yyjson_val *one, *type = json_get(schema, "type"), *values = json_get(schema, "enum");
    yyjson_val *fixed = json_get(schema, "const");
    str ref = json_get_str(schema, "$ref");
    bool ok = type == NULL || !yyjson_is_arr(type);

    if (yyjson_is_bool(schema)) return yyjson_is_true(schema);
    if (type && !yyjson_is_arr(type)) ok = schema_type_is(type, v);
    yyjson_arr_foreach(json_array_of(type), i, n, one) ok = ok || schema_type_is(one, v);
    bool listed = values == NULL;
    yyjson_arr_foreach(json_array_of(values), i, n, one) listed = listed || schema_equal(one, v);
    if (!ok || !listed || (fixed && !schema_equal(fixed, v))) return false;
    if (ref.at &&
        !schema_holds(root,
                      str_eq(ref, STR("#")) ? root : yyjson_ptr_getn(root, ref.at + 1, ref.len - 1),
                      v))
        return false;
    yyjson_arr_foreach(json_array_of(json_get(schema, "allOf")), i, n, one)
    {
        if (!schema_holds(root, one, v)) return false;
    }
    if (!schema_any_holds(root, json_get(schema, "anyOf"), v)) return false;
    if (!schema_any_holds(root, json_get(schema, "oneOf"), v)) return false;
    if (yyjson_is_str(v)) return schema_string_holds(schema, json_str(v));
    if (yyjson_is_arr(v)) return schema_array_holds(root, schema, v);
    if (yyjson_is_obj(v)) return schema_object_holds(root, schema, v);
    if (!yyjson_is_num(v)) return true;
    yyjson_val *min = json_get(schema, "minimum"), *max = json_get(schema, "maximum");
    return !(min && yyjson_get_num(v) < yyjson_get_num(min)) &&
           !(max && yyjson_get_num(v) > yyjson_get_num(max));
}

#endif
