/* Preloaded into a command: while a file `eio` lies in a folder directly below the one that STORM names, all writes
   below that folder fail with EIO; while `clock` lies in the one that STORM names, the clock of the wall is a day
   ahead. stdio's own writes (C++ streams, TensorFlow's records) do not pass here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int fails(int file) {
  const char *storm = getenv("STORM");
  char link[64], path[4096 + sizeof "/eio"];
  int before = errno, failing = 0;
  if (storm) {
    size_t above = strlen(storm);
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, 4096);
    path[size > 0 ? size : 0] = 0;
    char *end = strncmp(path, storm, above) || path[above] != '/' ? NULL : strchr(path + above + 1, '/');
    if (end) {
      strcpy(end, "/eio");
      failing = access(path, F_OK) == 0;
    }
  }
  errno = failing ? EIO : before;
  return failing;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int file, const void *data, size_t size) {
  REAL(write);
  return fails(file) ? -1 : real(file, data, size);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
  REAL(pwrite64);
  return fails(file) ? -1 : real(file, data, size, at);
}

int fsync(int file) {
  REAL(fsync);
  return fails(file) ? -1 : real(file);
}

int fdatasync(int file) {
  REAL(fdatasync);
  return fails(file) ? -1 : real(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  REAL(clock_gettime);
  int result = real(clock, now);
  const char *storm = clock == CLOCK_REALTIME ? getenv("STORM") : NULL;
  if (storm) {
    char path[4096];
    int before = errno;
    snprintf(path, sizeof path, "%s/clock", storm);
    if (access(path, F_OK) == 0) now->tv_sec += 86400;
    errno = before;
  }
  return result;
}
