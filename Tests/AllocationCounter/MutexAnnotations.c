// The thread sanitizer sees what Swift's Mutex does in the code that uses it, but neither what the library does when a lock is contended nor
// what the kernel does for it: without this, whatever is done under such a lock would look like a race.

#if __has_feature(thread_sanitizer)
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>
#include <stdint.h>

#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"
#define SELF __attribute__((swift_context)) void *lock

typedef __attribute__((swiftcall)) void lock_function(uint32_t thread, SELF);
typedef __attribute__((swiftcall)) void unlock_function(SELF);

lock_function lock_slow __asm__(LOCK_SLOW);
unlock_function unlock_slow __asm__(UNLOCK_SLOW);

__attribute__((swiftcall)) void lock_slow(uint32_t thread, SELF) {
    lock_function *of_library = (lock_function *)dlsym(RTLD_NEXT, LOCK_SLOW);
    of_library(thread, lock);
    __tsan_acquire(lock);
}

__attribute__((swiftcall)) void unlock_slow(SELF) {
    unlock_function *of_library = (unlock_function *)dlsym(RTLD_NEXT, UNLOCK_SLOW);
    __tsan_release(lock);
    of_library(lock);
}
#endif
