/* A disk that fails as it is told: preloaded before the C library, it lets calls on some files fail.

   The file that FAILING_DISK names holds lines `CALL ERRNO PART-OF-PATH`, where CALL is `sync` (fsync, fdatasync) or
   `write` (write, pwrite); it is read anew at each call, and no file means that all is well. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int told_to_fail(const char *call, int descriptor) {
    const char *script = getenv("FAILING_DISK");
    if (script == NULL) return 0;
    int kept = errno;
    FILE *file = fopen(script, "re");
    int failure = 0;
    if (file != NULL) {
        char link[64], path[4096], name[16], part[1024];
        int number;
        snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
        ssize_t length = readlink(link, path, sizeof path - 1);
        path[length < 0 ? 0 : length] = 0;
        while (!failure && fscanf(file, "%15s %d %1023s", name, &number, part) == 3)
            if (strcmp(name, call) == 0 && strstr(path, part) != NULL) failure = number;
        fclose(file);
    }
    errno = failure ? failure : kept;
    return failure;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd) { return told_to_fail("sync", fd) ? -1 : NEXT(fsync)(fd); }
int fdatasync(int fd) { return told_to_fail("sync", fd) ? -1 : NEXT(fdatasync)(fd); }
ssize_t write(int fd, const void *bytes, size_t size) {
    return told_to_fail("write", fd) ? -1 : NEXT(write)(fd, bytes, size);
}
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
    return told_to_fail("write", fd) ? -1 : NEXT(pwrite)(fd, bytes, size, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    return told_to_fail("write", fd) ? -1 : NEXT(pwrite64)(fd, bytes, size, at);
}
