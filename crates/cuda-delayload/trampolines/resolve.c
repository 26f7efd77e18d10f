// Opens a CUDA library and finds its functions, when they are first called, and stands in for them where they are
// not. Compiled once for each library, which LIBRARY, FILES, ABSENT and LACKING describe. How a call comes here,
// and how its arguments survive, is the assembly's part.

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>

// Several of these are linked into one program, so each library has names of its own; none leaves the program.
#define JOIN(library, name) delayload_##library##_##name
#define NAMED(library, name) JOIN(library, name)
#define OWN(name) NAMED(LIBRARY, name)
#pragma GCC visibility push(hidden)

static const char *const files[] = {FILES};

// Written by `open_library` only, which runs before any of the readers.
static pthread_once_t opening = PTHREAD_ONCE_INIT;
static void *library;
// Why it could not be opened.
static char reason[256];

static void open_library(void)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        library = dlopen(files[i], RTLD_LAZY | RTLD_LOCAL);
        if (library)
            return;
        // The first file is the one that the program was built for: what is wrong with it says most.
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

// The function of that name in the library, or else `fallback`. Kept in `slot`, from where the next call takes it
// without coming here. Two threads may both come: they find, and write, the same.
void *OWN(resolve)(void **slot, const char *name, void *fallback)
{
    void *handle = opened();
    void *function = handle ? dlsym(handle, name) : NULL;
    if (!function)
        function = fallback;
    __atomic_store_n(slot, function, __ATOMIC_RELEASE);
    return function;
}

// What follows is called in place of a function that is not there, with that function's arguments. The calling
// conventions of both architectures let it leave those alone.

int OWN(status)(void)
{
    return opened() ? LACKING : ABSENT;
}

// Callers read this as a string without asking, so it is never null.
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

// cuGetErrorName and cuGetErrorString: without a driver there are only the errors made here.

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
