#define _GNU_SOURCE
#include "CLinux.h"

#include <malloc.h>
#include <stdlib.h>

// Blocks come from malloc, so that any thread may free them; how large they are malloc knows itself.

enum {
    SMALL_STEP = 16,
    SMALL_CLASSES = 17,
    LARGEST_SMALL = SMALL_STEP * SMALL_CLASSES - 8,
    SMALLEST_LARGE = 8192,
    LARGE = 20480,
    KEPT = 64,
};

struct block {
    struct block *next;
};

struct list {
    struct block *first;
    int count;
};

static _Thread_local struct {
    int is_open;
    struct list small[SMALL_CLASSES];
    struct list large;
} pool;

// Usable sizes of malloc are 8 below a multiple of 16, and 24 at least.
static size_t usable_size(size_t size) {
    size_t usable = ((size + 8 + SMALL_STEP - 1) & ~(size_t)(SMALL_STEP - 1)) - 8;
    return usable < 24 ? 24 : usable;
}

static struct list *list_of(size_t usable) {
    if (usable <= LARGEST_SMALL) return &pool.small[(usable + 8) / SMALL_STEP - 1];
    return usable >= LARGE && usable < LARGE + 2 * SMALL_STEP ? &pool.large : NULL;
}

void *clinux_pool_allocate(size_t size, const char *file, int line) {
    (void)file, (void)line;
    if (!size) return NULL;
    if (size > SMALLEST_LARGE && size <= LARGE) size = LARGE;
    struct list *list = pool.is_open ? list_of(usable_size(size)) : NULL;
    if (!list || !list->first) return malloc(size);
    struct block *block = list->first;
    list->first = block->next;
    list->count--;
    return block;
}

void clinux_pool_free(void *memory, const char *file, int line) {
    (void)file, (void)line;
    if (!memory) return;
    struct list *list = pool.is_open ? list_of(malloc_usable_size(memory)) : NULL;
    if (!list || list->count >= KEPT) {
        free(memory);
        return;
    }
    struct block *block = memory;
    block->next = list->first;
    list->first = block;
    list->count++;
}

void *clinux_pool_reallocate(void *memory, size_t size, const char *file, int line) {
    (void)file, (void)line;
    return realloc(memory, size);
}

static void empty(struct list *list) {
    while (list->first) {
        struct block *block = list->first;
        list->first = block->next;
        free(block);
    }
    list->count = 0;
}

void clinux_pool_open(void) { pool.is_open = 1; }

void clinux_pool_close(void) {
    pool.is_open = 0;
    for (int i = 0; i < SMALL_CLASSES; i++) empty(&pool.small[i]);
    empty(&pool.large);
}
