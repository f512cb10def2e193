/* Models inside the program: their files as they stand in this folder. */
#ifndef SEMA_MODEL_EMBEDDED_H
#define SEMA_MODEL_EMBEDDED_H

#include "backend/backend.h"

extern const struct backend_embedded embedded_models[];
extern const size_t embedded_models_count;

#endif
