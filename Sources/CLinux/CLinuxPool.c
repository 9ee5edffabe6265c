#define _GNU_SOURCE
#include "CLinux.h"

#include <malloc.h>
#include <stdlib.h>

// Blocks come from malloc, so that any thread may free them; how large they are malloc knows itself. A block is kept with those that are at
// least as large as it, whatever malloc rounds sizes to.

enum {
    // What glibc's malloc wastes nothing of: 24, 40, 56, ...
    SMALLEST = 24,
    SMALL_STEP = 16,
    SMALL_CLASSES = 16,
    LARGEST_SMALL = SMALLEST + SMALL_STEP * (SMALL_CLASSES - 1),
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

// The size to ask malloc for, so that the block can be kept afterwards.
static size_t rounded(size_t size) {
    if (size <= SMALLEST) return SMALLEST;
    if (size <= LARGEST_SMALL) return SMALLEST + (size - SMALLEST + SMALL_STEP - 1) / SMALL_STEP * SMALL_STEP;
    return size > SMALLEST_LARGE && size <= LARGE ? LARGE : size;
}

static int is_rounded(size_t size) { return size <= LARGEST_SMALL || size == LARGE; }

// Where blocks with this much room are kept, with others that may be a little smaller; NULL when they are not.
static struct list *list_of(size_t room) {
    if (room >= SMALLEST && room < LARGEST_SMALL + SMALL_STEP) return &pool.small[(room - SMALLEST) / SMALL_STEP];
    return room >= LARGE && room < LARGE + 2 * SMALL_STEP ? &pool.large : NULL;
}

void *clinux_pool_allocate(size_t size, const char *file, int line) {
    (void)file, (void)line;
    if (!size) return NULL;
    size = rounded(size);
    struct list *list = pool.is_open && is_rounded(size) ? list_of(size) : NULL;
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
