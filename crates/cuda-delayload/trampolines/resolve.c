// Opens a CUDA library and looks up its functions on their first call, and provides fallbacks for missing
// ones. This file is compiled once for each library, which LIBRARY, FILES, ABSENT and LACKING describe.
// Forwarding calls and preserving their arguments is left to the assembly code.

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>

// Several of these are linked into one program, so the names include the library. None of them is visible
// outside of the program.
#define JOIN(library, name) delayload_##library##_##name
#define NAMED(library, name) JOIN(library, name)
#define OWN(name) NAMED(LIBRARY, name)
#pragma GCC visibility push(hidden)

static const char *const files[] = {FILES};

// Only written by `open_library`, which runs before any of the readers.
static pthread_once_t opening = PTHREAD_ONCE_INIT;
static void *library;
// The reason why it could not be opened.
static char reason[256];

static void open_library(void)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        library = dlopen(files[i], RTLD_LAZY | RTLD_LOCAL);
        if (library)
            return;
        // The first file is the one that the program was built for, so its error is the most useful one.
        const char *error = dlerror();
        if (i == 0)
            snprintf(reason, sizeof reason, "%s", error ? error : files[0]);
    }
}

static void *opened(void)
{
    pthread_once(&opening, open_library);
    return library;
}

// Returns the function of this name in the library, or else `fallback`. It is stored in `slot`, where the
// next call finds it without calling this. Two threads may do this at the same time, but they find and write
// the same address.
void *OWN(resolve)(void **slot, const char *name, void *fallback)
{
    void *handle = opened();
    void *function = handle ? dlsym(handle, name) : NULL;
    if (!function)
        function = fallback;
    __atomic_store_n(slot, function, __ATOMIC_RELEASE);
    return function;
}

// The following functions are called in place of missing functions, with their arguments. The calling
// conventions of both architectures allow them to ignore these arguments.

int OWN(status)(void)
{
    return opened() ? LACKING : ABSENT;
}

// Callers read this as a string without a check, so it is never null.
const char *OWN(text)(void)
{
    return opened() ? "the library lacks a function" : reason;
}

size_t OWN(number)(void)
{
    return 0;
}

void OWN(nothing)(void)
{
}

// cuGetErrorName and cuGetErrorString: without a driver, the only errors are the ones created here.

int OWN(name_error)(int error, const char **name)
{
    (void)error;
    *name = opened() ? "CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND" : "CUDA_ERROR_SHARED_OBJECT_INIT_FAILED";
    return 0;
}

int OWN(describe_error)(int error, const char **text)
{
    (void)error;
    *text = OWN(text)();
    return 0;
}
