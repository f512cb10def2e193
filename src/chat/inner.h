/* What the files of this room share. */
#ifndef SEMA_CHAT_INNER_H
#define SEMA_CHAT_INNER_H

#include "base/arena.h"
#include "chat/chat.h"
#include "chat/models.h"
#include "chat/order.h"

struct chat {
    struct chat_conf conf; /* strings in the arena */
    struct arena arena;
    struct shelf *shelf;
    struct models *models;
    struct order *order;
    struct chat_numbers numbers;
};

#endif
