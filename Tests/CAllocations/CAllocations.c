#define _GNU_SOURCE
#include "CAllocations.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>

static char prefix[16];
static atomic_int is_counting;
static atomic_ullong count;

static void note(void) {
    if (!atomic_load_explicit(&is_counting, memory_order_acquire)) return;
    char name[16];
    if (prctl(PR_GET_NAME, name) == 0 && strncmp(name, prefix, strlen(prefix)) == 0) atomic_fetch_add(&count, 1);
}

void callocations_start(const char *text) {
    strncpy(prefix, text, sizeof prefix - 1);
    atomic_store(&count, 0);
    atomic_store_explicit(&is_counting, 1, memory_order_release);
}

uint64_t callocations_stop(void) {
    atomic_store(&is_counting, 0);
    return atomic_load(&count);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) || \
    __has_feature(thread_sanitizer)

int callocations_works(void) { return 0; }

#else

int callocations_works(void) { return 1; }

// The C library's own, under the names that it keeps for programs that replace them.
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) {
    note();
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    note();
    return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size) {
    note();
    return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size) {
    note();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    note();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    note();
    void *found = __libc_memalign(alignment, size);
    if (found == NULL) return ENOMEM;
    *memory = found;
    return 0;
}

#endif
