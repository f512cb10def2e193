/* The settings of a model: config.json (with generation_config.json for the end tokens), or the
 * metadata of a GGUF file, behind one set of getters.  A getter takes both names; a setting has one
 * meaning.
 *
 * What a file says wrong (a text for a number, a number out of range, a missing one that is needed)
 * is noted once; the getters go on with harmless values and config_err tells at the end. */
#ifndef SEMA_ENGINE_FORMAT_CONFIG_H
#define SEMA_ENGINE_FORMAT_CONFIG_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct config;
struct files;
struct gguf;

/* `g`: of the weights, or NULL for config.json.  Both must outlive it.  ERR_MODEL_UNUSABLE, ERR_IO,
 * ERR_MEMORY. */
enum err config_open(struct config **out, struct files *f, const struct gguf *g,
                     struct err_note *why);
void config_close(struct config *c);

bool config_is_gguf(const struct config *c);
str config_type(const struct config *c); /* model_type, general.architecture */

/* JSON names may be paths: "rope_scaling.factor".  A GGUF name stands for "ARCHITECTURE.NAME".
 * NULL: that format has no such setting.  `null` counts as absent.  Text settings of multimodal
 * models are found in their text_config. */
#define CONFIG_NEEDED INT64_MIN
#define CONFIG_NEEDED_NUM ((double)NAN)
int64_t config_int(struct config *c, const char *json, const char *gguf, int64_t otherwise,
                   int64_t min, int64_t max);
double config_num(struct config *c, const char *json, const char *gguf, double otherwise,
                  double min, double max);
bool config_bool(struct config *c, const char *json, const char *gguf, bool otherwise);
str config_str(struct config *c, const char *json, const char *gguf); /* empty when absent */
bool config_has(const struct config *c, const char *json, const char *gguf);
bool config_is_null(const struct config *c, const char *json); /* there, and null */

/* Elements of an array in config.json: how many it has, and one of them. */
size_t config_count(const struct config *c, const char *json);
double config_num_at(const struct config *c, const char *json,
                     size_t i); /* NaN when not a number */
str config_str_at(const struct config *c, const char *json, size_t i);

/* Ids that end an answer, without repeats; at most `max`. */
size_t config_end_ids(const struct config *c, int32_t *out, size_t max);

/* Notes a fault of one's own, as the getters do. */
void config_bad(struct config *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
enum err config_err(const struct config *c, struct err_note *why);

#endif
