#include "base/json_schema.h"

bool json_schema_holds_names(str key)
{
    return str_eq(key, STR("properties")) || str_eq(key, STR("$defs")) ||
           str_eq(key, STR("definitions")) || str_eq(key, STR("patternProperties"));
}

bool json_schema_holds_data(str key)
{
    return str_eq(key, STR("enum")) || str_eq(key, STR("const")) || str_eq(key, STR("default")) ||
           str_eq(key, STR("examples")) || str_eq(key, STR("required"));
}
