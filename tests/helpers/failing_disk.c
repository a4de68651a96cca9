/* Preloaded into a command: while a file `eio` lies in a folder directly below the one that STORM names, all writes
   below that folder fail with EIO, and while a file `slow` lies there each takes 20 ms; while `clock` lies in the one
   that STORM names, the clock of the wall is a day ahead. What stdio writes when a buffer is full, or a file is closed,
   does not pass here. */
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
  char link[64], path[4096 + sizeof "/slow"];
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
      strcpy(end, "/slow");
      if (access(path, F_OK) == 0) usleep(20000);
    }
  }
  errno = failing ? EIO : before;
  return failing;
}

#define REAL(name) static __typeof__(&name) real_##name
#define FIND(name) real_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

REAL(write);
REAL(pwrite64);
REAL(fwrite);
REAL(fflush);
REAL(fsync);
REAL(fdatasync);
REAL(clock_gettime);

/* Once, and before all else: dlsym takes a lock, and these functions are called by handlers of signals too. */
__attribute__((constructor)) static void find(void) {
  FIND(write);
  FIND(pwrite64);
  FIND(fwrite);
  FIND(fflush);
  FIND(fsync);
  FIND(fdatasync);
  FIND(clock_gettime);
}

ssize_t write(int file, const void *data, size_t size) { return fails(file) ? -1 : real_write(file, data, size); }

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
  return fails(file) ? -1 : real_pwrite64(file, data, size, at);
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *stream) {
  return fails(fileno(stream)) ? 0 : real_fwrite(data, size, count, stream);
}

int fflush(FILE *stream) { return stream && fails(fileno(stream)) ? EOF : real_fflush(stream); }

int fsync(int file) { return fails(file) ? -1 : real_fsync(file); }

int fdatasync(int file) { return fails(file) ? -1 : real_fdatasync(file); }

int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = real_clock_gettime(clock, now);
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
